"""Names and places of faces, written into XMP side-cars beside the photographs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from facever.errors import FaceverError
from facever.faces.header import Header
from facever.faces.regions import area_of, box_of, matched
from facever.faces.xmp import Packet, Region, new_packet
from facever.files import atomic_write
from facever.gallery.clustering import ClusteredFace, Clustering
from facever.gallery.sidecars import Watched, by_photograph, header_of, read_sidecar, sidecar_of


@dataclass(slots=True)
class Written:
    """Side-cars that were written, and those that said all of it already; what went wrong, photograph by photograph."""

    files: int = 0
    current: int = 0
    problems: list[str] = field(default_factory=list)


def write_sidecars(
    clustering: Clustering, root: Path, watched: Watched = lambda photographs, total: photographs
) -> Written:
    """Write the faces that have a name into `sidecar_of` each photograph, whole or not at all.

    What facever wrote there before is replaced. All else stays, others' regions too: a face that one of them names is
    not written again, and one that it names otherwise is a problem.

    Parameters
    ----------
    root : Path
        What the paths of photographs are relative to.
    """
    found = Written()
    photographs = by_photograph(clustering.faces)
    for path, faces in watched(photographs.items(), len(photographs)):
        photograph = root / path
        file = sidecar_of(photograph)
        try:
            before = read_sidecar(file)
            named = [face for face in faces if face.name is not None and face.box is not None]
            if before is None and not named:
                continue
            after = _content(before, file, named, header_of(photograph, faces), found.problems)
            if after == before:
                found.current += 1
                continue
            with atomic_write(file.resolve()) as temporary:
                temporary.write_bytes(after)
                if before is not None:
                    shutil.copymode(file, temporary)
            found.files += 1
        except FaceverError as error:
            found.problems.append(str(error))
    return found


def _content(
    before: bytes | None, file: Path, named: list[ClusteredFace], header: Header, problems: list[str]
) -> bytes:
    packet = None if before is None else Packet(before, str(file))
    frame = None if packet is None else packet.frame(header)
    others = [] if packet is None or frame is None else [region for region in packet.regions if not region.ours]
    boxes = [] if frame is None else [box_of(region.area, frame) for region in others]
    there = matched([face.box for face in named], boxes)
    regions = []
    for i, face in enumerate(named):
        assert face.box is not None and face.name is not None
        if i in there:
            name = others[there[i]].name
            if name != face.name.strip():
                problems.append(f"{file}: face {face.face} is {name!r} there, and {face.name!r} here; left as it is")
            continue
        area = area_of(face.box, header)
        if area is not None:
            regions.append(Region(face.name, area))
    return new_packet(regions, header) if packet is None else packet.with_regions(regions, header)
