"""`facever export`: networks as ONNX models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.common import Force, Json, print_json

EXAMPLE = "Example: facever export default -o default.onnx"


def export(
    weights: Annotated[
        str | None,
        typer.Argument(
            help="Weights that come with facever, by name, or a file.", metavar="WEIGHTS", show_default="default"
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="ONNX file to write; with --detector a folder.")] = ...,  # type: ignore[assignment]
    detector: Annotated[
        bool, typer.Option("--detector", help="Export the detector instead: pnet.onnx, rnet.onnx, onet.onnx.")
    ] = False,
    force: Force = False,
    json_: Json = False,
) -> None:
    """Export an embedder as ONNX, for programs without torch and facever.

    Input: aligned crops, RGB, uint8, (n, height, width, 3). Output: embeddings of unit length, and feature norms.
    Normalization and mirror averaging are part of the model; alignment, thresholds, license and the hash of the weights
    are in its metadata, under the key facever.

    The export is run in ONNX Runtime and compared with torch; nothing is written if they differ by more than 1e-4.
    """
    from facever.errors import SettingError
    from facever.faces.detection_onnx import NAMES, export_detector
    from facever.files import check_output, check_output_folder
    from facever.reports.tables import print_table
    from facever.weights.onnx_export import export_embedder
    from facever.weights.shipped import find_weights

    if detector:
        if weights is not None:
            raise SettingError("has networks of its own; drop the weights", "detector")
        check_output_folder(out)
        for name in NAMES:
            check_output(out / name, "onnx", force=force)
        written = export_detector(out)
    else:
        source = find_weights(weights or "default")
        check_output(out, "onnx", [source], force)
        written = {out: export_embedder(source, out)}
    if json_:
        print_json({"files": [{"file": str(path), "greatest_difference": d} for path, d in written.items()]})
    else:
        print_table([(str(path), f"greatest difference from torch {d:.1e}") for path, d in written.items()])
