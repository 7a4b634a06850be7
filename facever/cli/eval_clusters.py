"""`facever eval-clusters`: clusters against people who are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.common import (
    UNCHECKED,
    Cache,
    Device,
    Embeddings,
    Json,
    MinFace,
    Precision,
    Thresholds,
    Weights,
    Workers,
    print_json,
)
from facever.files import printable

EXAMPLE = "Example: facever eval-clusters lfw/"


def eval_clusters(
    folder: Annotated[
        Path,
        typer.Argument(help="A folder that holds one folder of photographs per person.", metavar="FOLDER", **UNCHECKED),
    ],
    weights: Weights = "default",
    embeddings: Embeddings = None,
    thresholds: Thresholds = None,
    only: Annotated[str, typer.Option(help="Use people whose names match.", metavar="PATTERN")] = "*",
    threshold: Annotated[
        float | None, typer.Option(help="Merge at this mean cosine instead of as the data allow.", show_default=False)
    ] = None,
    cache: Cache = True,
    min_face: MinFace = "3%",
    device: Device = "auto",
    precision: Precision = "auto",
    workers: Workers = None,
    json_: Json = False,
) -> None:
    """Evaluate how well cluster finds the people of a folder.

    BCubed precision and recall ask of each face what share of its cluster is the same person, and what share of its
    person is in the cluster; pairwise figures ask the same of pairs. The intervals are 95 %, by a bootstrap over
    people. The largest wrong merges and splits are listed.
    """
    from facever.cli.evaluating import model_options, say_missing, through
    from facever.evaluation import evaluate_clusters
    from facever.gallery.clustering import check_settings
    from facever.reports.people import figure_rows
    from facever.reports.tables import print_table

    check_settings(None, threshold)
    options = model_options(weights, embeddings, thresholds, cache, min_face, device, precision, workers)
    evaluation = evaluate_clusters(folder, options, only, threshold, through)
    say_missing(evaluation.result.without_face, embeddings)
    if json_:
        print_json(evaluation.to_json())
    else:
        print_table(figure_rows(evaluation.result, evaluation.model.weights.name), printable(str(folder)))
