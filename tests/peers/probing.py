#!/usr/bin/env python3
"""Multinomial logistic regression to its optimum: `probe`'s L-BFGS and scikit-learn's LogisticRegression, in turn in one run.

    tests/peers/probing.py [--rounds 3] [--threads 1] [--samples 50000] [--dimension 512] [--classes 10,100] [--spectrum 1.0]

Needs scikit-learn (`make peers`) and `cargo build --workspace --example peer` done. Both minimise mean cross-entropy + l2 · |weight|² on the same
standardised features, until no component of the gradient is above the tolerance; ours standardises them once more, which is counted.
scikit-learn runs in f64, as `probe` promises, and in f32, where it may stop short of the optimum. Prints medians and the losses reached,
computed here in f64. `--spectrum s`: the i-th direction of the features varies as i^-s before standardising, as features of networks do; 0: none
is correlated with another.
"""

import argparse
import os
import tempfile
import warnings
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--target")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--samples", type=int, default=50_000)
parser.add_argument("--dimension", type=int, default=512)
parser.add_argument("--classes", default="10,100")
parser.add_argument("--spectrum", default="0,1")
parser.add_argument("--tolerance", type=int, default=5, help="10 to the minus this")
parser.add_argument("--l2", type=int, default=4, help="10 to the minus this")
arguments = parser.parse_args()

from turns import Ours, in_turn, table, threads_of, timed

os.environ.update(threads_of(arguments.threads))  # before the libraries read it

import numpy
import sklearn
from sklearn.linear_model import LogisticRegression


def data(classes, spectrum):
    """Classes that overlap, in directions that the spectrum and a rotation give."""
    generator = numpy.random.default_rng(classes)
    dimension = arguments.dimension
    labels = generator.integers(classes, size=arguments.samples)
    centres = generator.standard_normal((classes, dimension)) * 2 / dimension**0.5
    features = centres[labels] + generator.standard_normal((arguments.samples, dimension))
    features *= numpy.arange(1, dimension + 1) ** -spectrum
    features = features @ numpy.linalg.qr(generator.standard_normal((dimension, dimension)))[0]
    features -= features.mean(axis=0)
    features /= features.std(axis=0)
    return features.astype(numpy.float32), labels.astype(numpy.int64)


def losses(features, labels, weight, bias):
    """Mean cross-entropy, and with the penalty, in f64."""
    logits = features.astype(numpy.float64) @ weight.T.astype(numpy.float64) + bias
    logits -= logits.max(axis=1, keepdims=True)
    own = logits[numpy.arange(len(labels)), labels]
    loss = (numpy.log(numpy.exp(logits).sum(axis=1)) - own).mean()
    return loss, loss + 10.0**-arguments.l2 * (weight.astype(numpy.float64) ** 2).sum()


def compare(classes, spectrum):
    features, labels = data(classes, spectrum)
    dimension = arguments.dimension
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        features.tofile(folder / "features.f32")
        labels.tofile(folder / "labels.i64")
        sizes = [len(labels), dimension, classes, arguments.tolerance, arguments.l2]
        ours = Ours("probing", folder, sizes, arguments.threads, arguments.target)
        found, iterations = {}, {}

        def ours_seconds():
            *seconds, count = ours.seconds()
            iterations["ours"] = int(count)
            return seconds

        def theirs(name, kind):
            own = features.astype(kind)
            # C · sum of losses + |w|² / 2, divided by C · N, is ours with l2 = 1 / (2 C N).
            model = LogisticRegression(
                C=1 / (2 * 10.0**-arguments.l2 * len(labels)), tol=10.0**-arguments.tolerance, max_iter=1000
            )

            def fit():
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    model.fit(own, labels)
                weight, bias = model.coef_, model.intercept_
                if classes == 2:
                    weight, bias = numpy.concatenate([-weight, weight]) / 2, numpy.concatenate([-bias, bias]) / 2
                found[name] = (weight, bias)
                iterations[name] = int(model.n_iter_[0])

            return lambda: timed(fit)

        sides = {
            "ours": ours_seconds,
            "scikit-learn, f64": theirs("scikit-learn, f64", numpy.float64),
            "scikit-learn, f32": theirs("scikit-learn, f32", numpy.float32),
        }
        medians = in_turn(sides, arguments.rounds)
        ours.ask("fit")
        weight = numpy.fromfile(folder / "weight.f32", dtype=numpy.float32).reshape(classes, dimension)
        found["ours"] = (weight, numpy.fromfile(folder / "bias.f32", dtype=numpy.float32))
        ours.end()
    print(f"\n## {len(labels)} samples, {dimension} features (spectrum {spectrum:g}), {classes} classes, tolerance 1e-{arguments.tolerance}")
    table(medians, "ours", "s", 1.0)
    for name, (weight, bias) in found.items():
        loss, total = losses(features, labels, weight, bias)
        print(f"{name}: cross-entropy {loss:.9f}, with the penalty {total:.9f}, {iterations[name]} iterations")


def main():
    print(f"scikit-learn {sklearn.__version__}, {arguments.threads} threads")
    for spectrum in map(float, arguments.spectrum.split(",")):
        for classes in map(int, arguments.classes.split(",")):
            compare(classes, spectrum)


if __name__ == "__main__":
    main()
