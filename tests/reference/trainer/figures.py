"""A tensor in few numbers, which say where another differs from it: its length and its products with waves."""

import torch

WAVES = 6


def figures(tensor):
    """The length and the products with cos(index · (wave + 1)), over the square root of half the size."""
    values = tensor.detach().double().flatten()
    index = torch.arange(len(values), dtype=torch.float64)
    scale = max(len(values) / 2, 1) ** 0.5
    waves = [float((values * torch.cos(index * (wave + 1))).sum() / scale) for wave in range(WAVES)]
    return [float(values.norm()), *waves]


def of_state(state):
    return {name: figures(tensor) for name, tensor in sorted(state.items())}
