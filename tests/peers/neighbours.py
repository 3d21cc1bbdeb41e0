#!/usr/bin/env python3
"""Exact nearest neighbours by cosine: ours, scikit-learn's brute force and faiss-cpu's flat index, in turn in one run.

    tests/peers/neighbours.py [--rounds 5] [--threads 1] [--bank 50000] [--queries 10000] [--dimension 512] [--k 20]

Needs scikit-learn and faiss-cpu (`make peers`) and `cargo build --workspace --example peer` done. All begin with rows of any length in f32 and
end with k rows a query: ours normalises inside, the peers get normalised rows, and building their index is counted. Prints medians and
in how many queries the neighbours are the same; where they are not, by how much the similarities (in f64) of those differ.
"""

import argparse
import os
import tempfile
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--target")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--bank", type=int, default=50_000)
parser.add_argument("--queries", type=int, default=10_000)
parser.add_argument("--dimension", type=int, default=512)
parser.add_argument("--k", type=int, default=20)
arguments = parser.parse_args()

from turns import Ours, in_turn, table, threads_of, timed

os.environ.update(threads_of(arguments.threads))  # before the libraries read it

import faiss
import numpy
import sklearn
from sklearn.neighbors import NearestNeighbors


def data(generator, rows):
    """Rows round 100 centres, so that similarities are spread as those of features are."""
    centres = numpy.random.default_rng(1).standard_normal((100, arguments.dimension))
    noise = generator.standard_normal((rows, arguments.dimension))
    return (centres[generator.integers(100, size=rows)] + 2 * noise).astype(numpy.float32)


def differences(one, other, bank, queries):
    """Queries whose sets of neighbours differ, and by how much the k-th similarity of both differs at most, in f64."""
    rows = [row for row in range(len(one)) if set(one[row]) != set(other[row])]
    worst = 0.0
    for row in rows:
        query = queries[row].astype(numpy.float64)
        least = [numpy.sort(bank[found[row]].astype(numpy.float64) @ query)[0] for found in (one, other)]
        worst = max(worst, abs(least[0] - least[1]))
    return len(rows), worst


def main():
    faiss.omp_set_num_threads(arguments.threads)
    generator = numpy.random.default_rng(0)
    bank, queries = data(generator, arguments.bank), data(generator, arguments.queries)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        bank.tofile(folder / "bank.f32")
        queries.tofile(folder / "queries.f32")
        sizes = [arguments.bank, arguments.queries, arguments.dimension, arguments.k]
        ours = Ours("neighbours", folder, sizes, arguments.threads, arguments.target)
        bank /= numpy.linalg.norm(bank, axis=1, keepdims=True)
        queries /= numpy.linalg.norm(queries, axis=1, keepdims=True)
        found = {}

        def flat():
            index = faiss.IndexFlatIP(arguments.dimension)
            index.add(bank)
            found["faiss-cpu, IndexFlatIP"] = index.search(queries, arguments.k)[1]

        def brute():
            # Of unit rows the nearest by Euclid's distance are those by cosine; scikit-learn is faster at the former.
            search = NearestNeighbors(n_neighbors=arguments.k, algorithm="brute", metric="sqeuclidean").fit(bank)
            found["scikit-learn, brute"] = search.kneighbors(queries, return_distance=False)

        sides = {
            "ours": ours.seconds,
            "faiss-cpu, IndexFlatIP": lambda: timed(flat),
            "scikit-learn, brute": lambda: timed(brute),
        }
        medians = in_turn(sides, arguments.rounds)
        ours.ask("found")
        mine = numpy.fromfile(folder / "found.i64", dtype=numpy.int64).reshape(arguments.queries, arguments.k)
        ours.end()
    print(f"faiss {faiss.__version__}, scikit-learn {sklearn.__version__}, {arguments.threads} threads")
    print(f"bank {arguments.bank}, queries {arguments.queries}, dimension {arguments.dimension}, k {arguments.k}")
    table(medians, "ours", "s", 1.0)
    for name, theirs in found.items():
        count, worst = differences(mine, theirs, bank, queries)
        print(f"{name}: other neighbours in {count} queries, whose k-th similarities differ by at most {worst:.1e}")


if __name__ == "__main__":
    main()
