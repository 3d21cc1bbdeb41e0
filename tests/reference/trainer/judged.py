"""Labelled images, and what a classifier's answers for them are worth, as scikit-learn and the official evaluations count."""

import torch

from . import tables


class Images:
    """Labels and splits, by row, which is the image's id."""

    def __init__(self, stage, faults):
        self.by_row = tables.images(stage["inputs"]["images"])
        self.labels = torch.tensor([self.by_row[row]["label"] for row in range(len(self.by_row))])
        self.classes = int(self.labels.max()) + 1
        self.faults = faults
        self.train_splits = ["train", "test"] if faults.made("test_labels") else ["train"]

    def learned(self):
        """The labels as they are learned from."""
        return self.classes - 1 - self.labels if self.faults.made("other_order_of_classes") else self.labels

    def rows(self, *splits):
        return torch.tensor([row for row, image in self.by_row.items() if image["split"] in splits])


def labelled(images, keys, fraction):
    """Of each class the share with the smallest keys, at least one image."""
    rows, chosen = images.rows(*images.train_splits), []
    for number in range(images.classes):
        own = sorted(rows[images.labels[rows] == number].tolist(), key=lambda row: keys[row])
        chosen += own[: max(1, int(len(own) * fraction + 0.5))]
    return torch.tensor(sorted(chosen))


def answers(prefix, ranked, shares, labels, suffix=""):
    """Figures of classes, best first, and those themselves.

    - `ranked`, `shares`: `[images, up to 5]`, -1 where there is no further answer"""
    right, best = ranked == labels[:, None], ranked[:, 0]
    recalls, scores = [], []
    for number in torch.unique(torch.cat([labels, best])):
        hits = int(((best == number) & (labels == number)).sum())
        own, taken = int((labels == number).sum()), int((best == number).sum())
        scores.append(2 * hits / (taken + own))
        recalls += [hits / own] if own else []
    result = {
        f"test/{prefix}top1{suffix}": mean(right[:, 0]),
        f"test/{prefix}top5{suffix}": mean(right.any(1)),
        f"test/{prefix}balanced_accuracy{suffix}": mean(torch.tensor(recalls, dtype=torch.float64)),
        f"test/{prefix}macro_f1{suffix}": mean(torch.tensor(scores, dtype=torch.float64)),
    }
    if not suffix:
        result |= {"classes": ranked[ranked >= 0].tolist(), "probabilities": listed(shares[ranked >= 0])}
    return result


def of_logits(prefix, logits, labels):
    shares, ranked = logits.double().softmax(1).topk(min(5, logits.shape[1]), 1)
    return answers(prefix, ranked, shares, labels)


def mean(values):
    return [values.double().mean().item()]


def listed(values):
    """In as many digits as f32 has."""
    return [float(f"{value:.8g}") for value in values.flatten().tolist()]
