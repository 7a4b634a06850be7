"""Options, progress bars and output that the commands share."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from facever.caches import private_folder, user_cache
from facever.files import printable

if TYPE_CHECKING:
    from rich.progress import Progress

    from facever.weights.metadata import WeightsInfo

T = TypeVar("T")

# Reading a file gives a better error than typer's own check.
UNCHECKED: dict[str, Any] = {"readable": False}

Weights = Annotated[
    str,
    typer.Option("--weights", "-w", help="Weights that come with facever, by name, or a file.", metavar="NAME|FILE"),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.", metavar="DEVICE")]
Precision = Annotated[
    str,
    typer.Option("--precision", help="Inference precision: bf16, fp32, or auto, the faster one here."),
]
OneFace = Annotated[str, typer.Option("--faces", help="Which face of a photograph to take: center or largest.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Embeddings = Annotated[
    Path | None,
    typer.Option(
        "--embeddings",
        help="Embeddings made elsewhere, instead of weights: .npy with a .txt of names beside it, or Parquet.",
        show_default=False,
        **UNCHECKED,
    ),
]
Thresholds = Annotated[
    Path | None,
    typer.Option(
        "--thresholds",
        help="File from calibrate --thresholds, instead of the thresholds in the weights.",
        show_default=False,
        **UNCHECKED,
    ),
]
Scores = Annotated[Path | None, typer.Option("--scores", help="CSV file to write, a row per pair.", show_default=False)]
Report = Annotated[
    Path | None, typer.Option("--report", help="Folder for an HTML page and result.json.", show_default=False)
]
Compare = Annotated[
    list[Path] | None,
    typer.Option(
        "--compare", help="result.json of another --report to compare with; may be repeated.", show_default=False
    ),
]
Cache = Annotated[bool, typer.Option("--cache/--no-cache", help="Cache embeddings between runs.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite a file of another kind.")]
GalleryWeights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        "-w",
        help="Weights that made FACES, by name, or a file.",
        metavar="NAME|FILE",
        show_default="those that FACES names",
    ),
]
MinFace = Annotated[
    str,
    typer.Option(
        "--min-face",
        help="Smallest face to detect: pixels, or a share of the photograph's shorter side (and 40 pixels at least).",
        metavar="N|N%",
    ),
]
TryRotations = Annotated[
    bool,
    typer.Option("--try-rotations", help="Look for faces turned by 90, 180 and 270 degrees where no face is certain."),
]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse photographs that are cut off, instead of a warning.")]
Workers = Annotated[
    int | None,
    typer.Option("--workers", help="Worker processes on the CPU; by default one per core.", min=1, show_default=False),
]


def check_inputs(photographs: Iterable[Path], weights: str) -> None:
    """Whether these files can be opened, before torch is imported. Raises ImageError or WeightsError."""
    from facever.faces.images import check_photograph
    from facever.weights.shipped import find_weights

    for path in photographs:
        check_photograph(path)
    find_weights(weights)


def say(message: str) -> None:
    """Print a line for the user on stderr; stdout holds results only."""
    print(printable(message), file=sys.stderr, flush=True)


def license_notice(info: WeightsInfo) -> None:
    """Say once, for each weights' license that restricts use, what it is; a file in the cache remembers."""
    if not info.restricted or os.environ.get("FACEVER_QUIET"):
        return
    cache = user_cache()
    seen = cache / f"license-{hashlib.sha256(f'{info.name} {info.license}'.encode()).hexdigest()[:16]}"
    if seen.exists():
        return
    say(f"the weights {info.name!r} are for {info.license}; --weights dlib has no such terms (shown once)")
    with contextlib.suppress(OSError):
        private_folder(cache)
        seen.touch()


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on stdout."""
    print(json.dumps(value, indent=2))


def rate_text(rate: float) -> str:
    """A rate a second, to two digits where it is small.

    >>> rate_text(37.4), rate_text(0.042), rate_text(1.0)
    ('37', '0.042', '1')
    """
    return f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress bar on stderr, on a terminal only, whatever FORCE_COLOR makes rich believe."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not sys.stderr.isatty(), transient=True) as progress:
        yield progress


@contextmanager
def watched(total: int, description: str) -> Iterator[Callable[[int], None]]:
    """A progress bar with a rate; gives what to call with the number of items done."""
    import time

    start = time.monotonic()
    with progress_bar() as progress:
        task = progress.add_task(description, total=total, note="")

        def watch(done: int) -> None:
            rate = done / max(time.monotonic() - start, 1e-9)
            progress.update(task, completed=done, note=f"{rate_text(rate)}/s")

        yield watch


def counted(items: Iterable[T], total: int, description: str) -> Iterator[T]:
    """Yield the items, with a progress bar of their number and rate."""
    with watched(total, description) as watch:
        for done, item in enumerate(items, 1):
            watch(done)
            yield item
