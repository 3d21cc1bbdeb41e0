#!/usr/bin/env python3
"""Golden values of SwAV (arXiv 2006.09882): assignments, loss and gradients by the official formulas, in f64.

`distributed_sinkhorn` and the loss are those of facebookresearch/swav, main_swav.py, on one device. Needs torch.
Writes src/learn/testdata/swav.json.
"""

import json
import os
import sys
from pathlib import Path

if hasattr(os, "RTLD_LAZY"):
    sys.setdlopenflags(os.RTLD_LAZY)

import torch
from torch.nn import functional

OUTPUT = Path(__file__).resolve().parents[2] / "src/learn/testdata/swav.json"


def distributed_sinkhorn(out: torch.Tensor, epsilon: float, iterations: int) -> torch.Tensor:
    Q = torch.exp(out / epsilon).t()  # K-by-B
    B = Q.shape[1]
    K = Q.shape[0]
    Q /= torch.sum(Q)
    for _ in range(iterations):
        Q /= torch.sum(Q, dim=1, keepdim=True)
        Q /= K
        Q /= torch.sum(Q, dim=0, keepdim=True)
        Q /= B
    Q *= B
    return Q.t()


def case(seed, batch, assigned, crops, dimension, prototypes, queued, epsilon, iterations, temperature):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        # As f32, so that the numbers are the same in both precisions.
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(torch.float32).to(torch.float64)

    raw = draw(crops * batch, dimension).requires_grad_()
    weight = draw(prototypes, dimension)
    queue = functional.normalize(draw(assigned, queued, dimension), dim=2) if queued else None
    weight_leaf = functional.normalize(weight, dim=1, p=2).requires_grad_()
    output = functional.normalize(raw, dim=1, p=2) @ weight_leaf.t()
    loss = 0
    assignments = []
    for crop_id in range(assigned):
        with torch.no_grad():
            out = output[batch * crop_id : batch * (crop_id + 1)].detach()
            if queue is not None:
                out = torch.cat((torch.mm(queue[crop_id], weight_leaf.t()), out))
            q = distributed_sinkhorn(out, epsilon, iterations)[-batch:]
            assignments.append(q)
        subloss = 0
        for v in range(crops):
            if v != crop_id:
                x = output[batch * v : batch * (v + 1)] / temperature
                subloss -= torch.mean(torch.sum(q * functional.log_softmax(x, dim=1), dim=1))
        loss += subloss / (crops - 1)
    loss /= assigned
    loss.backward()
    return {
        "batch": batch,
        "assigned": assigned,
        "crops": crops,
        "epsilon": epsilon,
        "iterations": iterations,
        "temperature": temperature,
        "embeddings": raw.tolist(),
        "prototypes": weight.tolist(),
        "queue": [] if queue is None else queue.tolist(),
        "assignments": [q.tolist() for q in assignments],
        "loss": loss.item(),
        "grad_embeddings": raw.grad.tolist(),
        "grad_prototypes": weight_leaf.grad.tolist(),
    }


def main():
    cases = [
        case(1, 6, 2, 2, 4, 5, 0, 0.05, 3, 0.1),
        case(2, 5, 2, 5, 6, 7, 0, 0.05, 3, 0.1),
        case(3, 4, 2, 4, 3, 9, 12, 0.03, 3, 0.1),
        case(4, 8, 1, 3, 5, 4, 0, 0.05, 10, 0.2),
    ]
    OUTPUT.write_text("[\n" + ",\n".join(json.dumps(entry) for entry in cases) + "\n]\n")


main()
