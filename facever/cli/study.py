"""`facever study`: a claim, of the paper or of facever's weights, as figures, plots and a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facever.cli.common import UNCHECKED, Device, Json, Weights, Workers, print_json, say

if TYPE_CHECKING:
    from facever.studies.outcome import Outcome

EXAMPLE = "Example: facever study losses --out studies/losses --data people/"


def study(
    name: Annotated[str, typer.Argument(help="digits, losses, alpha, norm, robustness or attacks.", metavar="NAME")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for runs, results.json, plots and index.html.")],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="Training data: a folder that holds one folder of photographs per person.", **UNCHECKED
        ),
    ] = None,
    lfw: Annotated[Path | None, typer.Option("--lfw", help="LFW's folder, to test on.", **UNCHECKED)] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            "--pairs", help="LFW's pair file.", show_default="pairs.txt in LFW's folder or beside", **UNCHECKED
        ),
    ] = None,
    mnist: Annotated[
        Path | None, typer.Option("--mnist", help="Folder of MNIST's IDX files, for digits.", **UNCHECKED)
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Fewer, shorter trainings; the page says so. digits: 4 of 10 epochs. Of one epoch of your people: "
            "norm 2, alpha 5, losses 13. robustness and attacks: 160 of LFW's pairs.",
        ),
    ] = False,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="losses: also in the paper's own network, for a GPU. robustness and attacks: all of LFW's pairs.",
        ),
    ] = False,
    weights: Weights = "default",
    seeds: Annotated[
        int | None, typer.Option("--seeds", help="Number of seeds.", show_default="the study's own number")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Folder of crop caches.", show_default="~/.cache/facever/crops")
    ] = None,
    device: Device = "auto",
    workers: Workers = None,
    json_: Json = False,
) -> None:
    """Reproduce a claim of the L2-softmax paper, or test what weights promise.

    Of the paper: digits: two-dimensional features. losses: the losses compared, on hard photographs too. alpha: the
    radius and its lower bound. norm: the feature norm as a quality score.

    Of weights, on LFW: robustness: what verify makes of degraded photographs. attacks: morphs and adversarial patterns.

    An interrupted study resumes when the command is run again.
    """
    from facever.cli.training_bars import TrainingBars
    from facever.studies import run_study
    from facever.studies.page import write_study
    from facever.studies.runs import Options

    options = Options(out, data, lfw, pairs, mnist, quick, full, seeds, device, workers, cache, weights)
    with TrainingBars() as callback:
        outcome = run_study(name, options, callback)
    note = "; it shows photographs, so take care whom you share it with" if name == "norm" else ""
    say(f"page: {write_study(out, outcome)}{note}")
    if json_:
        print_json(outcome.to_json())
    else:
        _print(outcome)


def _print(outcome: Outcome) -> None:
    from facever.reports.tables import print_table
    from facever.studies.page import interval_text

    rows = [("verdict", outcome.verdict + (" (a quick run)" if outcome.quick else ""))]
    rows += [
        (check.what, f"{check.difference:+.4g} ({interval_text(check.ci95)}): {check.speaks}")
        for check in outcome.checks
    ]
    rows += [(f.name, f"{f.value:.4g} ({interval_text(f.ci95)})") for f in outcome.figures]
    print_table(rows, outcome.title)
