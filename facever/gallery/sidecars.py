"""Names of faces in XMP: in side-car files beside photographs, and in JPEGs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from facever.errors import DataError, FaceverError, reading
from facever.faces.elements import MOST_BYTES
from facever.faces.header import Header, read_header
from facever.faces.regions import box_of, matched
from facever.faces.sources import is_uri
from facever.faces.xmp import Packet
from facever.gallery.clustering import ClusteredFace
from facever.gallery.faces import FaceTable

OfPhotograph = tuple[str, list[ClusteredFace]]
Watched = Callable[[Iterable[OfPhotograph], int], Iterable[OfPhotograph]]
"""Passes photographs through with their number, as a progress bar does."""

REMEDY = "have the program that wrote it write it again, or move it away"


def check_places(faces: FaceTable) -> None:
    """Raise DataError for embeddings whose faces have no place in a photograph of a known path."""
    remedy = "give what facever embed wrote, or a folder of photographs"
    if not {"x0", "y0", "x1", "y1"} <= faces.columns:
        raise DataError(f"{faces.source}: its faces have no boxes, and so no place in XMP; {remedy}")
    if (faces.made.settings or {}).get("path_key"):
        raise DataError(f"{faces.source}: its paths are hashed, so its photographs can't be found; {remedy}")


def sidecar_of(photograph: Path) -> Path:
    """The side-car that is written: photograph.jpg.xmp, as digiKam and darktable name it.

    Adobe's name, photograph.xmp, is one for photograph.jpg and photograph.png alike, and belongs to the raw file where
    there is one; it is only read.
    """
    return photograph.with_name(f"{photograph.name}.xmp")


def read_sidecar(file: Path) -> bytes | None:
    """The content of a side-car; None where there is none. Raises DataError if it can't be read."""
    try:
        size = file.stat().st_size
    except (OSError, ValueError):
        return None
    with reading(file, REMEDY):
        if size > MOST_BYTES:
            raise DataError(f"{file}: too large ({size:,} bytes, and the limit is {MOST_BYTES:,}); {REMEDY}")
        return file.read_bytes()


def by_photograph(faces: Iterable[ClusteredFace]) -> dict[str, list[ClusteredFace]]:
    """The faces of each photograph."""
    found: dict[str, list[ClusteredFace]] = {}
    for face in faces:
        found.setdefault(face.path, []).append(face)
    return found


def header_of(photograph: Path, faces: list[ClusteredFace]) -> Header:
    """The header of a photograph. Raises FaceverError if it can't be read, or is another one than was embedded."""
    if is_uri(faces[0].path):
        raise DataError(f"{faces[0].path}: not on this machine, and so without side-cars")
    header = read_header(photograph)
    if faces[0].size is not None and faces[0].size != header.upright:
        raise DataError(f"{photograph}: of another size than when it was embedded; embed it again")
    return header


def names_in_xmp(
    faces: Iterable[ClusteredFace], root: Path, written: bool, watched: Watched = lambda photographs, total: photographs
) -> tuple[dict[str, str], list[str]]:
    """The names of faces by `face_id`, and what could not be read.

    Of several names of a face, that in photograph.jpg.xmp counts before that in photograph.xmp, and that in the JPEG
    last.

    Parameters
    ----------
    root : Path
        What the paths of photographs are relative to.
    written : bool
        Also those that facever wrote itself.
    """
    names: dict[str, str] = {}
    problems: list[str] = []
    photographs = by_photograph(faces)
    for path, there in watched(photographs.items(), len(photographs)):
        photograph = root / path
        try:
            header = header_of(photograph, there)
        except FaceverError as error:
            problems.append(str(error))
            continue
        for packet in _packets(photograph, header, problems):
            frame = packet.frame(header)
            if frame is None:
                continue
            left = [face for face in there if face.face_id not in names]
            regions = [region for region in packet.regions if written or not region.ours]
            pairs = matched([face.box for face in left], [box_of(region.area, frame) for region in regions])
            names |= {left[i].face_id: regions[j].name for i, j in pairs.items()}
    return names, problems


def _packets(photograph: Path, header: Header, problems: list[str]) -> Iterator[Packet]:
    for file in (sidecar_of(photograph), photograph.with_suffix(".xmp"), None):
        try:
            content = header.xmp if file is None else read_sidecar(file)
            if content is not None:
                yield Packet(content, str(photograph if file is None else file))
        except FaceverError as error:
            problems.append(str(error))
