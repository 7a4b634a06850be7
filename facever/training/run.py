"""A whole training: crops, split, steps, checkpoints, validation, export.

out/weights.safetensors   the best network so far by validation, ready for every command
out/checkpoint.pt         where `resume` goes on
out/log.csv               the course of the training
out/training.json         settings, versions, people, result
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from facever.alignment import ALIGNMENTS
from facever.calibration import FARS
from facever.datasets.crops import CropSet, cut_crops
from facever.datasets.identities import read_identities, split_identities
from facever.embedder import choose_device
from facever.errors import DataError, FaceverError, OutputError
from facever.files import check_writable, write_json
from facever.losses import alpha_lower_bound
from facever.training.checkpoint import check_same, load_checkpoint, save_checkpoint
from facever.training.export import export_weights, held_out_thresholds, weights_info
from facever.training.log import TrainingLog
from facever.training.settings import TrainingSettings
from facever.training.trainer import Trainer
from facever.training.validation import validate
from facever.training.watcher import Progress, Watcher
from facever.weights import versions, with_thresholds

MARGIN = 8
LOG_EVERY = 20  # steps
CHECKPOINT_MINUTES = 5.0


class Interrupted(FaceverError):
    """A training that was told to stop (SIGINT, SIGTERM) and has saved where it was."""

    exit_code = 130


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
    if resume and not (out / "checkpoint.pt").exists():
        raise DataError(f"{out}: no checkpoint to go on from; train without --resume")
    if not resume and ((out / "checkpoint.pt").exists() or (out / "training.json").exists()):
        raise OutputError(f"{out} holds a training already; go on with --resume, or choose another --out")
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
    if not settings.has_alpha:
        return
    p = settings.alpha_bound or 0.9
    bound = alpha_lower_bound(count, p)
    start = settings.alpha if settings.alpha_bound is None else max(settings.alpha, bound)
    kind = "learned from" if settings.alpha_learned else "fixed at"
    kept = "" if settings.alpha_bound is None else ", below which it is not let"
    watcher.say(f"alpha {kind} {start:.4g}; lower bound for C = {count} and p = {p:g}: {bound:.2f}{kept}")
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
        self.log = TrainingLog()
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
        if not math.isfinite(result.loss):
            raise DataError(f"the loss is {result.loss} after {self.trainer.step} steps; lower the --learning-rate")
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
            "log": self.log.rows,
            "best": self.best,
            "minutes": self.minutes,
            "loss": self.loss,
            "window": self._window,
        }
        save_checkpoint(self.out / "checkpoint.pt", state)
        self.log.write(self.out / "log.csv")
        if self.best is not None:
            self._export([])
        self._saved = time.monotonic()

    def resume(self) -> None:
        path = self.out / "checkpoint.pt"
        state = load_checkpoint(path, self.device)
        # By way of today's record, so that a checkpoint written before a setting existed has that setting's default.
        saved = TrainingSettings.from_json(state["settings"]).to_json()
        check_same(path, "settings", saved, self.settings.to_json())
        check_same(path, "photographs", state["people"], self._people())
        self.trainer.restore(state["trainer"])
        self.log, self.best, self._window = TrainingLog(state["log"]), state["best"], state["window"]
        self.minutes_before, self.loss = state["minutes"], state["loss"]
        self.watcher.say(f"goes on after {self.trainer.step} steps, {self.minutes_before:.1f} minutes")

    def finish(self) -> TrainingResult:
        """Export the best network with thresholds from the held-out people, and sum up."""
        if self.best is None:  # nobody was held out: the last is all there is
            self.best = {"accuracy": None, "tar": None, "network": self.trainer.network.state_dict()}
        weights = self._export(FARS)
        self.log.write(self.out / "log.csv")
        accuracy, tar = self.best["accuracy"], self.best["tar"]
        step, epoch, minutes = self.trainer.step, self.trainer.epoch, round(self.minutes, 2)
        result = TrainingResult(weights, step, epoch, minutes, self.loss, accuracy, tar)
        record = {"settings": self.settings.to_json(), "people": self._people(), "device": str(self.device)}
        figures = {**asdict(result), "weights": weights.name}
        write_json(self.out / "training.json", {**record, "result": figures, "versions": versions()})
        (self.out / "checkpoint.pt").unlink(missing_ok=True)  # done: there is nothing to go on with
        return result

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
        progress = Progress(share, step, epoch, minutes, left, loss, accuracy, rate, alpha, speed)
        self.log.add(progress)
        self.watcher.progress(progress)

    def _validate(self) -> None:
        if not len(self.held_out):
            return
        start = time.monotonic()
        embeddings = self.trainer.embed(self.held_out)
        validation = validate(embeddings, self.held_out.identities, self.settings.seed)
        if validation is None:
            return
        best = self.best is None or validation.accuracy >= self.best["accuracy"]
        if best:
            state = {name: tensor.detach().clone() for name, tensor in self.trainer.network.state_dict().items()}
            self.best = {**asdict(validation), "network": state}
        self.log.add_validation(validation)
        self.watcher.validated(self.trainer.epoch, validation, best)
        self._reported += time.monotonic() - start  # not counted as training

    def _people(self) -> dict[str, int]:
        """Enough to notice that the data changed between a checkpoint and its resume."""
        return {
            "training_photographs": len(self.training),
            "training_identities": len(self.trainer.identities),
            "held_out_photographs": len(self.held_out),
            "held_out_identities": len(set(self.held_out.identities)),
        }

    def _export(self, fars: Sequence[float]) -> Path:
        assert self.best is not None
        path = self.out / "weights.safetensors"
        info = weights_info(self.out.name, self.settings, self.training, self.trainer.loss.alpha_value, self.data_name)
        export_weights(path, info, self.best["network"])
        if fars:
            found = held_out_thresholds(
                path, self.held_out, self.settings.calibrate_on, self.data_name, fars, self.device
            )
            if len(found) < len(fars):
                self.watcher.say("too few held-out pairs for some thresholds; verify will need --threshold for those")
            export_weights(path, with_thresholds(info, found), self.best["network"])
        return path


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
