"""A page of people that stands alone: seen, named, merged and corrected in a browser, saved for `--people`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.errors import ImageError
from facever.faces.cache import jpeg
from facever.faces.images import ImageArray, load_image
from facever.files import write_bytes
from facever.gallery.clustering import ClusteredFace, Clustering
from facever.reports.html import data_uri, rendered
from facever.reports.people import COLUMNS, conflict_text, people_rows, people_summary

SIDE = 80
# Of a face's box, added on each side.
MARGIN = 0.2
# Pictures on a page; the most doubtful people come first.
MOST_FACES = 20_000


def write_people_page(page: Path, title: str, clustering: Clustering, root: Path) -> Path:
    """Write the page, for its owner only: a row of faces per person, the doubtful ones first.

    Parameters
    ----------
    root : Path
        What the paths of photographs are relative to; a face whose photograph is gone, or that has no box, is a gray
        square.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    at = {id(face): i for i, face in enumerate(clustering.faces)}
    twice = {id(face) for pair in clustering.conflicts for face in pair}
    people = clustering.people()
    several = sorted((each for each in people.items() if len(each[1]) > 1), key=lambda each: -doubt(each[1], twice))
    single = sorted((each for each in people.items() if len(each[1]) == 1), key=lambda each: -each[1][0].rival_cosine)
    nobody = [face for face in clustering.faces if face.person is None]
    order = [face for _, faces in [*several, *single] for face in faces] + nobody
    pictures = _pictures(order[:MOST_FACES], root)
    blank = data_uri(jpeg(_BLANK), "jpeg")

    def shown(person: str, faces: list[ClusteredFace]) -> dict[str, Any]:
        hidden = sum(id(face) not in pictures for face in faces)
        seen = sorted(
            (face for face in faces if id(face) in pictures), key=lambda each: (id(each) not in twice, each.cosine)
        )
        return {
            "person": person,
            "name": faces[0].name if person else None,
            "words": _words(faces, hidden) if person else "",
            "rival": _rival(faces),
            "faces": [
                {
                    "i": at[id(face)],
                    "picture": pictures[id(face)] or blank,
                    "where": f"{face.path}, face {face.face}",
                    "twice": id(face) in twice,
                }
                for face in seen
            ],
        }

    sections = [
        ("People, the most doubtful first", [shown(*each) for each in several]),
        ("One face each, the most alike to another person first", [shown(*each) for each in single]),
        ("Nobody's: too poor, or not a face", [shown("", nobody)] if nobody else []),
    ]
    rows = [[row.get(name) for name in COLUMNS.names] for row in people_rows(clustering)]
    html = rendered(
        "people.html",
        title=title,
        summary=people_summary(clustering),
        sections=sections,
        data={"columns": COLUMNS.names, "rows": rows},
        numbers={person: i for i, person in enumerate(people)},
        conflicts=[conflict_text(*pair) for pair in clustering.conflicts],
        notes=[*clustering.notes, *(f"moved: {move}" for move in clustering.moves)],
        hidden=max(len(order) - MOST_FACES, 0),
    )
    write_bytes(page, html.encode("utf-8", errors="replace"), private=True)
    return page


def doubt(faces: list[ClusteredFace], twice: set[int]) -> float:
    """How doubtful a person is: 2 for one who is twice in a photograph, and by how much a face is like another person.

    In [-2, 4]: the highest difference of a face's mean cosine to the nearest other person and to its own.
    """
    nearer = max(face.rival_cosine - face.cosine for face in faces)
    return nearer + 2 * any(id(face) in twice for face in faces)


def _words(faces: list[ClusteredFace], hidden: int) -> str:
    words = f"{len(faces)} face{'s' if len(faces) > 1 else ''}"
    if len(faces) > 1:
        words += f", mean cosine to the others from {min(face.cosine for face in faces):.2f}"
    return words + (f", {hidden} without a picture here" if hidden else "")


def _rival(faces: list[ClusteredFace]) -> dict[str, Any] | None:
    """The most alike other person."""
    nearest = max(faces, key=lambda face: face.rival_cosine)
    if nearest.rival is None or nearest.person is None:
        return None
    return {"person": nearest.rival, "cosine": f"{nearest.rival_cosine:.2f}"}


_BLANK: NDArray[np.uint8] = np.full((8, 8, 3), 128, np.uint8)


def _pictures(faces: list[ClusteredFace], root: Path) -> dict[int, str | None]:
    """Each face as a data URL, by its identity; None where there is none. A photograph is decoded once."""
    by_path: dict[str, list[ClusteredFace]] = {}
    for face in faces:
        by_path.setdefault(face.path, []).append(face)
    found: dict[int, str | None] = {}
    for path, there in by_path.items():
        image: ImageArray | None = None
        if any(face.box is not None for face in there):
            try:
                image = load_image(root / path)
            except ImageError:
                image = None
        for face in there:
            cut = None if image is None or face.box is None else square(image, face.box, SIDE, MARGIN)
            found[id(face)] = None if cut is None else data_uri(jpeg(cut), "jpeg")
    return found


def square(image: ImageArray, box: list[float], side: int, margin: float) -> ImageArray | None:
    """The square around a box, at most `side` pixels wide; None where it lies outside the photograph."""
    import cv2

    x0, y0, x1, y1 = box
    half = max(x1 - x0, y1 - y0) * (0.5 + margin)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    cut = image[max(int(y - half), 0) : max(int(y + half), 0), max(int(x - half), 0) : max(int(x + half), 0)]
    if not cut.size:
        return None
    scale = side / max(cut.shape[:2])
    size = max(round(cut.shape[1] * scale), 1), max(round(cut.shape[0] * scale), 1)
    return np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_AREA), np.uint8)
