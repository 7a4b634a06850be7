"""Answers to many pairs as CSV, JSON lines or Parquet: a row per pair."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from facever.answer import Answer
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
        ("same", pa.bool_()),
        ("cosine", _REAL),
        ("threshold", _REAL),
        ("far", _REAL),
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
        ("error", pa.string()),
    ]
)


@dataclass(slots=True)
class AnswerCounts:
    """Pairs in all, and those with each answer."""

    pairs: int = 0
    same: int = 0
    different: int = 0


def check_answers_file(out: Path, inputs: Iterable[Path], many: bool, force: bool) -> None:
    """Check that answers can be written there.

    Raises
    ------
    SettingError
        For another suffix, or a single pair.
    OutputError
        As `facever.files.check_output`.
    """
    if not many:
        raise SettingError("is for the answers to many pairs; the answer to one is printed", "out")
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
    with _writer(out, as_json) as writer:
        rows: list[dict[str, Any]] = []
        for (a, b), answer in zip(pairs, answers, strict=True):
            told = {"error": str(answer)} if isinstance(answer, FaceverError) else _row(answer)
            rows.append({"path_a": as_text(str(a)), "path_b": as_text(str(b)), **told})
            counts.pairs += 1
            if isinstance(answer, Answer):
                counts.same += answer.same
                counts.different += not answer.same
            if len(rows) == ROWS_A_TABLE:
                writer.write_table(pa.Table.from_pylist(rows, COLUMNS))
                rows = []
        writer.write_table(pa.Table.from_pylist(rows, COLUMNS))
    return counts


def _row(answer: Answer) -> dict[str, Any]:
    names = ("same", "cosine", "threshold", "far", "probability", "log_likelihood_ratio")
    row = {name: getattr(answer, name) for name in names}
    for side, quality, norm, faces, box in zip(
        "ab", answer.quality, answer.norms, answer.faces_found, answer.boxes, strict=True
    ):
        row |= {f"quality_{side}": quality, f"norm_{side}": norm, f"faces_{side}": faces, f"box_{side}": box}
    return row


@contextmanager
def _writer(out: Path | None, as_json: bool) -> Iterator[Any]:
    if out is None:
        stdout: BinaryIO = sys.stdout.buffer
        sys.stdout.flush()
        yield (JsonLinesWriter if as_json else CsvWriter)(stdout, COLUMNS)
        stdout.flush()
    else:
        with (
            atomic_write(out) as temporary,
            temporary.open("wb") as file,
            _WRITERS[out.suffix.lower()](file, COLUMNS) as writer,
        ):
            yield writer
