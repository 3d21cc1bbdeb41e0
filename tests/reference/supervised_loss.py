#!/usr/bin/env python3
"""Golden values of the supervised losses by torch.nn.functional; needs torch. Writes src/learn/testdata/reference_supervised.json.

Label smoothing is `cross_entropy(label_smoothing)`; mixup is `cross_entropy` with the mixed targets as probabilities; several
teachers are the mean of their probabilities in `kl_div`. Images without a label have no part in the cross-entropy: each
row's own is taken by `reduction="none"`, summed, and divided by the batch's rows (SimCLRv2, arXiv 2006.10029, eq. 3).
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F

TESTDATA = Path(__file__).resolve().parents[2] / "src/learn/testdata"
ROWS, CLASSES = 6, 5


def case(name: str, seed: int, *, smoothing=0.0, weight=1.0, teachers=0, alpha=0.0, temperature=1.0, unlabelled=()):
    random = torch.Generator().manual_seed(seed)
    normal = lambda: torch.randn(ROWS, CLASSES, generator=random, dtype=torch.float64) * 2
    student = normal().requires_grad_()
    labels = torch.randint(CLASSES, (ROWS,), generator=random)
    partners = torch.randperm(ROWS, generator=random) if weight < 1 else torch.arange(ROWS)
    logits = [normal() for _ in range(teachers)]
    has_label = torch.tensor([row not in unlabelled for row in range(ROWS)])

    if weight == 1 and not unlabelled:
        hard = F.cross_entropy(student, labels, label_smoothing=smoothing)
    elif not unlabelled:
        own = F.one_hot(labels, CLASSES).double()
        mixed = weight * own + (1 - weight) * own[partners]
        hard = F.cross_entropy(student, mixed, label_smoothing=smoothing)
    else:
        # The form of the mixup paper's own code: the loss with each label, weighted.
        loss = lambda of: F.cross_entropy(student, labels[of], label_smoothing=smoothing, reduction="none") * has_label[of]
        every = torch.arange(ROWS)
        hard = (weight * loss(every) + (1 - weight) * loss(partners)).sum() / ROWS
    total = hard
    if teachers:
        soft = torch.stack([F.softmax(one / temperature, 1) for one in logits]).mean(0)
        soft = weight * soft + (1 - weight) * soft[partners]
        divergence = F.kl_div(F.log_softmax(student / temperature, 1), soft, reduction="batchmean")
        total = alpha * temperature**2 * divergence + (1 - alpha) * hard
    total.backward()
    return {
        "case": name,
        "student_logits": student.tolist(),
        "labels": [label if known else None for label, known in zip(labels.tolist(), has_label.tolist())],
        "teacher_logits": [one.tolist() for one in logits],
        "partners": partners.tolist(),
        "lambda": weight,
        "label_smoothing": smoothing,
        "alpha": alpha,
        "temperature": temperature,
        "loss": total.item(),
        "gradient": student.grad.tolist(),
    }


cases = [
    case("plain", 1),
    case("smoothing", 2, smoothing=0.1),
    case("mixup", 3, weight=0.3),
    case("mixup and smoothing", 4, weight=0.8, smoothing=0.2),
    case("two teachers", 5, teachers=2, alpha=0.5, temperature=4.0),
    case("three teachers and mixup", 6, teachers=3, alpha=0.9, temperature=2.0, weight=0.6),
    case("without some labels", 7, teachers=1, alpha=0.7, temperature=3.0, unlabelled=(1, 4)),
    case("everything", 8, teachers=2, alpha=0.4, temperature=2.5, unlabelled=(0, 2, 3), weight=0.45, smoothing=0.15),
]
text = json.dumps(cases, indent=1)
(TESTDATA / "reference_supervised.json").write_text(text + "\n")
