#!/usr/bin/env python3
"""Times an epoch of SEED on CIFAR-10's images, ResNet-56 to ResNet-20, against PyTorch with the teacher in the loop, in turn, in one run.

Ours is the stage `distill` on stored targets (its own telemetry), in f32 and bf16; what the targets cost once is told apart. PyTorch's
are the official algorithm (teacher in the loop, eager, fp32) and its best (channels-last, bf16 autocast), both with torchvision's
MoCo v2 augmentation at 32 pixels by a DataLoader with 2 workers, and the official loss over a queue. "Student alone" is our student's forward
pass, backward pass and update on a batch that is there already. Prints a Markdown table of medians and ratios.

Needs torch 2.11, torchvision, and
`cargo build --workspace --bins && cargo build --workspace --example step`.

    tests/peers/distillation.py --cifar10 data/raw/cifar10 --teacher data/raw/teachers/resnet56-4bfd9763.th
        [--images 4096] [--rounds 3] [--target target]
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

if hasattr(os, "RTLD_LAZY"):
    sys.setdlopenflags(os.RTLD_LAZY)

import torch
import torchvision
from PIL import Image
from torch import nn
from torch.nn import functional

from timing import OUR_WAITING, default_target

BATCH, QUEUE, DIMENSION = 64, 4096, 64
TEMPERATURE_STUDENT, TEMPERATURE_TEACHER = 0.2, 0.04
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Block(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, outer // inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)

    def forward(self, x):
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if y.shape != x.shape:
            margin = x.shape[1] // 2
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, margin, margin))
        return functional.relu(x + y)


class CifarResNet(nn.Module):
    """He et al.'s networks of depth 6n + 2, with their features."""

    def __init__(self, blocks, width=1.0):
        super().__init__()
        first, second, self.dimension = (int(channels * width) for channels in (16, 32, 64))
        self.conv1, self.bn1 = nn.Conv2d(3, first, 3, 1, 1, bias=False), nn.BatchNorm2d(first)

        def stage(inner, outer):
            return nn.Sequential(Block(inner, outer), *(Block(outer, outer) for _ in range(blocks - 1)))

        self.layer1, self.layer2, self.layer3 = stage(first, first), stage(first, second), stage(second, self.dimension)

    def maps(self, x):
        x = functional.relu(self.bn1(self.conv1(x)))
        return self.layer3(self.layer2(self.layer1(x)))

    def forward(self, x):
        return self.maps(x).mean((2, 3))


class Wrapped(nn.Module):
    """A network as LightlyTrain asks for one of one's own (learning.py)."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def feature_dim(self):
        return self.network.dimension

    def forward_features(self, x):
        return {"features": self.network.maps(x)}

    def forward_pool(self, x):
        return {"pooled_features": x["features"].mean((2, 3), keepdim=True)}

    def get_model(self):
        return self.network

    def architecture_info(self):
        return {"model_type": "convolutional", "norm_type": "batchnorm"}

    def make_teacher(self):
        self.eval()


class Pictures(torch.utils.data.Dataset):
    """Files that are decoded anew for every look, as the official code does."""

    def __init__(self, files, transform):
        self.files, self.transform = files, transform

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        return self.transform(Image.open(self.files[index]).convert("RGB"))


class Official:
    """The official step: teacher and student see the batch, both are compared with the queue."""

    def __init__(self, teacher_file, files, best, width=1.0):
        self.best = best
        steps = torchvision.transforms
        transform = steps.Compose([
            steps.RandomResizedCrop(32, scale=(0.2, 1.0)),
            steps.RandomApply([steps.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            steps.RandomGrayscale(p=0.2),
            steps.RandomHorizontalFlip(),
            steps.ToTensor(),
            steps.Normalize(MEAN, STD),
        ])
        self.loader = torch.utils.data.DataLoader(
            Pictures(files, transform), batch_size=BATCH, shuffle=True, drop_last=True, num_workers=2
        )
        self.teacher = CifarResNet(9).eval()
        state = torch.load(teacher_file, map_location="cpu", weights_only=True)["state_dict"]
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
        self.teacher.load_state_dict({name: tensor for name, tensor in state.items() if not name.startswith("linear.")})
        student = CifarResNet(3, width)
        head = nn.Sequential(nn.Linear(student.dimension, 256), nn.ReLU(), nn.Linear(256, DIMENSION))
        self.student = nn.Sequential(student, head).train()
        if best:
            self.teacher = self.teacher.to(memory_format=torch.channels_last)
            self.student = self.student.to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.SGD(self.student.parameters(), 0.03, momentum=0.9, weight_decay=1e-4)
        self.queue = functional.normalize(torch.randn(QUEUE, DIMENSION), dim=1)
        self.place = 0

    def epoch(self, schedule=None):
        """Images a second, the workers' start included."""
        begin, images_seen = time.perf_counter(), 0
        for images in self.loader:
            if self.best:
                images = images.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.best):
                with torch.no_grad():
                    teacher = functional.normalize(self.teacher(images).float(), dim=1)
                student = functional.normalize(self.student(images).float(), dim=1)
            own = (teacher * teacher).sum(1, keepdim=True), (student * teacher).sum(1, keepdim=True)
            queue = self.queue.clone()
            target = torch.cat([own[0], teacher @ queue.T], 1) / TEMPERATURE_TEACHER
            seen = torch.cat([own[1], student @ queue.T], 1) / TEMPERATURE_STUDENT
            loss = -(target.softmax(1) * seen.log_softmax(1)).sum(1).mean()
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            if schedule is not None:
                schedule.step()
            self.queue[self.place : self.place + BATCH] = teacher
            self.place = (self.place + BATCH) % QUEUE
            images_seen += len(images)
        return images_seen / (time.perf_counter() - begin)


def pipeline(arguments):
    stages = {
        "images": {"kind": "ingest", "params": {"source": str(arguments.cifar10.resolve()), "take": {"train": arguments.images}}},
        "views": {
            "kind": "augment",
            "inputs": {"images": "images"},
            "params": {"recipe": "mocov2", "size": 32, "adjust": {"blur_probability": 0}},
        },
        "targets": {
            "kind": "encode",
            "inputs": {"images": "images", "views": "views"},
            "params": {
                "checkpoint": str(arguments.teacher.resolve()),
                "network": {"name": "cifar_resnet56", "classes": 10},
                "embedding": "features",
                "precision": "bf16",
            },
        },
    }
    for precision in ["f32", "bf16"]:
        stages[precision] = {
            "kind": "distill",
            "inputs": {"images": "images", "views": "views", "targets": "targets"},
            "params": {
                "network": {"name": "cifar_resnet20"},
                "head_hidden": [256],
                "queue": QUEUE,
                "temperature_student": TEMPERATURE_STUDENT,
                "temperature_teacher": TEMPERATURE_TEACHER,
                "training": {"epochs": 1, "batch": BATCH, "learning_rate": 0.03, "precision": precision, "threads": arguments.threads},
            },
        }
    return json.dumps({"cache": "cache", "stages": stages})


def ours(folder, program, stage):
    """The telemetry of a stage that is made anew."""
    done = subprocess.run([program, "run", "--json", stage, "--force"], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr[-2000:])
    line = next(one for one in map(json.loads, done.stdout.splitlines()) if one["stage"] == stage)
    artifact = Path(folder) / "cache/v1/artifacts" / line["fingerprint"] / line["content"][:16]
    return json.loads((artifact / "manifest.json").read_text())["telemetry"]["values"]


def student_alone(example, threads):
    """Images a second of our student's own step in f32 and bf16, channels-last."""
    done = subprocess.run([example, "4", str(threads)], env=os.environ | OUR_WAITING, capture_output=True, text=True, check=True)
    found = dict(re.findall(r"train (f32|bf16) channels-last: median (\d+) images/s", done.stdout))
    return {precision: float(rate) for precision, rate in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar10", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--target", type=Path, default=default_target())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    debug = arguments.target.resolve() / "debug"
    files = sorted((arguments.cifar10 / "train").glob("*/*.png"))
    files = files[:: max(1, len(files) // arguments.images)][: arguments.images]
    peers = {"PyTorch fp32": Official(arguments.teacher, files, False), "PyTorch best": Official(arguments.teacher, files, True)}
    rates = {}

    def keep(name, rate):
        rates.setdefault(name, []).append(rate)

    print(f"torch {torch.__version__}, {arguments.threads} threads, load {os.getloadavg()[0]:.2f} at the start\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="seedpipe-distillation-") as folder:
        (Path(folder) / "pipeline.yaml").write_text(pipeline(arguments))
        for _ in range(arguments.rounds):
            keep("targets", ours(folder, debug / "seedpipe-torch", "targets")["views_per_second"])
            for precision in ["f32", "bf16"]:
                values = ours(folder, debug / "seedpipe-torch", precision)
                keep(f"distill {precision}", values["images_per_second"])
                keep(f"waits {precision}", values["waiting_share"])
            for precision, rate in student_alone(debug / "examples/step", arguments.threads).items():
                keep(f"alone {precision}", rate)
            for name, peer in peers.items():
                keep(name, peer.epoch())
    middle = {name: statistics.median(values) for name, values in rates.items()}
    official, best = middle["PyTorch fp32"], middle["PyTorch best"]
    print("| distill | images/s | waits | / PyTorch fp32 | / PyTorch's best | student alone | step / student alone |")
    print("|---|---|---|---|---|---|---|")
    for precision in ["f32", "bf16"]:
        rate, alone = middle[f"distill {precision}"], middle[f"alone {precision}"]
        print(
            f"| {precision} | {rate:.0f} | {middle[f'waits {precision}']:.0%} | {rate / official:.2f} | {rate / best:.2f} | {alone:.0f} | {alone / rate:.2f} |"
        )
    print(
        f"\nPyTorch: official fp32 {official:.0f} images/s, bf16 channels-last {best:.0f}; the targets cost us {middle['targets']:.0f} views/s once"
        f"\nmedians of {arguments.rounds}; load {os.getloadavg()[0]:.2f} at the end"
    )


if __name__ == "__main__":
    main()
