"""A whole training: crops, split, steps, checkpoints, validation, export.

out/weights.safetensors   the best network so far by validation, ready for every command
out/checkpoint.pt         where `resume` goes on
out/log.csv               the course of the training
out/training.json         settings, versions, people, result
"""

from __future__ import annotations

import csv
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from facever.alignment import ALIGNMENTS
from facever.calibration import FARS, thresholds_from
from facever.datasets.crops import CropSet, cut_crops
from facever.datasets.identities import matching, read_identities, split_identities
from facever.embedder import Embedder, choose_device
from facever.errors import DataError, FaceverError, OutputError
from facever.files import check_writable, write_json, written_whole
from facever.losses import alpha_lower_bound
from facever.networks import build_network
from facever.training.checkpoint import check_same, load_checkpoint, save_checkpoint
from facever.training.settings import TrainingSettings
from facever.training.trainer import NORMALISATION, Trainer
from facever.training.validation import Validation, validate
from facever.weights import Threshold, WeightsInfo, save_weights, versions, with_thresholds

MARGIN = 8
LOG_EVERY = 20  # steps
CHECKPOINT_MINUTES = 5.0
COLUMNS = (
    "step",
    "epoch",
    "minutes",
    "loss",
    "accuracy",
    "learning_rate",
    "alpha",
    "photographs_per_second",
    "validation_accuracy",
    "validation_tar",
)


class Interrupted(FaceverError):
    """A training that was told to stop (SIGINT, SIGTERM) and has saved where it was."""

    exit_code = 130


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands. `share` in [0, 1] of the whole; rates since the last report."""

    share: float
    step: int
    epoch: int
    minutes: float
    minutes_left: float
    loss: float
    accuracy: float
    learning_rate: float
    alpha: float
    photographs_per_second: float


class Watcher:
    """What a training tells; this one keeps silent. Override what is of interest."""

    def say(self, message: str) -> None:
        """A line that the user should know."""

    def cropping(self, done: int, total: int) -> None:
        """So many of the photographs that were not in the cache have been detected and aligned."""

    def progress(self, progress: Progress) -> None:
        """Every few steps."""

    def validated(self, epoch: int, validation: Validation, best: bool) -> None:
        """After each epoch."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a training came to. `weights` is the exported file."""

    weights: Path
    steps: int
    epochs: int
    minutes: float
    loss: float
    validation_accuracy: float | None
    validation_tar: float | None


def train(
    settings: TrainingSettings,
    data: Path,
    out: Path,
    cache: Path,
    device: str = "auto",
    workers: int | None = None,
    resume: bool = False,
    watcher: Watcher | None = None,
) -> TrainingResult:
    """Train a network on a folder of identities and export its weights.

    Parameters
    ----------
    data : Path
        One folder of raw photographs a person.
    out : Path
        Folder for what the training writes.
    cache : Path
        Folder of the crop caches.
    resume : bool
        Go on from `out`'s checkpoint; the settings must be those that it began with.

    Raises
    ------
    DataError, OutputError, Interrupted
    """
    watcher = watcher or Watcher()
    chosen = choose_device(device)
    check_writable(out / "weights.safetensors")
    folder = read_identities(data, least=2)
    if folder.lonely:
        watcher.say(f"{folder.lonely} identities with a single photograph were left out")
    alignment = ALIGNMENTS[settings.alignment]
    crops = cut_crops(folder, alignment, MARGIN, cache, str(chosen), workers, watcher.cropping)
    if crops.problems:
        watcher.say(f"{len(crops.problems)} photographs left out, the first: {crops.problems[0]}")
    training, held_out = _split(crops, settings)
    _report_alpha(settings, training, watcher)
    run = _Run(settings, training, held_out, out, chosen, watcher, data.name)
    if resume:
        run.resume()
    elif (out / "checkpoint.pt").exists():
        raise OutputError(f"{out} holds a training already; go on with --resume, or choose another --out")
    with _stopped_by_signal() as stopped:
        while not run.done:
            run.advance()
            if stopped:
                run.save()
                raise Interrupted(f"stopped after {run.trainer.step} steps; go on with --resume")
    return run.finish()


def _split(crops: CropSet, settings: TrainingSettings) -> tuple[CropSet, CropSet]:
    training, held_out = split_identities(crops.identities, settings.held_out, settings.seed)
    if len(training) < 3:
        raise DataError(
            f"{len(training)} identities to train on (and {len(held_out)} held out); a classifier needs at least 3"
        )
    return crops.of(training), crops.of(held_out)


def _report_alpha(settings: TrainingSettings, training: CropSet, watcher: Watcher) -> None:
    count = len(set(training.identities))
    watcher.say(f"{len(training)} photographs of {count} identities to train on")
    if settings.loss != "l2-softmax":
        return
    bound = alpha_lower_bound(count)
    kind = "learned from" if settings.alpha_learned else "fixed at"
    watcher.say(f"alpha {kind} {settings.alpha:g}; lower bound for C = {count} and p = 0.9: {bound:.2f}")
    if settings.alpha < bound and not settings.alpha_learned:
        watcher.say(f"warning: alpha {settings.alpha:g} lies below the bound; the network can't reach p = 0.9")


class _Run:
    """One training from its first step, or from a checkpoint, to its export."""

    def __init__(
        self,
        settings: TrainingSettings,
        training: CropSet,
        held_out: CropSet,
        out: Path,
        device: torch.device,
        watcher: Watcher,
        data_name: str,
    ) -> None:
        self.settings, self.out, self.device, self.watcher = settings, out, device, watcher
        self.training, self.held_out, self.data_name = training, held_out, data_name
        self.trainer = Trainer(settings, training, device, watcher.say)
        self.log: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None  # validation figures and the network's state
        self.minutes_before = 0.0  # of the run before a resume
        self.loss = float("nan")
        self._window: list[tuple[float, float]] = []  # loss and accuracy since the last report
        self._start = self._reported = self._saved = time.monotonic()

    @property
    def minutes(self) -> float:
        return self.minutes_before + (time.monotonic() - self._start) / 60

    @property
    def share(self) -> float:
        """Of the whole training that is done: by steps, or by the clock."""
        if self.settings.epochs is not None:
            return self.trainer.step / (self.settings.epochs * self.trainer.steps_per_epoch)
        assert self.settings.minutes is not None
        return min(1.0, self.minutes / self.settings.minutes)

    @property
    def done(self) -> bool:
        # By the clock, too, at least one step is made.
        return self.share >= 1 and self.trainer.step > 0

    def advance(self) -> None:
        """One step, and what is due after it."""
        result = self.trainer.train_step(self.share)
        self._window.append((result.loss, result.accuracy))
        if self.trainer.step % LOG_EVERY == 0 or self.done:
            self._report()
        if self.trainer.step % self.trainer.steps_per_epoch == 0 or self.done:
            self._validate()
        if time.monotonic() - self._saved > 60 * CHECKPOINT_MINUTES:
            self.save()

    def save(self) -> None:
        """Checkpoint, log, and the best weights so far."""
        state = {
            "settings": self.settings.to_json(),
            "people": self._people(),
            "trainer": self.trainer.state(),
            "log": self.log,
            "best": self.best,
            "minutes": self.minutes,
            "loss": self.loss,
            "window": self._window,
        }
        save_checkpoint(self.out / "checkpoint.pt", state)
        self._write_log()
        if self.best is not None:
            self._export([])
        self._saved = time.monotonic()

    def resume(self) -> None:
        path = self.out / "checkpoint.pt"
        state = load_checkpoint(path, self.device)
        check_same(path, "settings", state["settings"], self.settings.to_json())
        check_same(path, "photographs", state["people"], self._people())
        self.trainer.restore(state["trainer"])
        self.log, self.best, self._window = state["log"], state["best"], state["window"]
        self.minutes_before, self.loss = state["minutes"], state["loss"]
        self.watcher.say(f"goes on after {self.trainer.step} steps, {self.minutes_before:.1f} minutes")

    def finish(self) -> TrainingResult:
        """Export the best network with thresholds from the held-out people."""
        if self.best is None:  # nobody was held out: the last is all there is
            self.best = {"accuracy": None, "tar": None, "network": self.trainer.network.state_dict()}
        path = self._export(FARS)
        self.save_final()
        return TrainingResult(
            path,
            self.trainer.step,
            self.trainer.epoch,
            self.minutes,
            self.loss,
            self.best["accuracy"],
            self.best["tar"],
        )

    def save_final(self) -> None:
        self._write_log()
        summary = {
            "settings": self.settings.to_json(),
            "people": self._people(),
            "steps": self.trainer.step,
            "epochs": self.trainer.epoch,
            "minutes": round(self.minutes, 2),
            "device": str(self.device),
            "loss": self.loss,
            "validation_accuracy": self.best and self.best["accuracy"],
            "validation_tar_at_far_1e-3": self.best and self.best["tar"],
            "versions": versions(),
        }
        write_json(self.out / "training.json", summary)
        (self.out / "checkpoint.pt").unlink(missing_ok=True)  # done: there is nothing to go on with

    def _report(self) -> None:
        now = time.monotonic()
        count = len(self._window)
        loss, accuracy = (sum(column) / count for column in zip(*self._window, strict=True))
        speed = count * self.trainer.batch_size / max(now - self._reported, 1e-9)
        minutes, share = self.minutes, self.share
        left = minutes * (1 - share) / share if share > 0 else float("nan")
        rate = self.settings.learning_rate_at(share)
        alpha = self.trainer.loss.alpha_value
        step, epoch = self.trainer.step, self.trainer.epoch
        self.loss, self._window, self._reported = loss, [], now
        self.watcher.progress(Progress(share, step, epoch, minutes, left, loss, accuracy, rate, alpha, speed))
        values = (
            step,
            epoch,
            round(minutes, 3),
            round(loss, 5),
            round(accuracy, 5),
            rate,
            alpha,
            round(speed, 1),
        )
        self.log.append(dict(zip(COLUMNS, values, strict=False)))

    def _validate(self) -> None:
        if not len(self.held_out):
            return
        embeddings = self.trainer.embed(self.held_out)
        validation = validate(embeddings, self.held_out.identities, self.settings.seed)
        if validation is None:
            return
        best = self.best is None or validation.accuracy >= self.best["accuracy"]
        if best:
            state = {name: tensor.detach().clone() for name, tensor in self.trainer.network.state_dict().items()}
            self.best = {**asdict(validation), "network": state}
        if self.log:
            self.log[-1].update(
                validation_accuracy=round(validation.accuracy, 5), validation_tar=round(validation.tar, 5)
            )
        self.watcher.validated(self.trainer.epoch, validation, best)
        self._reported = time.monotonic()

    def _people(self) -> dict[str, int]:
        """Enough to notice that the data changed between a checkpoint and its resume."""
        return {
            "training_photographs": len(self.training),
            "training_identities": len(self.trainer.identities),
            "held_out_photographs": len(self.held_out),
            "held_out_identities": len(set(self.held_out.identities)),
        }

    def _write_log(self) -> None:
        with (
            written_whole(self.out / "log.csv") as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, COLUMNS, restval="")
            writer.writeheader()
            writer.writerows(self.log)

    def _export(self, fars: Sequence[float]) -> Path:
        assert self.best is not None
        s, alignment = self.settings, self.training.alignment
        arguments = {**s.network_arguments, "input_size": [alignment.height, alignment.width]}
        network = build_network(s.network, **arguments)
        network.load_state_dict(self.best["network"])
        people = self._people()
        info = WeightsInfo(
            name=self.out.name,
            network=s.network,
            network_arguments=arguments,
            alignment=alignment,
            normalisation=NORMALISATION,
            mirrored=True,
            loss={
                "name": s.loss,
                **({"alpha": self.trainer.loss.alpha_value, "learned": s.alpha_learned} if s.loss != "softmax" else {}),
            },
            training_data=[
                {
                    "name": self.data_name,
                    "identities": people["training_identities"],
                    "photographs": people["training_photographs"],
                    "terms": "those of the photographs in the folder",
                }
            ],
            licence="not stated",
            credit="trained with facever",
            seed=s.seed,
            settings=s.to_json(),
            versions=versions(),
        )
        path = self.out / "weights.safetensors"
        save_weights(path, info, network)
        if fars:
            save_weights(path, with_thresholds(info, self._thresholds(path, fars)), network)
        return path

    def _thresholds(self, weights: Path, fars: Sequence[float]) -> list[Threshold]:
        """From the held-out people, embedded as every command will embed them."""
        people = self.held_out.of(matching(self.held_out.identities, self.settings.calibrate_on))
        if not len(people):
            self.watcher.say("no held-out people to take thresholds from; verify will need --threshold")
            return []
        embeddings, _ = Embedder.load(weights, self.device)(people.inner(slice(None)))
        source = f"{len(set(people.identities))} held-out people of {self.data_name} ({self.settings.calibrate_on})"
        found = thresholds_from(embeddings, people.identities, source, fars)
        if len(found) < len(fars):
            self.watcher.say("too few held-out pairs for some thresholds; verify will need --threshold for those")
        return found


@contextmanager
def _stopped_by_signal() -> Iterator[list[int]]:
    """A list that a SIGINT or SIGTERM makes non-empty, so that the step in hand is finished first."""
    received: list[int] = []
    names = (signal.SIGINT, signal.SIGTERM)
    try:
        before = [signal.signal(name, lambda number, frame: received.append(number)) for name in names]
    except ValueError:  # not in the main thread: the caller minds the signals
        yield received
        return
    try:
        yield received
    finally:
        for name, handler in zip(names, before, strict=True):
            signal.signal(name, handler)
