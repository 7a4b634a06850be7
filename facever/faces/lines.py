"""Tables as CSV and as JSON lines."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa


class JsonLinesWriter:
    """An object per row, as `pyarrow.parquet.ParquetWriter` takes them; times in ISO 8601."""

    def __init__(self, file: BinaryIO, columns: pa.Schema) -> None:
        self.file, self.columns = file, columns

    def __enter__(self) -> JsonLinesWriter:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def write_table(self, table: pa.Table) -> None:
        """Write rows of these columns."""
        for row in table.to_pylist():
            line = {name: _plain(value) for name, value in row.items()}
            self.file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")


class CsvWriter(JsonLinesWriter):
    """A header, and a line per row; null is empty, a list is JSON, a truth value is 1 or 0."""

    def __init__(self, file: BinaryIO, columns: pa.Schema) -> None:
        super().__init__(file, columns)
        self._write([columns.names])

    def write_table(self, table: pa.Table) -> None:
        """Write rows of these columns."""
        self._write([_cell(_plain(value)) for value in row.values()] for row in table.to_pylist())

    def _write(self, rows: Any) -> None:
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        self.file.write(text.getvalue().encode())


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return json.dumps(value, separators=(",", ":"))
    return int(value) if isinstance(value, bool) else value


def _plain(value: Any) -> Any:
    """For JSON; a float in the fewest digits that make the same float32."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return float(str(np.float32(value))) if isinstance(value, float) else value


WRITERS = {".csv": CsvWriter, ".jsonl": JsonLinesWriter}
"""By the suffix of the file."""
