"""Weighted nearest neighbours, by the protocol of instance discrimination (arXiv 1805.01978, test.py of its code), which SEED
and DINO evaluate by as well: features of length 1, the k nearest of the training images, votes of exp(similarity / temperature).
A class without a vote is no answer here; the official sort has such ones last, in no stated order.

Retrieval is scikit-learn's average precision over all training images, and recall at k as metric learning has it (2003.08505)."""

import torch
from torch.nn import functional

from . import tables
from .judged import Images, answers, mean


def judged(stage, faults):
    images, params = Images(stage, faults), stage["params"]
    features = tables.embeddings(stage["inputs"]["features"]).double()
    train, test = images.rows(*images.train_splits), images.rows("test")
    bank, queries = features[train], functional.normalize(features[test])
    if not faults.made("no_normalisation"):
        bank = functional.normalize(bank)
    labels, wanted = images.learned()[train], images.labels[test]
    similarity = queries @ bank.T
    result = retrieval(similarity, labels, wanted)
    for place, k in enumerate(params["k"]):
        near, rows = similarity.topk(min(k, len(train)), 1)
        own = functional.one_hot(labels[rows], images.classes).double()  # [images, k, classes]
        weights = torch.ones_like(near) if faults.made("equal_votes") else (near / params["temperature"]).exp()
        votes = (own * weights[:, :, None]).sum(1)
        best, ranked = votes.topk(min(5, images.classes), 1)
        suffix = f"_k{k}" if place else ""
        ranked = torch.where(best > 0, ranked, -1)
        result |= answers("knn_", ranked, best / votes.sum(1, keepdim=True), wanted, suffix)
        # Of equal counts that of the nearer rows is first.
        majority = (own * (1 + 1e-6 * near)[:, :, None]).sum(1).argmax(1)
        result[f"test/knn_majority_top1{suffix}"] = mean(majority == wanted)
    return result


def retrieval(similarity, labels, wanted):
    found = labels[similarity.argsort(1, descending=True)] == wanted[:, None]
    found = found[found.any(1)]
    precision = found.cumsum(1).double() / torch.arange(1, found.shape[1] + 1)
    result = {f"test/retrieval_recall_at_{k}": mean(found[:, :k].any(1)) for k in (1, 5, 10)}
    return result | {"test/retrieval_map": mean((precision * found).sum(1) / found.sum(1))}
