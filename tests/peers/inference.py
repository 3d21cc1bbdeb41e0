#!/usr/bin/env python3
"""Times the forward pass of this project and of PyTorch eager in turn, in one run, on the same number of threads.

Needs torch 2.11 and torchvision 0.26, and `cargo build -p seedpipe-learn --example inference_speed` done. Prints a table of images per
second (the best of the rounds' medians) and the ratios that matter: the folded bf16 path to PyTorch's fp32 and to PyTorch's
own best, the folded fp32 path to PyTorch's channels-last. The machine's load is printed with it: other work spoils both sides.
With one thread, images are per second of processor time, which other work spoils less.

    tests/peers/inference.py target/debug/examples/inference_speed [--seconds 3] [--rounds 3] [--threads 2]
"""

import argparse
import os
import subprocess
import sys
import time

if hasattr(os, "RTLD_LAZY"):
    sys.setdlopenflags(os.RTLD_LAZY)

import torch
import torchvision
from turns import threads_of

NETWORKS = [("resnet18", 16), ("resnet50", 16), ("mobilenet_v3_large", 16), ("efficientnet_b0", 16)]
OURS = ["plain_f32", "plain_bf16", "folded_f32", "folded_bf16"]
THEIRS = ["eager_f32", "channels_last_f32", "channels_last_autocast_bf16", "channels_last_bf16"]


def pytorch(name: str, path: str, batch: int, size: int, seconds: float) -> float:
    network = getattr(torchvision.models, name)().eval()
    images = torch.randn(batch, 3, size, size)
    if path.startswith("channels_last"):
        network = network.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    if path == "channels_last_bf16":
        network = network.bfloat16()
        images = images.bfloat16()
    autocast = torch.autocast("cpu", dtype=torch.bfloat16, enabled=path == "channels_last_autocast_bf16")
    times = []
    with torch.no_grad(), autocast:
        for _ in range(2):
            network(images)
        begin = time.perf_counter()
        processor = time.thread_time()
        while len(times) < 3 or time.perf_counter() - begin < seconds:
            start = time.perf_counter()
            network(images)
            times.append(time.perf_counter() - start)
    if torch.get_num_threads() == 1:
        return batch * len(times) / (time.thread_time() - processor)
    times.sort()
    return batch / times[len(times) // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("example")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--networks", default=",".join(name for name, _ in NETWORKS))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    environment = {**os.environ, **threads_of(arguments.threads)}
    child = subprocess.Popen(
        [arguments.example], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )

    def ours(name: str, path: str, batch: int) -> float:
        child.stdin.write(f"{name} {path} {batch} {arguments.size} {arguments.seconds}\n")
        child.stdin.flush()
        return float(child.stdout.readline().split()[1 if arguments.threads == 1 else 0])

    print(f"torch {torch.__version__}, {arguments.threads} threads, load {os.getloadavg()[0]:.2f} at the start")
    for name, batch in NETWORKS:
        if name not in arguments.networks.split(","):
            continue
        best: dict[str, float] = {}
        for _ in range(arguments.rounds):
            for path in THEIRS:
                best[path] = max(
                    best.get(path, 0), pytorch(name, path, batch, arguments.size, arguments.seconds)
                )
            for path in OURS:
                best[path] = max(best.get(path, 0), ours(name, path, batch))
        print(f"{name}, batch {batch}, {arguments.size} px")
        for path, rate in best.items():
            print(f"  {path:30} {rate:8.1f} images/s")
        their_best = max(best[path] for path in THEIRS)
        print(f"  folded bf16 / eager fp32          {best['folded_bf16'] / best['eager_f32']:.2f} (wanted 2.0)")
        print(f"  folded bf16 / PyTorch's best      {best['folded_bf16'] / their_best:.2f} (wanted 1.1)")
        print(f"  folded fp32 / channels-last fp32  {best['folded_f32'] / best['channels_last_f32']:.2f} (wanted 1.1)", flush=True)
    child.stdin.close()
    child.wait()
    print(f"load {os.getloadavg()[0]:.2f} at the end")


if __name__ == "__main__":
    main()
