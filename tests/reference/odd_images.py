"""Images of odd sizes and kinds, for what reads them twice: `seedpipe predict` and a model card's Python.

    python odd_images.py FOLDER

Writes 30 files: lines of a pixel, long strips, EXIF turns, gray, CMYK, palettes, alpha, 16 bits, animations, every format.
"""

import sys
from pathlib import Path

import numpy
from PIL import Image


def picture(width, height, channels=3):
    """Waves and noise, other ones for every size."""
    random = numpy.random.default_rng(width * 7919 + height)
    y, x = numpy.mgrid[0:height, 0:width] / 23
    planes = []
    for _ in range(channels):
        a, b, phase = random.uniform(-1, 1), random.uniform(-1, 1), random.uniform(0, 6)
        planes.append(127 + 90 * numpy.sin(a * x + b * y + phase) + random.normal(0, 20, (height, width)))
    values = numpy.stack(planes, 2).clip(0, 255).astype("uint8")
    return Image.fromarray(values[:, :, 0] if channels == 1 else values)


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for width, height in [(1, 300), (301, 77), (4000, 3), (1, 1), (2, 3), (17, 19), (146, 145), (257, 341), (97, 1201), (513, 2)]:
        picture(width, height).save(folder / f"{width}x{height}.png")
    for width, height in [(301, 77), (640, 481), (33, 500)]:
        picture(width, height).save(folder / f"{width}x{height}.jpg", quality=88)
    for turn in [3, 6, 8]:
        exif = Image.Exif()
        exif[0x0112] = turn
        picture(211, 140).save(folder / f"turned_{turn}.jpg", exif=exif)
    picture(150, 99, 1).save(folder / "gray.jpg")
    picture(150, 99).convert("CMYK").save(folder / "inks.jpg")
    picture(151, 99).save(folder / "progressive.jpg", progressive=True, subsampling=2)
    picture(151, 98).quantize(50).save(folder / "palette.png")
    picture(151, 97).quantize(50).save(folder / "palette_transparent.png", transparency=7)
    rgba = picture(90, 140, 4)
    rgba.save(folder / "alpha.png")
    rgba.convert("LA").save(folder / "gray_alpha.png")
    picture(90, 141, 1).convert("1").save(folder / "black_white.png")
    deep = numpy.asarray(picture(120, 80, 1)).astype("uint16") * 211 + 1000
    Image.fromarray(deep).save(folder / "deep.png")
    Image.fromarray(deep).save(folder / "deep.tif")
    picture(99, 130).save(folder / "lossless.webp", lossless=True)
    picture(99, 131).save(folder / "bitmap.bmp")
    frames = [picture(64, 65 + frame).resize((64, 65)).quantize(20) for frame in range(3)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    picture(71, 64).save(folder / "tagged.tif", compression="tiff_lzw")


main()
