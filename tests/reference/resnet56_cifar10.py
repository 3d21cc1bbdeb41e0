#!/usr/bin/env python3
"""The real ResNet-56 on CIFAR-10's test images in PyTorch: which class it sees in each.

    resnet56_cifar10.py CHECKPOINT.safetensors TEST_FOLDER

TEST_FOLDER holds CLASS/*.png. Prints top-1 on all of it, and writes tests/fixtures/resnet56_cifar10.json for the test of the same
name: of each class the first 100 images by name, and the class seen in each, as a number. Needs torch 2.11, safetensors and Pillow.
"""

import json
import os
import sys
from pathlib import Path

if hasattr(os, "RTLD_LAZY"):
    sys.setdlopenflags(os.RTLD_LAZY)

import numpy
import safetensors.torch
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

OUTPUT = Path(__file__).resolve().parents[1] / "fixtures/resnet56_cifar10.json"
PER_CLASS = 100
MEAN, STD = (torch.tensor(values).reshape(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


class Block(nn.Module):
    def __init__(self, inner: int, outer: int):
        super().__init__()
        stride = outer // inner
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)

    def forward(self, x):
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if y.shape != x.shape:  # option A: every second pixel, and channels of zeros on both sides
            margin = x.shape[1] // 2
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, margin, margin))
        return functional.relu(x + y)


class ResNet56(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        stage = lambda inner, outer: nn.Sequential(Block(inner, outer), *(Block(outer, outer) for _ in range(8)))
        self.layer1, self.layer2, self.layer3 = stage(16, 16), stage(16, 32), stage(32, 64)
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = functional.relu(self.bn1(self.conv1(x)))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


def main() -> None:
    checkpoint, folder = sys.argv[1], Path(sys.argv[2])
    network = ResNet56().eval()
    state = safetensors.torch.load_file(checkpoint)
    missing = network.load_state_dict(state, strict=False)
    unknown = [name for name in missing.missing_keys if not name.endswith("num_batches_tracked")]
    if unknown or missing.unexpected_keys:
        sys.exit(f"{checkpoint}: missing {unknown}, unexpected {missing.unexpected_keys}")
    classes, right, images = {}, 0, 0
    for label, path in enumerate(sorted(path for path in folder.iterdir() if path.is_dir())):
        files, seen = sorted(path.glob("*.png")), []
        for start in range(0, len(files), 250):
            batch = [numpy.array(Image.open(file).convert("RGB"), dtype="float32") for file in files[start : start + 250]]
            pixels = (torch.from_numpy(numpy.stack(batch)).permute(0, 3, 1, 2) / 255 - MEAN) / STD
            with torch.no_grad():
                seen += network(pixels).argmax(1).tolist()
        right, images = right + seen.count(label), images + len(seen)
        classes[path.name] = {"images": [file.name for file in files[:PER_CLASS]], "seen": seen[:PER_CLASS]}
    print(f"top-1 {100 * right / images:.2f} % of {images} images")
    OUTPUT.write_text(json.dumps(classes, separators=(",", ":")).replace('},"', '},\n"') + "\n")


if __name__ == "__main__":
    main()
