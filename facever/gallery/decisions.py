"""Who faces were before, and what a reader of them decided: the file that `facever cluster` writes, read again."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from facever.errors import DataError, reading

REMEDY = "give a file that facever cluster or its page wrote"
SAME, NAMED, NOT_SAME, NOT_A_FACE = "same", "name", "not same", "not a face"
DECISIONS = f"{SAME}, {NAMED}, {NOT_SAME} or {NOT_A_FACE}"


@dataclass(frozen=True, slots=True)
class Earlier:
    """A face before.

    Attributes
    ----------
    person : str or None
        The id of whom it was.
    fixed : bool
        It was decided to be that person: `same`, or `name`.
    others : tuple of str
        The ids of whom it is not.
    is_face : bool
    decision : str
        As it was written.
    """

    person: str | None
    fixed: bool = False
    others: tuple[str, ...] = ()
    is_face: bool = True
    decision: str = ""


@dataclass(frozen=True, slots=True)
class People:
    """Faces by `face_id`, and the names of people by their ids."""

    source: Path | None = None
    faces: dict[str, Earlier] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> People:
        """Read a .csv, .jsonl or .parquet file with the columns `face_id`, `person`, and optionally `name`, `decision`.

        A decision is `same` (the face is that person), `name` (so it is, and the person was named), `not a face`, or
        `not same`: it is not that person, or, as `not same p1; not same p2`, not these.

        Raises
        ------
        DataError
            If it can't be read, or contradicts itself: two lines of a face that differ, two names of a person.
        """
        faces: dict[str, Earlier] = {}
        names: dict[str, str] = {}
        for line, row in _rows(file):
            where = f"{file}, line {line}"
            face = _cell(row, "face_id")
            if not face:
                raise DataError(f"{where}: no face_id; {REMEDY}")
            person, name = _cell(row, "person") or None, _cell(row, "name")
            found = _earlier(where, face, person, name, " ".join(_cell(row, "decision").split()))
            if faces.setdefault(face, found) != found:
                raise DataError(f"{where}: the face {face} is listed twice, and not alike; keep one of the lines")
            if name and person and found.person and names.setdefault(person, name) != name:
                raise DataError(
                    f"{where}: the person {person} is both {names[person]!r} and {name!r}; keep one name, or give some "
                    "faces another person"
                )
        return cls(file, faces, names)

    def named(self, names: Mapping[str, str]) -> tuple[People, list[str]]:
        """These people with names of faces by `face_id`, each as a decision; and the faces where that is contradicted.

        What was decided before holds.
        """
        votes: dict[str, Counter[str]] = {}  # for people without a name
        for face, name in names.items():
            was = self.faces.get(face)
            if was is not None and was.person is not None and was.person not in self.names:
                votes.setdefault(was.person, Counter())[name] += 1
        found = {**self.names, **{person: counts.most_common(1)[0][0] for person, counts in votes.items()}}
        ids = {name: person for person, name in reversed(found.items())}
        number = self.next_id()
        faces, contradicted = dict(self.faces), []
        for face, name in names.items():
            was = faces.get(face, Earlier(None))
            person = was.person if was.person is not None and found.get(was.person) == name else ids.get(name)
            if not was.is_face or (was.fixed and person != was.person) or person in was.others:
                contradicted.append(face)
            elif not was.fixed:
                if person is None:
                    person = ids[name] = f"p{number}"
                    found[person] = name
                    number += 1
                faces[face] = Earlier(person, True, was.others, decision="; ".join(filter(None, [NAMED, was.decision])))
        return People(self.source, faces, found), contradicted

    def next_id(self) -> int:
        """A number above those of all ids such as p12."""
        ids = {each for face in self.faces.values() for each in (face.person, *face.others) if each}
        return 1 + max((int(each[1:]) for each in ids if re.fullmatch(r"p\d{1,15}", each)), default=0)


def _earlier(where: str, face: str, person: str | None, name: str, decision: str) -> Earlier:
    if decision == "":
        return Earlier(person)
    if decision == NOT_A_FACE:
        return Earlier(None, is_face=False, decision=decision)
    if decision == NOT_SAME and person:
        return Earlier(None, others=(person,), decision=f"{NOT_SAME} {person}")
    parts = [part.strip() for part in decision.split(";")]
    fixed = SAME in parts or NAMED in parts
    others = tuple(part.removeprefix(NOT_SAME).strip() for part in parts if part.startswith(f"{NOT_SAME} "))
    lacking = "name" if NAMED in parts and person and not name else "person" if fixed and not person else ""
    if lacking or len(others) + fixed != len(parts):
        lacking = lacking or ("person" if decision == NOT_SAME else "")
        without = f" without a {lacking}" if lacking else ""
        raise DataError(
            f"{where}: the decision {decision!r}{without} says nothing of face {face}; a decision is empty, {DECISIONS}"
        )
    if person in others and fixed:
        raise DataError(f"{where}: the face {face} is decided to be {person}, and not to be {person}; keep one of both")
    return Earlier(None if person in others else person, fixed, others, decision="; ".join(parts))


def _rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows, each with its line."""
    with reading(file, REMEDY):
        rows: list[dict[str, Any]]
        first = 2
        if file.suffix.lower() == ".parquet":
            rows, first = pq.read_table(file).to_pylist(), 1
        elif file.suffix.lower() == ".jsonl":
            rows, first = [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()], 1
        else:
            with file.open(newline="", encoding="utf-8-sig") as lines:
                rows = list(csv.DictReader(lines))
        if rows and not {"face_id", "person"} <= rows[0].keys():
            raise DataError(f"{file}: lists no people, by the columns face_id and person; {REMEDY}")
    if not rows:
        raise DataError(f"{file}: holds no row; {REMEDY}")
    yield from enumerate(rows, first)


def _cell(row: dict[str, Any], name: str) -> str:
    return str(row.get(name) or "").strip()
