#!/usr/bin/env python3
"""A table of networks: parameters, and images per second of this project and of PyTorch in turn, in one run.

    tests/peers/networks.py target/debug/examples/inference_speed target/debug/seedpipe [--seconds 2] [--rounds 3] [--threads 1]

Parameters are those of `seedpipe network list`. PyTorch's are torchvision's networks: eager in f32, and channels-last under bf16
autocast; networks that torchvision doesn't have are timed here alone. Needs torch 2.11 and torchvision 0.26, and
`cargo build --workspace --bins` and `cargo build --workspace --example inference_speed` done. Of each path the median of the rounds;
with one thread, images per second of processor time, which other work spoils less.
"""

import argparse
import os
import statistics
import subprocess

from inference import pytorch
from turns import threads_of

import torch
import torchvision

#: One to three of each family; their giants take minutes and gigabytes.
NETWORKS = [
    ("cifar_resnet20", 32),
    ("cifar_resnet56", 32),
    ("resnet18", 224),
    ("resnet50", 224),
    ("wide_resnet50_2", 224),
    ("swav_resnet50w2", 224),
    ("mobilenet_v2", 224),
    ("mobilenet_v3_small", 224),
    ("mobilenet_v3_large", 224),
    ("efficientnet_b0", 224),
    ("efficientnet_b1", 240),
    ("efficientnet_lite0", 224),
    ("efficientnet_lite1", 240),
    ("vit_t_16", 224),
    ("vit_b_16", 224),
    ("dino_vits16", 224),
    ("dinov2_vits14_reg", 224),
]
OURS = ["folded_f32", "folded_bf16"]
THEIRS = ["eager_f32", "channels_last_autocast_bf16"]


def parameters(seedpipe: str) -> dict[str, str]:
    listing = subprocess.run([seedpipe, "network", "list"], capture_output=True, text=True, check=True).stdout
    return {words[0]: words[3] for words in map(str.split, listing.splitlines()) if len(words) > 3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("example")
    parser.add_argument("seedpipe")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--networks", default=",".join(name for name, _ in NETWORKS))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    environment = {**os.environ, **threads_of(arguments.threads)}
    counts = parameters(arguments.seedpipe)
    child = subprocess.Popen([arguments.example], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def ours(name: str, path: str, batch: int, size: int) -> float:
        child.stdin.write(f"{name} {path} {batch} {size} {arguments.seconds}\n")
        child.stdin.flush()
        return float(child.stdout.readline().split()[1 if arguments.threads == 1 else 0])

    print(f"torch {torch.__version__}, {arguments.threads} threads, batch {arguments.batch}, load {os.getloadavg()[0]:.2f}\n")
    print("| network | pixels | parameters | f32 | bf16 | PyTorch f32 | PyTorch bf16 | f32 / f32 | bf16 / bf16 |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, size in NETWORKS:
        if name not in arguments.networks.split(","):
            continue
        rates = {path: [] for path in OURS + THEIRS}
        for _ in range(arguments.rounds):
            for path in OURS:
                rates[path].append(ours(name, path, arguments.batch, size))
            if hasattr(torchvision.models, name):
                for path in THEIRS:
                    rates[path].append(pytorch(name, path, arguments.batch, size, arguments.seconds))
        median = {path: statistics.median(found) if found else None for path, found in rates.items()}
        cells = [f"{rate:.1f}" if rate else "–" for rate in median.values()]
        for own, other in zip(OURS, THEIRS):
            cells.append(f"{median[own] / median[other]:.2f}" if median[other] else "–")
        print(f"| {name} | {size} | {counts.get(name, '')} | " + " | ".join(cells) + " |", flush=True)
    child.stdin.close()
    child.wait()
    print(f"\nload {os.getloadavg()[0]:.2f} at the end")


if __name__ == "__main__":
    main()
