#!/usr/bin/env python3
"""What `knn` and `probe` are to give, by the published algorithms in PyTorch and without a line of the project.

Use: heads.py PLAN OUT. PLAN is JSON: for each stage its kind, params, inputs (Parquet files) and what was drawn at random. OUT,
JSON as well, gets for each stage the numbers that come of it as published, and with each mistake that could be made in it.
Needs torch, numpy, pillow, pyarrow. tests/trainers/heads.rs compares."""

import json
import sys
from pathlib import Path

import torch

from trainer import knn, probe
from trainer.faults import Faults

KINDS = {"knn": knn.judged, "probe": probe.judged}


def main(plan, out):
    torch.set_num_threads(1)
    results = {}
    for name, stage in json.loads(Path(plan).read_text()).items():
        right, judged = Faults(), KINDS[stage["kind"]]
        results[name] = {"published": judged(stage, right)}
        results[name]["mistakes"] = {fault: judged(stage, Faults(fault)) for fault in sorted(right.possible)}
    Path(out).write_text(json.dumps(results))


main(*sys.argv[1:])
