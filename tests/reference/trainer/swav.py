"""SwAV's shares (arXiv 2006.09882; facebookresearch/swav, main_swav.py, on one device)."""

import torch


@torch.no_grad()
def sinkhorn(scores, epsilon, iterations):
    """`distributed_sinkhorn`: `[B, K]` scores to as many shares, rows of sum 1."""
    shares = torch.exp(scores / epsilon).T  # [K, B]
    prototypes, rows = shares.shape
    shares /= shares.sum()
    for _ in range(iterations):
        shares /= shares.sum(1, keepdim=True)
        shares /= prototypes
        shares /= shares.sum(0, keepdim=True)
        shares /= rows
    return (shares * rows).T


@torch.no_grad()
def unit_rows(prototypes):
    prototypes.copy_(torch.nn.functional.normalize(prototypes, dim=1))
