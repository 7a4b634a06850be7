"""`facever verify`: are these two photographs of the same person?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.common import (
    UNCHECKED,
    Device,
    Json,
    MinFace,
    Thresholds,
    Weights,
    license_notice,
    print_json,
    say,
)
from facever.files import printable

EXAMPLE = "Example: facever verify passport.jpg selfie.jpg"


def verify(
    a: Annotated[Path, typer.Argument(help="A photograph.", metavar="A", **UNCHECKED)],
    b: Annotated[Path, typer.Argument(help="Another photograph.", metavar="B", **UNCHECKED)],
    weights: Weights = "default",
    faces: Annotated[
        str,
        typer.Option(
            help="Which face to take where there are several: largest, center or all (the most similar pair)."
        ),
    ] = "largest",
    far: Annotated[float, typer.Option(help="False accept rate whose stored threshold decides.")] = 1e-3,
    threshold: Annotated[
        float | None,
        typer.Option(help="Decide at this cosine instead of a stored threshold.", show_default=False),
    ] = None,
    thresholds: Thresholds = None,
    prior: Annotated[
        float | None,
        typer.Option(help="Probability of the same person before seeing the photographs.", show_default="0.5"),
    ] = None,
    min_quality: Annotated[
        float | None,
        typer.Option(
            help="Decline to answer if a photograph's quality is below this percentile, 0 to 100.",
            show_default=False,
            metavar="PERCENTILE",
        ),
    ] = None,
    min_face: MinFace = 40,
    device: Device = "auto",
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Leave out the note on the weights' license; so does FACEVER_QUIET=1.")
    ] = False,
    json_: Json = False,
) -> None:
    """Compare the faces of two photographs.

    Calibrated weights also give a log-likelihood ratio (natural logarithm), a probability at the prior, and each
    photograph's quality: the percentile of its feature norm among the people of the calibration. --min-quality is
    refused where a low norm was not shown to mean a poor photograph.

    Exit codes: 0 same person, 1 different people, 2 usage error or bad input, 3 no face found, 4 photograph too poor
    to decide.
    """
    from dataclasses import asdict

    from facever.faces.detection import DetectorSettings
    from facever.reports.tables import answer_text
    from facever.verifier import Verifier

    verifier = Verifier.load(weights, device, detector=DetectorSettings(min_face), calibration=thresholds)
    answer = verifier.verify(a, b, faces, threshold, far, prior, min_quality)  # type: ignore[arg-type]
    if not quiet:
        license_notice(verifier.info)
    if json_:
        print_json(asdict(answer))
    else:
        print(answer_text(answer, printable(str(a)), printable(str(b)), faces))
        if max(answer.faces_found) > 1 and faces == "largest":
            say("a photograph shows several faces; choose with --faces largest, center or all")
    raise typer.Exit(0 if answer.same else 1)
