"""Decoding: pixel values worked out by hand, and broken files that must end as one kind of error."""

from __future__ import annotations

import io
import os
import pickle
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from heic_sample import HEIC
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFile, features

from facever.datasets.identities import read_identities
from facever.datasets.lfw import read_lfw_pairs
from facever.errors import DataError, FaceverError, ImageError
from facever.faces import formats
from facever.faces.folders import HIDDEN, LINKED, OTHER_SUFFIX, Folder, find_photographs, ignored_note, passed_over_note
from facever.faces.formats import photograph_suffixes, undecodable_suffixes
from facever.faces.images import MAX_PIXELS, header_pixels, load_image, load_photograph

AS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
ORIENTATION = 0x0112
WITH_AVIF = pytest.param("AVIF", marks=pytest.mark.skipif(not features.check("avif"), reason="a Pillow without AVIF"))


def encode(picture: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def png(width: int, height: int, depth: int, color: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG written by hand; `rows` are the unfiltered rows, each behind its zero byte."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + extra
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def tiff(
    width: int, height: int, bits: int, photometric: int, rows: bytes, *, channels: int = 1, order: str = "<"
) -> bytes:
    """An uncompressed TIFF of one strip, written by hand."""
    rows += bytes(len(rows) % 2)
    # (tag, type: 3 short or 4 long, count, value); several bit counts stand between the rows and the tags.
    bits_entry = (258, 3, 1, bits) if channels == 1 else (258, 3, channels, 8 + len(rows))
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        bits_entry,
        (259, 3, 1, 1),
        (262, 3, 1, photometric),
        (273, 4, 1, 8),
        (277, 3, 1, channels),
        (278, 4, 1, height),
        (279, 4, 1, len(rows)),
    ]
    bit_counts = b"" if channels == 1 else struct.pack(f"{order}{channels}H", *[bits] * channels)
    directory = struct.pack(f"{order}H", len(entries))
    for tag, kind, count, value in entries:
        inline = "H2x" if kind == 3 and count == 1 else "I"
        directory += struct.pack(f"{order}HHI{inline}", tag, kind, count, value)
    start = 8 + len(rows) + len(bit_counts)
    magic = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, start)
    return magic + rows + bit_counts + directory + bytes(4)


def pixels(*colors: tuple[int, int, int]) -> list[list[list[int]]]:
    """One row of colors, as `load_image(...).tolist()` gives it."""
    return [[list(color) for color in colors]]


def gray(values: Any) -> list[list[list[int]]]:
    """Gray levels of shape (H, W), as `load_image(...).tolist()` gives them."""
    return [[[value] * 3 for value in row] for row in values]


def assert_is_rgb(array: NDArray) -> None:
    assert array.dtype == np.uint8
    assert array.ndim == 3
    assert array.shape[2] == 3
    assert array.flags.c_contiguous
    assert array.flags.writeable


ORANGE, BLACK, WHITE = (200, 100, 0), (0, 0, 0), (255, 255, 255)


# ---- formats and pixel types ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "options"),
    [
        *[("PNG", {}), ("BMP", {}), ("TIFF", {}), ("PPM", {}), ("GIF", {})],
        *[("WEBP", {"lossless": True}), ("JPEG2000", {}), ("JPEG2000", {"no_jp2": True})],
    ],
)
def test_every_lossless_format_gives_the_stored_colors_in_rgb_order(format: str, options: dict) -> None:
    picture = Image.fromarray(np.array([[ORANGE, BLACK]], dtype=np.uint8))
    array = load_image(encode(picture, format, **options))
    assert_is_rgb(array)
    assert array.tolist() == pixels(ORANGE, BLACK)


@pytest.mark.parametrize("format", ["JPEG", WITH_AVIF])
def test_a_lossy_format_gives_the_stored_color_within_its_loss(format: str) -> None:
    array = load_image(encode(Image.new("RGB", (20, 10), ORANGE), format, quality=95))
    assert_is_rgb(array)
    assert array.shape == (10, 20, 3)
    assert np.abs(array.astype(int) - ORANGE).max() <= 3


def test_a_file_by_str_or_path_and_its_bytes_give_the_same_picture(tmp_path: Path) -> None:
    content = encode(Image.new("RGB", (2, 1), ORANGE), "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for source in (path, str(path), content):
        assert load_image(source).tolist() == pixels(ORANGE, ORANGE)


def test_the_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encode(Image.new("RGB", (1, 1), ORANGE), "PNG"))
    assert load_image(path).tolist() == pixels(ORANGE)


# Half transparent: 100 over white is (100 · 128 + 255 · 127) / 255 = 177.2, 200 is 227.4, 0 is 127.
PALETTE = bytes([200, 100, 0, 0, 0, 0])
BY_HAND = {
    "grayscale": (png(2, 1, 8, 0, b"\0\x07\xc8"), pixels((7, 7, 7), (200, 200, 200))),
    "1-bit": (png(3, 1, 1, 0, b"\0\xa0"), pixels(WHITE, BLACK, WHITE)),
    "2-bit grayscale": (png(4, 1, 2, 0, b"\0\x1b"), gray([[0, 85, 170, 255]])),
    "RGB": (png(1, 1, 8, 2, b"\0" + bytes(ORANGE)), pixels(ORANGE)),
    "palette": (png(2, 1, 8, 3, b"\0\x01\x00", png_chunk(b"PLTE", PALETTE)), pixels(BLACK, ORANGE)),
    "palette, half and fully transparent": (
        png(2, 1, 8, 3, b"\0\x00\x01", png_chunk(b"PLTE", PALETTE) + png_chunk(b"tRNS", b"\x80\x00")),
        pixels((227, 177, 127), WHITE),
    ),
    "gray with alpha": (
        png(3, 1, 8, 4, b"\0" + bytes([100, 0, 100, 128, 100, 255])),
        gray([[255, 177, 100]]),
    ),
    "RGBA": (
        png(3, 1, 8, 6, b"\0" + bytes([*ORANGE, 0, *ORANGE, 128, *ORANGE, 255])),
        pixels(WHITE, (227, 177, 127), ORANGE),
    ),
    "grayscale with a transparent level": (
        png(2, 1, 8, 0, b"\0\x07\x08", png_chunk(b"tRNS", b"\0\x07")),
        gray([[255, 8]]),
    ),
    "RGB with a transparent color": (
        png(2, 1, 8, 2, b"\0" + bytes([*ORANGE, 1, 2, 3]), png_chunk(b"tRNS", struct.pack(">3H", *ORANGE))),
        pixels(WHITE, (1, 2, 3)),
    ),
    # 16 bits: a gray level is divided by 257 and rounded, 25828 / 257 = 100.498 and 25829 / 257 = 100.502.
    "16-bit PNG": (
        png(5, 1, 16, 0, b"\0" + struct.pack(">5H", 0, 25700, 25828, 25829, 65535)),
        gray([[0, 100, 100, 101, 255]]),
    ),
    "16-bit PNG with a transparent level": (
        png(2, 1, 16, 0, b"\0" + struct.pack(">2H", 0, 25700), png_chunk(b"tRNS", b"\0\0")),
        gray([[255, 100]]),
    ),
    "16-bit PGM": (
        b"P5 3 1 65535\n" + struct.pack(">3H", 0, 25700, 65535),
        gray([[0, 100, 255]]),
    ),
    "16-bit little-endian TIFF": (
        tiff(3, 1, 16, 1, struct.pack("<3H", 0, 25700, 65535)),
        gray([[0, 100, 255]]),
    ),
    "16-bit big-endian TIFF": (
        tiff(3, 1, 16, 1, struct.pack(">3H", 0, 25700, 65535), order=">"),
        gray([[0, 100, 255]]),
    ),
    "16-bit TIFF with inverted levels": (
        tiff(3, 1, 16, 0, struct.pack("<3H", 0, 39835, 65535)),
        gray([[255, 100, 0]]),
    ),
    "12-bit TIFF": (tiff(2, 1, 12, 1, b"\xff\xf0\x00"), gray([[255, 0]])),
    "32-bit TIFF of 16-bit range": (
        tiff(3, 1, 32, 1, struct.pack("<3I", 0, 25700, 65535)),
        gray([[0, 100, 255]]),
    ),
    "16-bit RGB": (
        png(1, 1, 16, 2, b"\0" + struct.pack(">3H", 65535, 25700, 0)),
        pixels((255, 100, 0)),
    ),
    "16-bit RGBA": (
        png(1, 1, 16, 6, b"\0" + struct.pack(">4H", 51400, 25700, 0, 0x8080)),
        pixels((227, 177, 127)),
    ),
    "16-bit gray with alpha": (
        png(1, 1, 16, 4, b"\0" + struct.pack(">2H", 25700, 0x8080)),
        gray([[177]]),
    ),
    # Ink: cyan and magenta alone take away red and green, black takes away everything.
    "CMYK TIFF": (
        tiff(3, 1, 8, 5, bytes([255, 0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 255]), channels=4),
        pixels((0, 255, 255), (255, 0, 255), BLACK),
    ),
}


@pytest.mark.parametrize("kind", BY_HAND)
def test_pixel_types_written_by_hand(kind: str) -> None:
    content, expected = BY_HAND[kind]
    array = load_image(content)
    assert_is_rgb(array)
    assert array.tolist() == expected


def test_lab_lightness_runs_from_black_to_white() -> None:
    black, white = load_image(tiff(2, 1, 8, 8, bytes([0, 0, 0, 255, 0, 0]), channels=3))[0].astype(int)
    assert black.max() <= 1
    assert white.min() >= 254


def test_lab_keeps_the_sign_of_its_color_axes() -> None:
    # a > 0 is red, a < 0 green; b > 0 yellow, b < 0 blue. Both are signed bytes.
    red, green, yellow, blue = load_image(
        tiff(4, 1, 8, 8, bytes([128, 60, 0, 128, 196, 0, 128, 0, 60, 128, 0, 196]), channels=3)
    )[0].astype(int)
    assert red[0] > red[1] + 50
    assert green[1] > green[0] + 50
    assert yellow[0] > yellow[2] + 50
    assert blue[2] > blue[0] + 50


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_pure_cyan_ink_is_cyan_and_no_ink_is_white(format: str) -> None:
    cyan = load_image(encode(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), format))
    white = load_image(encode(Image.new("CMYK", (16, 16), (0, 0, 0, 0)), format))
    assert np.abs(cyan.astype(int) - (0, 255, 255)).max() <= 3
    assert np.abs(white.astype(int) - 255).max() <= 3


def test_ycbcr_tiff_is_converted() -> None:
    # Red is Y 76, Cb 85, Cr 255 (BT.601, full range).
    array = load_image(encode(Image.new("YCbCr", (16, 16), (76, 85, 255)), "TIFF"))
    assert np.abs(array.astype(int) - (255, 0, 0)).max() <= 3


def test_a_transparent_gif_color_becomes_white() -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([*ORANGE, 1, 2, 3])
    picture.putpixel((1, 0), 1)
    assert load_image(encode(picture, "GIF", transparency=0)).tolist() == pixels(WHITE, (1, 2, 3))


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_an_animation_gives_its_first_frame(format: str) -> None:
    red, blue = (Image.new("RGB", (4, 3), color) for color in [(255, 0, 0), (0, 0, 255)])
    options = {"lossless": True} if format == "WEBP" else {}
    content = encode(red, format, save_all=True, append_images=[blue], duration=50, **options)
    assert Image.open(io.BytesIO(content)).n_frames == 2  # type: ignore[attr-defined]
    assert load_image(content).tolist() == [[[255, 0, 0]] * 4] * 3


def test_one_pixel() -> None:
    assert load_image(png(1, 1, 8, 2, b"\0" + bytes(ORANGE))).tolist() == pixels(ORANGE)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (encode(Image.new("F", (2, 2), 0.5), "TIFF"), "floating point"),
        (tiff(2, 1, 32, 1, struct.pack("<2I", 1, 70_000)), "32 bits"),
        (encode(Image.fromarray(np.array([[-1, 5]], dtype=np.int32)), "TIFF"), "signed"),
    ],
)
def test_pixels_that_do_not_fit_are_refused_with_a_remedy(content: bytes, cause: str) -> None:
    with pytest.raises(ImageError, match=cause) as caught:
        load_image(content)
    assert "save it with 8 or 16 bits" in caught.value.cause


# ---- orientation ---------------------------------------------------------------------------------

# The stored picture is [[A, B, C], [D, E, F]]; each value says which corner its row 0 and column 0 stand for.
A, B, C, D, E, F = 20, 60, 100, 140, 180, 220
STORED = [[A, B, C], [D, E, F]]
UPRIGHT = {
    1: [[A, B, C], [D, E, F]],
    2: [[C, B, A], [F, E, D]],  # mirrored left to right
    3: [[F, E, D], [C, B, A]],  # upside down
    4: [[D, E, F], [A, B, C]],  # mirrored top to bottom
    5: [[A, D], [B, E], [C, F]],  # rows are columns
    6: [[D, A], [E, B], [F, C]],  # needs a quarter turn clockwise
    7: [[F, C], [E, B], [D, A]],  # rows are columns, both reversed
    8: [[C, F], [B, E], [A, D]],  # needs a quarter turn anticlockwise
}


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[ORIENTATION] = orientation
    return block


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_the_time_taken_is_read_from_exif(format: str) -> None:
    picture = Image.fromarray(np.full((8, 8, 3), 90, np.uint8))
    for text, taken in {
        "2008:05:30 15:56:01": datetime(2008, 5, 30, 15, 56, 1),
        "0000:00:00 00:00:00": None,
        "yesterday": None,
    }.items():
        block = exif(1)
        block.get_ifd(0x8769)[0x9003] = text
        assert load_photograph(encode(picture, format, exif=block.tobytes())).taken == taken
    assert load_photograph(encode(picture, format)).taken is None


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_all_exif_orientations_are_turned_upright(format: str, options: dict, orientation: int) -> None:
    picture = Image.fromarray(np.array(gray(STORED), dtype=np.uint8))
    array = load_image(encode(picture, format, exif=exif(orientation), **options))
    assert_is_rgb(array)
    assert array.tolist() == gray(UPRIGHT[orientation])


@pytest.mark.parametrize("format", ["JPEG", WITH_AVIF])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_all_exif_orientations_of_a_lossy_format(orientation: int, format: str) -> None:
    blocks = np.array(STORED, dtype=np.uint8).repeat(16, axis=0).repeat(16, axis=1)
    array = load_image(encode(Image.fromarray(blocks).convert("RGB"), format, quality=95, exif=exif(orientation)))
    centers = array[8::16, 8::16, 0].astype(int)  # one pixel of each block of 16 × 16
    assert centers.shape == np.shape(UPRIGHT[orientation])
    assert np.abs(centers - UPRIGHT[orientation]).max() <= 3


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(orientation: int) -> None:
    picture = Image.fromarray(np.array(gray(STORED), dtype=np.uint8))
    assert load_image(encode(picture, "PNG", exif=exif(orientation))).tolist() == gray(STORED)


@pytest.mark.parametrize(
    "broken",
    [
        b"Exif\0\0garbage, and no TIFF header at all",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0\xff\xff\xff\xff\x06\0\0\0",
    ],
)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_broken_exif_is_ignored_in_silence(format: str, broken: bytes) -> None:
    content = encode(Image.new("RGB", (20, 10), ORANGE), format, exif=broken)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_image(content).shape == (10, 20, 3)


# ---- HEIC ----------------------------------------------------------------------------------------


@pytest.fixture
def without_heic() -> Iterator[None]:
    """As where the extra `heic` was not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pi_heif", None)
        patch.delitem(Image.OPEN, "HEIF", raising=False)  # registered by an earlier test
        formats.decodable_formats.cache_clear()
        yield
    formats.decodable_formats.cache_clear()


def test_a_heic_photograph_is_decoded_and_turned_upright_once() -> None:
    pytest.importorskip("pi_heif")
    array = load_image(HEIC)
    assert_is_rgb(array)
    assert array.shape == (48, 32, 3)
    values = np.array(UPRIGHT[6])
    expected = np.stack([values, 255 - values, np.full_like(values, 40)], axis=2)
    assert np.abs(array[8::16, 8::16].astype(int) - expected).max() <= 3


def test_a_heic_photograph_beyond_the_limit_is_refused_by_its_header() -> None:
    pytest.importorskip("pi_heif")
    with pytest.raises(ImageError, match="1,536 pixels, and the limit is 1,535"):
        load_image(HEIC, max_pixels=48 * 32 - 1)


def test_a_damaged_heic_photograph_is_called_damaged() -> None:
    pytest.importorskip("pi_heif")
    for length in (14, len(HEIC) // 2, len(HEIC) - 1):
        assert "damaged or cut off" in refusal(HEIC[:length]).cause


def test_without_the_extra_a_heic_photograph_is_refused_with_the_remedy(without_heic: None) -> None:
    for content in (HEIC, HEIC[:100]):
        cause = refusal(content).cause
        assert cause == "a HEIC picture; pip install 'facever[heic]' to read HEIC and HEIF, or convert to JPEG"


def test_without_the_extra_a_folder_passes_heic_photographs_over_and_counts_them(
    without_heic: None, tmp_path: Path
) -> None:
    touch(tmp_path, "ann/a.jpg", "ann/b.HEIC", "ann/c.heif", "ben/.d.heic", "ben/e.hif", "ben/f.txt")
    found = find_photographs(tmp_path)
    assert found.paths == [tmp_path / "ann" / "a.jpg"]
    assert found.errors == []
    heic = [tmp_path / name for name in ("ann/b.HEIC", "ann/c.heif", "ben/e.hif")]
    assert found.passed_over == heic
    note = passed_over_note(found.passed_over)
    assert note is not None
    assert note.startswith(f"3 photographs passed over (.heic, .heif, .hif), the first: {heic[0]}; ")
    assert "pip install 'facever[heic]'" in note
    people = read_identities(tmp_path)
    assert (people.paths, people.passed_over) == (found.paths, heic)


def test_without_the_extra_a_data_set_of_heic_alone_is_refused_with_the_remedy(
    without_heic: None, tmp_path: Path
) -> None:
    touch(tmp_path, "ann/b.heic", "ben/c.heic")
    with pytest.raises(DataError, match=r"2 photographs passed over \(\.heic\).*facever\[heic\]"):
        read_identities(tmp_path)


def test_with_the_extra_nothing_is_passed_over(tmp_path: Path) -> None:
    pytest.importorskip("pi_heif")
    touch(tmp_path, "a.heic")
    assert find_photographs(tmp_path) == Folder([tmp_path / "a.heic"], [], [])
    assert passed_over_note([]) is None


# ---- arrays --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[7, 200]], dtype=np.uint8), gray([[7, 200]])),
        (np.array([[[7], [200]]], dtype=np.uint8), gray([[7, 200]])),
        (np.array([[ORANGE]], dtype=np.uint8), pixels(ORANGE)),
        (np.array([[[*ORANGE, 128], [*ORANGE, 0]]], dtype=np.uint8), pixels((227, 177, 127), WHITE)),
        (np.array([[0, 25700, 65535]], dtype=np.uint16), gray([[0, 100, 255]])),
        (np.array([[0, 25700, 65535]], dtype=">u2"), gray([[0, 100, 255]])),
        (np.array([[[65535, 25700, 25829]]], dtype=np.uint16), pixels((255, 100, 101))),
        (np.array([[[51400, 25700, 0, 0x8080]]], dtype=np.uint16), pixels((227, 177, 127))),
        (np.array([[True, False]]), gray([[255, 0]])),
        (np.array([[[True, False, True]]]), pixels((255, 0, 255))),
    ],
)
def test_arrays_of_every_accepted_kind(array: NDArray, expected: list) -> None:
    result = load_image(array)
    assert_is_rgb(result)
    assert result.tolist() == expected


def test_the_result_does_not_share_memory_with_the_array() -> None:
    array = np.zeros((2, 2, 3), dtype=np.uint8)
    load_image(array)[:] = 9
    assert not array.any()


def test_a_strided_read_only_view_is_accepted() -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    array.flags.writeable = False
    result = load_image(array[:, ::-2])
    assert_is_rgb(result)
    assert result[0].tolist() == [[9, 10, 11], [3, 4, 5]]


@pytest.mark.parametrize(
    ("array", "cause"),
    [
        (np.zeros((2, 2, 3), dtype=np.float32), r"float32; .*\(array \* 255\)"),
        (np.zeros((2, 2, 3), dtype=np.int64), r"int64; .*astype\('uint8'\)"),
        (np.zeros((2, 2), dtype=np.uint32), "uint32"),
        (np.zeros((2, 2), dtype=object), "object"),
        (np.zeros((2, 2), dtype=complex), "complex128"),
        (np.zeros((3, 20, 30), dtype=np.uint8), r"\(3, 20, 30\).*channels last"),
        (np.zeros((2, 2, 2), dtype=np.uint8), r"\(2, 2, 2\)"),
        (np.zeros(5, dtype=np.uint8), r"\(5,\)"),
        (np.array(5, dtype=np.uint8), r"\(\)"),
        (np.zeros((1, 2, 2, 3), dtype=np.uint8), r"\(1, 2, 2, 3\)"),
        (np.zeros((0, 2, 3), dtype=np.uint8), "no pixels"),
        (np.zeros((2, 0), dtype=np.uint8), "no pixels"),
    ],
)
def test_other_arrays_are_refused(array: NDArray, cause: str) -> None:
    with pytest.raises(ImageError, match=cause) as caught:
        load_image(array)
    assert caught.value.source == "<array>"


# ---- the pixel limit -----------------------------------------------------------------------------


def test_the_limit_is_the_largest_that_is_accepted() -> None:
    content = png(3, 2, 8, 0, bytes(8))
    assert load_image(content, max_pixels=6).shape == (2, 3, 3)
    with pytest.raises(ImageError, match="6 pixels, and the limit is 5"):
        load_image(content, max_pixels=5)
    with pytest.raises(ImageError, match="6 pixels, and the limit is 5"):
        load_image(np.zeros((2, 3), dtype=np.uint8), max_pixels=5)


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [
        (9_000, 9_000, "81,000,000"),  # Pillow has nothing against it
        (10_000, 10_000, "100,000,000"),  # Pillow warns
        (20_000, 20_000, "400,000,000"),  # Pillow raises
    ],
)
def test_large_pictures_are_refused_by_their_header(
    width: int, height: int, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(picture: Image.Image) -> None:
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError) as caught:
            load_image(png(width, height, 1, 0, b"\0"), name="huge.png")
    assert caught.value.source == "huge.png"
    assert caught.value.cause == f"too large: {size} pixels, and the limit is {MAX_PIXELS:,}; scale it down first"


def test_a_raised_limit_still_names_the_limit_that_stopped_it() -> None:
    limit = 2 * Image.MAX_IMAGE_PIXELS  # type: ignore[operator]
    with pytest.raises(ImageError, match=f"400,000,000 pixels, and the limit is {limit:,}"):
        load_image(png(20_000, 20_000, 1, 0, b"\0"), max_pixels=10**9)


def test_a_pillow_limit_of_a_caller_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ImageError, match="21 pixels, and the limit is 20"):
        load_image(png(7, 3, 8, 0, bytes(24)))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the resource module is Unix's")
def test_refusing_a_large_picture_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(png(20_000, 20_000, 1, 0, bytes(20_000 * 2_501)))  # valid: 50 kB for 400 million pixels
    script = """
import resource, sys
from facever.faces.images import ImageError, load_image
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
unit = 1 if sys.platform == "darwin" else 1024
try:
    load_image(b"warm up")
except ImageError:
    before = peak()
try:
    load_image(sys.argv[1])
except ImageError:
    print((peak() - before) * unit)
"""
    answer = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert answer.stderr == ""
    assert int(answer.stdout) < 20_000_000


# ---- files that can't be read --------------------------------------------------------------------


def refusal(source: Any, **options: Any) -> ImageError:
    with pytest.raises(ImageError) as caught:
        load_image(source, **options)
    return caught.value


@pytest.mark.parametrize(
    ("needed", "reduction"), [(None, 1), (1201, 1), (1200, 1), (601, 1), (600, 2), (301, 2), (300, 4), (100, 8)]
)
def test_a_jpeg_is_reduced_as_long_as_its_shorter_side_keeps_what_is_needed(needed: int | None, reduction: int) -> None:
    """Blocks of one color, 1600x1200, turned by EXIF: left half red, right half blue become top and bottom."""
    picture = Image.new("RGB", (1600, 1200), (200, 0, 0))
    picture.paste((0, 0, 200), (800, 0, 1600, 1200))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    found = load_photograph(encode(picture, "JPEG", exif=exif), needed=needed)
    assert (found.size, found.reduction) == ((1200, 1600), reduction)
    assert found.pixels.shape == (1600 // reduction, 1200 // reduction, 3)
    np.testing.assert_allclose(found.pixels[20, 20], [200, 0, 0], atol=6)
    np.testing.assert_allclose(found.pixels[-20, -20], [0, 0, 200], atol=6)
    assert header_pixels(encode(picture, "JPEG"), needed) == found.pixels.size // 3


def test_other_formats_are_not_reduced() -> None:
    found = load_photograph(encode(Image.new("RGB", (1600, 1200)), "PNG"), needed=100)
    assert (found.pixels.shape, found.size, found.reduction) == ((1200, 1600, 3), (1600, 1200), 1)


@pytest.mark.slow
def test_a_jpeg_beyond_the_limit_is_read_at_a_reduced_size() -> None:
    content = encode(Image.new("RGB", (12000, 9000), (10, 200, 30)), "JPEG", quality=50)
    with pytest.raises(ImageError, match="too large: 108,000,000 pixels"):
        load_image(content)
    found = load_photograph(content, needed=1400)
    assert (found.pixels.shape, found.size, found.reduction) == ((2250, 3000, 3), (12000, 9000), 4)
    found = load_photograph(content)
    assert (found.pixels.shape, found.size, found.reduction) == ((4500, 6000, 3), (12000, 9000), 2)


@pytest.mark.slow
def test_a_jpeg_of_200_megapixels_is_read_and_one_of_more_or_a_progressive_one_is_not() -> None:
    picture = Image.new("L", (16320, 12240), 90)
    found = load_photograph(encode(picture, "JPEG"), needed=1400)
    assert (found.pixels.shape, found.size, found.reduction) == ((1530, 2040, 3), (16320, 12240), 8)
    assert load_photograph(encode(picture, "JPEG")).reduction == 2
    for refused in (encode(picture, "JPEG", progressive=True), encode(Image.new("L", (24000, 17000)), "JPEG")):
        with pytest.raises(ImageError, match="too large"):
            load_photograph(refused, needed=1400)


@pytest.mark.parametrize(("bits", "white"), [(10, 1023), (12, 4095), (14, 16383), (16, 65535)])
def test_values_of_fewer_bits_than_16_are_scaled_by_their_own_white(bits: int, white: int, tmp_path: Path) -> None:
    levels = np.array([[0, white // 2, white]], np.uint16)
    Image.fromarray(levels).save(tmp_path / "a.png")
    for source in (levels, tmp_path / "a.png"):
        assert load_image(source)[0, :, 0].tolist() == [0, 127, 255]


def test_a_jpeg_that_is_cut_off_is_read_as_far_as_it_goes_with_a_warning(portrait: Path, tmp_path: Path) -> None:
    content, whole = portrait.read_bytes(), load_image(portrait)
    without_end = load_photograph(content[:-2])
    np.testing.assert_array_equal(without_end.pixels, whole)
    assert without_end.warning == "cut off: its last bytes are missing"
    cut = load_photograph(content[: len(content) * 3 // 5])
    assert cut.warning == "cut off: 44% of it is missing"
    np.testing.assert_array_equal(cut.pixels[:300], whole[:300])
    assert (cut.pixels[-100:] == 128).all()
    for refused in (content[:-2], content[: len(content) * 3 // 5]):
        with pytest.raises(ImageError, match="damaged or cut off"):
            load_photograph(refused, strict=True)
    with pytest.raises(ImageError, match=r"cut off \(\d\d% of it is missing\)"):
        load_photograph(content[: len(content) // 6])


def test_pillow_images_and_files_that_are_open_give_the_pixels_of_the_path(portrait: Path) -> None:
    expected = load_image(portrait)
    with Image.open(portrait) as picture:
        np.testing.assert_array_equal(load_image(picture), expected)
        np.testing.assert_array_equal(load_image(picture), expected)  # still open, and unchanged
    with portrait.open("rb") as file:
        np.testing.assert_array_equal(load_image(file), expected)
    np.testing.assert_array_equal(load_image(io.BytesIO(portrait.read_bytes())), expected)
    turned = Image.fromarray(np.array([[[255, 0, 0], [0, 0, 0]]], np.uint8))
    turned.getexif()[0x0112] = 3
    assert load_image(turned)[0, 1].tolist() == [255, 0, 0]
    with portrait.open("r", encoding="latin-1") as text:
        error = refusal(text)
    assert (error.source, error.cause) == (str(portrait), "open as text; open it as binary: open(path, 'rb')")


@pytest.mark.parametrize("url", ["https://example.org/a.jpg", Path("https://example.org/a.jpg"), "s3://bucket/a.jpg"])
def test_a_url_is_no_missing_file(url: str | Path) -> None:
    assert refusal(url).cause == "a URL, not a file; download it, and give the file"
    with pytest.raises(DataError, match="a URL, not a file"):
        find_photographs(url)


def test_a_missing_file(tmp_path: Path) -> None:
    error = refusal(tmp_path / "gone.jpg")
    assert error.source == str(tmp_path / "gone.jpg")
    assert "no such file" in error.cause
    assert isinstance(error, FaceverError)


def test_a_path_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    assert "no such file" in refusal(tmp_path / "a.txt" / "b.jpg").cause


def test_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to(tmp_path / "gone.jpg")
    assert "no such file" in refusal(tmp_path / "a.jpg").cause


def test_a_link_to_itself(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to(tmp_path / "a.jpg")
    assert "can't be opened" in refusal(tmp_path / "a.jpg").cause


def test_a_folder(tmp_path: Path) -> None:
    error = refusal(str(tmp_path))
    assert error.source == str(tmp_path)
    assert "a folder" in error.cause


def test_an_empty_file_and_empty_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    assert "empty" in refusal(tmp_path / "a.jpg").cause
    assert "empty" in refusal(b"").cause


@pytest.mark.skipif(AS_ROOT, reason="root may read everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(1, 1, 8, 0, b"\0\0"))
    path.chmod(0)
    error = refusal(path)
    assert error.source == str(path)
    assert "access rights" in error.cause


def test_a_refused_open_is_told_apart_from_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    path = tmp_path / "a.png"
    path.write_bytes(png(1, 1, 8, 0, b"\0\0"))
    monkeypatch.setattr(Path, "open", refuse)
    assert refusal(path).cause == "can't be opened (Permission denied); check its access rights"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    assert "pipe" in refusal(tmp_path / "a.jpg").cause


@pytest.mark.parametrize("path", ["a\0b.jpg", "x" * 5000 + ".jpg"])
def test_a_name_that_no_file_can_have(path: str) -> None:
    error = refusal(path)
    assert error.source == path
    assert "can't be opened" in error.cause


@pytest.mark.parametrize("source", [None, 5, [1, 2], object()])
def test_something_that_is_no_picture_at_all(source: Any) -> None:
    assert f"not {type(source).__name__}" in refusal(source).cause


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"This is a letter, not a photograph.",
        b"%PDF-1.7\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n%%EndComments\n",
    ],
)
def test_a_file_that_is_not_a_picture(content: bytes) -> None:
    assert refusal(content).cause == "not a picture, or in a format that can't be read; convert it to JPEG or PNG"


def test_a_picture_cut_in_its_header_is_called_damaged_and_not_foreign() -> None:
    formats = ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "JPEG2000", *(["AVIF"] if features.check("avif") else [])]
    for format in formats:
        content = encode(Image.new("RGB", (8, 8), ORANGE), format)
        assert "damaged or cut off" in refusal(content[:14]).cause, format


def test_the_default_and_the_given_name() -> None:
    assert refusal(b"x").source == "<bytes>"
    assert refusal(b"x", name="upload 7").source == "upload 7"
    assert refusal(np.zeros(1), name="frame 3").source == "frame 3"
    assert refusal("gone.jpg", name="left").source == "left"
    assert str(refusal(b"", name="left")).startswith("left: the file is empty")


def test_the_error_survives_pickling() -> None:
    error = refusal(b"x", name="a.jpg")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is ImageError
    assert (copy.source, copy.cause, str(copy)) == ("a.jpg", error.cause, str(error))


@pytest.mark.parametrize(
    "raised",
    [
        OSError("broken data stream"),
        ValueError("bad"),
        SyntaxError("bad"),
        EOFError(),
        struct.error("bad"),
        zlib.error("bad"),
        TypeError("bad"),
        IndexError("bad"),
        KeyError("bad"),
        NotImplementedError(),
        RecursionError("bad"),
        AssertionError(),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        OverflowError("bad\nover two lines " + "x" * 1000),
    ],
    ids=lambda raised: type(raised).__name__,
)
def test_whatever_the_decoder_raises_ends_as_one_short_line(raised: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(picture: Image.Image) -> None:
        raise raised

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    error = refusal(png(1, 1, 8, 0, b"\0\0"), name="a.png")
    assert error.source == "a.png"
    assert "damaged or cut off (" in error.cause
    assert "()" not in error.cause
    assert "\n" not in error.cause
    assert len(error.cause) < 200
    assert error.__cause__ is raised


def test_too_little_memory_is_not_called_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(picture: Image.Image) -> None:
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    assert "not enough memory" in refusal(png(1, 1, 8, 0, b"\0\0")).cause


def test_a_keyboard_interrupt_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(picture: Image.Image) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    with pytest.raises(KeyboardInterrupt):
        load_image(png(1, 1, 8, 0, b"\0\0"))


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8))
WHOLE = {
    "JPEG": encode(NOISE, "JPEG", exif=exif(6)),
    "progressive JPEG": encode(NOISE, "JPEG", progressive=True),
    "CMYK JPEG": encode(NOISE.convert("CMYK"), "JPEG"),
    "PNG": encode(NOISE, "PNG", exif=exif(6)),
    "palette PNG": encode(NOISE.quantize(16), "PNG", transparency=b"\0\x80"),
    "APNG": encode(NOISE, "PNG", save_all=True, append_images=[NOISE.rotate(180)]),
    "GIF": encode(NOISE, "GIF", save_all=True, append_images=[NOISE.rotate(180)]),
    "WebP": encode(NOISE, "WEBP", exif=exif(6)),
    "TIFF": encode(NOISE, "TIFF", exif=exif(6)),
    "BMP": encode(NOISE, "BMP"),
    "PPM": encode(NOISE, "PPM"),
    "JPEG 2000": encode(NOISE, "JPEG2000"),
    **({"AVIF": encode(NOISE, "AVIF", exif=exif(6))} if features.check("avif") else {}),
    **({"HEIC": HEIC} if "HEIF" in formats.decodable_formats() else {}),
}


def loads_or_refuses(content: bytes) -> bool:
    """True for a proper array, False for an `ImageError` with the right name; anything else escapes."""
    try:
        array = load_image(content, max_pixels=1_000_000, name="photo")
    except ImageError as error:
        assert error.source == "photo"
        assert error.cause
        return False
    assert_is_rgb(array)
    return True


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_cut_at_any_length_loads_or_is_refused(kind: str) -> None:
    content = WHOLE[kind]
    assert loads_or_refuses(content)
    loaded = [length for length in range(len(content)) if loads_or_refuses(content[:length])]
    # The first frame may be whole in the first half, and JPEG 2000 begins with a coarse picture.
    frames = 2 if kind in ("APNG", "GIF", "JPEG 2000") else 1
    assert not [length for length in loaded if length < len(content) / (2 * frames)]


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_file_that_lost_a_third_is_refused_with_a_remedy(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(WHOLE[kind][: len(WHOLE[kind]) * 2 // 3])
    error = refusal(path)
    assert error.source == str(path)
    assert "damaged or cut off" in error.cause
    assert "copy or export it again" in error.cause


@given(st.binary(max_size=200))
def test_random_bytes_load_or_are_refused(content: bytes) -> None:
    loads_or_refuses(content)


@given(
    st.sampled_from(sorted(WHOLE)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_a_file_with_changed_bytes_loads_or_is_refused(kind: str, changes: list[tuple[float, int]]) -> None:
    content = bytearray(WHOLE[kind])
    for where, value in changes:
        content[int(where * len(content))] = value
    loads_or_refuses(bytes(content))


@given(st.sampled_from([b"\xff\xd8\xff\xe1", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"P5 ", b"RIFF\x99\0\0\0WEBP"]))
def test_a_signature_alone_is_refused(signature: bytes) -> None:
    assert not loads_or_refuses(signature)
    assert not loads_or_refuses(signature + bytes(40))


def test_overlapping_threads_are_quiet_and_leave_the_warning_filters_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first thread in is the first out: it must neither restore the filters early nor for good."""
    inside = {"first": threading.Event(), "second": threading.Event()}
    leave = {"first": threading.Event(), "second": threading.Event()}
    decode = ImageFile.ImageFile.load
    done = []

    def wait_and_decode(picture: ImageFile.ImageFile) -> Any:
        name = threading.current_thread().name
        if not inside[name].is_set():  # the conversion loads once more
            inside[name].set()
            assert leave[name].wait(10)
            warnings.warn_explicit("odd", UserWarning, "Image.py", 1, module="PIL.Image")
        return decode(picture)

    def work() -> None:
        load_image(png(1, 1, 8, 0, b"\0\0"))
        done.append(threading.current_thread().name)

    monkeypatch.setattr(ImageFile.ImageFile, "load", wait_and_decode)
    threads = [threading.Thread(name=name, target=work) for name in inside]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        for thread in threads:
            thread.start()
            assert inside[thread.name].wait(10)
        for thread in threads:
            leave[thread.name].set()
            thread.join(10)
        assert list(warnings.filters) == before
    assert done == ["first", "second"]


# ---- finding photographs -------------------------------------------------------------------------


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_photographs_are_found_below_the_folder_in_order(tmp_path: Path) -> None:
    touch(tmp_path, "b.jpg", "a.PNG", "ann/2.jpeg", "ann/1.webp", "ann/old/0.tif", "Zoe/x.gif")
    found = find_photographs(tmp_path)
    names = ["Zoe/x.gif", "a.PNG", "ann/1.webp", "ann/2.jpeg", "ann/old/0.tif", "b.jpg"]
    assert found == Folder([tmp_path / name for name in names], [], [])


def test_every_photograph_suffix_counts_and_nothing_else(tmp_path: Path) -> None:
    wanted = ["jpg", "jpeg", "jpe", "png", "webp", "bmp", "tif", "tiff", "gif", "ppm", "pgm", "jp2", "j2k"]
    optional = {"AVIF": ["avif"], "HEIF": ["heic", "heif", "hif"]}
    absent = [suffix for name, each in optional.items() if name not in formats.decodable_formats() for suffix in each]
    wanted += [suffix for each in optional.values() for suffix in each if suffix not in absent]
    assert {f".{suffix}" for suffix in wanted} == photograph_suffixes()
    assert {f".{suffix}" for suffix in absent} == undecodable_suffixes()
    touch(tmp_path, *[f"a.{suffix}" for suffix in wanted], "notes.txt", "jpg", "a.jpg.part")
    found = find_photographs(str(tmp_path))
    assert [path.name for path in found.paths] == sorted(f"a.{suffix}" for suffix in wanted)


def test_folders_of_people_and_lfws_list_take_the_same_suffixes(tmp_path: Path) -> None:
    suffixes = sorted(photograph_suffixes())
    for suffix in suffixes:
        touch(tmp_path, f"Ann{suffix}/Ann{suffix}_0001{suffix}", f"Ann{suffix}/Ann{suffix}_0002{suffix}")
    assert {path.suffix for path in read_identities(tmp_path).paths} == set(suffixes)
    people = [f"Ann{suffix}" for suffix in suffixes]
    genuine = [f"{name}\t1\t2" for name in people]
    impostors = [f"{a}\t1\t{b}\t2" for a, b in zip(people, people[1:] + people[:1], strict=True)]
    (tmp_path / "pairs.txt").write_text("\n".join([f"1\t{len(people)}", *genuine, *impostors]) + "\n")
    pairs = read_lfw_pairs(tmp_path / "pairs.txt", tmp_path)
    assert {path.suffix for pair in pairs for path in (pair.path_a, pair.path_b)} == set(suffixes)  # type: ignore[union-attr]


def test_hidden_files_and_folders_are_skipped(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", ".b.jpg", "._a.jpg", ".jpg", ".thumbnails/c.jpg", "sub/.git/d.jpg")
    assert find_photographs(tmp_path) == Folder([tmp_path / "a.jpg"], [], [])


def test_a_hidden_folder_that_was_asked_for_is_searched(tmp_path: Path) -> None:
    touch(tmp_path, ".private/a.jpg")
    assert find_photographs(tmp_path / ".private") == Folder([tmp_path / ".private/a.jpg"], [], [])


def test_links_to_folders_are_not_followed_and_links_to_files_are(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    touch(tmp_path, "photos/ann/a.jpg", "elsewhere/b.jpg")
    (folder / "ann" / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "elsewhere").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (folder / "c.jpg").symlink_to(tmp_path / "elsewhere" / "b.jpg")
    assert find_photographs(folder) == Folder([folder / "ann" / "a.jpg", folder / "c.jpg"], [], [])


def test_links_to_folders_are_followed_on_demand_each_folder_once(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    touch(tmp_path, "photos/ann/a.jpg", "elsewhere/b.jpg")
    (folder / "ann" / "loop").symlink_to(folder, target_is_directory=True)
    for name in ("first", "second"):
        (folder / name).symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert find_photographs(folder).ignored == {LINKED: 3}
    followed = find_photographs(folder, follow_symlinks=True)
    assert followed == Folder([folder / "ann" / "a.jpg", folder / "first" / "b.jpg"], [], [])


def test_what_a_folder_holds_besides_photographs_is_counted_by_reason(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.mov", "notes.txt", ".c.jpg", ".git/d.jpg", "sub/e.JPG", "sub/f")
    ignored = find_photographs(tmp_path).ignored
    assert ignored == {HIDDEN: 2, OTHER_SUFFIX: 3}
    assert ignored_note(ignored) == "passed over: hidden 2, with another suffix 3"
    assert ignored_note({}) is None


def test_an_empty_folder_has_no_photographs(tmp_path: Path) -> None:
    assert find_photographs(tmp_path) == Folder([], [], [])


def test_a_folder_named_like_a_photograph_is_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "x.jpg/a.jpg")
    assert find_photographs(tmp_path) == Folder([tmp_path / "x.jpg" / "a.jpg"], [], [])


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone: no such folder; check the path"):
        find_photographs(tmp_path / "gone")


def test_a_file_instead_of_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    with pytest.raises(DataError, match=r"a\.jpg: a file, not a folder; name the folder"):
        find_photographs(tmp_path / "a.jpg")


def test_a_folder_name_that_can_not_be(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can't be read"):
        find_photographs("a\0b")


def lock(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a folder unreadable, for root as well."""
    scan = os.scandir

    def scan_unless_locked(path: Any) -> Any:
        if Path(path) == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scan_unless_locked)


def test_an_unreadable_folder_below_is_named_and_the_rest_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a/1.jpg", "locked/2.jpg", "z/3.jpg")
    lock(tmp_path / "locked", monkeypatch)
    found = find_photographs(tmp_path)
    assert found.paths == [tmp_path / "a/1.jpg", tmp_path / "z/3.jpg"]
    assert [error.source for error in found.errors] == [str(tmp_path / "locked")]
    assert found.errors[0].cause == "the folder can't be read (Permission denied); check its access rights"


@pytest.mark.skipif(AS_ROOT, reason="root may read everything")
def test_a_folder_below_without_permission(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "locked/2.jpg")
    (tmp_path / "locked").chmod(0)
    try:
        found = find_photographs(tmp_path)
    finally:
        (tmp_path / "locked").chmod(0o700)
    assert found.paths == [tmp_path / "a.jpg"]
    assert [error.source for error in found.errors] == [str(tmp_path / "locked")]


def test_an_unreadable_folder_itself_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock(tmp_path, monkeypatch)
    with pytest.raises(DataError, match="access rights"):
        find_photographs(tmp_path)


def progressive(scans: int, size: tuple[int, int] = (64, 48)) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    data = encode(Image.effect_noise(size, 80).convert("RGB"), "JPEG", progressive=True, quality=90)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * (scans - data.count(b"\xff\xda") + 1) + data[-2:]


def test_a_jpeg_of_thousands_of_scans_is_refused_at_once() -> None:
    assert load_image(progressive(12)).shape == (48, 64, 3)
    with pytest.raises(ImageError, match="a JPEG of 5000 scans, which would take minutes"):
        load_image(progressive(5000))


def test_a_jpeg_with_fewer_bytes_than_its_blocks_need_is_damaged() -> None:
    """A header of 79 megapixels before the data of a small picture: the decoder would make up the rest, in gray."""
    whole = encode(Image.new("RGB", (64, 64), "red"), "JPEG")
    at = whole.index(b"\xff\xc0") + 5  # height and width in the frame header
    data = whole[:at] + struct.pack(">HH", 8900, 8900) + whole[at + 4 :]
    with pytest.raises(ImageError, match=r"damaged or cut off \([\d,]+ bytes for 79,210,000 pixels\)"):
        load_image(data)


def test_a_blank_jpeg_is_a_picture() -> None:
    data = encode(Image.new("RGB", (6000, 4000), "white"), "JPEG", quality=1, progressive=True, optimize=True)
    assert load_image(data).shape == (4000, 6000, 3)


def test_the_header_gives_the_pixels_without_decoding(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(Image.new("L", (70, 30)), "PNG"))
    assert header_pixels(tmp_path / "a.png") == 2100
    assert header_pixels((tmp_path / "a.png").read_bytes()[:60]) == 2100
    assert header_pixels(tmp_path / "none.png") == header_pixels(b"no picture") == 0


def test_what_pillow_logs_is_not_printed(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(1, 1, 8, 2, bytes(2048), channels=2048))
    program = "import sys; from facever.faces.sources import *; print(type(read(Path(sys.argv[1])).image).__name__)"
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "a.tif"], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("ImageError\n", "")


def test_libtiff_writes_nothing_on_stderr(tmp_path: Path) -> None:
    data = bytearray(encode(Image.effect_noise((64, 64), 80), "TIFF", compression="tiff_lzw"))
    data[200:2000] = bytes(1800)
    (tmp_path / "a.tif").write_bytes(data)
    source = f"""
from facever.errors import ImageError
from facever.faces.images import load_image
try:
    load_image({str(tmp_path / "a.tif")!r})
except ImageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "a.tif: damaged or cut off" in done.stdout
