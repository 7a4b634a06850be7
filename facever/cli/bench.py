"""`facever bench`: how fast is it here?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.common import UNCHECKED, Device, Json, MinFace, Precision, Weights, print_json, say

EXAMPLE = "Example: facever bench photographs/"


def bench(
    photographs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Folders or photographs to measure with.",
            metavar="FOLDER…",
            show_default="240 small ones",
            **UNCHECKED,
        ),
    ] = None,
    weights: Weights = "default",
    min_face: MinFace = "3%",
    precision: Precision = "auto",
    device: Device = "auto",
    json_: Json = False,
) -> None:
    """Measure this machine: stages, batch sizes, workers, memory, and where the limit lies.

    Stages and batches are those of one thread. Let nothing else run meanwhile.
    """
    from contextlib import nullcontext
    from dataclasses import asdict

    from facever.evaluation.speed import measure, sample_photographs
    from facever.faces.detector_settings import DetectorSettings
    from facever.faces.folders import find_all, no_photographs
    from facever.reports.speed import speed_rows
    from facever.reports.tables import print_table
    from facever.verifier import Verifier
    from facever.weights.metadata import versions

    named = find_all(photographs)[1].paths if photographs else None
    if photographs and not named:
        raise no_photographs(photographs[0])
    verifier = Verifier.load(weights, device, detector=DetectorSettings.parse(min_face), precision=precision)  # type: ignore[arg-type]
    with nullcontext(named) if named else sample_photographs() as paths:
        speed = measure(verifier.job(), paths, say)
    if json_:
        settings = {"weights": asdict(verifier.weights), "min_face": min_face, "precision": verifier.precision}
        print_json({**asdict(speed), "settings": settings, "versions": versions()})
    else:
        print_table(speed_rows(speed))
