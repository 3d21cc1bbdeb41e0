"""Small images of every kind that is read, and what Pillow makes of them: writes images/ and images.json.

Pillow 13.0.0, numpy. The values in images.json are the upright RGB pixels; 16-bit samples are round(value / 257).
"""

import io
import json
import pathlib
import struct
import zlib

import numpy
from PIL import Image, ImageOps

HERE = pathlib.Path(__file__).parent
FOLDER = HERE / "images"
FOLDER.mkdir(exist_ok=True)
cases = []


def smooth(width, height, channels):
    """Gentle gradients with a soft disc: what JPEG is made for."""
    y, x = numpy.mgrid[0:height, 0:width].astype(float)
    disc = 1 / (1 + numpy.exp((numpy.hypot(x - width * 0.6, y - height * 0.4) - height / 4) / 2))
    planes = [
        127 + 100 * numpy.sin(x / width * (2 + c) + c) * numpy.cos(y / height * (3 - c)) * (1 - disc) + 20 * disc * (c - 1)
        for c in range(channels)
    ]
    return numpy.clip(numpy.stack(planes, -1), 0, 255).round().astype(numpy.uint8)


def noise(width, height, channels, high=256, dtype=numpy.uint8):
    generator = numpy.random.default_rng(width * 1000 + height * 10 + channels)
    return generator.integers(0, high, (height, width, channels)).astype(dtype)


def add(name, data, rgb=None, tolerance=0):
    """Writes the file and its upright RGB pixels: Pillow's own, unless given."""
    (FOLDER / name).write_bytes(data)
    if rgb is None:
        rgb = numpy.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    height, width, _ = rgb.shape
    cases.append({"name": name, "width": width, "height": height, "tolerance": tolerance, "rgb": rgb.tobytes().hex()})


def encoded(image, **options):
    out = io.BytesIO()
    image.save(out, **options)
    return out.getvalue()


def png(width, height, depth, color, rows, extra=b""):
    """A PNG of raw scan lines, for the kinds that Pillow does not write."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    lines = b"".join(b"\0" + row for row in rows)
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


rgb = Image.fromarray(smooth(37, 29, 3))
for sampling in (0, 1, 2):
    add(f"ycc_{sampling}.jpg", encoded(rgb, format="JPEG", quality=90, subsampling=sampling))
add("progressive.jpg", encoded(rgb, format="JPEG", quality=90, progressive=True))
add("restarts.jpg", encoded(rgb, format="JPEG", quality=90, restart_marker_blocks=2))
add("narrow.jpg", encoded(rgb.crop((0, 0, 5, 29)), format="JPEG", quality=95))
add("gray.jpg", encoded(rgb.convert("L"), format="JPEG", quality=90))
add("rgb.jpg", encoded(rgb, format="JPEG", quality=90, keep_rgb=True))
cmyk = Image.fromarray(smooth(37, 29, 4), mode="CMYK")
add("cmyk.jpg", encoded(cmyk, format="JPEG", quality=95))


def with_transform(data, transform):
    """The same samples under another Adobe colour transform."""
    place = data.index(b"Adobe") + 11
    return data[:place] + bytes([transform]) + data[place + 1 :]


add("ycck.jpg", with_transform(encoded(cmyk, format="JPEG", quality=95), 2))

letter = numpy.zeros((6, 4, 3), numpy.uint8)
letter[0] = [250, 10, 10]
letter[:, 0] = [10, 10, 250]
letter[3, 1:3] = [10, 250, 10]
for orientation in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = orientation
    large = Image.fromarray(letter.repeat(8, 0).repeat(8, 1))
    if orientation in (1, 3, 6):
        add(f"orientation_{orientation}.jpg", encoded(large, format="JPEG", quality=95, exif=exif))
    add(f"orientation_{orientation}.png", encoded(Image.fromarray(letter), format="PNG", exif=exif))
    add(f"orientation_{orientation}.webp", encoded(Image.fromarray(letter), format="WEBP", lossless=True, exif=exif))

add("rgb.png", encoded(Image.fromarray(noise(7, 5, 3)), format="PNG"))
add("rgba.png", encoded(Image.fromarray(noise(7, 5, 4)), format="PNG"))
add("gray_alpha.png", encoded(Image.fromarray(noise(7, 5, 2), mode="LA"), format="PNG"))
add("gray.png", encoded(Image.fromarray(noise(7, 5, 1)[..., 0]), format="PNG"))
palette = noise(16, 16, 3).reshape(-1)
indexed = Image.fromarray(noise(7, 5, 1)[..., 0], mode="P")
indexed.putpalette(palette.tobytes())
add("palette.png", encoded(indexed, format="PNG"))
add("palette_transparent.png", encoded(indexed, format="PNG", transparency=bytes(range(256))))
for depth in (1, 2, 4):
    rows = [bytes(row) for row in noise(4, 5, 1)[..., 0]]
    samples = [[(int.from_bytes(row, "big") >> (32 - depth * (x + 1))) & (2**depth - 1) for x in range(7)] for row in rows]
    gray = numpy.array(samples) * 255 // (2**depth - 1)
    rows = [row[: (7 * depth + 7) // 8] for row in rows]
    add(f"gray_{depth}.png", png(7, 5, depth, 0, rows), numpy.stack([gray] * 3, -1).astype(numpy.uint8))
    used = palette[: 3 * 2**depth].reshape(-1, 3)
    add(f"palette_{depth}.png", png(7, 5, depth, 3, rows, chunk(b"PLTE", used.tobytes())), used[numpy.array(samples)])
wide = noise(7, 5, 4, 65536, numpy.uint16)
narrow = ((wide.astype(int) + 128) // 257).astype(numpy.uint8)
for name, color, channels, shown in (
    ("gray_16", 0, [0], [0, 0, 0]),
    ("gray_alpha_16", 4, [0, 3], [0, 0, 0]),
    ("rgb_16", 2, [0, 1, 2], [0, 1, 2]),
    ("rgba_16", 6, [0, 1, 2, 3], [0, 1, 2]),
):
    rows = [row.astype(">u2").tobytes() for row in wide[..., channels]]
    add(f"{name}.png", png(7, 5, 16, color, rows), narrow[..., shown])
key = struct.pack(">HHH", *[int(v) for v in noise(7, 5, 3)[0, 0]])
add("rgb_key.png", png(7, 5, 8, 2, [row.tobytes() for row in noise(7, 5, 3)], chunk(b"tRNS", key)))
add("gray_key.png", png(7, 5, 8, 0, [row.tobytes() for row in noise(7, 5, 1)], chunk(b"tRNS", b"\0\x40")))

add("lossless.webp", encoded(Image.fromarray(noise(7, 5, 3)), format="WEBP", lossless=True))
add("lossless_alpha.webp", encoded(Image.fromarray(noise(7, 5, 4)), format="WEBP", lossless=True, exact=True))
add("lossy.webp", encoded(rgb, format="WEBP", quality=90), tolerance=3)
frames = [Image.fromarray(noise(7, 5, 3)), Image.fromarray(noise(7, 5, 3)[::-1].copy())]
first = numpy.asarray(frames[0])
add("animated.webp", encoded(frames[0], format="WEBP", lossless=True, save_all=True, append_images=frames[1:]), first)

add("rgb.bmp", encoded(Image.fromarray(noise(7, 5, 3)), format="BMP"))
add("gray.bmp", encoded(Image.fromarray(noise(7, 5, 1)[..., 0]), format="BMP"))
add("palette.bmp", encoded(indexed, format="BMP"))
add("bits.bmp", encoded(Image.fromarray(noise(7, 5, 1)[..., 0]).convert("1"), format="BMP"))

add("palette.gif", encoded(indexed, format="GIF"))
add("transparent.gif", encoded(indexed, format="GIF", transparency=int(noise(7, 5, 1)[0, 0, 0])))
add("interlaced.gif", encoded(indexed, format="GIF", interlace=1))
moving = [indexed, Image.fromarray(255 - noise(7, 5, 1)[..., 0], mode="P")]
moving[1].putpalette(palette.tobytes())
add("animated.gif", encoded(moving[0], format="GIF", save_all=True, append_images=moving[1:]))
# A frame that covers a part of its screen: the screen's size is changed in the header.
for name, size, transparency in (("beside", (12, 9), None), ("beside_transparent", (12, 9), 5), ("beyond", (4, 3), None)):
    data = encoded(indexed, format="GIF", **({} if transparency is None else {"transparency": transparency}))
    add(f"{name}.gif", data[:6] + struct.pack("<HH", *size) + data[10:])

# For the benchmark alone: as large as a photograph on the web, with its usual amount of detail.
detail = numpy.random.default_rng(0).normal(0, 6, (392, 474, 3))
photo = numpy.clip(smooth(474, 392, 3) + detail, 0, 255).astype(numpy.uint8)
(FOLDER / "photo.jpg").write_bytes(encoded(Image.fromarray(photo), format="JPEG", quality=80))

text = "[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n"
(HERE / "images.json").write_text(text)
