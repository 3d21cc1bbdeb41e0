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

# JPEG that is odd outside of its coded data.
plain = encoded(rgb, format="JPEG", quality=90)
shown = numpy.asarray(Image.open(io.BytesIO(plain)).convert("RGB"))
scan = plain.index(b"\xff\xda")
coded = scan + 2 + plain[scan + 3]
add("scan_header.jpg", plain[: coded - 2] + b"\0" + plain[coded - 1 :], shown)
add("comment_of_0.jpg", plain[:2] + b"\xff\xfe\0\0" + plain[2:], shown)
add("long_last_segment.jpg", plain[:-2] + b"\xff\xe0\xff\xff" + plain[-2:], shown)
# Some scans alone: libjpeg smooths over blocks.
progressive = encoded(rgb, format="JPEG", quality=90, progressive=True)
end = 0
for number in range(1, 9):
    end = progressive.index(b"\xff\xda", end) + 2
    if number in (1, 3, 6, 8):
        following = min(progressive.find(marker, end) % len(progressive) for marker in (b"\xff\xc4", b"\xff\xda"))
        add(f"scans_{number}.jpg", progressive[:following] + b"\xff\xd9")

# Orientation, in all the places where it is looked for.
upright = Image.fromarray(letter)
large = encoded(Image.fromarray(letter.repeat(8, 0).repeat(8, 1)), format="JPEG", quality=95)
exif = b"Exif\0\0II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x112, 3, 1, 6, 0, 0)
xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'


def app1(body):
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def with_chunk(name, body):
    data = encoded(upright, format="PNG")
    return data[:33] + chunk(name, body) + data[33:]


profile = f"\nexif\n{len(exif):8d}\n{exif.hex()}\n".encode()
turned = numpy.asarray(upright.rotate(-90, expand=True))
add("exif_in_two.jpg", large[:2] + app1(exif[:20]) + app1(exif[:6] + exif[20:]) + large[2:])
add("exif_byte.jpg", large[:2] + app1(exif.replace(b"\x12\x01\x03", b"\x12\x01\x01")) + large[2:])
add("exif_magic.jpg", large[:2] + app1(exif.replace(b"II*", b"II+")) + large[2:])
add("xmp.jpg", large[:2] + app1(b"http://ns.adobe.com/xap/1.0/\0" + xmp) + large[2:])
add("xmp.png", with_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp), turned)
add("xmp_packed.png", with_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp)), turned)
add("xmp.webp", encoded(upright, format="WEBP", lossless=True, xmp=xmp), turned)
add("raw_profile.png", with_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile)), turned)
add("raw_profile_plain.png", with_chunk(b"tEXt", b"Raw profile type APP1\0" + profile), turned)


def bmp(bits, compression, coded, header=40, size=(7, 5), masks=(), palette=b"", colours=0, planes=1, offset=None):
    head = struct.pack("<IiiHHIIIIII", header, *size, planes, bits, compression, len(coded), 0, 0, colours, 0)
    head += b"".join(struct.pack("<I", mask) for mask in masks)
    head += b"\0" * (header - 40 - 4 * len(masks)) if header > 40 else b""
    begin = 14 + len(head) + len(palette)
    begin = begin if offset is None else offset
    return struct.pack("<2sIHHI", b"BM", 14 + len(head) + len(palette) + len(coded), 0, 0, begin) + head + palette + coded


indices = noise(8, 5, 1)[..., 0]
bgr = numpy.concatenate([palette.reshape(-1, 3)[:, ::-1], numpy.zeros((256, 1), numpy.uint8)], 1).tobytes()
looked_up = palette.reshape(-1, 3)[indices[::-1, :7]]
indexed_bmp = {"bits": 8, "compression": 0, "coded": indices.tobytes(), "palette": bgr, "colours": 256}
add("offset_at_palette.bmp", bmp(**indexed_bmp, offset=54))
add("os2.bmp", bmp(**indexed_bmp, header=64), looked_up)
add("planes_0.bmp", bmp(**indexed_bmp, planes=0), looked_up)
add("downwards.bmp", bmp(**{**indexed_bmp, "size": (7, -5)}), looked_up[::-1])
words = noise(8, 5, 1, 65536, numpy.uint16)[..., 0].astype("<u2")
add("rgb_565.bmp", bmp(16, 3, words.tobytes(), masks=(0xF800, 0x7E0, 0x1F)))
add("rgb_555.bmp", bmp(16, 0, words.tobytes()))
wide = noise(7, 5, 4)
add("rgb_32.bmp", bmp(32, 0, wide.tobytes()), wide[::-1, :, 2::-1])
add("masks_32.bmp", bmp(32, 3, wide.tobytes(), header=124, masks=(0xFF, 0xFF00, 0xFF0000, 0xFF000000)), wide[::-1, :, :3])
# Pillow takes a palette of black and white for one of gray levels.
two = bytes([0, 0, 0, 0, 255, 255, 255, 0])
halves = noise(8, 5, 1, 2)[..., 0]
nibbles = halves[:, ::2] * 16 + halves[:, 1::2]
black_and_white = (halves[::-1, :7, None] * 255).repeat(3, 2).astype(numpy.uint8)
add("two_colours.bmp", bmp(4, 0, numpy.pad(nibbles, ((0, 0), (0, 0))).tobytes(), palette=two, colours=2), black_and_white)
# A run and literals, a jump, a line that ends early, and a bitmap that does.
runs = bytes([3, 9, 0, 4, 1, 2, 3, 4, 0, 0, 2, 5, 0, 2, 2, 1, 3, 6, 0, 0, 0, 3, 7, 8, 9, 0, 0, 0, 7, 77, 0, 1])
add("runs_8.bmp", bmp(8, 1, runs, palette=bgr, colours=256))
runs = bytes([5, 0x9A, 0, 3, 0x12, 0x30, 0, 0, 7, 0x45, 0, 0, 0, 7, 0x12, 0x34, 0x56, 0x70, 0, 0, 7, 0x11, 0, 0, 7, 0x23, 0, 1])
add("runs_4.bmp", bmp(4, 2, runs, palette=bgr[:64], colours=16))

data = encoded(indexed, format="GIF")
table = 3 * 2 ** ((data[10] & 7) + 1)
add("no_palette.gif", data[:10] + bytes([data[10] & 0x7F]) + data[11:13] + data[13 + table :])


def tiff(order, width, height, fields, parts, tiled=None):
    """A TIFF of those strips, one a plane, or tiles. `fields` are (tag, kind, values)."""
    offset = 8
    places = [offset := offset + (len(part) if place else 0) for place, part in enumerate([b"", *parts])][:-1]
    body = b"".join(parts)
    where = (324, 325) if tiled else (273, 279)
    fields = [(256, 4, [width]), (257, 4, [height]), *fields, (where[0], 4, places), (where[1], 4, [len(part) for part in parts])]
    fields += [(322, 4, [tiled[0]]), (323, 4, [tiled[1]])] if tiled else [(278, 4, [height])]
    entries = b""
    for tag, kind, values in sorted(fields):
        value = struct.pack(order + {1: "B", 3: "H", 4: "I"}[kind] * len(values), *values)
        if len(value) > 4:
            value, body = struct.pack(order + "I", 8 + len(body)), body + value + b"\0" * (len(value) % 2)
        entries += struct.pack(order + "HHI", tag, kind, len(values)) + value.ljust(4, b"\0")
    magic = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HI", 42, 8 + len(body))
    return magic + body + struct.pack(order + "H", len(fields)) + entries + b"\0" * 4


seven = Image.fromarray(noise(7, 5, 3))
for compression in ("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate"):
    add(f"{compression}.tif", encoded(seven, format="TIFF", compression=compression))
add("predictor.tif", encoded(rgb, format="TIFF", compression="tiff_lzw", tiffinfo={317: 2}))
add("jpeg.tif", encoded(rgb, format="TIFF", compression="jpeg", quality=90))
add("jpeg_strips.tif", encoded(rgb, format="TIFF", compression="jpeg", quality=90, strip_size=37 * 3 * 16))
add("jpeg_gray.tif", encoded(rgb.convert("L"), format="TIFF", compression="jpeg", quality=90))
add("gray.tif", encoded(Image.fromarray(noise(7, 5, 1)[..., 0]), format="TIFF"))
add("bits.tif", encoded(Image.fromarray(noise(7, 5, 1)[..., 0]).convert("1"), format="TIFF"))
add("palette.tif", encoded(indexed, format="TIFF"))
add("rgba.tif", encoded(Image.fromarray(noise(7, 5, 4)), format="TIFF"))
add("gray_alpha.tif", encoded(Image.fromarray(noise(7, 5, 2), mode="LA"), format="TIFF"))
add("cmyk.tif", encoded(Image.fromarray(noise(7, 5, 4), mode="CMYK"), format="TIFF"))
add("pages.tif", encoded(seven, format="TIFF", save_all=True, append_images=[rgb]))
for orientation in range(2, 9):
    add(f"orientation_{orientation}.tif", encoded(upright, format="TIFF", tiffinfo={274: orientation}))
nibbles = noise(4, 5, 1)[..., 0].tobytes()
four = [(258, 3, [4]), (277, 3, [1])]
add("gray_4_white_is_zero.tif", tiff(">", 7, 5, [*four, (262, 3, [0])], [nibbles]))
colours = [int(value) * 257 for value in palette[:48].reshape(-1, 3).T.reshape(-1)]
add("palette_4.tif", tiff(">", 7, 5, [*four, (262, 3, [3]), (320, 3, colours)], [nibbles]))
alpha = [(258, 3, [8] * 4), (262, 3, [2]), (277, 3, [4]), (338, 3, [1])]
add("multiplied.tif", tiff("<", 7, 5, alpha, [noise(7, 5, 4).tobytes()]))
eight = [(258, 3, [8] * 3), (262, 3, [2]), (277, 3, [3])]
add("planes.tif", tiff("<", 7, 5, [*eight, (284, 3, [2])], [noise(7, 5, 3)[..., channel].tobytes() for channel in range(3)]))
tiles = numpy.pad(noise(37, 29, 3), ((0, 3), (0, 11), (0, 0)))
tiles = [tiles[y : y + 16, x : x + 16].tobytes() for y in (0, 16) for x in (0, 16, 32)]
add("tiles.tif", tiff("<", 37, 29, eight, tiles, (16, 16)))
wide = noise(7, 5, 4, 65536, numpy.uint16)
for order, name in (("<", "little"), (">", "big")):
    samples = wide[..., 0].astype(order + "u2").tobytes()
    gray = tiff(order, 7, 5, [(258, 3, [16]), (262, 3, [1]), (277, 3, [1])], [samples])
    add(f"gray_16_{name}.tif", gray, narrow[..., [0, 0, 0]])
    samples = wide[..., :3].astype(order + "u2").tobytes()
    fields = [(258, 3, [16] * 3), (262, 3, [2]), (277, 3, [3])]
    add(f"rgb_16_{name}.tif", tiff(order, 7, 5, fields, [samples]), narrow[..., :3])

# What is refused, and decode_tests.rs knows how.
REFUSED = HERE / "refused"
REFUSED.mkdir(exist_ok=True)


def riff(name, body):
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def three(value):
    return value.to_bytes(3, "little")


# Animated, of 16 pixels each way by its frame's header, with 32 of lossy colours and 16 of alpha.
lossy = encoded(Image.new("RGB", (32, 32), (200, 90, 60)), format="WEBP", quality=90)[12:]
frame = riff(b"ANMF", three(0) * 2 + three(15) * 2 + three(100) + b"\2" + riff(b"ALPH", b"\0" + b"\xff" * 256) + lossy)
body = b"WEBP" + riff(b"VP8X", bytes([0x12, 0, 0, 0]) + three(31) * 2) + riff(b"ANIM", bytes(6)) + frame
(REFUSED / "frame_larger_than_said.webp").write_bytes(riff(b"RIFF", body))
# One of 32 pixels on a canvas of 16.
body = b"WEBP" + riff(b"VP8X", bytes(4) + three(15) * 2) + lossy
(REFUSED / "larger_than_canvas.webp").write_bytes(riff(b"RIFF", body))
data = bytearray(encoded(indexed, format="GIF"))
frame = data.index(b",", 13 + 3 * 2 ** ((data[10] & 7) + 1))
for name, place in (("rows", frame + 7), ("columns", frame + 5)):
    (REFUSED / f"no_{name}.gif").write_bytes(data[:place] + b"\0" + data[place + 1 :])
(REFUSED / "float.tif").write_bytes(encoded(Image.fromarray(noise(7, 5, 1)[..., 0].astype("f4")), format="TIFF"))
many = [(258, 3, [8] * 60), (262, 3, [2]), (277, 3, [60]), (338, 3, [0] * 57)]
(REFUSED / "samples.tif").write_bytes(tiff("<", 7, 5, many, [bytes(7 * 5 * 60)]))
(REFUSED / "wide_tile.tif").write_bytes(tiff("<", 7, 5, eight, [b"\0" * 16], (1 << 28, 16)))
# Its compression is a text of 4 GB; BigTIFF with nothing else.
text = tiff("<", 7, 5, [*eight, (259, 3, [1])], [bytes(7 * 5 * 3)])
text = text.replace(struct.pack("<HHI", 259, 3, 1), struct.pack("<HHI", 259, 2, 2**32 - 1))
(REFUSED / "long_text.tif").write_bytes(text)
(REFUSED / "big.tif").write_bytes(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16))

# For the benchmark alone: as large as a photograph on the web, with its usual amount of detail.
detail = numpy.random.default_rng(0).normal(0, 6, (392, 474, 3))
photo = numpy.clip(smooth(474, 392, 3) + detail, 0, 255).astype(numpy.uint8)
(FOLDER / "photo.jpg").write_bytes(encoded(Image.fromarray(photo), format="JPEG", quality=80))

text = "[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n"
(HERE / "images.json").write_text(text)
