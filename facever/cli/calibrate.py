"""`facever calibrate`: thresholds for stated false accept rates, from a folder of identities."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facever.cli.common import UNCHECKED, Device, Json, Workers, counted, print_json, printable, say

if TYPE_CHECKING:
    from facever.pipeline import Photograph

EXAMPLE = "Example: facever calibrate default people/ -o mine.safetensors"


def calibrate(
    weights: Annotated[
        str, typer.Argument(help="Weights that come with facever, by name, or a file.", metavar="WEIGHTS")
    ],
    data: Annotated[
        Path,
        typer.Argument(help="A folder that holds one folder of photographs a person.", metavar="DATA", **UNCHECKED),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Copy of the weights to write, with the thresholds.")],
    only: Annotated[str, typer.Option(help="People to use, as a pattern.", metavar="PATTERN")] = "*",
    held_out: Annotated[
        float, typer.Option(help="Use only the share of people that train holds out; 1 uses all.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the held-out people, as in train.")] = 0,
    device: Device = "auto",
    workers: Workers = None,
    json_: Json = False,
) -> None:
    """Choose the thresholds of weights for the photographs that you have.

    The people must not be those that the weights were trained on. Rates that their pairs can't support are left out.
    """
    from dataclasses import asdict, replace

    from facever.calibration import FARS, thresholds_of_folder
    from facever.errors import DataError, FaceverError
    from facever.files import check_writable
    from facever.report import info_rows, print_table
    from facever.scoring import impostors_needed
    from facever.verifier import Verifier
    from facever.weights import load_weights, save_weights

    if not 0 < held_out <= 1:
        raise FaceverError(f"--held-out is a share above 0 and at most 1, not {held_out}")
    check_writable(out)
    verifier = Verifier.load(weights, device)
    left_out: list[str] = []

    def through(stream: Iterable[Photograph], total: int) -> Iterator[Photograph]:
        for photograph in counted(stream, total, "embedding"):
            left_out.extend(photograph.problems[:1])
            yield photograph

    thresholds = thresholds_of_folder(
        verifier,
        data,
        only,
        held_out,
        seed,
        workers,
        through,
    )
    if left_out:
        say(f"photographs left out: {len(left_out)}, the first: {left_out[0]}")
    if not thresholds:
        raise DataError(
            f"{data}: too few pairs of photographs; FAR {FARS[0]:g} takes {impostors_needed(FARS[0]):,} pairs of "
            "different people and one of the same person; add people and photographs"
        )
    if len(thresholds) < len(FARS):
        say("too few impostor pairs for the lower rates, which were left out")
    info, network = load_weights(verifier.path)
    info = replace(info, name=out.stem, thresholds=thresholds)
    save_weights(out, info, network)
    if json_:
        print_json({"weights": str(out), "thresholds": [asdict(t) for t in thresholds]})
    else:
        print_table([row for row in info_rows(info) if row[0].startswith("threshold")], printable(str(out)))
