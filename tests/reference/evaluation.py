#!/usr/bin/env python3
"""Reference values of intervals, retrieval and scores of classes; needs numpy, scipy and scikit-learn. Writes src/learn/testdata/reference_evaluation.json.

Intervals: `numpy.percentile` of given shares, and `scipy.stats.bootstrap` of 100,000 resamples. Retrieval: scikit-learn's
`average_precision_score` of each query that has a row of its label, and whether one is among the k first. Scores of classes:
scikit-learn's `balanced_accuracy_score` and `f1_score(average="macro")`, with classes that no label has or that are never predicted.
"""

import json
import warnings
from pathlib import Path

import numpy as np
from scipy.stats import beta, bootstrap
from sklearn.metrics import accuracy_score, average_precision_score, balanced_accuracy_score, f1_score

TESTDATA = Path(__file__).resolve().parents[2] / "src/learn/testdata"


def percentiles(random):
    shares = np.round(random.normal(0.7, 0.05, 200), 3)
    low, high = np.percentile(shares, [2.5, 97.5])
    return {"shares": shares.tolist(), "low": low, "high": high}


def interval(random, samples, right):
    values = np.arange(samples) < right
    found = bootstrap((values,), np.mean, n_resamples=100_000, batch=1000, method="percentile", confidence_level=0.95, rng=random)
    return {"samples": samples, "right": right, "low": found.confidence_interval.low, "high": found.confidence_interval.high}


def retrieval(random, rows, queries, dimension, classes, missing):
    centres = random.normal(size=(classes, dimension))
    labels = random.integers(classes - missing, size=rows)
    sought = random.integers(classes, size=queries)
    bank = np.round((centres[labels] + random.normal(size=(rows, dimension)) * 1.5).astype(np.float32), 4)
    query = np.round((centres[sought] + random.normal(size=(queries, dimension)) * 1.5).astype(np.float32), 4)
    unit = lambda of: of.astype(float) / np.linalg.norm(of.astype(float), axis=1, keepdims=True)
    similarity = unit(query) @ unit(bank).T
    precisions, first = [], []
    for one, label in zip(similarity, sought):
        relevant = labels == label
        if relevant.any():
            assert np.diff(np.sort(one)).min() > 1e-7, "ties"
            precisions.append(average_precision_score(relevant, one))
            first.append(int(np.argmax(relevant[np.argsort(-one)])))
    ks = [1, 5, 10]
    number = lambda of: [[float(str(value)) for value in row] for row in of]
    return {
        "classes": classes,
        "bank": number(bank),
        "bank_labels": labels.tolist(),
        "queries": number(query),
        "query_labels": sought.tolist(),
        "k": ks,
        "mean_average_precision": float(np.mean(precisions)),
        "recall": [float(np.mean(np.array(first) < k)) for k in ks],
        "counted": len(precisions),
    }


def class_scores(random, classes, samples, shares, never=()):
    """`never`: classes that are not predicted."""
    labels = random.choice(classes, size=samples, p=shares)
    guesses = np.setdiff1d(np.arange(classes), never)
    predicted = np.where(random.random(samples) < 0.6, labels, random.choice(guesses, size=samples))
    predicted[np.isin(predicted, never)] = guesses[0]
    return {
        "classes": classes,
        "labels": labels.tolist(),
        "predicted": predicted.tolist(),
        "accuracy": float(accuracy_score(labels, predicted)),
        "balanced_accuracy": float(balanced_accuracy_score(labels, predicted)),
        "macro_f1": float(f1_score(labels, predicted, average="macro", zero_division=0)),
    }


random = np.random.default_rng(7)
reference = {
    "percentiles": percentiles(random),
    "bootstrap": [interval(random, *case) for case in [(200, 150), (1000, 910), (2000, 200)]],
    "retrieval": [retrieval(random, 60, 20, 3, 4, 0), retrieval(random, 40, 15, 4, 5, 1)],
}
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")
    reference["class_scores"] = [
        class_scores(random, 3, 60, [0.8, 0.15, 0.05]),
        class_scores(random, 4, 50, [0.7, 0.2, 0.1, 0.0]),
        class_scores(random, 4, 50, [0.6, 0.2, 0.1, 0.1], never=[2, 3]),
        class_scores(random, 5, 40, [0.0, 0.5, 0.3, 0.2, 0.0], never=[0, 3]),
        class_scores(random, 2, 30, [1.0, 0.0]),
    ]
(TESTDATA / "reference_evaluation.json").write_text(json.dumps(reference) + "\n")
for alpha in (0.2, 0.5, 1.0, 4.0):
    print(alpha, beta(alpha, alpha).cdf([0.1, 0.25]))
