#!/usr/bin/env python3
"""Runs every comparison of speed with the peers, one after the other, and prints their tables: what docs/performance.md holds.

    make peers cifar10-images teachers grocery && cargo build --workspace --bins --examples
    .peers/bin/python tests/peers/bench.py [--photographs data/raw/grocery] [--cifar10 data/raw/cifar10]
        [--teacher data/raw/teachers/resnet56-4bfd9763.th] [--only rendering,loss,…]

A comparison whose data is missing, or that fails, is named at the end; the exit code is then 1. hashing.py and dvc.py need other peers and are run by themselves.
"""

import argparse
import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def comparisons(arguments: argparse.Namespace) -> dict[str, tuple[list[str], list[Path]]]:
    """Script to its arguments and the data that it reads."""
    photographs, cifar10, teacher = arguments.photographs, arguments.cifar10, arguments.teacher
    return {
        "rendering": ([str(photographs / "train")], [photographs]),
        "encoding": (["--source", str(photographs)], [photographs]),
        "distillation": (["--cifar10", str(cifar10), "--teacher", str(teacher)], [cifar10, teacher]),
        "loss": ([], []),
        "neighbours": ([], []),
        "probing": (["--classes", "10", "--spectrum", "0"], []),
        "memory": (["--rows", "10000,100000"], []),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, default=Path("data/raw/grocery"))
    parser.add_argument("--cifar10", type=Path, default=Path("data/raw/cifar10"))
    parser.add_argument("--teacher", type=Path, default=Path("data/raw/teachers/resnet56-4bfd9763.th"))
    parser.add_argument("--only", default="", help="names of the scripts, with commas between")
    arguments = parser.parse_args()
    every = comparisons(arguments)
    wanted = arguments.only.split(",") if arguments.only else list(every)
    unknown = [name for name in wanted if name not in every]
    if unknown:
        parser.error(f"--only: expected some of {', '.join(every)}, got {', '.join(unknown)}")
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    left_out = []
    for name in wanted:
        options, data = every[name]
        missing = [str(path) for path in data if not path.exists()]
        if missing:
            left_out.append(f"{name}: {', '.join(missing)} missing")
            continue
        print(f"\n## {name}\n", flush=True)
        code = subprocess.run([sys.executable, str(HERE / f"{name}.py"), *options]).returncode
        if code != 0:
            left_out.append(f"{name}: exit code {code}")
    for line in left_out:
        print(f"not measured: {line}", file=sys.stderr)
    return 1 if left_out else 0


if __name__ == "__main__":
    sys.exit(main())
