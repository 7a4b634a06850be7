"""What a search found: as text, and a row per match as CSV, JSON lines or Parquet."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from facever.errors import SettingError
from facever.faces.lines import WRITERS
from facever.files import Kind, as_text, atomic_write, check_output, printable
from facever.gallery.results import FaceMatches, Match, SearchResult

_KINDS: dict[str, Kind] = {".csv": "csv", ".jsonl": "json", ".parquet": "parquet"}
_WRITERS: dict[str, Any] = {**WRITERS, ".parquet": pq.ParquetWriter}
_REAL, _BOX = pa.float64(), pa.list_(pa.float32())
COLUMNS = pa.schema(
    [
        ("query", pa.string()),
        ("query_face", pa.int32()),
        ("query_box", _BOX),
        ("rank", pa.int32()),
        ("cosine", _REAL),
        ("same", pa.bool_()),
        ("log_likelihood_ratio", _REAL),
        ("probability", _REAL),
        ("path", pa.string()),
        ("face", pa.int32()),
        ("face_id", pa.string()),
        ("box", _BOX),
        ("person", pa.string()),
        ("photographs", pa.int32()),
        ("duplicate", pa.string()),
    ]
)


def check_matches_file(out: Path, inputs: Iterable[Path], force: bool) -> None:
    """Check that matches can be written there. Raises SettingError for another suffix, and as `check_output`."""
    if out.suffix.lower() not in _KINDS:
        raise SettingError(f"ends in {', '.join(_KINDS)}, not {out.suffix!r}", "out")
    check_output(out, _KINDS[out.suffix.lower()], inputs, force)


def write_matches(out: Path, result: SearchResult) -> None:
    """Write a row per match, whole or not at all, for its owner only. Raises OutputError."""
    rows = [{**row, "query": as_text(row["query"])} for row in result.rows()]
    with (
        atomic_write(out, private=True) as temporary,
        temporary.open("wb") as file,
        _WRITERS[out.suffix.lower()](file, COLUMNS) as writer,
    ):
        writer.write_table(pa.Table.from_pylist(rows, COLUMNS))


def matches_text(result: SearchResult) -> str:
    """A paragraph per face, a line per match."""
    return "\n".join(_face_text(face, result) for face in result.faces)


def search_summary(result: SearchResult) -> str:
    """What was searched, and what decides."""
    kind = "faces" if result.by == "face" else "people"
    if result.threshold is None:
        return f"among {result.entries:,} {kind}; no threshold"
    promise = "" if result.fpir is None else f" for a false positive identification rate of {result.fpir:g}"
    return f"among {result.entries:,} {kind}; threshold {result.threshold:.4f}{promise}"


def match_words(match: Match) -> list[str]:
    """Cosine, decision, probability, name, remarks."""
    words = [f"{match.cosine:.4f}"]
    words.append("" if match.same is None else "same person" if match.same else "different")
    words.append("" if match.probability is None else probability_text(match.probability))
    where = match.path if match.face is None else f"{match.path}, face {match.face}"
    named = match.person is not None
    remarks = [] if match.photographs is None else [f"{match.photographs} photographs"]
    remarks += {"file": ["the same file"], "copy": ["a copy"], "resized": ["almost the same photograph"]}.get(
        match.duplicate or "", []
    )
    words.append(f"{match.person}: {where}" if named else where)
    words.append("; ".join(remarks))
    return words


def probability_text(value: float) -> str:
    """Four digits, never 0 or 1."""
    return "above 0.9999" if value > 0.9999 else "below 0.0001" if value < 0.0001 else f"{value:.4f}"


def _face_text(face: FaceMatches, result: SearchResult) -> str:
    lines = [printable(f"{face.source}, face {face.face}")]
    for rank, match in enumerate(face.matches, 1):
        cosine, same, probability, where, remarks = map(printable, match_words(match))
        line = [f"{rank:>3}", cosine]
        line += [f"{same:<11}"] if result.threshold is not None else []
        line += [f"p {probability:<12}"] if probability else []
        lines.append("  ".join([*line, where]) + (f" ({remarks})" if remarks else ""))
    return "\n".join(lines if face.matches else [*lines, "  nobody"])
