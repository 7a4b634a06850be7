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
    counted,
    print_json,
    printable,
    say,
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
    from facever.datasets.foreign import ForeignEmbeddings
    from facever.datasets.identities import read_identities
    from facever.embedding_cache import EmbeddingCache, default_cache_file
    from facever.files import sha256_of
    from facever.protocols import embed_each, evaluate_all, foreign_photographs
    from facever.report import all_pairs_rows, print_table
    from facever.verifier import Verifier
    from facever.weights import find_weights, versions

    start = time.monotonic()
    people = read_identities(folder, only=only)
    if embeddings is None:
        embedded = embed_each(
            Verifier.load(weights, device, min_face),
            people.paths,
            "center",
            workers,
            lambda photographs, total: counted(photographs, total, "embedding"),
            EmbeddingCache(default_cache_file()) if cache else None,
            folder,
        )
        model = {"name": weights, "sha256": sha256_of(find_weights(weights))}
    else:
        embedded = foreign_photographs(ForeignEmbeddings.read(embeddings), people.paths, folder)
        model = {"name": embeddings.name, "sha256": sha256_of(embeddings)}
    result = evaluate_all(embedded, people.identities, suspicious)
    seconds = time.monotonic() - start
    for name in embedded.without_face:
        say(f"{name}: no face found, so its centre crop was used" if embeddings is None else f"{name}: no embedding")
    if json_:
        print_json({**result.to_json(), "weights": model, "seconds": round(seconds, 1), "versions": versions()})
    else:
        print_table(all_pairs_rows(result, model["name"]), printable(str(folder)))
