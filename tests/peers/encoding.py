#!/usr/bin/env python3
"""Times `encode` on photographs against what bounds it, and against PyTorch, in turn, in one run.

For each network at 224 pixels: the stage itself (its own telemetry), rendering alone, the network alone on a batch that is there
already, and the PyTorch way of the official SEED code: a DataLoader with 2 workers that decodes by Pillow and resizes by torchvision,
and an eager network in fp32. Prints a Markdown table of medians and ratios. Rendering and network share a CPU's cores: together they can
do 1 / (1/rendering + 1/network) images a second, which is printed as "both on these cores".

Needs torch 2.11, torchvision, pyarrow, and timm for EfficientNet-Lite0 (left out without it), and
`cargo build --workspace --bins && cargo build --workspace --example feed_speed --example inference_speed`.

    tests/peers/encoding.py [--source FOLDER] [--images 1024] [--rounds 3] [--target target]

FOLDER holds photographs in a folder `train`, as data/raw/grocery does (`make grocery`).
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

if hasattr(os, "RTLD_LAZY"):
    sys.setdlopenflags(os.RTLD_LAZY)

import pyarrow.parquet
import torch
import torchvision
from PIL import Image

from timing import OUR_WAITING, default_target

BATCH = 64
NETWORKS = ["resnet50", "efficientnet_lite0"]
PRECISIONS = ["bf16", "f32"]


class Pictures(torch.utils.data.Dataset):
    def __init__(self, encoded, transform):
        self.encoded, self.transform = encoded, transform

    def __len__(self):
        return len(self.encoded)

    def __getitem__(self, index):
        return self.transform(Image.open(io.BytesIO(self.encoded[index])).convert("RGB"))


def peer_network(name):
    if name == "resnet50":
        return torchvision.models.resnet50()
    try:
        import timm
    except ImportError:
        return None
    return timm.create_model("tf_" + name)


def pytorch(network, encoded, workers):
    """Images a second, the workers' start included as in every epoch of the official code."""
    steps = torchvision.transforms
    transform = steps.Compose([
        steps.Resize(256),
        steps.CenterCrop(224),
        steps.ToTensor(),
        steps.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ])
    loader = torch.utils.data.DataLoader(Pictures(encoded, transform), batch_size=BATCH, num_workers=workers)
    begin = time.perf_counter()
    with torch.no_grad():
        for images in loader:
            network(images)
    return len(encoded) / (time.perf_counter() - begin)


class Example:
    """A program that answers a line by a line of numbers."""

    def __init__(self, path):
        self.child = subprocess.Popen([path], env=os.environ | OUR_WAITING, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        self.child.stdin.write(" ".join(map(str, words)) + "\n")
        self.child.stdin.flush()
        return float(self.child.stdout.readline().split()[0])


def pipeline(source, images):
    stages = {
        "images": {"kind": "ingest", "params": {"source": str(source), "take": {"train": images}}},
    }
    for name in NETWORKS:
        for precision in PRECISIONS:
            stages[f"{name}_{precision}"] = {
                "kind": "encode",
                "inputs": {"images": "images"},
                "params": {"network": {"name": name}, "embedding": "features", "precision": precision, "batch": BATCH},
            }
    return json.dumps({"cache": "cache", "stages": stages})


class Project:
    def __init__(self, folder, program, source, images):
        self.folder, self.program = Path(folder), program
        (self.folder / "pipeline.yaml").write_text(pipeline(source, images))
        self.artifact("images")

    def artifact(self, stage, *more):
        done = subprocess.run(
            [self.program, "run", "--json", stage, *more], cwd=self.folder, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise SystemExit(done.stderr[-2000:])
        line = next(one for one in map(json.loads, done.stdout.splitlines()) if one["stage"] == stage)
        return self.folder / "cache/v1/artifacts" / line["fingerprint"] / line["content"][:16]

    def encode(self, stage):
        """Images a second and the share of the time that the network waited, of the stage's loop."""
        manifest = json.loads((self.artifact(stage, "--force") / "manifest.json").read_text())
        values = manifest["telemetry"]["values"]
        return values["views_per_second"], values["waiting_share"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=Path("data/raw/grocery"))
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--target", type=Path, default=default_target())
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--workers", type=int, default=2, help="of the DataLoader")
    arguments = parser.parse_args()
    debug = arguments.target.resolve() / "debug"

    print(f"torch {torch.__version__}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f} at the start\n")
    print("| network | encode | waits | rendering alone | network alone | both on these cores | encode / both | encode / least | PyTorch fp32 | encode / PyTorch |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="seedpipe-encoding-") as folder:
        source = arguments.source.resolve() / "train"
        project = Project(folder, debug / "seedpipe-torch", source, arguments.images)
        parts = sorted((project.artifact("images") / "images").glob("*.parquet"))
        columns = [pyarrow.parquet.read_table(part).to_pydict() for part in parts]
        encoded = [picture for column in columns for picture in column["bytes"]]
        rendering = Example(debug / "examples/feed_speed")
        inference = Example(debug / "examples/inference_speed")
        for name in arguments.networks.split(","):
            network = peer_network(name)
            for precision in PRECISIONS:
                rates = {key: [] for key in ["encode", "waits", "rendering", "network", "peer"]}
                for _ in range(arguments.rounds):
                    rate, waits = project.encode(f"{name}_{precision}")
                    rates["encode"].append(rate)
                    rates["waits"].append(waits)
                    rates["rendering"].append(rendering.ask(name, BATCH, *parts))
                    rates["network"].append(inference.ask(name, f"folded_{precision}", BATCH, 224, 5))
                    if network is not None:
                        rates["peer"].append(pytorch(network.eval(), encoded, arguments.workers))
                middle = {key: statistics.median(values) for key, values in rates.items() if values}
                both = 1 / (1 / middle["rendering"] + 1 / middle["network"])
                least = min(middle["rendering"], middle["network"])
                peer = middle.get("peer")
                theirs = f"{peer:.1f} | {middle['encode'] / peer:.2f}" if peer else "no timm | "
                print(
                    f"| {name} {precision} | {middle['encode']:.1f} | {middle['waits']:.0%} | {middle['rendering']:.1f} | "
                    f"{middle['network']:.1f} | {both:.1f} | {middle['encode'] / both:.2f} | {middle['encode'] / least:.2f} | {theirs} |",
                    flush=True,
                )
    print(f"\nimages a second, medians of {arguments.rounds}; load {os.getloadavg()[0]:.2f} at the end")


if __name__ == "__main__":
    main()
