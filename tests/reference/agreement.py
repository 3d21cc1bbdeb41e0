"""Writes src/learn/testdata/reference_agreement.json: neighbours in common, Spearman's correlation and adjusted mutual
information by scikit-learn and scipy, of a few vectors.

    pip install scikit-learn && python tests/reference/agreement.py
"""

import json
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import adjusted_mutual_info_score
from sklearn.neighbors import NearestNeighbors

TESTDATA = Path(__file__).resolve().parents[2] / "src/learn/testdata"
ROWS, K = 60, 7

random = np.random.default_rng(5)
centres = random.normal(size=(4, 6))
teacher = centres[random.integers(4, size=ROWS)] + random.normal(size=(ROWS, 6))
student = teacher @ random.normal(size=(6, 5)) + random.normal(size=(ROWS, 5))
teacher, student = (np.round(rows, 4) for rows in (teacher, student))


def nearest(rows):
    found = NearestNeighbors(n_neighbors=K, metric="cosine", algorithm="brute").fit(rows)
    return found.kneighbors(return_distance=False)  # without the row itself


def cosines(rows):
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return (unit @ unit.T)[np.triu_indices(ROWS, 1)]


def correlation(one, other):
    return {"one": one, "other": other, "correlation": float(spearmanr(one, other).statistic)}


def information(one, other):
    return {"one": one, "other": other, "information": float(adjusted_mutual_info_score(one, other))}


drawn = lambda most, count: random.integers(most, size=count).tolist()
first = drawn(4, 50)
near = [label if place % 5 else (label + 1) % 4 for place, label in enumerate(first)]
reference = {
    "k": K,
    "teacher": teacher.tolist(),
    "student": student.tolist(),
    "common": [len(set(one) & set(other)) for one, other in zip(nearest(teacher), nearest(student))],
    "correlation": float(spearmanr(cosines(teacher), cosines(student)).statistic),
    "correlations": [correlation(drawn(5, 30), drawn(3, 30)), correlation([1, 2, 2, 3], [3, 1, 1, 0])],
    "mutual_information": [
        information(first, near),
        information(first, drawn(4, 50)),
        information(first, [(label + 2) % 4 for label in first]),
        information(first, [0] * 50),
        information([0] * 5, [0] * 5),
        information([0, 1, 2, 3, 4], [0, 1, 2, 3, 4]),
        information(drawn(2, 20), drawn(7, 20)),
        information([0, 1], [1, 0]),
        information(list(range(22)), list(range(22))),
        information([2] * 5, [0] * 5),
        information([3, 1, 1, 3, 1], [0, 2, 2, 2, 0]),
    ],
}
(TESTDATA / "reference_agreement.json").write_text(json.dumps(reference) + "\n")
