"""Faces as people: a row a face as CSV, JSON lines or Parquet, and as text."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from facever.faces.lines import WRITERS
from facever.files import atomic_write, printable
from facever.gallery.clustering import ClusteredFace, Clustering
from facever.metrics.clusterings import NamedFigures

_WRITERS: dict[str, Any] = {**WRITERS, ".parquet": pq.ParquetWriter}
_TEXT, _REAL = pa.string(), pa.float32()
COLUMNS = pa.schema(
    [
        ("face_id", _TEXT),
        ("path", _TEXT),
        ("face", pa.int32()),
        ("x0", _REAL),
        ("y0", _REAL),
        ("x1", _REAL),
        ("y1", _REAL),
        ("person", _TEXT),
        ("name", _TEXT),
        ("decision", _TEXT),
    ]
)
SHOWN, MISTAKES, LONGEST = 10, 5, 100


def people_rows(clustering: Clustering) -> list[dict[str, Any]]:
    """A row per face, by column."""
    return [
        {
            "face_id": face.face_id,
            "path": face.path,
            "face": face.face,
            **({} if face.box is None else dict(zip(("x0", "y0", "x1", "y1"), face.box, strict=True))),
            "person": face.person,
            "name": face.name,
            "decision": face.decision,
        }
        for face in clustering.faces
    ]


def write_people(out: Path, clustering: Clustering) -> None:
    """Write a row per face, whole or not at all, for its owner only. Raises OutputError."""
    with (
        atomic_write(out, private=True) as temporary,
        temporary.open("wb") as file,
        _WRITERS[out.suffix.lower()](file, COLUMNS) as writer,
    ):
        writer.write_table(pa.Table.from_pylist(people_rows(clustering), COLUMNS))


def people_text(clustering: Clustering) -> str:
    """The people with the most faces, a line each."""
    people = clustering.people()
    lines = [
        f"{person:<6} {len(faces):>5} face{'s' if len(faces) > 1 else ' '}  {title_of(faces[0])}"
        for person, faces in list(people.items())[:SHOWN]
    ]
    if len(people) > SHOWN:
        lines.append(f"and {len(people) - SHOWN:,} more; -o writes them")
    return "\n".join(printable(line) for line in lines)


def title_of(face: ClusteredFace) -> str:
    """The name of a person, or else a photograph."""
    return face.name if face.name is not None else face.path


def people_summary(clustering: Clustering) -> str:
    """How many people, and what decided."""
    people = clustering.people()
    alone = sum(len(faces) == 1 for faces in people.values())
    nobody = sum(face.person is None for face in clustering.faces)
    rule = clustering.rule
    limits = f"at a mean cosine of {rule.single:.4f}"
    if rule.lowest < rule.single:
        limits += f", large ones from {rule.lowest:.4f}"
    text = f"{len(clustering.faces):,} faces: {len(people):,} people, {alone:,} of one face"
    text += f"; {nobody:,} faces are nobody's (too poor, or not a face)" if nobody else ""
    return f"{text}; merged {limits}"


def conflict_text(one: ClusteredFace, other: ClusteredFace) -> str:
    """A photograph that shows a person twice."""
    return f"{one.path}: faces {one.face} and {other.face} are both {one.person}; a collage, a mirror, or a mistake"


def to_json(clustering: Clustering) -> dict[str, Any]:
    """All of it."""
    rule = clustering.rule
    return {
        "faces": len(clustering.faces),
        "people": [
            {
                "person": person,
                "name": faces[0].name,
                "faces": len(faces),
                "lowest_cosine": min(f.cosine for f in faces),
            }
            for person, faces in clustering.people().items()
        ],
        "nobody": sum(face.person is None for face in clustering.faces),
        "thresholds": {"two_faces": rule.single, "large": rule.lowest},
        "conflicts": [
            {"path": one.path, "faces": [one.face, other.face], "person": one.person}
            for one, other in clustering.conflicts
        ],
        "moves": clustering.moves,
        "notes": clustering.notes,
    }


def figure_rows(result: NamedFigures, weights: str) -> list[tuple[str, str]]:
    """The figures of an evaluation and its largest mistakes, a row each."""
    figures = result.figures
    rows = [
        ("weights", weights),
        ("photographs", f"{figures.faces:,}, {len(result.without_face)} without a detected face"),
        ("people", f"{figures.people:,}; clusters {figures.clusters:,}, {figures.singletons:,} of one face"),
        ("merged at", f"{result.thresholds['two_faces']:.4f}; large clusters {result.thresholds['large']:.4f}"),
    ]
    for name, found in (("BCubed", figures.bcubed), ("pairwise", figures.pairwise)):
        rows += [
            (f"{name} precision", _rate(found.precision, found.precision_interval)),
            (f"{name} recall", _rate(found.recall, found.recall_interval)),
            (f"{name} F", _rate(found.f, found.f_interval)),
        ]
    rows += [("wrongly merged", shortened(result.merged(each))) for each in figures.merges[:MISTAKES]]
    return rows + [("split", shortened(result.split(each))) for each in figures.splits[:MISTAKES]]


def shortened(text: str) -> str:
    """On one line of a table."""
    return printable(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")


def _rate(value: float, ends: tuple[float, float]) -> str:
    if not math.isfinite(value):
        return "no pairs"
    return f"{value:.4f}" + (f" ({ends[0]:.4f} to {ends[1]:.4f})" if math.isfinite(ends[0]) else "")
