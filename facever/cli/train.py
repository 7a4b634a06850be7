"""`facever train`: a folder of identities -> a weights file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facever.cli.common import Device, Json, Workers, print_json

if TYPE_CHECKING:
    from facever.training.run import TrainingResult

EXAMPLE = "Example: facever train photographs/ --minutes 30 --out runs/mine"


def train(
    data: Annotated[Path, typer.Argument(help="A folder that holds one folder of photographs a person.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for weights, log and checkpoint.")] = Path(
        "runs/train"
    ),
    network: Annotated[
        str, typer.Option(help="face_resnet, face_resnet_slim, resnet29 or resnet29_twin.")
    ] = "face_resnet_slim",
    network_args: Annotated[str, typer.Option(help="Arguments of the network, as JSON.", metavar="JSON")] = "{}",
    alignment: Annotated[
        str, typer.Option(help="tight-64x56, near-80x80, face-112x96, dlib-150x150 or close-150x150.")
    ] = "tight-64x56",
    loss: Annotated[str, typer.Option(help="l2-softmax, softmax, center or l2-center.")] = "l2-softmax",
    alpha: Annotated[str, typer.Option(help="Radius of L2-softmax: a number, or learned.", metavar="FLOAT|learned")] = (
        "16"
    ),
    alpha_bound: Annotated[
        float | None,
        typer.Option(
            help="Keep a learned alpha above its lower bound for this probability.", metavar="P", show_default=False
        ),
    ] = None,
    alpha_decay: Annotated[
        float | None, typer.Option(help="Weight decay of a learned alpha.", show_default="as --weight-decay")
    ] = None,
    center_weight: Annotated[float, typer.Option(help="Weight of center loss (center, l2-center).")] = 0.003,
    center_rate: Annotated[float, typer.Option(help="How fast its centres move, in (0, 1].")] = 0.5,
    label_smoothing: Annotated[float, typer.Option(help="Share of probability spread over all identities.")] = 0.0,
    epochs: Annotated[int | None, typer.Option(help="Length of the training in epochs.", show_default=False)] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="Length of the training by the clock; 30 if neither is given.", show_default=False),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Photographs a step.")] = 128,
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 0.1,
    weight_decay: Annotated[float, typer.Option(help="Weight decay.")] = 5e-4,
    optimiser: Annotated[str, typer.Option(help="sgd or adamw.")] = "sgd",
    loss_rate: Annotated[
        float | None, typer.Option(help="Learning rate of the classifier.", show_default="as --learning-rate")
    ] = None,
    loss_weight_decay: Annotated[
        float | None, typer.Option(help="Weight decay of the classifier.", show_default="as --weight-decay")
    ] = None,
    head_start: Annotated[
        float, typer.Option(help="Share of the training in which the classifier alone learns.")
    ] = 0.0,
    clip: Annotated[float | None, typer.Option(help="Longest gradient.", show_default="any")] = None,
    ema: Annotated[float, typer.Option(help="Decay of the average of the parameters; 0 keeps none.")] = 0.0,
    sampling: Annotated[str, typer.Option(help="plain, or even over sources and identities.")] = "plain",
    augmentation: Annotated[
        str, typer.Option(help='Changes to the augmentation, as JSON: {"shift": 6}.', metavar="JSON")
    ] = "{}",
    init: Annotated[
        str | None, typer.Option(help="Weights to train on from.", metavar="WEIGHTS", show_default=False)
    ] = None,
    pull: Annotated[
        list[str] | None,
        typer.Option(
            help="Pull of some identities towards the initial embedding; may be repeated.",
            metavar="PATTERN=WEIGHT",
            show_default=False,
        ),
    ] = None,
    pull_branches: Annotated[
        str, typer.Option(help="How strong the pull is on each branch, with commas.", metavar="FLOATS")
    ] = "1",
    freeze: Annotated[
        list[str] | None,
        typer.Option(help="Parameters that stay; may be repeated.", metavar="PATTERN", show_default=False),
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="Weights to learn from.", metavar="WEIGHTS", show_default=False)
    ] = None,
    teacher_weight: Annotated[float, typer.Option(help="Weight of the agreement with the teacher.")] = 4.0,
    similarity_weight: Annotated[float, typer.Option(help="Weight of the similarities within it.")] = 10.0,
    softmax_weight: Annotated[float, typer.Option(help="Weight of the loss beside the teacher.")] = 1.0,
    mixed: Annotated[
        float, typer.Option(help="Share of a batch that are faces mixed from two, for the teacher.")
    ] = 0.0,
    half_size: Annotated[float, typer.Option(help="Share of the training, its first, on halved crops.")] = 0.0,
    export_args: Annotated[
        str, typer.Option(help="Arguments of the exported network that differ, as JSON.", metavar="JSON")
    ] = "{}",
    keep: Annotated[str, typer.Option(help="The network to export: best on held-out people, or last.")] = "best",
    drop: Annotated[
        Path | None,
        typer.Option(help="List of people and photographs to pass over, one a line.", show_default=False),
    ] = None,
    held_out: Annotated[float, typer.Option(help="Share of the identities kept for validation.")] = 0.15,
    calibrate_on: Annotated[
        str,
        typer.Option(help="Held-out identities that give the thresholds, as a pattern.", metavar="PATTERN"),
    ] = "*",
    terms: Annotated[str, typer.Option(help="Terms of the photographs, for the record.")] = "not stated",
    licence: Annotated[str, typer.Option(help="Licence of the weights, for the record.")] = "not stated",
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    precision: Annotated[str, typer.Option(help="auto, bf16 or fp32.")] = "auto",
    compile_: Annotated[bool, typer.Option("--compile/--no-compile", help="Try torch.compile.")] = True,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of crop caches.", show_default="~/.cache/facever/crops")
    ] = None,
    device: Device = "auto",
    workers: Workers = None,
    json_: Json = False,
) -> None:
    """Train a network on a folder of identities.

    Photographs are detected and aligned once and kept in a cache. An interrupted training goes on with --resume. In
    --out come to lie the weights, training.json (settings, people, result), log.csv and training.svg (its course).
    Several processes: torchrun --nproc-per-node 2 -m facever train ...; each takes --batch-size photographs a step.
    """
    from facever.cli.training_bars import TrainingBars
    from facever.datasets.augmentation import Augmentation
    from facever.datasets.identities import read_dropped
    from facever.errors import FaceverError
    from facever.training import TrainingSettings
    from facever.training import train as run
    from facever.training.crops import default_cache_folder
    from facever.training.settings import parse_alpha, parse_pull

    try:
        value, learned = parse_alpha(alpha)
        settings = TrainingSettings(
            network=network,
            network_arguments=_object("--network-args", network_args),
            alignment=alignment,
            loss=loss,
            alpha=value,
            alpha_learned=learned,
            alpha_bound=alpha_bound,
            alpha_decay=alpha_decay,
            center_weight=center_weight,
            center_rate=center_rate,
            label_smoothing=label_smoothing,
            epochs=epochs,
            minutes=30.0 if epochs is None and minutes is None else minutes,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            optimiser=optimiser,
            loss_rate=loss_rate,
            loss_weight_decay=loss_weight_decay,
            head_start=head_start,
            clip=clip,
            ema=ema,
            sampling=sampling,
            augmentation=Augmentation(**_object("--augmentation", augmentation)),
            init=init,
            pull=parse_pull(pull or []),
            pull_branches=[float(each) for each in pull_branches.split(",")],
            freeze=freeze or [],
            teacher=teacher,
            teacher_weight=teacher_weight,
            similarity_weight=similarity_weight,
            softmax_weight=softmax_weight,
            mixed=mixed,
            half_size=half_size,
            export_arguments=_object("--export-args", export_args),
            keep=keep,
            held_out=held_out,
            seed=seed,
            precision=precision,
            compile=compile_,
            dropped=read_dropped(drop) if drop else [],
            calibrate_on=calibrate_on,
            terms=terms,
            licence=licence,
        )
        settings.build(3)  # says now, not after the crops, what the network refuses
    except (ValueError, TypeError) as error:
        raise FaceverError(f"these settings don't work: {error}") from error

    with TrainingBars() as watcher:
        result = run(settings, data, out, cache or default_cache_folder(), device, workers, resume, watcher)
    if os.environ.get("RANK", "0") != "0":  # one of several processes, of which the first one speaks
        return
    if json_:
        print_json(_as_json(result))
    else:
        print(_as_text(result))


def _object(option: str, text: str) -> dict[str, Any]:
    import json

    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f'{option} is a JSON object such as {{"dropout": 0.2}}, not {text}')
    return value


def _as_json(result: TrainingResult) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(result), "weights": str(result.weights)}


def _as_text(result: TrainingResult) -> str:
    figures = [f"{result.epochs} epochs ({result.steps} steps) in {result.minutes:.1f} minutes, loss {result.loss:.3f}"]
    if result.validation_accuracy is not None:
        figures.append(
            f"held-out people: accuracy {100 * result.validation_accuracy:.2f} %, "
            f"TAR {result.validation_tar:.3f} at FAR 1e-3"
        )
    return "\n".join([*figures, f"weights: {result.weights}"])
