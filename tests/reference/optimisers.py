#!/usr/bin/env python3
"""Golden values of what moves the weights, from PyTorch's own: SGD, AdamW, LARS, schedules, clipping, averaging, loss scaling.

Needs torch 2.11. Writes src/learn/testdata/optimisers.json and optimisers.safetensors. LARS is the official code of SwAV
(apex.parallel.LARC with clip=False around SGD) and of solo-learn (biases and norms excluded), written in torch below.
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
SHAPES = {"conv.weight": [4, 3, 3, 3], "norm.weight": [4], "norm.bias": [4], "zero.weight": [2, 5], "fc.weight": [5, 4], "fc.bias": [5]}
STEPS = 12
RATE = 0.05
TENSORS = {}


class Lars(torch.optim.Optimizer):
    """SGD whose direction has, for each tensor, a length of `trust` times the weights' own."""

    def __init__(self, parameters, lr, momentum, weight_decay, nesterov=False, trust=0.001, exclude=True):
        super().__init__(parameters, dict(lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov, trust=trust, exclude=exclude))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                direction = p.grad
                weight_norm, gradient_norm = torch.norm(p), torch.norm(p.grad)
                if not (p.ndim == 1 and group["exclude"]) and weight_norm != 0 and gradient_norm != 0:
                    ratio = group["trust"] * weight_norm / (gradient_norm + weight_norm * group["weight_decay"] + 1e-8)
                    direction = (direction + group["weight_decay"] * p) * ratio
                state = self.state[p]
                if "momentum" not in state:
                    state["momentum"] = torch.clone(direction)
                else:
                    state["momentum"].mul_(group["momentum"]).add_(direction)
                buffer = state["momentum"]
                direction = direction + group["momentum"] * buffer if group["nesterov"] else buffer
                p.add_(direction, alpha=-group["lr"])


def parameters():
    return {name: TENSORS[f"start.{name}"].clone().requires_grad_() for name in SHAPES}


def groups(tensors, weight_decay, decay_all):
    if decay_all:
        return list(tensors.values())
    return [
        {"params": [p for p in tensors.values() if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in tensors.values() if p.ndim <= 1], "weight_decay": 0.0},
    ]


def follow(case, make):
    """Weights after STEPS steps; the rate falls linearly, and each step has its own gradients."""
    tensors = parameters()
    optimiser = make(tensors)
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = RATE * (STEPS - step) / STEPS
        for name, p in tensors.items():
            p.grad = TENSORS[f"gradient.{name}"][step].clone()
        optimiser.step()
    for name, p in tensors.items():
        TENSORS[f"{case}.{name}"] = p.detach()


def optimisers():
    cases = {}
    for nesterov in (False, True):
        for decay_all in (True, False):
            name = f"sgd{'_nesterov' * nesterov}{'' if decay_all else '_without_biases'}"
            cases[name] = {"kind": "sgd", "momentum": 0.9, "weight_decay": 0.02, "nesterov": nesterov, "decay_biases_and_norms": decay_all}
            follow(name, lambda t: torch.optim.SGD(groups(t, 0.02, decay_all), lr=1.0, momentum=0.9, weight_decay=0.02, nesterov=nesterov))
    for decay_all in (True, False):
        name = f"adamw{'' if decay_all else '_without_biases'}"
        cases[name] = {"kind": "adamw", "betas": [0.8, 0.95], "epsilon": 1e-6, "weight_decay": 0.1, "decay_biases_and_norms": decay_all}
        follow(name, lambda t: torch.optim.AdamW(groups(t, 0.1, decay_all), lr=1.0, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1))
    for nesterov in (False, True):
        for exclude in (True, False):
            name = f"lars{'_nesterov' * nesterov}{'' if exclude else '_everywhere'}"
            cases[name] = {
                "kind": "lars", "momentum": 0.9, "weight_decay": 0.03, "nesterov": nesterov, "trust": 0.02,
                "adapt_biases_and_norms": not exclude, "decay_biases_and_norms": not exclude,
            }
            follow(name, lambda t: Lars(t.values(), lr=1.0, momentum=0.9, weight_decay=0.03, nesterov=nesterov, trust=0.02, exclude=exclude))
    return cases


def rates(schedule, steps, base):
    """The rate at each step of a scheduler of torch."""
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=base)
    scheduler = schedule(optimiser)
    found = []
    for _ in range(steps):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return found


def schedules():
    scheduler = torch.optim.lr_scheduler
    epochs, per_epoch, base = 10, 7, 0.4

    def warm(optimiser, length, after):
        """Linear from base / length to base, and what `after` says once it is reached."""
        return scheduler.LambdaLR(optimiser, lambda n: (n + 1) / length if n + 1 < length else after(n))

    cosine = lambda total: rates(lambda o: scheduler.CosineAnnealingLR(o, total), total, base)
    stairs = lambda marks, total: rates(lambda o: scheduler.MultiStepLR(o, marks, 0.2), total, base)
    per_step, of_epochs = cosine(epochs * per_epoch), cosine(epochs)
    fallen = stairs([4 * per_epoch, 7 * per_epoch], epochs * per_epoch)
    fallen_epochs = stairs([4, 7], epochs)
    follow_warm = lambda length, then, total: rates(lambda o: warm(o, length, lambda n: then[min(n, total - 1)] / base), total, base)
    cases = [
        ({"kind": "cosine"}, per_step),
        ({"kind": "cosine", "per": "epoch"}, of_epochs),
        ({"kind": "cosine", "warmup_epochs": 2}, follow_warm(2 * per_epoch, per_step, epochs * per_epoch)),
        ({"kind": "cosine", "warmup_epochs": 3, "per": "epoch"}, follow_warm(3, of_epochs, epochs)),
        ({"kind": "steps", "epochs": [4, 7], "factor": 0.2}, fallen),
        ({"kind": "steps", "epochs": [4, 7], "factor": 0.2, "per": "epoch"}, fallen_epochs),
        ({"kind": "steps", "epochs": [4, 7], "factor": 0.2, "warmup_epochs": 1.5}, follow_warm(1.5 * per_epoch, fallen, epochs * per_epoch)),
        ({"kind": "constant"}, rates(lambda o: scheduler.ConstantLR(o, 1.0), epochs * per_epoch, base)),
        ({"kind": "constant", "warmup_epochs": 3, "per": "epoch"}, rates(lambda o: scheduler.LinearLR(o, 1 / 3, 1.0, 2), epochs, base)),
    ]
    return {
        "epochs": epochs, "steps_per_epoch": per_epoch, "base": base,
        "cases": [{"schedule": schedule, "rates": found} for schedule, found in cases],
    }


def clipping():
    """torch.nn.utils.clip_grad_norm_ of the first step's gradients."""
    cases = []
    for bound in (0.5, 1000.0):
        tensors = parameters()
        for name, p in tensors.items():
            p.grad = TENSORS[f"gradient.{name}"][0].clone()
        norm = torch.nn.utils.clip_grad_norm_(tensors.values(), bound)
        for name, p in tensors.items():
            TENSORS[f"clipped_{bound:g}.{name}"] = p.grad
        cases.append({"bound": bound, "norm": norm.item()})
    return cases


def averaging():
    """torch.optim.swa_utils' exponential moving average over the weights of plain SGD."""
    module = torch.nn.Module()
    module.weight = torch.nn.Parameter(TENSORS["start.fc.weight"].clone())
    module.register_buffer("mean", TENSORS["start.fc.bias"].clone())
    average = torch.optim.swa_utils.AveragedModel(module, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9), use_buffers=True)
    with torch.no_grad():
        for step in range(STEPS):
            module.weight -= RATE * TENSORS["gradient.fc.weight"][step]
            module.mean += TENSORS["gradient.fc.bias"][step]
            average.update_parameters(module)
    TENSORS["average.weight"], TENSORS["average.mean"] = average.module.weight.detach(), average.module.mean


def loss_scales():
    """torch.amp.GradScaler's scale after each of these updates: whether the gradients were finite."""
    finite = [True, False, True, True, True, True, True, True, False, False, True, True, True, True]
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16, growth_interval=3)
    weight = torch.zeros(2, requires_grad=True)
    optimiser = torch.optim.SGD([weight], lr=0.1)
    scales = []
    for good in finite:
        optimiser.zero_grad()
        scaler.scale((weight * (1.0 if good else float("inf"))).sum()).backward()
        scaler.step(optimiser)
        scaler.update()
        scales.append(scaler.get_scale())
    return {"interval": 3, "finite": finite, "scales": scales}


def write_safetensors(path):
    header, offset, data = {}, 0, []
    for name in sorted(TENSORS):
        tensor = TENSORS[name].contiguous()
        raw = bytes(tensor.reshape(-1).numpy().astype("<f4").tobytes())
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, offset + len(raw)]}
        offset += len(raw)
        data.append(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))


def main():
    torch.manual_seed(3)
    for name, shape in SHAPES.items():
        TENSORS[f"start.{name}"] = torch.zeros(shape) if name.startswith("zero") else torch.randn(shape) * 0.5
        TENSORS[f"gradient.{name}"] = torch.randn([STEPS, *shape])
    TENSORS["gradient.norm.bias"][0] = 0
    result = {
        "steps": STEPS, "rate": RATE, "optimisers": optimisers(), "schedules": schedules(), "clipping": clipping(),
        "loss_scale": loss_scales(),
    }
    averaging()
    (FOLDER / "optimisers.json").write_text(json.dumps(result) + "\n")
    write_safetensors(FOLDER / "optimisers.safetensors")


main()
