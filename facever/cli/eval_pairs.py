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
    Force,
    Json,
    MinFace,
    OneFace,
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
            help="CSV, TSV or Parquet with path_a, path_b, same; LFW's format; an insightface .bin set.",
            metavar="PAIRS",
            **UNCHECKED,
        ),
    ],
    root: Annotated[
        Path | None, typer.Option(help="Folder that the paths are relative to.", show_default="the list's folder")
    ] = None,
    weights: Weights = "default",
    embeddings: Embeddings = None,
    thresholds: Thresholds = None,
    scores: Scores = None,
    report: Report = None,
    compare: Compare = None,
    faces: OneFace = "center",
    force: Force = False,
    cache: Cache = True,
    min_face: MinFace = "3%",
    device: Device = "auto",
    precision: Precision = "auto",
    workers: Workers = None,
    json_: Json = False,
) -> None:
    """Evaluate on any list of pairs, also with embeddings made elsewhere.

    Optional columns: fold, group, identity_a, identity_b. Without folds, pairs are dealt into ten; without identities,
    a photograph's folder names its person, or, in a single folder, the genuine pairs tell who is the same. All pairs
    count; anomalies in the list are reported.
    """
    from facever.cli.evaluating import evaluate, model_options
    from facever.datasets.pair_tables import read_pairs

    listed = read_pairs(pairs, root)
    options = model_options(weights, embeddings, thresholds, cache, min_face, device, precision, workers, faces)
    evaluate(pairs.name, listed, pairs, root or pairs.parent, options, scores, report, compare, force, json_)
