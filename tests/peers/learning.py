#!/usr/bin/env python3
"""One teacher, one student, the same images of CIFAR-10 and epochs: what a student learns and costs by seedpipe, LightlyTrain and the official SEED.

A ResNet-56 that was trained with labels teaches a ResNet-20 without. Ours is `seedpipe run` of views, targets and student from an empty
cache. The official algorithm is PyTorch with the teacher in the loop (distillation.py's). LightlyTrain distils by its own default method, loss,
optimiser and augmentation, at 32 pixels. Each trains in a process of its own, one after the other, with as many threads; each student is then
judged by the same kNN and linear classifier (ours) on the test images. Then a second student of half the width: ours finds the targets cached.

Told of each: accuracy, wall and processor time of the process and its children, the greatest memory of them together (their proportional
set sizes, looked at four times a second), and bytes that it left on the disk.

Needs torch 2.11, torchvision, lightly-train 0.18.0, and `cargo build --workspace --bins`.

    tests/peers/learning.py --cifar10 data/raw/cifar10 --teacher data/raw/teachers/resnet56-4bfd9763.th
        [--images 10000] [--epochs 4] [--threads 1] [--seeds 1] [--only ours,official,lightly] [--target target]
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from timing import default_target

BATCH, QUEUE, LEARNING_RATE = 64, 4096, 0.03
TEMPERATURE_STUDENT, TEMPERATURE_TEACHER = 0.2, 0.04
SIDES = {"ours": "seedpipe", "official": "official SEED, PyTorch", "lightly": "LightlyTrain 0.18.0"}


def tree(root):
    """The process and all below it."""
    children = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue
        children.setdefault(parent, []).append(int(folder.name))
    found, left = [], [root]
    while left:
        found.append(left.pop())
        left += children.get(found[-1], [])
    return found


def proportional(process):
    """A process's memory in bytes, what it shares divided among the sharers."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


class Cost:
    """What a command takes."""

    def __init__(self, command, environment, folder, leaves):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begin = time.perf_counter()
        with open(Path(folder) / "said.txt", "w+") as said:
            child = subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=said)
            self.memory, over = 0, threading.Event()

            def watch():
                while not over.wait(0.25):
                    self.memory = max(self.memory, sum(map(proportional, tree(child.pid))))

            watcher = threading.Thread(target=watch)
            watcher.start()
            code = child.wait()
            over.set()
            watcher.join()
            self.wall = time.perf_counter() - begin
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            self.processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            if code != 0:
                said.seek(0)
                raise SystemExit(f"{command[0]} failed:\n{said.read()[-3000:]}")
        self.disk = sum(file.stat().st_size for place in leaves for file in Path(place).rglob("*") if file.is_file())


def pipeline(arguments, seed, width):
    training = {"epochs": arguments.epochs, "batch": BATCH, "learning_rate": LEARNING_RATE, "threads": arguments.threads}
    published = {"checkpoint": str(arguments.teacher.resolve()), "network": {"name": "cifar_resnet56", "classes": 10}, "embedding": "features"}
    return {
        "seed": seed,
        "cache": "cache",
        "stages": {
            "images": {"kind": "ingest", "params": {"source": "images"}},
            "views": {
                "kind": "augment",
                "inputs": {"images": "images"},
                "params": {"recipe": "mocov2", "size": 32, "views_per_image": arguments.epochs, "adjust": {"blur_probability": 0}},
            },
            "targets": {"kind": "encode", "inputs": {"images": "images", "views": "views"}, "params": published},
            "student": {
                "kind": "distill",
                "inputs": {"images": "images", "views": "views", "targets": "targets"},
                "params": {
                    "network": {"name": "cifar_resnet20", "width": width},
                    "head_hidden": [256],
                    "queue": QUEUE,
                    "temperature_student": TEMPERATURE_STUDENT,
                    "temperature_teacher": TEMPERATURE_TEACHER,
                    "training": training,
                },
            },
        },
    }


def judged(program, folder, checkpoint, width):
    """kNN and linear top-1 of a checkpoint's features, in per cent."""
    stages = {
        "images": {"kind": "ingest", "params": {"source": str(folder / "judged")}},
        "features": {
            "kind": "encode",
            "inputs": {"images": "images"},
            "params": {
                "checkpoint": str(checkpoint),
                "network": {"name": "cifar_resnet20", "width": width},
                "embedding": "features",
                "preprocessing": {"size": 32, "crop_ratio": 1.0},
            },
        },
        "knn": {"kind": "knn", "inputs": {"images": "images", "features": "features"}, "params": {}},
        "probe": {"kind": "probe", "inputs": {"images": "images", "features": "features"}, "params": {}},
    }
    (folder / "judge.yaml").write_text(json.dumps({"cache": str(folder / "judging"), "stages": stages}))
    for command in (["run", "--quiet"], ["metrics", "--json"]):
        done = subprocess.run([program, "--pipeline", folder / "judge.yaml", *command], capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(done.stderr[-3000:])
    found = {(row["name"], row["split"]): 100 * row["value"] for row in json.loads(done.stdout)}
    return found["knn_top1", "test"], found["linear_top1", "test"]


def link_images(arguments, folder):
    """`images`: the training images alone, which all sides see; `judged`: these and the test images, with their classes."""
    every = sorted((arguments.cifar10 / "train").glob("*/*.png"))
    chosen = every[:: max(1, len(every) // arguments.images)][: arguments.images]
    for number, file in enumerate(chosen):
        for place in (folder / "images" / f"{number:05}.png", folder / "judged/train" / file.parent.name / file.name):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(file.resolve())
    (folder / "judged/test").symlink_to((arguments.cifar10 / "test").resolve())


def train_ours(arguments, folder, seed, width, cache):
    folder.mkdir(exist_ok=True)
    if not (folder / "images").exists():
        (folder / "images").symlink_to(folder.parent / "images")
    (folder / "pipeline.yaml").write_text(json.dumps(pipeline(arguments, seed, width) | {"cache": str(cache)}))
    program = arguments.target.resolve() / "debug/seedpipe"
    cost = Cost([program, "run", "student", "--quiet"], os.environ | {"SEEDPIPE_RATES": "off"}, folder, [cache])
    checkpoint = folder / f"student-{width}.safetensors"
    command = [program, "export", "student", "--format", "safetensors", "--output", checkpoint]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr[-3000:])
    return cost, checkpoint


def train_peer(side, arguments, folder, seed, width):
    folder.mkdir(exist_ok=True)
    checkpoint = folder / "student.pth"
    command = [sys.executable, Path(__file__).resolve(), "--train", side, "--out", checkpoint, "--width", str(width), "--seeds", str(seed)]
    command += ["--cifar10", folder.parent / "images", "--teacher", arguments.teacher.resolve()]
    command += ["--epochs", str(arguments.epochs), "--threads", str(arguments.threads)]
    quiet = {"LIGHTLY_TRAIN_EVENTS_DISABLED": "1", "LIGHTLY_TRAIN_CACHE_DIR": str(folder / "cache"), "OMP_NUM_THREADS": str(arguments.threads)}
    return Cost(command, os.environ | quiet, folder, [folder]), checkpoint


def networks(arguments):
    """The teacher with its weights, and the student."""
    import torch
    from distillation import CifarResNet

    teacher = CifarResNet(9).eval().requires_grad_(False)
    state = torch.load(arguments.teacher, map_location="cpu", weights_only=True)["state_dict"]
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    teacher.load_state_dict({name: tensor for name, tensor in state.items() if not name.startswith("linear.")})
    return teacher, CifarResNet(3, arguments.width)


def official(arguments):
    import torch
    from distillation import Official

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seeds)
    files = sorted(arguments.cifar10.glob("*.png"))
    peer = Official(arguments.teacher, files, best=False, width=arguments.width)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(peer.optimiser, arguments.epochs * (len(files) // BATCH))
    for _ in range(arguments.epochs):
        peer.epoch(schedule)
    torch.save(peer.student[0].state_dict(), arguments.out)


def lightly(arguments):
    import lightly_train
    import torch
    from distillation import Wrapped

    torch.set_num_threads(arguments.threads)
    teacher, student = networks(arguments)
    lightly_train.pretrain(
        out=arguments.out.parent / "run",
        data=arguments.cifar10,
        model=Wrapped(student),
        method="distillation",
        method_args={"teacher": Wrapped(teacher)},
        epochs=arguments.epochs,
        batch_size=BATCH,
        num_workers=2,
        accelerator="cpu",
        devices=1,
        precision="32-true",
        seed=arguments.seeds,
        transform_args={"image_size": (32, 32)},
    )
    torch.save(student.state_dict(), arguments.out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar10", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", default=",".join(SIDES))
    parser.add_argument("--target", type=Path, default=default_target())
    # A side's own process.
    parser.add_argument("--train", choices=["official", "lightly"], help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--width", type=float, default=1.0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        return {"official": official, "lightly": lightly}[arguments.train](arguments)
    program = arguments.target.resolve() / "debug/seedpipe"
    rows = {}
    print(f"load {os.getloadavg()[0]:.2f} at the start", flush=True)
    for seed in range(arguments.seeds):
        with tempfile.TemporaryDirectory(prefix="seedpipe-learning-") as folder:
            folder = Path(folder)
            link_images(arguments, folder)
            for side in arguments.only.split(","):
                for student, width in (("first", 1.0), ("second, half as wide", 0.5)):
                    if side == "ours":
                        cost, checkpoint = train_ours(arguments, folder / "ours", seed, width, folder / "cache")
                    else:
                        cost, checkpoint = train_peer(side, arguments, folder / f"{side}-{width}", seed, width)
                    accuracy = judged(program, folder, checkpoint, width)
                    figures = (*accuracy, cost.wall, cost.processor, cost.memory / 1e6, cost.disk / 1e6)
                    rows.setdefault((side, student), []).append(figures)
                    print(seed, side, student, *(f"{figure:.1f}" for figure in figures), flush=True)
    print("\n| by | student | kNN | linear | wall, s | processor, s | memory, MB | disk, MB |")
    print("|---|---|---|---|---|---|---|---|")
    for (side, student), figures in rows.items():
        cells = []
        for column, values in enumerate(zip(*figures)):
            spread = f" ± {statistics.stdev(values):.1f}" if column < 2 and len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.{1 if column < 2 else 0}f}{spread}")
        print(f"| {SIDES[side]} | {student} | {' | '.join(cells)} |")
    print(f"\nload {os.getloadavg()[0]:.2f} at the end")


if __name__ == "__main__":
    main()
