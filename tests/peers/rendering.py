#!/usr/bin/env python3
"""Times decoding and rendering of views of JPEG photographs, on one thread, against Pillow + torchvision and albumentations + OpenCV.

The same files (in memory), and the same views: the example draws them and tells their numbers. All run in turn, pass by pass; a
figure is the median of the passes' processor times, which other work on the machine spoils less than wall time. Photographs come from a Parquet file of images:
those whose longer side is at least 400 pixels, and some of them enlarged to 12 megapixels. Before anything is timed, outputs are compared.

    make peers
    cargo build -p seedpipe-imaging --example rendering_speed
    .peers/bin/python tests/peers/rendering.py data/raw/grocery/train
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import albumentations
import albumentations.augmentations.pixel.functional as pixelwise
import albucore
import cv2
import numpy
import simplejpeg
import torch
import torchvision
from PIL import Image, ImageFilter
from torchvision.transforms import functional

from timing import default_target

SIZE = 224
MEAN = [0.485, 0.456, 0.406]
STD = [0.229, 0.224, 0.225]
# Mean difference of values 0–1, over all views that are compared. Pillow rounds to 8 bits after every operation and approximates the
# blur by boxes; OpenCV's resizing reads two pixels a side however much it shrinks.
NEAR = {"torchvision": 0.02, "albumentations": 0.05, "fast": 0.02}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="a folder of JPEG photographs")
    parser.add_argument("--target", type=Path, default=default_target())
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--large", type=int, default=10, help="photographs of 12 megapixels")
    parser.add_argument("--passes", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print(
        f"Pillow {Image.__version__}, torchvision {torchvision.__version__}, albumentations {albumentations.__version__}, "
        f"OpenCV {cv2.__version__}, simplejpeg {simplejpeg.__version__}; load {os.getloadavg()[0]:.1f}\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        count, pixels = write_photographs(arguments.images, folder / "photographs", arguments.files)
        enlarge(folder / "photographs", folder / "large", arguments.large)
        with Ours(arguments.target / "debug/examples/rendering_speed") as ours:
            print("| photographs | views | what | ms an image | times faster than it |")
            print("|---|---|---|---|---|")
            for views in (1, 4):
                compare(ours, folder / "photographs", f"{count} of {pixels / 1e6:.2f} megapixels", views, arguments.passes)
            for views in (1, 4):
                compare(ours, folder / "large", f"{arguments.large} of 12 megapixels", views, max(3, arguments.passes // 2))
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")


def compare(ours, folder, photographs, views, passes):
    described = ours.ask(f"load {folder} mocov2 {SIZE} {views}")
    files = [(Path(one["file"]).read_bytes(), one["views"]) for one in described]
    check(ours, files, folder.parent / "dump", views)

    def mine(command):
        return lambda: ours.ask(command) / 1e9

    def theirs(work):
        def run():
            begin = time.thread_time()
            for data, wanted in files:
                work(data, wanted)
            return time.thread_time() - begin

        return run

    contenders = {
        "ours, exact": mine("render exact"),
        "ours, fast": mine("render fast"),
        "Pillow + torchvision": theirs(lambda data, wanted: [with_torchvision(image, view) for image in [read_with_pillow(data)] for view in wanted]),
        "albumentations + OpenCV": theirs(lambda data, wanted: [with_albumentations(image, view) for image in [read_with_opencv(data)] for view in wanted]),
        "ours: decoding alone, exact": mine("decode exact"),
        "ours: decoding alone, fast": mine("decode fast"),
        "ours: decoding all pixels": mine("decode whole"),
        "simplejpeg: decoding all pixels": theirs(lambda data, _: simplejpeg.decode_jpeg(data, colorspace="RGB", fastdct=False, fastupsample=False)),
    }
    taken = {name: [] for name in contenders}
    for turn in range(passes + 1):
        for name, run in contenders.items():
            seconds = run()
            if turn > 0:  # the first warms up
                taken[name].append(seconds)
    median = {name: statistics.median(times) / len(files) * 1e3 for name, times in taken.items()}
    for name, milliseconds in median.items():
        if name.startswith("ours"):
            ratio = ""
        elif "simplejpeg" in name:
            ratio = f"decoding all pixels {milliseconds / median['ours: decoding all pixels']:.2f}, of exact views {milliseconds / median['ours: decoding alone, exact']:.2f}"
        else:
            ratio = ", ".join(f"{quality} **{milliseconds / median[f'ours, {quality}']:.1f}**" for quality in ("exact", "fast"))
        print(f"| {photographs} | {views} | {name} | {milliseconds:.3f} | {ratio} |", flush=True)
    shares = ", ".join(f"{quality} {median[f'ours: decoding alone, {quality}'] / median[f'ours, {quality}']:.0%}" for quality in ("exact", "fast"))
    print(f"| {photographs} | {views} | ours: decoding's share | | {shares} |", flush=True)


def check(ours, files, path, views):
    """All show the same views."""
    count = min(8, len(files))

    def dumped(quality):
        ours.ask(f"dump {quality} {count} {path}")
        return torch.from_numpy(numpy.fromfile(path, numpy.float32).reshape(-1, 3, SIZE, SIZE))

    exact = dumped("exact")
    deviation, mean = torch.tensor(STD).view(3, 1, 1), torch.tensor(MEAN).view(3, 1, 1)
    for name, read, render in [("torchvision", read_with_pillow, with_torchvision), ("albumentations", read_with_opencv, with_albumentations)]:
        seen = torch.stack([torch.as_tensor(numpy.asarray(render(read(data), view))) for data, wanted in files[:count] for view in wanted])
        if name == "albumentations":
            seen = seen.permute(0, 3, 1, 2)
        near(name, (seen * deviation + mean - exact).abs().mean().item())
    near("fast", (dumped("fast") - exact).abs().mean().item())


def near(name, difference):
    if not difference < NEAR[name]:
        raise SystemExit(f"views of {name} differ from ours by {difference:.4f} in the mean, expected less than {NEAR[name]}")


def read_with_pillow(data):
    return Image.open(io.BytesIO(data)).convert("RGB")


def with_torchvision(image, view):
    """The transforms of the official SEED and of MoCo v2, on PIL images, with the drawn numbers."""
    x, y, width, height = view["crop"]
    seen = functional.resized_crop(image, y, x, height, width, [SIZE, SIZE])
    for name, amount in view["operations"]:
        if name == "brightness":
            seen = functional.adjust_brightness(seen, amount)
        elif name == "contrast":
            seen = functional.adjust_contrast(seen, amount)
        elif name == "saturation":
            seen = functional.adjust_saturation(seen, amount)
        elif name == "hue":
            seen = functional.adjust_hue(seen, amount)
        elif name == "grayscale":
            seen = functional.to_grayscale(seen, 3)
        elif name == "blur":
            seen = seen.filter(ImageFilter.GaussianBlur(radius=amount))
        elif name == "flip":
            seen = functional.hflip(seen)
    return functional.normalize(functional.to_tensor(seen), MEAN, STD)


def read_with_opencv(data):
    return cv2.imdecode(numpy.frombuffer(data, numpy.uint8), cv2.IMREAD_COLOR_RGB)


MEAN_OF_255 = numpy.array(MEAN, numpy.float32) * 255
FACTOR = 1 / (numpy.array(STD, numpy.float32) * 255)


def with_albumentations(image, view):
    """The functions that its transforms call, with the drawn numbers; `cv2.INTER_LINEAR` is its own default."""
    x, y, width, height = view["crop"]
    seen = cv2.resize(image[y : y + height, x : x + width], (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    for name, amount in view["operations"]:
        if name == "brightness":
            seen = pixelwise.adjust_brightness_torchvision(seen, amount)
        elif name == "contrast":
            seen = pixelwise.adjust_contrast_torchvision(seen, amount)
        elif name == "saturation":
            seen = pixelwise.adjust_saturation_torchvision(seen, amount, gamma=0)
        elif name == "hue":
            seen = pixelwise.adjust_hue_torchvision(seen, amount)
        elif name == "grayscale":
            seen = cv2.cvtColor(cv2.cvtColor(seen, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        elif name == "blur":
            side = 2 * int(numpy.ceil(4 * amount)) + 1
            seen = cv2.GaussianBlur(seen, (side, side), amount)
        elif name == "flip":
            seen = cv2.flip(seen, 1)
    return albucore.normalize(seen, MEAN_OF_255, FACTOR)


def write_photographs(source, folder, count):
    """The first photographs of at least 400 pixels on their longer side; how many, and their mean number of pixels."""
    folder.mkdir()
    number, pixels = 0, 0
    for path in sorted(source.rglob("*.jpg")):
        data = path.read_bytes()
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        if max(width, height) < 400:
            continue
        (folder / f"{number:04}.jpg").write_bytes(data)
        number, pixels = number + 1, pixels + width * height
        if number == count:
            break
    return number, pixels / number


def enlarge(photographs, folder, count):
    folder.mkdir()
    for path in sorted(photographs.iterdir())[:count]:
        image = Image.open(path).convert("RGB")
        size = (4000, 3000) if image.width >= image.height else (3000, 4000)
        image.resize(size, Image.Resampling.BICUBIC).save(folder / path.name, quality=90)


class Ours:
    """The example, asked line by line."""

    def __init__(self, example):
        if not example.exists():
            raise SystemExit(f"{example} is missing; run `cargo build -p seedpipe-imaging --example rendering_speed`")
        self.child = subprocess.Popen([example], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.stdin.close()
        self.child.wait()

    def ask(self, command):
        print(command, file=self.child.stdin, flush=True)
        answer = self.child.stdout.readline()
        if not answer:
            raise SystemExit(f"the example ended at `{command}`")
        return json.loads(answer)


if __name__ == "__main__":
    main()
