#!/usr/bin/env python3
"""Makes pictures as photographs are to a decoder: noise of all scales, smooth at large, keyed by seed and number.

    pictures.py FOLDER --count 16384 --width 500 --height 375 --processes 16

JPEG by torchvision, else by Pillow; with neither PNG by the standard library, which measures another decoder. The last line of its output
is JSON: the format, how many files, their mean bytes.
"""

import argparse
import json
import multiprocessing
import random
import struct
import sys
import zlib
from pathlib import Path

SEED = 20260114
QUALITY = 90
#: How much smaller the noise is at half the scale.
FADING = 0.68
#: Rows and columns of the coarsest noise.
COARSEST = (3, 4)


def by_torchvision():
    """(width, height, number) -> bytes of a JPEG; None without torchvision's codec."""
    try:
        import torch
        from torchvision.io import encode_jpeg
    except (ImportError, RuntimeError, OSError):
        return None
    torch.set_num_threads(1)

    def picture(width, height, number):
        generator = torch.Generator().manual_seed(SEED * 1_000_003 + number)
        strength = 60.0
        image = torch.randn(1, 3, *COARSEST, generator=generator) * strength
        while image.shape[2] < height or image.shape[3] < width:
            strength *= FADING
            image = torch.nn.functional.interpolate(image, scale_factor=2, mode="bilinear")
            # One noise for all three colours: edges in photographs are of brightness most of all.
            image += torch.randn(1, 1, *image.shape[2:], generator=generator) * strength
        image = (image[0, :, :height, :width] + 128).clamp(0, 255).to(torch.uint8)
        return encode_jpeg(image.contiguous(), QUALITY).numpy().tobytes()

    try:
        picture(16, 16, 0)
    except (RuntimeError, OSError):
        return None
    return picture


def by_pillow():
    try:
        import io

        from PIL import Image
    except ImportError:
        return None

    def picture(width, height, number):
        generator = random.Random(SEED * 1_000_003 + number)
        rows, columns = COARSEST
        image = Image.frombytes("RGB", (columns, rows), generator.randbytes(3 * rows * columns))
        share = 1.0
        while rows < height or columns < width:
            rows, columns, share = rows * 2, columns * 2, share * FADING
            noise = Image.frombytes("L", (columns, rows), generator.randbytes(rows * columns)).convert("RGB")
            image = Image.blend(image.resize((columns, rows), Image.Resampling.BILINEAR), noise, share / (1 + share))
        file = io.BytesIO()
        image.crop((0, 0, width, height)).save(file, "JPEG", quality=QUALITY)
        return file.getvalue()

    return picture


def by_standard_library():
    def picture(width, height, number):
        generator = random.Random(SEED * 1_000_003 + number)
        rows, columns = COARSEST
        grid = [[[generator.randrange(256) for _ in range(3)] for _ in range(columns + 1)] for _ in range(rows + 1)]

        def pixel(y, x):
            top, left = y * rows / height, x * columns / width
            row, column = int(top), int(left)
            down, right = top - row, left - column
            corners = zip(grid[row][column], grid[row][column + 1], grid[row + 1][column], grid[row + 1][column + 1])
            return bytes(
                int((a * (1 - right) + b * right) * (1 - down) + (c * (1 - right) + d * right) * down) for a, b, c, d in corners
            )

        def chunk(kind, data):
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        lines = b"".join(b"\0" + b"".join(pixel(y, x) for x in range(width)) for y in range(height))
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines, 1)) + chunk(b"IEND", b"")

    return picture


def encoder():
    """What makes a file's bytes, the files' ending, and by what."""
    for make, ending, name in [
        (by_torchvision, "jpg", "JPEG by torchvision"),
        (by_pillow, "jpg", "JPEG by Pillow"),
        (by_standard_library, "png", "PNG by the standard library: neither torchvision nor Pillow is there"),
    ]:
        picture = make()
        if picture is not None:
            return picture, ending, name
    raise AssertionError("the standard library is always there")


def write(job):
    folder, width, height, first, end = job
    picture, ending, _ = encoder()
    total = 0
    for number in range(first, end):
        data = picture(width, height, number)
        (folder / f"{number:06}.{ending}").write_bytes(data)
        total += len(data)
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--height", type=int, required=True)
    parser.add_argument("--processes", type=int, required=True)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    piece = -(-arguments.count // (4 * arguments.processes))
    jobs = [
        (arguments.folder, arguments.width, arguments.height, first, min(first + piece, arguments.count))
        for first in range(0, arguments.count, piece)
    ]
    # `encoder` is asked before the processes part, so that PyTorch is loaded once.
    name = encoder()[2]
    with multiprocessing.get_context("fork").Pool(arguments.processes) as pool:
        total = sum(pool.map(write, jobs, chunksize=1))
    print(json.dumps({"format": name, "files": arguments.count, "mean_bytes": round(total / arguments.count)}))


if __name__ == "__main__":
    sys.exit(main())
