"""`facever eval-search`: searches for people who are in a gallery, and for others."""

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

EXAMPLE = "Example: facever eval-search lfw/ --report report/"


def eval_search(
    folder: Annotated[
        Path,
        typer.Argument(help="A folder that holds one folder of photographs per person.", metavar="FOLDER", **UNCHECKED),
    ],
    weights: Weights = "default",
    embeddings: Embeddings = None,
    thresholds: Thresholds = None,
    report: Report = None,
    only: Annotated[str, typer.Option(help="Use people whose names match.", metavar="PATTERN")] = "*",
    seed: Annotated[int, typer.Option(help="Random seed of who is enrolled.")] = 0,
    force: Force = False,
    cache: Cache = True,
    min_face: MinFace = "3%",
    device: Device = "auto",
    precision: Precision = "auto",
    workers: Workers = None,
    json_: Json = False,
) -> None:
    """Evaluate searches among 100, 1,000 and all people of a folder who are enrolled.

    Half of the people are not: whoever is found for their photographs is a false positive. The rates are those of
    ISO/IEC 19795-1 and NIST's FRTE 1:N: how often the right person comes first, or among the first 20; and the false
    negative identification rate (FNIR) at false positive identification rates (FPIR) of 0.1, 0.01 and 0.003. The FPIR
    that search --fpir promises is measured, too.
    """
    from facever.cli.evaluating import check_report, model_options, say_missing, through
    from facever.evaluation import evaluate_search
    from facever.reports.search_page import search_rows, write_search_report
    from facever.reports.tables import print_table, provenance_rows

    options = model_options(weights, embeddings, thresholds, cache, min_face, device, precision, workers)
    if report is not None:
        check_report(report, [path for path in (embeddings, thresholds) if path is not None], force)
    evaluation = evaluate_search(folder, options, only, seed, through)
    result, name = evaluation.result, evaluation.model.weights.name
    if report is not None:
        made = {"seed": str(seed), **provenance_rows(evaluation)}
        say(f"report: {write_search_report(report, evaluation.title, name, result, made)}")
    say_missing(result.without_face, embeddings)
    if json_:
        print_json(evaluation.to_json())
    else:
        print_table(search_rows(result, name), printable(str(folder)))
