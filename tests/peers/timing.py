"""Programs in turn, and the median of their times."""

import os
import statistics
import subprocess
import time
from pathlib import Path


#: The environment in which `seedpipe` runs libtorch's threads (src/program/torch/sibling.rs); for our examples, which don't set it. Peers keep their own.
OUR_WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}


def default_target():
    return Path(os.environ.get("CARGO_TARGET_DIR", "target"))


def seconds(command, folder=None):
    """Wall time of one run; a failing command ends the comparison with what it said."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    taken = time.perf_counter() - start
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return taken


def in_turn(commands, repeat):
    """name -> (command, folder); each runs once to warm up, then all in turn `repeat` times. Medians by name."""
    for command, folder in commands.values():
        seconds(command, folder)
    taken = {name: [] for name in commands}
    for _ in range(repeat):
        for name, (command, folder) in commands.items():
            taken[name].append(seconds(command, folder))
    for name, times in taken.items():
        spread = " ".join(f"{one:.3f}" for one in sorted(times))
        print(f"  {name:<16} {statistics.median(times):8.3f} s   ({spread})")
    return {name: statistics.median(times) for name, times in taken.items()}
