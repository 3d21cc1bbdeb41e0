"""Linear classifiers on frozen features. Multinomial logistic regression to its optimum, as Kornblith et al. have it (arXiv
1805.08974), on standardised features. And the protocol of MoCo's main_lincls.py, which SEED evaluates by: SGD with momentum on
raw features, a rate that falls by a factor at two epochs, first weights normal with deviation 0.01, first biases 0."""

import torch
from torch.nn import functional

from . import tables
from .judged import Images, labelled, listed, of_logits


def judged(stage, faults):
    images, params = Images(stage, faults), stage["params"]
    features = tables.embeddings(stage["inputs"]["features"])
    rows = labelled(images, stage["draws"]["keys"], params["label_fraction"])
    x, y = features[rows], images.learned()[rows]
    if params["method"] == "lbfgs":
        weight, bias, loss = optimum(x, y, images.classes, params["lbfgs"]["l2"], faults)
    else:
        # Samples lie in the order of their files' digests.
        samples = sorted(range(len(rows)), key=lambda row: images.by_row[int(rows[row])]["digest"])
        orders = [[samples[place] for place in order] for order in stage["draws"]["orders"]]
        weight, bias, loss = descent(x, y, orders, tables.weights(stage["first"]), params["sgd"], faults)
    test = images.rows("test")
    result = of_logits("linear_", features[test].to(weight.dtype) @ weight.T + bias, images.labels[test])
    return result | {"train/linear_loss": [loss], "weight": listed(weight), "bias": listed(bias)}


def optimum(x, y, classes, l2, faults):
    """Weight and bias of raw features, and the cross-entropy, where cross-entropy + l2 · |weight of standardised features|² is
    least."""
    x = x.double()
    mean, deviation = x.mean(0), x.std(0, correction=0)
    varies = deviation > 1e-6 * mean.abs()  # what is constant tells nothing
    if faults.made("no_normalisation"):
        mean, deviation = torch.zeros_like(mean), torch.full_like(deviation, float(deviation.max()))
    z = ((x - mean) / deviation)[:, varies]
    weight = torch.zeros(classes, z.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS(
        [weight, bias], max_iter=500, tolerance_grad=1e-9, tolerance_change=0, history_size=50, line_search_fn="strong_wolfe"
    )

    def cross_entropy():
        return functional.cross_entropy(z @ weight.T + bias, y)

    def objective():
        search.zero_grad()
        penalty = 0 if faults.made("no_penalty") else l2 * weight.square().sum()
        value = cross_entropy() + penalty
        value.backward()
        return value

    search.step(objective)
    raw = torch.zeros(classes, x.shape[1], dtype=torch.float64)
    raw[:, varies] = weight.detach() / deviation[varies]
    return raw, bias.detach() - raw @ mean, cross_entropy().item()


def descent(x, y, orders, first, params, faults):
    """Weight and bias, and the mean loss of the last epoch."""
    weight, bias = first["weight"].requires_grad_(), first["bias"].requires_grad_()
    momentum = 0.0 if faults.made("no_momentum") else params["momentum"]
    sgd = torch.optim.SGD([weight, bias], params["learning_rate"], momentum, weight_decay=params["weight_decay"])
    falls = [] if faults.made("no_fall_of_the_rate") else params["decay_epochs"]
    schedule = torch.optim.lr_scheduler.MultiStepLR(sgd, falls, params["decay_factor"])
    for order in orders:
        total = 0.0
        for start in range(0, len(order), params["batch"]):
            batch = order[start : start + params["batch"]]
            loss = functional.cross_entropy(x[batch] @ weight.T + bias, y[batch])
            sgd.zero_grad()
            loss.backward()
            sgd.step()
            total += loss.item() * len(batch)
        schedule.step()
    return weight.detach(), bias.detach(), total / len(y)
