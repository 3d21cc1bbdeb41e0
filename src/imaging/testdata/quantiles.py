"""Quantiles of torchvision's random crops: writes quantiles.json (torchvision 0.26.0, torch 2.11.0, seed 0)."""

import json
import pathlib

import torch
from torchvision.transforms import RandomResizedCrop

PARTS = [0.1, 0.25, 0.5, 0.75, 0.9]
AREAS = {"mocov2": (0.2, 1.0), "swav": (0.14, 1.0), "swav_small": (0.05, 0.14), "custom": (0.08, 1.0)}
CASES = [("mocov2", 500, 375), ("mocov2", 32, 32), ("swav_small", 333, 500), ("custom", 600, 200), ("swav", 90, 400)]
DRAWS = 100_000

torch.manual_seed(0)
rows = []
for recipe, width, height in CASES:
    image = torch.empty(3, height, width)
    drawn = torch.tensor(
        [RandomResizedCrop.get_params(image, AREAS[recipe], (3 / 4, 4 / 3)) for _ in range(DRAWS)],
        dtype=torch.float64,
    )
    for column, quantity in enumerate(["y", "x", "height", "width"]):
        values = torch.quantile(drawn[:, column], torch.tensor(PARTS, dtype=torch.float64), interpolation="nearest")
        rows.append(
            {"recipe": recipe, "width": width, "height": height, "quantity": quantity, "quantiles": values.tolist()}
        )
text = "[\n" + ",\n".join("  " + json.dumps(row) for row in rows) + "\n]\n"
pathlib.Path(__file__).with_name("quantiles.json").write_text(text)
