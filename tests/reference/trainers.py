#!/usr/bin/env python3
"""The stages' trainings by the published algorithms, in PyTorch and without a line of the project.

Use: trainers.py PLAN OUT. PLAN is JSON: for each stage its kind, params and inputs (Parquet files), the first tensors (a
safetensors file), the order of its images, and the step after which memories are looked at. OUT, JSON as well, gets for each
stage what came of it as published (the loss of each step, what is kept at that step, the weights in the end), and the losses
with each mistake that could be made in it. Needs torch, torchvision, numpy, pillow, pyarrow, safetensors. tests/trainers/ compares."""

import json
import os
import sys
from pathlib import Path

if hasattr(os, "RTLD_LAZY"):
    sys.setdlopenflags(os.RTLD_LAZY)

import torch
from safetensors.torch import load_file

from trainer import distillation, figures, finetuning, loop, pretraining
from trainer.faults import Faults

LEARNERS = {"distill": distillation.Distiller, "pretrain": pretraining.learner, "finetune": finetuning.Finetuner}


# Epochs that a mistake has to show in: memories are full by then.
EPOCHS = 8


def trained(stage, faults, epochs=None):
    start = load_file(stage["start"])
    learner = LEARNERS[stage["kind"]](stage, start, faults)
    result = loop.train(stage, learner, epochs)
    if stage["kind"] == "finetune" and not epochs:
        result["weights"]["answers"] = figures.figures(learner.answers())
    return result


def main(plan, out):
    torch.set_num_threads(1)
    results = {}
    for name, stage in json.loads(Path(plan).read_text()).items():
        right = Faults()
        published = trained(stage, right)
        mistakes = {fault: trained(stage, Faults(fault), EPOCHS) for fault in sorted(right.possible)}
        results[name] = {"published": published, "mistakes": mistakes}
    Path(out).write_text(json.dumps(results))


main(*sys.argv[1:])
