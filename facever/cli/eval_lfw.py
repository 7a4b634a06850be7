"""`facever eval-lfw`: LFW's 10 folds, from raw photographs to figures."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facever.cli.common import Device, Json, MinFace, Weights, Workers, counted, print_json, say

if TYPE_CHECKING:
    from facever.datasets.pairs import Pair
    from facever.protocols import PairsResult

EXAMPLE = "Example: facever eval-lfw lfw/ --pairs pairs.txt"


def eval_lfw(
    lfw: Annotated[Path, typer.Argument(help="LFW's folder, with one folder a person.", metavar="LFW")],
    pairs: Annotated[
        Path | None,
        typer.Option("--pairs", help="LFW's pair file.", show_default="pairs.txt in LFW's folder or beside"),
    ] = None,
    weights: Weights = "default",
    scores: Annotated[
        Path | None, typer.Option("--scores", help="CSV file to write, one row a pair.", show_default=False)
    ] = None,
    faces: Annotated[str, typer.Option(help="Which face of a photograph: center or largest.")] = "center",
    min_face: MinFace = 40,
    device: Device = "auto",
    workers: Workers = None,
    json_: Json = False,
) -> None:
    """Evaluate weights by LFW's protocol.

    The threshold of each fold comes from the nine others; all pairs count: a photograph without a detected face gets
    its centre crop and is reported.
    """
    from facever.datasets.pairs import read_lfw_pairs
    from facever.errors import DataError, FaceverError
    from facever.files import check_writable, sha256_of
    from facever.protocols import evaluate_pairs
    from facever.report import pairs_rows, print_table
    from facever.verifier import Verifier
    from facever.weights import versions

    if faces not in ("center", "largest"):
        raise FaceverError(f"--faces is center or largest, not {faces!r}")
    file = pairs or _find_pairs(lfw)
    chosen = read_lfw_pairs(file, lfw)
    if len({pair.fold for pair in chosen}) < 2:
        raise DataError(
            f"{file}: a single fold of pairs, where each fold's threshold comes from others; use a longer list"
        )
    if scores is not None:
        check_writable(scores)
    verifier = Verifier.load(weights, device, min_face)
    start = time.monotonic()
    result = evaluate_pairs(
        verifier,
        chosen,
        faces,  # type: ignore[arg-type]
        workers,
        lambda photographs, total: counted(photographs, total, "embedding"),
    )
    seconds = time.monotonic() - start
    if scores is not None:
        _write_scores(scores, chosen, result)
    for name in result.images_without_face:
        say(f"{name}: no face found, so its centre crop was used")
    if json_:
        about = {"name": verifier.info.name, "sha256": sha256_of(verifier.path)}
        extra = {"weights": about, "seconds": round(seconds, 1), "versions": versions()}
        print_json({**result.to_json(), **extra})
    else:
        print_table(pairs_rows(result, verifier.info.name), "LFW")


def _find_pairs(lfw: Path) -> Path:
    from facever.errors import DataError

    if not lfw.is_dir():
        raise DataError(f"{lfw}: no such folder; name the one that holds NAME/NAME_0001.jpg")
    for folder in (lfw, lfw.parent):
        if (folder / "pairs.txt").is_file():
            return folder / "pairs.txt"
    raise DataError(f"{lfw}: no pairs.txt in it or beside it; name LFW's pair file with --pairs")


def _write_scores(path: Path, pairs: list[Pair], result: PairsResult) -> None:
    import csv

    from facever.files import written_whole

    without = set(result.images_without_face)
    # Names that are no text are written as the bytes that they are, so that they can be opened again.
    with (
        written_whole(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["path_a", "path_b", "same", "fold", "cosine", "without_face"])
        for pair, score in zip(pairs, result.cosines, strict=True):
            missing = (str(pair.path_a) in without) + (str(pair.path_b) in without)
            writer.writerow([pair.path_a, pair.path_b, int(pair.same), pair.fold, f"{score:.7f}", missing])
