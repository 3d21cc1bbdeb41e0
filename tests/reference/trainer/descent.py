"""How weights move: `torch.optim.SGD`, `LARC` of apex around it as SwAV has it, and the learning rates of the schedules."""

import math

import torch


def optimiser(named, options, rate_factor):
    """- `named`: parameters by name
    - `options`: as a pipeline's `training.optimiser`
    - `rate_factor`: on the learning rate, by name"""
    decay = options["weight_decay"]
    few = decay if options["decay_biases_and_norms"] else 0.0
    groups = []
    for name, parameter in named:
        is_large = parameter.dim() > 1
        group = {"params": [parameter], "weight_decay": decay if is_large else few, "factor": rate_factor(name)}
        groups.append(group | {"adapts": is_large or options.get("adapt_biases_and_norms", False)})
    sgd = torch.optim.SGD(groups, lr=1.0, momentum=options["momentum"], nesterov=options["nesterov"])
    return sgd if options["kind"] == "sgd" else Larc(sgd, options["trust"])


class Larc:
    """apex.parallel.LARC with `clip=False`; SimCLR leaves biases and norms out."""

    def __init__(self, sgd, trust, epsilon=1e-8):
        self.sgd, self.trust, self.epsilon = sgd, trust, epsilon
        self.param_groups, self.state = sgd.param_groups, sgd.state

    def zero_grad(self):
        self.sgd.zero_grad()

    @torch.no_grad()
    def step(self):
        decays = [group["weight_decay"] for group in self.param_groups]
        for group in self.param_groups:
            if not group["adapts"]:
                continue
            decay, group["weight_decay"] = group["weight_decay"], 0.0
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                own, theirs = parameter.norm(), parameter.grad.norm()
                if own != 0 and theirs != 0:
                    rate = self.trust * own / (theirs + own * decay + self.epsilon)
                    parameter.grad.add_(parameter, alpha=decay).mul_(rate)
        self.sgd.step()
        for group, decay in zip(self.param_groups, decays):
            group["weight_decay"] = decay


def velocities(optimiser, named):
    """What an optimiser remembers of each parameter, by name."""
    kept = ((name, optimiser.state[parameter].get("momentum_buffer")) for name, parameter in named)
    return {name: buffer for name, buffer in kept if buffer is not None}


def learning_rate(training, step, per_epoch):
    """- `training`: as in a pipeline
    - `step`: updates before this one"""
    schedule, epochs = training["schedule"], training["epochs"]
    base = training["learning_rate"]
    scale = training["batch"] * training["accumulate"] / 256 if training["scale_learning_rate"] else 1.0
    epoch = step // per_epoch
    if schedule["kind"] == "official":  # SEED's adjust_learning_rate
        warm_up = schedule["warmup_epochs"]
        if epoch < warm_up:
            return base + (base * scale - base) * epoch / warm_up
        return base * scale * 0.5 * (1.0 + math.cos(math.pi * epoch / epochs))
    place, length = (step, per_epoch) if schedule["per"] == "step" else (epoch, 1)
    warm_up = schedule["warmup_epochs"] * length
    if place + 1 < warm_up:
        return base * scale * (place + 1) / warm_up
    if schedule["kind"] == "cosine":
        begin, end = warm_up if schedule.get("after_warmup") else 0, schedule.get("end", 0.0)
        share = max(place - begin, 0) / (epochs * length - begin)
        return base * scale * (end + (1.0 - end) * 0.5 * (1.0 + math.cos(math.pi * share)))
    if schedule["kind"] == "steps":
        return base * scale * schedule["factor"] ** sum(at <= epoch for at in schedule["epochs"])
    return base * scale
