"""`facever eval-lfw`: LFW's 10-fold protocol, from raw photographs."""

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
    say,
)

EXAMPLE = "Example: facever eval-lfw lfw/ --pairs pairs.txt"


def eval_lfw(
    lfw: Annotated[
        Path | None,
        typer.Argument(
            help="LFW's folder, with one folder per person; by default where scikit-learn keeps it.",
            metavar="[LFW]",
            show_default=False,
            **UNCHECKED,
        ),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            "--pairs", help="LFW's pair file.", show_default="pairs.txt in LFW's folder or beside", **UNCHECKED
        ),
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch LFW with scikit-learn if it is not there.")
    ] = False,
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
    """Evaluate on Labeled Faces in the Wild, by its 10-fold protocol.

    Each fold's threshold comes from the nine others. All pairs count: a photograph without a detected face gets its
    center crop and is reported.
    """
    from facever.cli.evaluating import evaluate, model_options
    from facever.datasets.lfw import download_lfw, find_pairs_file, found_lfw, lfw_folder, read_lfw_pairs
    from facever.datasets.pairs import noted
    from facever.errors import FaceverError

    if lfw is not None and download:
        raise FaceverError("--download fetches LFW to where scikit-learn keeps it; drop the folder")
    if download and not lfw_folder().is_dir():
        say(f"fetching LFW, about 240 MB, to {lfw_folder()}")
    folder = lfw or (download_lfw() if download else found_lfw())
    file = pairs or find_pairs_file(folder)
    listed = noted(read_lfw_pairs(file, folder), file)
    options = model_options(weights, embeddings, thresholds, cache, min_face, device, precision, workers, faces)
    evaluate("LFW", listed, file, folder, options, scores, report, compare, force, json_)
