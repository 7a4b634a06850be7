"""Formats of photographs: which can be decoded here, their suffixes, and what a file that can't be decoded is."""

from __future__ import annotations

import contextlib
from functools import cache

from PIL import Image

HEIC_REMEDY = "pip install 'facever[heic]' to read HEIC and HEIF, or convert to JPEG"

# What Pillow may try on a file of unknown origin, with the suffixes by which a folder's photographs are known. Its
# other decoders are seldom needed for photographs, and one of them (EPS) starts another program.
SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "PPM": (".ppm", ".pgm"),
    "JPEG2000": (".jp2", ".j2k"),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif", ".hif"),
}
_JPEG_2000 = (b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51")
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"II*\x00", b"MM\x00*", *_JPEG_2000)
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})


@cache
def decodable_formats() -> tuple[str, ...]:
    """The formats that can be decoded here: AVIF depends on Pillow's build, HEIF on the extra `heic`."""
    Image.init()
    with contextlib.suppress(ImportError):
        import pi_heif

        pi_heif.register_heif_opener()
    return tuple(each for each in SUFFIXES if each in Image.OPEN)


def photograph_suffixes() -> frozenset[str]:
    """Suffixes, in lower case, of the photographs that can be decoded here."""
    return frozenset(suffix for name in decodable_formats() for suffix in SUFFIXES[name])


def undecodable_suffixes() -> frozenset[str]:
    """Suffixes, in lower case, of photographs in a format that is known but can't be decoded here."""
    return frozenset(suffix for suffixes in SUFFIXES.values() for suffix in suffixes) - photograph_suffixes()


def unidentified_cause(head: bytes) -> str:
    """Why no decoder took a file, by its first 12 bytes."""
    brand = head[8:] if head[4:8] == b"ftyp" else b""
    if brand in _HEIC_BRANDS and "HEIF" not in decodable_formats():
        return f"a HEIC picture; {HEIC_REMEDY}"
    of_a_box = brand in _HEIC_BRANDS or (brand in _AVIF_BRANDS and "AVIF" in decodable_formats())
    if head.startswith(_SIGNATURES) or of_a_box or (head[:4] == b"RIFF" and head[8:] == b"WEBP"):
        return "damaged or cut off (its header can't be read); copy or export it again"
    return "not a picture, or in a format that can't be read; convert it to JPEG or PNG"
