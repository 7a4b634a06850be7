"""`facever train`: a folder of identities -> a weights file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facever.cli.common import UNCHECKED, Device, Json, Workers, print_json
from facever.files import printable

if TYPE_CHECKING:
    from facever.training.session import TrainingResult

EXAMPLE = "Example: facever train people/ --minutes 30 --out runs/mine"

AS_RECIPE: dict[str, Any] = {"show_default": "the recipe's"}


def train(
    data: Annotated[
        Path,
        typer.Argument(help="A folder that holds one folder of photographs per person.", metavar="DATA", **UNCHECKED),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for weights, log and checkpoint.")] = Path(
        "runs/train"
    ),
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Settings to start from: default, dlib-twin, face-resnet, scratch, or a TOML file.",
            metavar="NAME|FILE",
            show_default=False,
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Any other setting, such as ema=0.998 or augmentation.shift=6; may be repeated.",
            metavar="KEY=VALUE",
            show_default=False,
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Length in epochs.", show_default=False)] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Length of the steps by the clock; detection before and calibration after are not counted.",
            show_default="the recipe's, or 30",
        ),
    ] = None,
    loss: Annotated[str | None, typer.Option(help="l2-softmax, softmax, center or l2-center.", **AS_RECIPE)] = None,
    alpha: Annotated[
        str | None,
        typer.Option(help="Radius of L2-softmax: a number, or learned.", metavar="FLOAT|learned", **AS_RECIPE),
    ] = None,
    alpha_bound: Annotated[
        float | None,
        typer.Option(
            help="Keep a learned alpha above its lower bound for this probability.", metavar="P", show_default=False
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            help="face_resnet, face_resnet_slim, resnet29, resnet29_twin, mobilefacenet or mobilefacenet_gated.",
            **AS_RECIPE,
        ),
    ] = None,
    alignment: Annotated[
        str | None,
        typer.Option(
            help="Crop template: tight-64x56, near-80x80, face-112x96, face-112x112, dlib-150x150 or close-150x150.",
            **AS_RECIPE,
        ),
    ] = None,
    init: Annotated[str | None, typer.Option(help="Initial weights.", metavar="NAME|FILE", show_default=False)] = None,
    teacher: Annotated[
        str | None, typer.Option(help="Weights to distill from.", metavar="NAME|FILE", show_default=False)
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Photographs a step.", **AS_RECIPE)] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.", **AS_RECIPE)] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed.", **AS_RECIPE)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the run in --out.")] = False,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of crop caches.", show_default="~/.cache/facever/crops")
    ] = None,
    device: Device = "auto",
    workers: Workers = None,
    json_: Json = False,
) -> None:
    """Train a network on a folder of identities.

    Photographs are detected and aligned once and cached. --out receives the weights, training.json (settings,
    identities, result), log.csv and training.svg (progress). An interrupted run continues with --resume. A recipe is a
    TOML file of settings; options and --set override it. The settings and their defaults are documented with
    facever.training.TrainingSettings.

    Several processes: torchrun --nproc-per-node 2 -m facever train ...; each takes --batch-size photographs a step.
    """
    from facever.cli.training_bars import TrainingBars
    from facever.errors import SettingError
    from facever.losses import parse_alpha
    from facever.training import make_settings, parse_assignments
    from facever.training import train as run
    from facever.training.crops import default_cache_folder

    options: dict[str, Any] = {
        "epochs": epochs,
        "minutes": minutes,
        "loss": loss,
        "alpha_bound": alpha_bound,
        "network": network,
        "alignment": alignment,
        "init": init,
        "teacher": teacher,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    given = {name: value for name, value in options.items() if value is not None}
    if alpha is not None:
        try:
            given["alpha"], given["alpha_learned"] = parse_alpha(alpha)
        except ValueError as error:
            raise SettingError(f"--alpha: {error}") from error
    settings = make_settings(recipe, parse_assignments(set_ or []), given)

    with TrainingBars() as bars:
        result = run(settings, data, out, cache or default_cache_folder(), device, workers, resume, bars)
    if os.environ.get("RANK", "0") != "0":  # of several processes, the first one reports
        return
    if json_:
        print_json(_as_json(result))
    else:
        print("\n".join(map(printable, _as_text(result).splitlines())))


def _as_json(result: TrainingResult) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(result), "weights": str(result.weights)}


def _as_text(result: TrainingResult) -> str:
    epochs = f"{result.epochs} epoch{'s' * (result.epochs != 1)}"
    steps = f"{result.steps} step{'s' * (result.steps != 1)}"
    spent = f"{result.minutes:.1f} minutes of {result.total_minutes:.1f} with detection and calibration"
    figures = [f"{epochs} ({steps}) in {spent}, loss {result.loss:.3f}"]
    if result.validation_accuracy is not None:
        tar = "too few pairs for a TAR"
        if result.validation_tar is not None:
            tar = f"TAR {result.validation_tar:.3f} at FAR {result.validation_far:g}"
        figures.append(f"held-out identities: accuracy {100 * result.validation_accuracy:.2f} %, {tar}")
    return "\n".join([*figures, f"weights: {result.weights}"])
