"""`facever info`: the record in a weights file."""

from __future__ import annotations

from typing import Annotated

import typer

from facever.cli.common import Json, print_json

EXAMPLE = "Example: facever info default"


def info(
    weights: Annotated[
        str, typer.Argument(help="Weights that come with facever, by name, or a file.", metavar="WEIGHTS")
    ] = "default",
    json_: Json = False,
) -> None:
    """Print the record in weights: network, alignment, training data, license, thresholds."""
    from facever.reports.tables import info_rows, print_table
    from facever.weights.file import read_info
    from facever.weights.shipped import find_weights

    path = find_weights(weights)
    metadata = read_info(path)
    if json_:
        print_json({**metadata.to_json(), "file": str(path)})
    else:
        print_table([*info_rows(metadata), ("file", str(path))])
