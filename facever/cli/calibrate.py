"""`facever calibrate`: thresholds for stated false accept rates, likelihood ratios, quality."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facever.cli.common import UNCHECKED, Device, Force, Json, Workers, counted, print_json, say
from facever.files import printable

if TYPE_CHECKING:
    from facever.faces.pipeline import PhotoResult

EXAMPLE = "Example: facever calibrate default people/ -o mine.safetensors"


def calibrate(
    weights: Annotated[
        str, typer.Argument(help="Weights that come with facever, by name, or a file.", metavar="WEIGHTS")
    ],
    data: Annotated[
        Path,
        typer.Argument(
            help="A folder that holds one folder of photographs per person, or a pair list as in eval-pairs.",
            metavar="DATA",
            **UNCHECKED,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Weights file to write, a copy with these thresholds.", show_default=False),
    ] = None,
    thresholds: Annotated[
        Path | None,
        typer.Option(help="JSON file to write, for --thresholds of verify and eval-*.", show_default=False),
    ] = None,
    far: Annotated[
        list[float] | None,
        typer.Option(help="False accept rate; may be repeated.", show_default="1e-2, 1e-3, 1e-4 where supported"),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(help="Folder that a pair list's paths are relative to.", show_default="the list's folder"),
    ] = None,
    only: Annotated[str, typer.Option(help="Use people whose names match.", metavar="PATTERN")] = "*",
    held_out: Annotated[
        float, typer.Option(help="Use only the fraction of people that train holds out; 1 uses all.")
    ] = 1.0,
    within_groups: Annotated[
        bool, typer.Option("--within-groups", help="Keep the rates in the worst group of look-alikes, too.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Random seed of the training, for --held-out.")] = 0,
    force: Force = False,
    device: Device = "auto",
    workers: Workers = None,
    json_: Json = False,
) -> None:
    """Choose thresholds on your own photographs, and fit likelihood ratios.

    Also records the percentiles of feature norms, and whether discarding photographs of low norm helps (verify
    --min-quality). The people of a folder are grouped by how alike they look to another network; each threshold is
    shown with the FAR in the worst group.

    From 10,000 pairs of different people on, it also learns the tail of their cosines: search --fpir needs rates that
    are too low to be counted.

    Use people whom the weights were not trained on. A rate needs ten expected false accepts: one asked for by --far
    that the pairs can't support is an error; a default one is skipped. Where they support no default one, the threshold
    is for the rarest that they do, 0.1 at most.
    """
    from dataclasses import asdict, replace

    from facever.datasets.pair_tables import read_pairs
    from facever.errors import FaceverError
    from facever.evaluation import calibrate_folder, calibrate_pairs
    from facever.files import check_output
    from facever.metrics.support import explained
    from facever.reports.tables import print_table
    from facever.reports.weights_rows import calibration_rows
    from facever.scoring import impostors_needed
    from facever.verifier import Verifier
    from facever.weights.file import load_weights, save_weights
    from facever.weights.metadata import with_thresholds
    from facever.weights.shipped import find_weights
    from facever.weights.thresholds_json import write_thresholds

    if out is None and thresholds is None:
        raise FaceverError("nothing to write; name a weights file with --out, or a JSON file with --thresholds")
    if not 0 < held_out <= 1:
        raise FaceverError(f"--held-out is in (0, 1], not {held_out}")
    for rate in far or []:
        impostors_needed(rate)  # refuses what is no rate
    source = find_weights(weights)
    if out is not None:
        check_output(out, "safetensors", [source, data], force)
    if thresholds is not None:
        check_output(thresholds, "json", [source, data], force)
    if data.is_file() and (only != "*" or held_out < 1 or within_groups):
        raise FaceverError(
            "--only, --held-out and --within-groups need a folder of people, and this is a file; drop them"
        )
    listed = read_pairs(data, root) if data.is_file() else None
    verifier = Verifier.load(weights, device)
    left_out: list[str] = []

    def through(stream: Iterable[PhotoResult], total: int) -> Iterator[PhotoResult]:
        for photograph in counted(stream, total, "embedding"):
            left_out.extend(photograph.problems[:1])
            yield photograph

    if listed is not None:
        found = calibrate_pairs(verifier, listed, data.name, workers, through, far or None)
    else:
        found = calibrate_folder(verifier, data, only, held_out, seed, workers, through, far or None, within_groups)
    if left_out:
        say(f"photographs left out: {len(left_out)}, the first: {left_out[0]}")
    for note in found.notes:
        say(note)
    for text in explained(list(found.unsupported.values())):
        say(f"skipped: {text}")
    if found.no_tail:
        say(f"skipped: {found.no_tail}")
    if found.likelihood is None:
        say("no likelihood ratios: genuine pairs are no more similar than impostor pairs; check the data")
    info = with_thresholds(verifier.info, found.calibrated)
    if out is not None:
        info = replace(info, name=out.stem)
        save_weights(out, info, load_weights(verifier.path)[1])
    if thresholds is not None:
        write_thresholds(thresholds, verifier.path, verifier.info.name, found.calibrated)
    written = {"weights": out, "thresholds_file": thresholds}
    if json_:
        files = {name: str(path) for name, path in written.items() if path is not None}
        print_json({**files, **asdict(found.calibrated)})
    else:
        files_written = ", ".join(printable(str(path)) for path in written.values() if path is not None)
        print_table(calibration_rows(info), files_written)
