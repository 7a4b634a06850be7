"""Answers as CSV, JSON lines or Parquet: a row per pair of photographs, or per pair of faces."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from facever.answer import AllFaces, Answer
from facever.errors import FaceverError, SettingError
from facever.faces.lines import WRITERS, CsvWriter, JsonLinesWriter
from facever.files import Kind, as_text, atomic_write, check_output

ROWS_A_TABLE = 1024
_KINDS: dict[str, Kind] = {".csv": "csv", ".jsonl": "json", ".parquet": "parquet"}
_WRITERS: dict[str, Any] = {**WRITERS, ".parquet": pq.ParquetWriter}
_REAL, _BOX = pa.float64(), pa.list_(pa.float32())
COLUMNS = pa.schema(
    [
        ("path_a", pa.string()),
        ("path_b", pa.string()),
        ("decision", pa.string()),
        ("why", pa.string()),
        ("cosine", _REAL),
        ("threshold", _REAL),
        ("lower_threshold", _REAL),
        ("far", _REAL),
        ("frr", _REAL),
        ("probability", _REAL),
        ("log_likelihood_ratio", _REAL),
        ("quality_a", _REAL),
        ("quality_b", _REAL),
        ("norm_a", _REAL),
        ("norm_b", _REAL),
        ("faces_a", pa.int32()),
        ("faces_b", pa.int32()),
        ("box_a", _BOX),
        ("box_b", _BOX),
        ("size_a", _REAL),
        ("size_b", _REAL),
        ("notes", pa.string()),
        ("error", pa.string()),
    ]
)
FACE_COLUMNS = pa.schema(
    [("face_a", pa.int32()), ("face_b", pa.int32()), ("cosine", _REAL), ("box_a", _BOX), ("box_b", _BOX)]
)


@dataclass(slots=True)
class AnswerCounts:
    """Pairs in all, and those with each answer."""

    pairs: int = 0
    same: int = 0
    different: int = 0
    undecided: int = 0

    @property
    def answered(self) -> int:
        return self.same + self.different + self.undecided


def check_answers_file(out: Path, inputs: Iterable[Path], force: bool) -> None:
    """Check that answers can be written there.

    Raises
    ------
    SettingError
        For another suffix.
    OutputError
        As `facever.files.check_output`.
    """
    if out.suffix.lower() not in _KINDS:
        raise SettingError(f"ends in {', '.join(_KINDS)}, not {out.suffix!r}", "out")
    check_output(out, _KINDS[out.suffix.lower()], inputs, force)


def write_answers(
    out: Path | None,
    pairs: Sequence[tuple[Path, Path]],
    answers: Iterable[Answer | FaceverError],
    as_json: bool = False,
) -> AnswerCounts:
    """Write a row for each pair into a file, whole or not at all, or to stdout as CSV or JSON lines.

    Raises
    ------
    OutputError
        If the file can't be written.
    """
    counts = AnswerCounts()
    with _writer(out, COLUMNS, as_json) as writer:
        rows: list[dict[str, Any]] = []
        for (a, b), answer in zip(pairs, answers, strict=True):
            told = {"error": str(answer)} if isinstance(answer, FaceverError) else _row(answer)
            rows.append({"path_a": as_text(str(a)), "path_b": as_text(str(b)), **told})
            counts.pairs += 1
            if isinstance(answer, Answer):
                setattr(counts, answer.decision, getattr(counts, answer.decision) + 1)
            if len(rows) == ROWS_A_TABLE:
                writer.write_table(pa.Table.from_pylist(rows, COLUMNS))
                rows = []
        writer.write_table(pa.Table.from_pylist(rows, COLUMNS))
    return counts


def write_all_faces(out: Path, faces: AllFaces) -> None:
    """Write a row for each pair of faces into a file, whole or not at all; faces are numbered from 1.

    Raises
    ------
    OutputError
        If the file can't be written.
    """
    rows = [
        {"face_a": i, "face_b": j, "cosine": cosine, "box_a": a, "box_b": b}
        for i, (a, row) in enumerate(zip(faces.boxes_a, faces.cosines, strict=True), 1)
        for j, (b, cosine) in enumerate(zip(faces.boxes_b, row, strict=True), 1)
    ]
    with _writer(out, FACE_COLUMNS) as writer:
        writer.write_table(pa.Table.from_pylist(rows, FACE_COLUMNS))


def _row(answer: Answer) -> dict[str, Any]:
    names = ("decision", "cosine", "threshold", "lower_threshold", "far", "frr", "probability", "log_likelihood_ratio")
    row = {name: getattr(answer, name) for name in names}
    row |= {name: "; ".join(map(as_text, getattr(answer, name))) or None for name in ("why", "notes")}
    for side, face in (("a", answer.a), ("b", answer.b)):
        row |= {f"{name}_{side}": getattr(face, name) for name in ("quality", "norm", "box", "size")}
        row[f"faces_{side}"] = face.faces_found
    return row


@contextmanager
def _writer(out: Path | None, columns: pa.Schema, as_json: bool = False) -> Iterator[Any]:
    if out is None:
        stdout: BinaryIO = sys.stdout.buffer
        sys.stdout.flush()
        yield (JsonLinesWriter if as_json else CsvWriter)(stdout, columns)
        stdout.flush()
    else:
        with (
            atomic_write(out) as temporary,
            temporary.open("wb") as file,
            _WRITERS[out.suffix.lower()](file, columns) as writer,
        ):
            yield writer
