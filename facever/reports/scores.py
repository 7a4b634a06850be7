"""The scores of an evaluation's pairs, as a CSV file."""

from __future__ import annotations

import csv
from pathlib import Path

from facever.evaluation import PairsResult, name_below
from facever.files import atomic_write


def write_scores(path: Path, root: Path, result: PairsResult) -> None:
    """Write a row per pair: path_a, path_b (below the root), same, fold, cosine, without_face. Raises OutputError."""
    without = set(result.images_without_face)
    # Names that are not UTF-8 are written as their bytes, so that the files can still be opened.
    with (
        atomic_write(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["path_a", "path_b", "same", "fold", "cosine", "without_face"])
        for pair, score in zip(result.pairs, result.cosines, strict=True):
            names = [name_below(photograph, root) for photograph in (pair.path_a, pair.path_b)]
            missing = sum(name in without for name in names)
            writer.writerow([*names, int(pair.same), pair.fold, f"{score:.7f}", missing])
