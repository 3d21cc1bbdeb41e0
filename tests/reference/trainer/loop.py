"""The loop of every training: batches in the order that was given, gradients, the rule of descent."""

import math

from . import descent, figures


def train(stage, learner, epochs=None):
    """Trains to the end and says what came of it; for fewer epochs, or where the loss is no number any more, the losses alone.

    - `stage`: as the plan says it
    - `learner`: `trainable()` and `state()` by name, `queues()` by name, `network`, and `loss(batch)`, which remembers"""
    training = stage["params"]["training"]
    named = learner.trainable()
    optimiser = descent.optimiser(named, training["optimiser"], getattr(learner, "rate_factor", lambda name: 1.0))
    batch, several = training["batch"], training["accumulate"]
    per_epoch = len(stage["orders"][0]) // batch // several
    losses, kept = [], {}
    for step in range(per_epoch * (epochs or training["epochs"])):
        if step == stage["kept_step"]:
            kept = {"tensors": of_learner(learner, optimiser, named), "queues": pointers(learner)}
        epoch = step // per_epoch
        for group in optimiser.param_groups:
            group["lr"] = descent.learning_rate(training, step, per_epoch) * group["factor"]
        optimiser.zero_grad()
        loss_sum = 0.0
        for number in range(step * several, (step + 1) * several):
            place = number % (per_epoch * several) * batch
            positions = stage["orders"][epoch][place : place + batch]
            loss = learner.loss(Batch(epoch, number, positions, number % several == 0, per_epoch * several))
            (loss / several).backward()
            learner.remember()
            loss_sum += loss.item()
        optimiser.step()
        if not math.isfinite(loss_sum):
            return {"losses": losses}
        losses.append(loss_sum / several)
    if epochs:
        return {"losses": losses}
    final = figures.of_state(learner.network.state_dict())
    return {"losses": losses, **kept, "weights": final}


class Batch:
    """- `number`: batches before this one
    - `begins_update`: the first since the weights moved"""

    def __init__(self, epoch, number, positions, begins_update, per_epoch):
        self.epoch, self.number, self.positions = epoch, number, positions
        self.begins_update, self.per_epoch = begins_update, per_epoch


def of_learner(learner, optimiser, named):
    velocities = descent.velocities(optimiser, named)
    state = dict(learner.state())
    state.update((f"momentum.{name}", velocity) for name, velocity in velocities.items())
    state.update((f"{name}.rows", queue.rows) for name, queue in learner.queues().items())
    return figures.of_state(state)


def pointers(learner):
    return {name: {"pointer": queue.pointer, "filled": queue.filled} for name, queue in learner.queues().items()}
