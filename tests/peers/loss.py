#!/usr/bin/env python3
"""SEED's loss, forward and backward: ours (barycentres included) and the official formula in PyTorch eager, in turn in one run.

    tests/peers/loss.py [--rounds 11] [--threads 1] [--queue 65536] [--batch 256] [--dimension 128] [--long 1048576]

Needs torch 2.11 and `cargo build --workspace --example peer` done. Prints medians, the ratio of peak memory above what lay there before (both by
/proc/self/status, after a small pass that loads the code), and how far loss and gradient lie apart. `--long`: ours alone on a queue
of that many rows (0: not).
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

if hasattr(os, "RTLD_LAZY"):
    sys.setdlopenflags(os.RTLD_LAZY)

import numpy
import torch
from torch.nn.functional import normalize

from turns import Ours, in_turn, peak_bytes, table, timed

TAU_STUDENT, TAU_TEACHER = 0.2, 0.01


def official(student, teacher, queue):
    """As in the paper (section 3.2) and its code: both [B, K + 1] matrices, log_softmax, softmax, minus their product's sum."""
    student = student.clone().requires_grad_(True)
    unit = normalize(student)
    own = torch.einsum("nc,nc->n", unit, teacher).unsqueeze(1)
    logits_student = torch.cat([own, unit @ queue.T], dim=1) / TAU_STUDENT
    with torch.no_grad():
        own = torch.einsum("nc,nc->n", teacher, teacher).unsqueeze(1)
        logits_teacher = torch.cat([own, teacher @ queue.T], dim=1) / TAU_TEACHER
        target = torch.softmax(logits_teacher, dim=1)
    loss = -(target * torch.log_softmax(logits_student, dim=1)).sum(dim=1).mean()
    loss.backward()
    return loss.item(), student.grad


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--queue", type=int, default=65_536)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--long", type=int, default=1 << 20)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    batch, dimension = arguments.batch, arguments.dimension
    # Targets lie near some rows of the queue, as an image's neighbours do; random ones would be alone.
    queue = normalize(torch.randn(arguments.queue, dimension))
    teacher = normalize(queue[:batch] + 0.3 * torch.randn(batch, dimension) / dimension**0.5)
    student = normalize(teacher + 0.5 * torch.randn(batch, dimension) / dimension**0.5) * 3
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for name, tensor in {"student": student, "teacher": teacher, "queue": queue}.items():
            tensor.numpy().tofile(folder / f"{name}.f32")
        ours = Ours("loss", folder, [batch, arguments.queue, dimension], arguments.threads, arguments.target)
        official(student, teacher, queue[:1024])  # loads the code
        theirs_peak = peak_bytes(lambda: official(student, teacher, queue))
        ours_peak = float(ours.ask("peak"))
        loss = float(ours.ask("gradient"))
        gradient = torch.from_numpy(numpy.fromfile(folder / "gradient.f32", dtype=numpy.float32)).reshape(batch, dimension)
        exact_loss, exact = official(student.double(), teacher.double(), queue.double())
        _, theirs = official(student, teacher, queue)
        print(f"torch {torch.__version__}, {arguments.threads} threads, B {batch}, K {arguments.queue}, D {dimension}\n")
        print(f"loss in f64 {exact_loss:.9f}, ours {loss - exact_loss:+.1e}; largest gradient {exact.abs().max():.3e}")
        for name, one in {"ours": gradient, "official, f32": theirs}.items():
            print(f"gradient of {name}: at most {(one - exact).abs().max():.1e} from f64's")
        print(f"peak above the start: ours {ours_peak / 1e6:.1f} MB, official {theirs_peak / 1e6:.1f} MB: {theirs_peak / ours_peak:.0f} times")
        sides = {
            "ours": ours.seconds,
            "official": lambda: timed(lambda: official(student, teacher, queue)),
        }
        table(in_turn(sides, arguments.rounds), "ours")
        ours.end()
        if arguments.long > 0:
            normalize(torch.randn(arguments.long, dimension)).numpy().tofile(folder / "queue.f32")
            ours = Ours("loss", folder, [batch, arguments.long, dimension], arguments.threads, arguments.target)
            peak = float(ours.ask("peak"))
            wall, processor = ours.seconds()
            print(f"\nqueue of {arguments.long}: {wall:.2f} s ({processor:.2f} s of processor time), peak {peak / 1e6:.1f} MB above the start")
            ours.end()


if __name__ == "__main__":
    main()
