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
    check: Annotated[
        bool, typer.Option("--check", help="Also compute the known answer in the file, and compare.")
    ] = False,
    json_: Json = False,
) -> None:
    """Print the record in weights: network, alignment, training data, license, thresholds.

    Every command refuses a damaged file. With --check the network also embeds an input that a seed draws,
    and must answer as it did where the file was written.
    """
    from facever.reports.tables import print_table
    from facever.reports.weights_rows import info_rows
    from facever.weights.file import load_weights
    from facever.weights.known_answer import check_known_answer
    from facever.weights.shipped import find_weights

    path = find_weights(weights)
    metadata, network = load_weights(path)
    cosine = check_known_answer(metadata, network) if check else None
    if json_:
        known = {"known_answer_cosine": cosine} if check else {}
        print_json({**metadata.to_json(), "file": str(path), **known})
    else:
        rows = [("known answer", "none in this file" if cosine is None else f"as written: cosine {cosine:.6f}")]
        print_table([*info_rows(metadata), ("file", str(path)), *(rows if check else [])])
