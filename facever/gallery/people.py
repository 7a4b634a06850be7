"""Who the faces of a dataset are, and one template for each person."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from facever.errors import DataError, reading
from facever.gallery.faces import FaceTable, RowNumbers, Vectors

LISTED = "list face_id,person or path,person"


@dataclass(frozen=True, slots=True)
class Names:
    """The person of each row.

    Attributes
    ----------
    of_row : int64 ndarray of shape (rows,)
        Index into `people`; -1 for a face without a name, or a row without a face.
    people : list of str
        Sorted.
    notes : list of str
        What a list names that is not there.
    """

    of_row: RowNumbers
    people: list[str]
    notes: list[str] = field(default_factory=list)

    def rows_of(self, people: Sequence[int]) -> dict[int, RowNumbers]:
        """The rows of some persons, ascending."""
        order = np.argsort(self.of_row, kind="stable")
        ranked = self.of_row[order]
        return {each: order[np.searchsorted(ranked, each) : np.searchsorted(ranked, each + 1)] for each in people}


def names_by_folder(faces: FaceTable) -> Names:
    """Each photograph's folder is its person; of several faces the one nearest to the photograph's center.

    Raises
    ------
    DataError
        If no photograph lies in a folder.
    """
    folders = pc.replace_substring_regex(faces.column("path"), r"/?[^/]*$", "").combine_chunks().dictionary_encode()
    names = folders.dictionary.to_pylist()
    chosen = _central(faces)
    found = np.full(faces.rows, -1, np.int64)
    found[chosen] = folders.indices.to_numpy(zero_copy_only=False)[chosen]
    if "" in names:
        found[found == names.index("")] = -1
    return _named(found, names, faces, "its photographs lie in no folder of a person; name people by --people")


def names_by_list(faces: FaceTable, file: Path) -> Names:
    """The persons that a CSV file names: columns `face_id` or `path`, and `person` or `name`.

    A path names the face nearest to its photograph's center.

    Raises
    ------
    DataError
        If the file can't be read, lacks a column, gives one face two names, or names none of these faces.
    """
    with reading(file, LISTED), file.open(newline="", encoding="utf-8-sig") as lines:
        rows = list(csv.DictReader(lines))
    columns = set(rows[0]) if rows else set()
    key = next((name for name in ("face_id", "path") if name in columns), None)
    value = next((name for name in ("person", "name") if name in columns), None)
    if key is None or value is None:
        raise DataError(f"{file}: names nobody; {LISTED}, with a line for each face")
    if key not in faces.columns:
        raise DataError(f"{faces.source}: has no column {key}, which {file} lists faces by; list them by path")
    listed: dict[str, str] = {}
    for line, row in enumerate(rows, 2):
        face, person = row[key], (row[value] or "").strip()
        if "decision" in columns:  # what facever cluster wrote; nobody's faces have no person
            person = (row.get("name") or "").strip() or person
            if not person:
                continue
        if not face or not person:
            raise DataError(f"{file}, line {line}: an empty {value if face else key}; {LISTED}")
        if listed.setdefault(face, person) != person:
            raise DataError(f"{file}, line {line}: {face} is both {listed[face]} and {person}; keep one name for it")
    people = sorted(set(listed.values()))
    index = {person: i for i, person in enumerate(people)}
    keys = faces.column(key).to_pylist()
    chosen = _central(faces) if key == "path" else np.flatnonzero([each is not None for each in keys])
    found = np.full(faces.rows, -1, np.int64)
    for row in chosen:
        person = listed.get(keys[row])
        if person is not None:
            found[row] = index[person]
    unknown = listed.keys() - {keys[row] for row in chosen}
    notes = []
    if unknown:
        notes = [f"{file}: {len(unknown)} of {len(listed)} are no faces of {faces.source}, the first: {min(unknown)}"]
    return _named(found, people, faces, f"{file} names none of its faces; {LISTED}", notes)


def templates(faces: FaceTable, names: Names) -> tuple[Vectors, NDArray[np.int64]]:
    """Sums of the unit vectors of each person, (p, d), and the number of their faces, (p,).

    Scaled to unit length a sum is the person's template: the direction of the mean. `benchmarks/templates.py` compares
    it with the best match and with means weighted by quality.
    """
    sums = np.zeros((len(names.people), faces.size), np.float32)
    counts = np.zeros(len(names.people), np.int64)
    for rows, vectors in faces.blocks():
        who = names.of_row[rows]
        there = who >= 0
        np.add.at(sums, who[there], vectors[there])
        counts += np.bincount(who[there], minlength=len(counts))
    return sums, counts


def unit(sums: Vectors) -> Vectors:
    """Sums (p, d) at unit length; zeros stay, and so match nobody."""
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.asarray(sums / np.where(lengths > 1e-6, lengths, np.inf), np.float32)


def _named(
    found: RowNumbers, names: Iterable[str], faces: FaceTable, why: str, notes: list[str] | None = None
) -> Names:
    """Names whose people all have a face, numbered in their order."""
    names = list(names)
    if not (found >= 0).any():
        raise DataError(f"{faces.source}: {why}")
    order = sorted(np.unique(found[found >= 0]).tolist(), key=names.__getitem__)
    number = np.full(len(names) + 1, -1, np.int64)  # the last one, of -1
    number[order] = np.arange(len(order))
    return Names(number[found], [names[i] for i in order], notes or [])


def _central(faces: FaceTable) -> RowNumbers:
    """The row of each photograph's face that is nearest to its center; the first where boxes are unknown."""
    there = np.concatenate([rows for rows, _ in faces.blocks()])
    photographs = faces.column("path").combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    away = np.zeros(faces.rows)
    if {"x0", "y0", "x1", "y1", "width", "height"} <= faces.columns:
        x0, y0, x1, y1, width, height = (
            faces.column(name).to_numpy().astype(np.float64) for name in ("x0", "y0", "x1", "y1", "width", "height")
        )
        away = np.hypot((x0 + x1 - width) / 2, (y0 + y1 - height) / 2)
    order = there[np.lexsort((there, away[there], photographs[there]))]
    first = np.append(True, np.diff(photographs[order]) != 0)
    return np.sort(order[first])
