"""`facever eval-pairs`: any list of pairs, from photographs or embeddings to figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.common import (
    UNCHECKED,
    Cache,
    Compare,
    Device,
    Embeddings,
    Json,
    MinFace,
    Precision,
    Report,
    Scores,
    Thresholds,
    Weights,
    Workers,
)

EXAMPLE = "Example: facever eval-pairs pairs.csv --root photographs/"


def eval_pairs(
    pairs: Annotated[
        Path,
        typer.Argument(
            help="CSV, TSV or Parquet with path_a, path_b, same; LFW's format; a .bin set.",
            metavar="PAIRS",
            **UNCHECKED,
        ),
    ],
    root: Annotated[
        Path | None, typer.Option(help="Folder that the paths start from.", show_default="the list's folder")
    ] = None,
    weights: Weights = "default",
    embeddings: Embeddings = None,
    thresholds: Thresholds = None,
    scores: Scores = None,
    report: Report = None,
    compare: Compare = None,
    faces: Annotated[str, typer.Option(help="Which face of a photograph: center or largest.")] = "center",
    cache: Cache = True,
    min_face: MinFace = 40,
    device: Device = "auto",
    precision: Precision = "auto",
    workers: Workers = None,
    json_: Json = False,
) -> None:
    """Evaluate weights, or embeddings made elsewhere, on any list of pairs.

    Columns fold, group, identity_a and identity_b count where they are there. Without folds, pairs are dealt into ten;
    without identities, the folder of a photograph names its person. All pairs count, and what is odd about the list is
    said.
    """
    from facever.cli.evaluating import evaluate
    from facever.datasets.pair_tables import read_pairs
    from facever.evaluation import ModelOptions
    from facever.faces.detection import DetectorSettings

    listed = read_pairs(pairs, root)
    options = ModelOptions(
        weights=weights,
        embeddings=embeddings,
        thresholds=thresholds,
        faces=faces,  # type: ignore[arg-type]
        cache=cache,
        detector=DetectorSettings(min_face),
        device=device,
        precision=precision,
        workers=workers,
    )
    evaluate(pairs.name, listed, root or pairs.parent, options, scores, report, compare, json_)
