"""A program of ours that answers lines, and a peer in Python, in turn on the same arrays in one run."""

import os
import statistics
import subprocess
import time
from pathlib import Path

from timing import default_target


def threads_of(count):
    """The environment that gives every library `count` threads."""
    names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"]
    return {name: str(count) for name in names}


class Ours:
    """`examples/peer PART FOLDER SIZES…`, asked line by line."""

    def __init__(self, part, folder, sizes, threads, target=None):
        program = Path(target or default_target()) / "debug/examples/peer"
        if not program.exists():
            raise SystemExit(f"no {program}\nhint: cargo build --workspace --example peer, or --target FOLDER")
        # The peer's libraries are not ours.
        environment = {name: value for name, value in os.environ.items() if name not in ("LD_LIBRARY_PATH", "PYTHONPATH")}
        library = os.environ.get("LIBTORCH_LIB")
        if library:
            environment["LD_LIBRARY_PATH"] = library
        command = [str(program), part, str(folder), *map(str, sizes)]
        self.child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**environment, **threads_of(threads)}
        )

    def ask(self, line):
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()
        answer = self.child.stdout.readline().strip()
        if not answer:
            raise SystemExit(f"ours ended instead of answering `{line}`")
        return answer

    def seconds(self):
        """Wall and processor seconds of one piece of work, and what else the answer says."""
        wall, processor, *rest = map(float, self.ask("time").split())
        return (wall, processor, *rest)

    def end(self):
        self.child.stdin.close()
        self.child.wait()


def timed(work):
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def in_turn(sides, rounds):
    """name -> () -> (wall, processor); each once to warm up, then all in turn. name -> medians of both."""
    taken = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, side in sides.items():
            seconds = side()[:2]
            if turn > 0:
                taken[name].append(seconds)
    return {name: tuple(map(statistics.median, zip(*times))) for name, times in taken.items()}


def table(medians, ours, unit="ms", factor=1e3):
    digits = 1 if factor > 1 else 2
    print(f"\n| | wall, {unit} | processor, {unit} | wall to ours | processor to ours |")
    print("|---|---|---|---|---|")
    for name, (wall, processor) in medians.items():
        print(
            f"| {name} | {wall * factor:.{digits}f} | {processor * factor:.{digits}f} "
            f"| {wall / medians[ours][0]:.2f} | {processor / medians[ours][1]:.2f} |"
        )
    print(f"\nload {os.getloadavg()[0]:.2f}", flush=True)


def resident(key):
    """`VmRSS` or `VmHWM` of this process, in bytes (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"no {key} in /proc/self/status")


def peak_bytes(work):
    """By how much resident memory rose above its start while `work` went on."""
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    work()
    return resident("VmHWM") - before
