#!/usr/bin/env python3
"""Golden values of the linear classifier that MoCo's and SEED's main_lincls.py fit, by torch.optim.SGD: another view of each sample in
each epoch, a rate that falls, and a last batch that is not full.

Needs torch 2.11. Writes src/learn/testdata/linear_probe.json and linear_probe.safetensors.
"""

import json
import os
import struct
import sys
from pathlib import Path

if hasattr(os, "RTLD_LAZY"):
    sys.setdlopenflags(os.RTLD_LAZY)

import torch

FOLDER = Path(__file__).resolve().parents[2] / "src/learn/testdata"
SAMPLES, DIMENSION, CLASSES, VIEWS, EPOCHS = 50, 6, 4, 3, 7
TENSORS = {}


def adjusted(options, epoch):
    """adjust_learning_rate of main_lincls.py."""
    rate = options["learning_rate"]
    for milestone in options["decay_epochs"]:
        rate *= options["decay_factor"] if epoch >= milestone else 1.0
    return rate


def follow(name, views, options, labels, orders):
    """Mean losses, and weights after each epoch."""
    model = torch.nn.Linear(DIMENSION, CLASSES)
    with torch.no_grad():
        model.weight.copy_(TENSORS["start"])
        model.bias.zero_()
    optimiser = torch.optim.SGD(
        model.parameters(), options["learning_rate"], momentum=options["momentum"], weight_decay=options["weight_decay"]
    )
    criterion = torch.nn.CrossEntropyLoss()
    losses = []
    for epoch in range(options["epochs"]):
        optimiser.param_groups[0]["lr"] = adjusted(options, epoch)
        features = TENSORS[f"view.{epoch % views}"]
        total = 0.0
        for batch in torch.tensor(orders[epoch]).split(options["batch"]):
            loss = criterion(model(features[batch]), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item() * len(batch)
        losses.append(total / SAMPLES)
        TENSORS[f"{name}.weight.{epoch}"] = model.weight.detach().clone()
    TENSORS[f"{name}.bias"] = model.bias.detach().clone()
    return {"name": name, "views": views, "options": options, "losses": losses}


def write(name, facts):
    header, payload = {}, b""
    for key, tensor in TENSORS.items():
        values = struct.pack(f"<{tensor.numel()}f", *tensor.flatten().tolist())
        header[key] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(payload), len(payload) + len(values)]}
        payload += values
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (FOLDER / f"{name}.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + payload)
    (FOLDER / f"{name}.json").write_text(json.dumps(facts) + "\n")


def main():
    torch.manual_seed(19)
    torch.set_num_threads(1)
    labels = torch.randint(CLASSES, (SAMPLES,))
    centres = torch.randn(CLASSES, DIMENSION)
    for view in range(VIEWS):
        TENSORS[f"view.{view}"] = centres[labels] + torch.randn(SAMPLES, DIMENSION) + 0.5
    TENSORS["start"] = torch.randn(CLASSES, DIMENSION) * 0.01
    orders = [torch.randperm(SAMPLES).tolist() for _ in range(EPOCHS)]
    options = {"learning_rate": 0.5, "momentum": 0.9, "weight_decay": 0.0, "batch": 16, "epochs": EPOCHS, "decay_epochs": [3, 5], "decay_factor": 0.1}
    other = options | {"learning_rate": 0.1, "momentum": 0.5, "weight_decay": 0.02, "batch": 64, "decay_epochs": [2], "decay_factor": 0.5}
    cases = [follow("views", VIEWS, options, labels, orders), follow("one", 1, other, labels, orders)]
    write("linear_probe", {"labels": labels.tolist(), "orders": orders, "cases": cases})


main()
