#!/usr/bin/env python3
"""What Pillow makes of small images: writes tests/fixtures/pillow_resize.json (Pillow 13.0.0, numpy).

    pillow_resize.py [tests/fixtures/pillow_resize.json]

Each image is that of `pixel` below. A case is one image, resized as a whole, of which a window is kept: as torchvision's `Resize`
and `CenterCrop` do on a PIL image. `pixels` is the window's RGB in hexadecimal, row by row.
"""

import json
import pathlib
import sys

import numpy
import PIL
from PIL import Image

FILTERS = {"pillow_bilinear": Image.BILINEAR, "pillow_bicubic": Image.BICUBIC}
#: Width and height, what they become, the window's left, top and side.
CASES = [
    (23, 17, 23, 17, 0, 0, 17),  # nothing to do
    (23, 17, 23, 9, 3, 0, 9),  # one direction only
    (23, 17, 9, 17, 0, 4, 9),
    (23, 17, 8, 8, 0, 0, 8),
    (23, 17, 31, 29, 0, 0, 29),  # larger
    (23, 17, 64, 40, 12, 0, 40),
    (40, 30, 21, 16, 3, 1, 14),  # a window
    (61, 47, 5, 4, 1, 0, 4),  # more than 8 taps
    (97, 12, 7, 3, 2, 0, 3),  # many taps, few rows
    (1, 1, 6, 6, 0, 0, 6),
    (1, 9, 4, 4, 0, 0, 4),
    (2, 2, 33, 33, 0, 0, 33),
]


def picture(width: int, height: int) -> Image.Image:
    """Black and white beside each other, so that the cubic filter overshoots, and all bits in use."""
    y, x, channel = numpy.mgrid[0:height, 0:width, 0:3].astype(numpy.uint64)
    mixed = (x * 2654435761 + y * 40503 + channel * 97 + x * y * 69069) % 4294967296 >> 13
    values = numpy.where((x // 5 + y // 3) % 3 == 0, (x // 2 + y + channel) % 2 * 255, mixed % 256)
    return Image.fromarray(values.astype(numpy.uint8))


def main() -> None:
    here = pathlib.Path(__file__).parent
    path = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else here / "../fixtures/pillow_resize.json")
    cases = []
    for width, height, *resize, left, top, side in CASES:
        for name, resampling in FILTERS.items():
            image = picture(width, height)
            window = image.resize(resize, resampling).crop((left, top, left + side, top + side))
            cases.append(
                {
                    "filter": name,
                    "image": [width, height],
                    "resize": resize,
                    "window": [left, top],
                    "size": side,
                    "pixels": window.tobytes().hex(),
                }
            )
    lines = ",\n".join(json.dumps(case) for case in cases)
    path.write_text(f'{{"pillow": "{PIL.__version__}", "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
