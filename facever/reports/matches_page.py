"""A page of queries and their matches that stands alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.errors import ImageError
from facever.faces.cache import jpeg
from facever.faces.images import ImageArray, load_image
from facever.files import write_bytes
from facever.gallery.results import SearchResult
from facever.reports.html import data_uri, rendered
from facever.reports.matches import match_words, search_summary

SIDE = 112
# Of a face's box, added on each side.
MARGIN = 0.25


def write_matches_page(page: Path, title: str, result: SearchResult, root: Path) -> None:
    """Write the page, for its owner only: each face that was searched for, and its matches.

    Parameters
    ----------
    root : Path
        What the paths of matches are relative to; a photograph that is gone, or has no box, is a gray square.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    faces = []
    for face in result.faces:
        matches = []
        for match in face.matches:
            cosine, same, probability, where, remarks = match_words(match)
            words = [cosine, same, f"p {probability}" if probability else "", remarks]
            picture = _picture(root / match.path, match.box)
            matches.append({"picture": picture, "where": where, "words": ", ".join(filter(None, words))})
        name = f"{face.source}, face {face.face}"
        faces.append({"name": name, "picture": _picture(Path(face.source), face.box), "matches": matches})
    values: dict[str, Any] = {"title": title, "summary": search_summary(result), "faces": faces}
    html = rendered("matches.html", **values, problems=[*result.problems, *result.notes])
    write_bytes(page, html.encode("utf-8", errors="replace"), private=True)


def _picture(path: Path, box: list[float] | None) -> str:
    return data_uri(jpeg(_cut(path, box)), "jpeg")


def _cut(path: Path, box: list[float] | None) -> ImageArray:
    """The square around a face, `SIDE` pixels wide."""
    import cv2

    blank: NDArray[np.uint8] = np.full((8, 8, 3), 128, np.uint8)
    if box is None:
        return blank
    try:
        image = load_image(path)
    except ImageError:
        return blank
    x0, y0, x1, y1 = box
    half = max(x1 - x0, y1 - y0) * (0.5 + MARGIN)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    left, top = max(int(x - half), 0), max(int(y - half), 0)
    cut = image[top : max(int(y + half), top + 1), left : max(int(x + half), left + 1)]
    if not cut.size:
        return blank
    scale = SIDE / max(cut.shape[:2])
    size = max(round(cut.shape[1] * scale), 1), max(round(cut.shape[0] * scale), 1)
    return np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_AREA), np.uint8)
