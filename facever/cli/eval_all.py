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
    Precision,
    Report,
    Thresholds,
    Weights,
    Workers,
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
    thresholds: Thresholds = None,
    report: Report = None,
    only: Annotated[str, typer.Option(help="People to use, as a pattern.", metavar="PATTERN")] = "*",
    suspicious: Annotated[
        int, typer.Option(help="How many of the most alike pairs of different people to list.", min=0)
    ] = 10,
    cache: Cache = True,
    min_face: MinFace = 40,
    device: Device = "auto",
    precision: Precision = "auto",
    workers: Workers = None,
    json_: Json = False,
) -> None:
    """Score every genuine and impostor pair of a folder of people.

    The most alike pairs of different people are listed: label errors, relatives, or the same photograph twice.
    Photographs without a face take part with their centre crop.
    """
    from facever.cli.evaluating import Model, crops_of, embed, json_of, made_by, say_missing
    from facever.datasets.identities import read_identities
    from facever.evaluation import evaluate_all
    from facever.files import check_writable
    from facever.reports.all_pairs_page import wanted_names, write_report
    from facever.reports.tables import all_pairs_rows, print_roc, print_table

    model = Model(weights, embeddings, thresholds, "center", cache, min_face, device, precision, workers)
    model.check()
    if report is not None:
        check_writable(report / "index.html")
    start = time.monotonic()
    people = read_identities(folder, only=only)
    found = embed(people.paths, folder, model)
    scoring = time.monotonic()
    result = evaluate_all(found.embedded, people.identities, suspicious, found.thresholds)
    times = (time.monotonic() - scoring, time.monotonic() - start)
    if report is not None:
        paths = dict(zip(found.embedded.names, people.paths, strict=True))
        wanted = {paths[name]: name for name in wanted_names(result)}
        crops = {wanted[path]: crop for path, crop in crops_of(list(wanted), model).items()}  # type: ignore[index]
        made = made_by(model, found, times)
        page = write_report(report, f"All pairs of {folder.name}", found.named["name"], result, crops, made)
        say(f"report: {page}")
    say_missing(found.embedded.without_face, embeddings)
    if json_:
        print_json({**result.to_json(), **json_of(found, times)})
    else:
        print_table(all_pairs_rows(result, found.named["name"]), printable(str(folder)))
        cosines, counts, same = result.scores.scores()
        print_roc(cosines, same, counts)
