"""Writes tests/fixtures/tsne.json: t-SNE's affinities and gradient by scikit-learn, of a few vectors.

    pip install scikit-learn && python tests/reference/tsne.py
"""

import json
from pathlib import Path

import numpy
from scipy.sparse import csr_matrix
from scipy.spatial.distance import squareform
from sklearn.manifold import _t_sne
from sklearn.neighbors import NearestNeighbors

COUNT, DIMENSION, PERPLEXITY = 24, 5, 4.0

generator = numpy.random.default_rng(0)
values = generator.normal(size=(COUNT, DIMENSION)).astype(numpy.float32)
neighbours = min(COUNT - 1, int(3 * PERPLEXITY + 1))
near = NearestNeighbors(n_neighbors=neighbours, algorithm="brute").fit(values)
distances = near.kneighbors_graph(mode="distance")
distances.data **= 2
joint = csr_matrix(_t_sne._joint_probabilities_nn(distances, PERPLEXITY, verbose=0)).toarray()
places = generator.normal(size=(COUNT, 2)).astype(numpy.float32)
_, gradient = _t_sne._kl_divergence(
    places.astype(float).ravel(), squareform(joint, checks=False), 1.0, COUNT, 2
)
golden = {
    "dimension": DIMENSION,
    "values": [round(float(value), 7) for value in values.ravel()],
    "perplexity": PERPLEXITY,
    "joint": [[float(f"{value:.7g}") for value in row] for row in joint],
    "places": [[float(value) for value in row] for row in places],
    "gradient": [[float(f"{value:.7g}") for value in row] for row in gradient.reshape(COUNT, 2)],
}
path = Path(__file__).parent.parent / "fixtures" / "tsne.json"
path.write_text(json.dumps(golden) + "\n")
