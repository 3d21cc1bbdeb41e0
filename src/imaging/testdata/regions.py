"""JPEG files of every kind of chroma subsampling and coding, for decoding of regions: writes regions/.

Pillow 13.0.0, opencv-python-headless 5.0.0.93, numpy. Sizes are odd, so that last blocks are partial everywhere.
"""

import pathlib

import cv2
import numpy
from PIL import Image

FOLDER = pathlib.Path(__file__).parent / "regions"
FOLDER.mkdir(exist_ok=True)
WIDTH, HEIGHT = 75, 61

generator = numpy.random.default_rng(0)
y, x = numpy.mgrid[0:HEIGHT, 0:WIDTH].astype(float)
planes = [127 + 90 * numpy.sin(x / (7 + 3 * c) + c) * numpy.cos(y / (11 - 2 * c)) for c in range(4)]
pixels = numpy.stack(planes, -1) + generator.normal(0, 12, (HEIGHT, WIDTH, 4))
pixels = numpy.clip(pixels, 0, 255).astype(numpy.uint8)
rgb = Image.fromarray(pixels[..., :3])

for name, options in {
    "444": {"subsampling": 0},
    "422": {"subsampling": 1},
    "420": {"subsampling": 2},
    "420_restarts": {"subsampling": 2, "restart_marker_blocks": 3},
    "420_progressive": {"subsampling": 2, "progressive": True},
    "444_progressive": {"subsampling": 0, "progressive": True},
}.items():
    rgb.save(FOLDER / f"{name}.jpg", quality=85, **options)
rgb.convert("L").save(FOLDER / "gray.jpg", quality=85)
Image.fromarray(pixels, "CMYK").save(FOLDER / "cmyk.jpg", quality=85)
for name, sampling in [("440", cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440), ("411", cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411)]:
    cv2.imwrite(str(FOLDER / f"{name}.jpg"), pixels[..., 2::-1].copy(), [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling, cv2.IMWRITE_JPEG_QUALITY, 85])
for orientation in range(2, 9):
    exif = Image.Exif()
    exif[0x0112] = orientation
    rgb.save(FOLDER / f"orientation_{orientation}.jpg", quality=70, subsampling=2, exif=exif)
