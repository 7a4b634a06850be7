"""`facever eval-all`: every pair of a folder of identities."""

from __future__ import annotations

import time
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
    Weights,
    Workers,
    print_json,
    printable,
)

EXAMPLE = "Example: facever eval-all lfw/ --suspicious 20"


def eval_all(
    folder: Annotated[
        Path,
        typer.Argument(help="A folder that holds one folder of photographs a person.", metavar="FOLDER", **UNCHECKED),
    ],
    weights: Weights = "default",
    embeddings: Embeddings = None,
    only: Annotated[str, typer.Option(help="People to use, as a pattern.", metavar="PATTERN")] = "*",
    suspicious: Annotated[
        int, typer.Option(help="How many of the most alike pairs of different people to list.", min=0)
    ] = 10,
    cache: Cache = True,
    min_face: MinFace = 40,
    device: Device = "auto",
    workers: Workers = None,
    json_: Json = False,
) -> None:
    """Score every genuine and impostor pair of a folder of people.

    The most alike pairs of different people are listed: label errors, relatives, or the same photograph twice.
    Photographs without a face take part with their centre crop.
    """
    from facever.cli.evaluating import embedded_photographs, say_missing
    from facever.datasets.identities import read_identities
    from facever.protocols import evaluate_all
    from facever.report import all_pairs_rows, print_table
    from facever.weights import versions

    start = time.monotonic()
    people = read_identities(folder, only=only)
    embedded, _, model = embedded_photographs(
        people.paths, folder, weights, embeddings, "center", cache, min_face, device, workers
    )
    result = evaluate_all(embedded, people.identities, suspicious)
    seconds = time.monotonic() - start
    say_missing(embedded.without_face, embeddings)
    if json_:
        print_json({**result.to_json(), "weights": model, "seconds": round(seconds, 1), "versions": versions()})
    else:
        print_table(all_pairs_rows(result, model["name"]), printable(str(folder)))
