#!/usr/bin/env python3
"""Memory and time an image of each stage, on sources of ever more tiny images: the curve is to be flat.

    tests/peers/memory.py [--rows 1000,10000,100000] [--target FOLDER] [--folder FOLDER] [--pixels 8]

Needs pyarrow and `cargo build --workspace --bins` done. Makes a Parquet table of random PNGs of 8 × 8 pixels for each number of rows, runs each stage of
ingest → augment → encode → distill by itself (one view an image, one epoch, batches of 256, a network of 5 thousand parameters), and prints
seconds and processor seconds an image, the greatest resident memory of the stage's process, and how much of it an image more costs.
The first number of rows is what the process, libtorch and network take.
"""

import argparse
import os
import random
import struct
import tempfile
import time
import zlib
from pathlib import Path

import pyarrow
import pyarrow.parquet

from timing import default_target

CHUNK = 10_000
STAGES = ["images", "views", "targets", "student"]
PIPELINE = """stages:
  images: {{kind: ingest, params: {{source: tiny.parquet, label_column: label}}}}
  views: {{kind: augment, inputs: {{images: images}}, params: {{recipe: mocov2, size: {pixels}, views_per_image: 1}}}}
  targets:
    kind: encode
    inputs: {{images: images, views: views}}
    params: {{network: {{name: cifar_resnet8, width: 0.25}}, preprocessing: {{size: {pixels}, crop_ratio: 1.0}}}}
  student:
    kind: distill
    inputs: {{images: images, views: views, targets: targets}}
    params:
      network: {{name: cifar_resnet8, width: 0.25}}
      queue: 512
      training: {{epochs: 1, batch: 256, threads: 1, precision: f32}}
"""


def png(generator, pixels):
    """A PNG of random colours, without filters."""
    rows = b"".join(b"\0" + generator.randbytes(3 * pixels) for _ in range(pixels))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", pixels, pixels, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")


def write_table(path, rows, pixels):
    generator = random.Random(rows)
    schema = pyarrow.schema([("image", pyarrow.binary()), ("label", pyarrow.int32())])
    with pyarrow.parquet.ParquetWriter(path, schema, compression="none") as writer:
        for start in range(0, rows, CHUNK):
            count = min(CHUNK, rows - start)
            images = [png(generator, pixels) for _ in range(count)]
            labels = [(start + row) % 10 for row in range(count)]
            writer.write_table(pyarrow.table([images, labels], schema=schema))


def run(program, folder, stage):
    """Wall seconds, processor seconds and greatest resident bytes of one stage's process."""
    log = folder / f"{stage}.log"
    begin = time.perf_counter()
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        # The libraries of the Python that runs this are not ours.
        environment = {name: value for name, value in os.environ.items() if name not in ("LD_LIBRARY_PATH", "PYTHONPATH")}
        os.execve(program, [str(program), "run", stage, "--only"], environment)
    _, status, usage = os.wait4(child, 0)
    if status != 0:
        raise SystemExit(f"{stage} failed:\n{log.read_text()[-2000:]}")
    return time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="1000,10000,100000")
    parser.add_argument("--target")
    parser.add_argument("--folder")
    parser.add_argument("--pixels", type=int, default=8)
    arguments = parser.parse_args()
    program = (Path(arguments.target or default_target()) / "debug/seedpipe").resolve()
    print("| stage | images | wall, µs an image | processor, µs an image | greatest resident, MB | bytes an image more |")
    print("|---|---|---|---|---|---|", flush=True)
    before = {}
    for rows in map(int, arguments.rows.split(",")):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            folder = Path(folder)
            write_table(folder / "tiny.parquet", rows, arguments.pixels)
            (folder / "pipeline.yaml").write_text(PIPELINE.format(pixels=arguments.pixels))
            for stage in STAGES:
                wall, processor, resident = run(program, folder, stage)
                more = "–"
                if stage in before:
                    fewer, less = before[stage]
                    more = f"{(resident - less) / (rows - fewer):.0f}"
                before[stage] = (rows, resident)
                print(
                    f"| {stage} | {rows} | {wall / rows * 1e6:.0f} | {processor / rows * 1e6:.0f} | {resident / 1e6:.0f} | {more} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
