"""A whole training: crops, split, steps, checkpoints, validation, export.

out/weights.safetensors   the best network so far by validation, ready for every command
out/checkpoint.pt         where `resume` goes on
out/log.csv               the course of the training
out/training.json         settings, versions, people, result
"""

from __future__ import annotations

import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facever.errors import DataError, FaceverError, OutputError
from facever.faces.device import choose_device
from facever.files import check_writable, write_bytes, write_json
from facever.losses import alpha_lower_bound
from facever.metrics.calibration import FARS
from facever.reports.training_curve import training_curve
from facever.training.callbacks import Progress, Watcher
from facever.training.checkpoint import check_same, load_checkpoint, save_checkpoint
from facever.training.crops import CropSet
from facever.training.data import TrainingData, prepare
from facever.training.distributed import Processes, joined
from facever.training.export import export_weights, judge, weights_info
from facever.training.log import TrainingLog
from facever.training.settings import TrainingSettings
from facever.training.signals import stopped_by_signal
from facever.training.trainer import Trainer
from facever.training.validation import validate
from facever.weights.metadata import WeightsInfo, versions, with_thresholds

WEIGHTS = "weights.safetensors"
LOG_EVERY = 20  # steps
CHECKPOINT_MINUTES = 5.0


class Interrupted(FaceverError):
    """A training that was told to stop (SIGINT, SIGTERM) and has saved where it was."""

    exit_code = 130


class Diverged(DataError):
    """A training whose loss, or whose embeddings of the held-out people, are no numbers any more."""


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
    chosen = choose_device(device)
    check_writable(out / WEIGHTS)
    if resume and not (out / "checkpoint.pt").exists():
        raise DataError(f"{out}: no checkpoint to go on from; train without --resume")
    if not resume and ((out / "checkpoint.pt").exists() or (out / "training.json").exists()):
        raise OutputError(f"{out} holds a training already; go on with --resume, or choose another --out")
    with joined() as processes:
        watcher = (watcher or Watcher()) if processes.first else Watcher()
        if not processes.first:
            processes.wait()  # for the crops
        prepared = prepare(settings, data, cache, chosen, workers, watcher)
        if processes.first:
            processes.wait()
        _report_alpha(settings, prepared.training, watcher)
        run = _Run(settings, prepared, out, chosen, watcher, processes)
        if resume:
            run.resume()
        with stopped_by_signal() as stopped:
            try:
                while True:
                    share, stop = processes.agreed(run.share, bool(stopped))
                    if stop:
                        run.save()
                        raise Interrupted(f"stopped after {run.trainer.step} steps; go on with --resume")
                    if share >= 1 and run.trainer.step > 0:  # by the clock, too, at least one step is made
                        break
                    run.advance(share)
            except RuntimeError:
                if processes.size > 1:  # another one ended: between two steps, so nothing is lost but the one in hand
                    run.save()
                raise
        return run.finish()


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
        data: TrainingData,
        out: Path,
        device: torch.device,
        watcher: Watcher,
        processes: Processes,
    ) -> None:
        self.settings, self.data, self.out, self.device, self.watcher = settings, data, out, device, watcher
        self.processes = processes
        self.trainer = Trainer(
            settings,
            data.training,
            device,
            watcher.say,
            targets=data.targets,
            mixtures=data.mixtures,
            processes=processes,
        )
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

    def advance(self, share: float) -> None:
        """One step, and what is due after it."""
        result = self.trainer.train_step(share)
        if not math.isfinite(result.loss):
            raise Diverged(f"the loss is {result.loss} after {self.trainer.step} steps; lower the --learning-rate")
        self._window.append((result.loss, result.accuracy))
        if self.trainer.step % LOG_EVERY == 0:
            self._report()
        if self.trainer.step % self.trainer.steps_per_epoch == 0:
            self._report()
            self._validate()
        if time.monotonic() - self._saved > 60 * CHECKPOINT_MINUTES:
            self.save()

    def save(self) -> None:
        """Checkpoint, log, and the best weights so far, by the first of several processes."""
        self._saved = time.monotonic()
        if not self.processes.first:
            return
        state = {
            "settings": self.settings.to_json(),
            "people": self.data.people(),
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
            self._export()

    def resume(self) -> None:
        path = self.out / "checkpoint.pt"
        state = load_checkpoint(path, self.device)
        # By way of today's record, so that a checkpoint written before a setting existed has that setting's default.
        saved = TrainingSettings.from_json(state["settings"]).to_json()
        check_same(path, "settings", saved, self.settings.to_json())
        check_same(path, "photographs", state["people"], self.data.people())
        self.trainer.restore(state["trainer"])
        self.log, self.best, self._window = TrainingLog(state["log"]), state["best"], state["window"]
        self.minutes_before, self.loss = state["minutes"], state["loss"]
        self.watcher.say(f"goes on after {self.trainer.step} steps, {self.minutes_before:.1f} minutes")

    def finish(self) -> TrainingResult:
        """Export the best network, calibrated on the held-out people, and sum up."""
        self._report()
        step, epoch, minutes = self.trainer.step, self.trainer.epoch, round(self.minutes, 2)
        if not self.processes.first:
            return TrainingResult(self.out / WEIGHTS, step, epoch, minutes, self.loss, None, None)
        if step % self.trainer.steps_per_epoch:
            self._validate()
        if self.best is None:  # nobody was held out: the last is all there is
            self.best = {"accuracy": None, "tar": None, "network": self._network()}
        info = self._export()
        weights = self.out / WEIGHTS
        figures: dict[str, Any] = {}
        if len(self.data.held_out):
            found, figures = judge(weights, self.data, self.settings.calibrate_on, self.device)
            if len(found.thresholds) < len(FARS):
                self.watcher.say("too few held-out pairs for some thresholds; verify will need --threshold for those")
            calibrated = with_thresholds(info, found.thresholds, found.likelihood, found.quality)
            export_weights(weights, calibrated, self.best["network"])
        self.log.write(self.out / "log.csv")
        accuracy, tar = self.best["accuracy"], self.best["tar"]
        result = TrainingResult(weights, step, epoch, minutes, self.loss, accuracy, tar)
        record = {
            "settings": self.settings.to_json(),
            "people": self.data.people(),
            "device": str(self.device),
            "cpus": os.cpu_count(),
            "processes": self.processes.size,
            "precision": "bf16" if self.trainer.half else "fp32",
        }
        summary = {**asdict(result), "weights": weights.name}
        write_json(
            self.out / "training.json", {**record, "result": summary, "held_out": figures, "versions": versions()}
        )
        write_bytes(self.out / "training.svg", training_curve(self.out / "log.csv").encode())
        (self.out / "checkpoint.pt").unlink(missing_ok=True)  # done: there is nothing to go on with
        return result

    def _report(self) -> None:
        if not self._window:
            return
        now = time.monotonic()
        count = len(self._window)
        loss, accuracy = (sum(column) / count for column in zip(*self._window, strict=True))
        speed = count * self.trainer.batch_size * self.processes.size / max(now - self._reported, 1e-9)
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
        if not len(self.data.held_out) or not self.processes.first:
            return
        start = time.monotonic()
        embeddings = self.trainer.embed(self.data.held_out)
        if not np.isfinite(embeddings).all():
            after = f"after {self.trainer.step} steps"
            raise Diverged(f"embeddings of the held-out people are not finite {after}; lower the --learning-rate")
        validation = validate(embeddings, self.data.held_out.identities, self.settings.seed)
        if validation is None:
            return
        best = self.best is None or self.settings.keep == "last" or validation.score >= self.best["score"]
        if best:
            self.best = {**asdict(validation), "score": validation.score, "network": self._network()}
        self.log.add_validation(validation)
        self.watcher.validated(self.trainer.epoch, validation, best)
        self._reported += time.monotonic() - start  # not counted as training

    def _network(self) -> dict[str, Tensor]:
        """A copy of the averaged network's state."""
        state = self.trainer.average.averaged.state_dict()
        return {name: tensor.detach().clone() for name, tensor in state.items()}

    def _export(self) -> WeightsInfo:
        """Write the best weights so far, without thresholds, and return their metadata."""
        assert self.best is not None
        trainer = self.trainer
        info = weights_info(self.out.name, self.settings, self.data, trainer.loss.alpha_value, trainer.normalisation)
        export_weights(self.out / WEIGHTS, info, self.best["network"])
        return info
