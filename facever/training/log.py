"""The training log: a row every few steps, validation in the last row of its epoch."""

from __future__ import annotations

import csv
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from facever.files import atomic_write
from facever.training.callbacks import Progress
from facever.training.validation import Validation

COLUMNS = [
    *(f.name for f in fields(Progress) if f.name != "minutes_left"),
    "validation_accuracy",
    "validation_tar",
    "validation_far",
    "validation_score",
]


class TrainingLog:
    """Rows of plain values, which also go into checkpoints."""

    def __init__(self, rows: list[dict[str, Any]] | None = None) -> None:
        self.rows = rows or []

    def add(self, progress: Progress) -> None:
        self.rows.append({name: value for name, value in asdict(progress).items() if name in COLUMNS})

    def add_validation(self, validation: Validation) -> None:
        if self.rows:
            self.rows[-1] |= {
                "validation_accuracy": validation.accuracy,
                "validation_tar": validation.tar,
                "validation_far": validation.far,
                "validation_score": validation.score,
            }

    def write(self, path: Path) -> None:
        """As CSV, whole or not at all. Raises OutputError."""
        with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, restval="")
            writer.writeheader()
            writer.writerows({name: _rounded(value) for name, value in row.items()} for row in self.rows)


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value
