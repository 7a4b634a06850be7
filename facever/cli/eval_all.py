"""`facever eval-all`: every pair of a folder of identities."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.common import (
    UNCHECKED,
    Cache,
    Device,
    Embeddings,
    Force,
    Json,
    MinFace,
    Precision,
    Report,
    Thresholds,
    Weights,
    Workers,
    print_json,
    say,
)
from facever.files import printable

EXAMPLE = "Example: facever eval-all lfw/ --suspicious 20"


def eval_all(
    folder: Annotated[
        Path,
        typer.Argument(help="A folder that holds one folder of photographs per person.", metavar="FOLDER", **UNCHECKED),
    ],
    weights: Weights = "default",
    embeddings: Embeddings = None,
    thresholds: Thresholds = None,
    report: Report = None,
    only: Annotated[str, typer.Option(help="Use people whose names match.", metavar="PATTERN")] = "*",
    suspicious: Annotated[
        int, typer.Option(help="How many of the most similar pairs of different people to list.", min=0)
    ] = 10,
    within_groups: Annotated[
        bool,
        typer.Option("--within-groups", help="Measure the FAR in groups of look-alikes, too; takes another network."),
    ] = False,
    force: Force = False,
    cache: Cache = True,
    min_face: MinFace = "3%",
    device: Device = "auto",
    precision: Precision = "auto",
    workers: Workers = None,
    json_: Json = False,
) -> None:
    """Evaluate on every genuine and impostor pair of a folder of people.

    Lists the most similar pairs of different people: label errors, relatives, or the same photograph twice. A
    photograph without a detected face counts with its center crop.
    """
    from facever.cli.evaluating import check_report, model_options, say_missing, through
    from facever.evaluation import evaluate_folder
    from facever.reports.all_pairs_page import wanted_names, write_all_pairs_report
    from facever.reports.tables import all_pairs_rows, print_roc, print_table, provenance_rows

    options = model_options(weights, embeddings, thresholds, cache, min_face, device, precision, workers)
    if report is not None:
        check_report(report, [path for path in (embeddings, thresholds) if path is not None], force)
    evaluation, paths = evaluate_folder(
        folder, options, only, suspicious, through, keep_crops=report is not None, within_groups=within_groups
    )
    result, name = evaluation.result, evaluation.model.weights.name
    if report is not None:
        wanted = wanted_names(result)
        found = evaluation.model.crops([paths[name] for name in wanted])
        crops = {name: found[paths[name]] for name in wanted if paths[name] in found}
        made = provenance_rows(evaluation)
        page = write_all_pairs_report(report, evaluation.title, name, result, crops, made)
        say(f"report: {page}; it shows photographs, so take care whom you share it with")
    say_missing(evaluation.model.embedded.without_face, embeddings)
    if json_:
        print_json(evaluation.to_json())
    else:
        print_table(all_pairs_rows(result, name), printable(str(folder)))
        cosines, counts, same = result.scores.scores()
        print_roc(cosines, same, counts)
