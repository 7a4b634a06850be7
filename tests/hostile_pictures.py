"""Small valid pictures in every format, and damaged copies of them."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hostile import Case, damaged
from PIL import Image, ImageDraw

from facever.errors import ImageError
from facever.faces.formats import decodable_formats
from facever.faces.images import load_photograph
from facever.faces.sources import ImageBytes, read

FILE = "picture"


@cache
def valid_pictures() -> dict[str, bytes]:
    """One file or more of each format that can be decoded here."""
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8).repeat(2, 0).repeat(2, 1))
    ImageDraw.Draw(picture).ellipse((8, 8, 48, 40), fill="teal")
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0x9003] = "2019:05:04 03:02:01"
    with_exif: dict[str, Any] = {"exif": exif.tobytes()}
    frames: dict[str, Any] = {"save_all": True, "append_images": [picture.rotate(180)]}
    deep = Image.fromarray(np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 20)
    ways: dict[str, tuple[str, Image.Image, dict[str, Any]]] = {
        "JPEG": ("JPEG", picture, with_exif),
        "JPEG, progressive": ("JPEG", picture, {"progressive": True}),
        "JPEG, CMYK": ("JPEG", picture.convert("CMYK"), {}),
        "JPEG, several": ("MPO", picture, frames),
        "PNG": ("PNG", picture, with_exif),
        "PNG, palette": ("PNG", picture.quantize(16), {"transparency": b"\0\x80"}),
        "PNG, animated": ("PNG", picture, frames),
        "PNG, 16 bits": ("PNG", deep, {}),
        "WebP": ("WEBP", picture, with_exif),
        "WebP, lossless": ("WEBP", picture.convert("RGBA"), {"lossless": True}),
        "WebP, animated": ("WEBP", picture, frames),
        "TIFF": ("TIFF", picture, with_exif),
        "TIFF, LZW": ("TIFF", picture, {"compression": "tiff_lzw"}),
        "TIFF, deflate": ("TIFF", deep, {"compression": "tiff_adobe_deflate"}),
        "TIFF, fax": ("TIFF", picture.convert("1"), {"compression": "group4"}),
        "TIFF, JPEG": ("TIFF", picture, {"compression": "jpeg"}),
        "TIFF, several": ("TIFF", picture, frames),
        "GIF": ("GIF", picture, frames),
        "BMP": ("BMP", picture, {}),
        "BMP, palette": ("BMP", picture.quantize(16), {}),
        "PPM": ("PPM", picture, {}),
        "PGM": ("PPM", deep, {}),
        "JPEG 2000": ("JPEG2000", picture, {}),
        "JPEG 2000, bare": ("JPEG2000", picture, {"no_jp2": True}),
        "AVIF": ("AVIF", picture, with_exif),
        "AVIF, animated": ("AVIF", picture, frames),
    }
    found = {}
    for name, (kind, source, options) in ways.items():
        if kind in (*decodable_formats(), "MPO"):
            file = io.BytesIO()
            # Copies, since Pillow keeps a former format's settings in the picture.
            more = [each.copy() for each in options.get("append_images", [])]
            source.copy().save(file, kind, **(options | ({"append_images": more} if more else {})))
            found[name] = file.getvalue()
    found["PPM, plain"] = b"P3\n4 3\n255\n" + b" ".join(b"%d" % each for each in range(36)) + b"\n"
    if "HEIF" in decodable_formats():
        from heic_sample import HEIC

        found["HEIC"] = HEIC
    return found


def picture_cases(count: int, seed: int = 0) -> Iterator[tuple[str, Case]]:
    """Damaged pictures of all formats in turn."""
    pictures = valid_pictures()
    names = sorted(pictures)
    for i in range(count):
        rng = random.Random(f"{seed} {i}")
        name = names[i % len(names)]
        related = [pictures[each] for each in names if each.partition(",")[0] == name.partition(",")[0]]
        way, content = damaged(rng, pictures[name], related)
        while rng.random() < 0.3 and content:
            more, content = damaged(rng, content, related)
            way += f", {more}"
        if name.startswith("PNG") and rng.random() < 0.7:
            content = sealed(content)
            way += ", sums made to fit"
        yield f"{name} {seed}/{i} ({way})", Case(name, way, FILE, content)


def sealed(png: bytes) -> bytes:
    """A PNG with the sum of each chunk made to fit: else most damage ends at the first one."""
    data, at = bytearray(png), 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            break
        struct.pack_into(">I", data, end, zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return bytes(data)


def large_pictures(*names: str) -> dict[str, bytes]:
    """Small files of as many pixels as are decoded, in every mode (or those named) that takes another way to RGB."""
    side = 8900
    black = Image.new("L", (side, side))
    turned = Image.Exif()
    turned[0x0112] = 6
    ways: dict[str, tuple[str, Callable[[], Image.Image], dict[str, Any]]] = {
        "RGB": ("PNG", lambda: Image.new("RGB", (side, side)), {}),
        "gray": ("PNG", lambda: black, {}),
        "one bit": ("PNG", lambda: Image.new("1", (side, side)), {}),
        "16 bits": ("PNG", lambda: Image.fromarray(np.zeros((side, side), np.uint16)), {}),
        "transparent": ("PNG", lambda: Image.new("RGBA", (side, side)), {}),
        "gray and transparent": ("PNG", lambda: Image.new("LA", (side, side)), {}),
        "transparent palette": ("PNG", lambda: Image.new("P", (side, side)), {"transparency": 0}),
        "ink": ("TIFF", lambda: Image.new("CMYK", (side, side)), {"compression": "tiff_lzw"}),
        "16 bits, TIFF": (
            "TIFF",
            lambda: Image.fromarray(np.zeros((side, side), np.uint16)),
            {"compression": "tiff_lzw"},
        ),
        "32 bits": (
            "TIFF",
            lambda: Image.fromarray(np.zeros((side, side), np.int32)),
            {"compression": "tiff_lzw"},
        ),
        "turned": ("JPEG", lambda: black, {"exif": turned}),
        "progressive": ("JPEG", lambda: Image.new("RGB", (side, side)), {"progressive": True}),
    }
    found = {}
    for name in names or ways:
        kind, make, options = ways[name]
        file = io.BytesIO()
        make().save(file, kind, **options)
        found[name] = file.getvalue()
    return found


def prepare_pictures(folder: Path) -> dict[str, Callable[[], object]]:
    """Readers of all kinds of pictures: the one file, by its path and by its content."""
    path = folder / FILE
    pictures = valid_pictures()
    path.write_bytes(pictures["PNG"])
    return {name: lambda: by_both_ways(path) for name in [*pictures, "large"]}


def by_both_ways(path: Path) -> None:
    """Decode a file by `load_photograph`, and its bytes as workers do; raise its ImageError."""
    content = path.read_bytes()
    if zlib.crc32(content) % 2:
        found = load_photograph(path, needed=16)
        pixels: Any = found.pixels
    else:
        decoded = read(ImageBytes("inside.zip", content), strict=bool(content[-1] % 2) if content else False)
        if isinstance(decoded.image, ImageError):
            assert decoded.image.source == "inside.zip", "the error names another picture"
            raise decoded.image
        pixels = decoded.image
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3, "no RGB pixels"
    assert pixels.size and pixels.flags.c_contiguous, "no pixels"
