"""One training: steps, reports, validation, checkpoints, and the export at its end."""

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

from facever.errors import DataError, reason_of
from facever.files import write_bytes, write_json
from facever.metrics.calibration import Calibration
from facever.metrics.support import explained
from facever.reports.training_curve import training_curve
from facever.training.callbacks import Callback, Progress
from facever.training.checkpoint import check_kinds, check_same, load_checkpoint, save_checkpoint
from facever.training.data import TrainingData
from facever.training.distributed import ProcessGroup
from facever.training.errors import Diverged
from facever.training.export import (
    evaluate_held_out,
    export_weights,
    weights_info,
)
from facever.training.gate import gated
from facever.training.log import TrainingLog
from facever.training.settings import TrainingSettings
from facever.training.trainer import Trainer
from facever.training.validation import validate
from facever.weights.file import weights_id
from facever.weights.metadata import WeightsInfo, versions, with_thresholds

WEIGHTS, CHECKPOINT, RECORD, LOG = "weights.safetensors", "checkpoint.pt", "training.json", "log.csv"
LOG_EVERY = 20  # steps
CHECKPOINT_MINUTES = 5.0


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The result of a training. `weights` is the exported file; the validation figures are None without held-out
    identities, TAR and its FAR also where those make too few pairs. `minutes` are those of the steps, `total_minutes`
    those of this run, with detection before and calibration after them."""

    weights: Path
    steps: int
    epochs: int
    minutes: float
    loss: float
    validation_accuracy: float | None
    validation_tar: float | None
    validation_far: float | None
    total_minutes: float


class Session:
    """One training from its first step, or from a checkpoint, to its export."""

    def __init__(
        self,
        settings: TrainingSettings,
        data: TrainingData,
        out: Path,
        device: torch.device,
        callback: Callback,
        processes: ProcessGroup,
        began: float | None = None,
    ) -> None:
        """`began`: when this run began, by `time.monotonic`, before its photographs were prepared."""
        self.settings, self.data, self.out, self.device, self.callback = settings, data, out, device, callback
        self.processes = processes
        self.trainer = Trainer(
            settings,
            data.training,
            device,
            callback.say,
            targets=data.targets,
            initial=data.initial,
            mixup_pairs=data.mixup_pairs,
            processes=processes,
        )
        callback.say(f"{len(data.training)} photographs of {len(set(data.training.identities))} identities to train on")
        for line in self.trainer.loss.describe():
            callback.say(line)
        self.log = TrainingLog()
        self.best: dict[str, Any] | None = None  # its validation figures and state
        self.minutes_before = 0.0  # of the run before a resume
        self.loss = float("nan")
        self._window: list[tuple[float, float]] = []  # loss and accuracy since the last report
        self._start = self._reported = time.monotonic()
        self._began = self._start if began is None else began
        self._validation = 0.0  # seconds that the last one took
        self._saved = -math.inf  # the first step is saved at once: a training that can't be saved need not go on

    @property
    def minutes(self) -> float:
        return self.minutes_before + (time.monotonic() - self._start) / 60

    @property
    def share(self) -> float:
        """Fraction of the training that is done: by steps, or by the clock."""
        if self.settings.epochs is not None:
            return self.trainer.step / (self.settings.epochs * self.trainer.steps_per_epoch)
        assert self.settings.minutes is not None
        return min(1.0, self.minutes / self.settings.minutes)

    def advance(self, share: float) -> None:
        """One step, and the reports, validation and checkpoint that are due after it."""
        result = self.trainer.train_step(share)
        if not math.isfinite(result.loss):
            raise Diverged(f"the loss is {result.loss} after {self.trainer.step} steps; lower the --learning-rate")
        self._window.append((result.loss, result.accuracy))
        if self.trainer.step % LOG_EVERY == 0:
            self._report()
        if self.trainer.step % self.trainer.steps_per_epoch == 0:
            self._report()
            self.callback.epoch_ended(self.trainer)
            self._validate()
        if time.monotonic() - self._saved > 60 * CHECKPOINT_MINUTES:
            self.save()

    def save(self) -> None:
        """Write checkpoint, log and the best weights so far; with several processes the first one does."""
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
        save_checkpoint(self.out / CHECKPOINT, state)
        self.log.write(self.out / LOG)
        if self.best is not None:
            self._export()

    def resume(self) -> None:
        """Continue from the checkpoint in `out`. Raises DataError."""
        path = self.out / CHECKPOINT
        state = load_checkpoint(path, self.device)
        try:
            _check_state(state)
            check_same(path, "settings", state["settings"], self.settings.to_json())
            check_same(path, "photographs", state["people"], self.data.people())
            self.trainer.restore(state["trainer"])
            self.log, self.best, self._window = TrainingLog(state["log"]), state["best"], state["window"]
            self.minutes_before, self.loss = float(state["minutes"]), float(state["loss"])
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise DataError(f"{path}: not a whole checkpoint ({reason_of(error)}); train without --resume") from error
        self.callback.say(f"resumed after {self.trainer.step} steps, {self.minutes_before:.1f} minutes")

    def finish(self) -> TrainingResult:
        """Export the best network, calibrated on held-out identities, and write the record."""
        self._report()
        step, epoch, minutes = self.trainer.step, self.trainer.epoch, round(self.minutes, 2)
        if not self.processes.first:
            return TrainingResult(self.out / WEIGHTS, step, epoch, minutes, self.loss, None, None, None, self._total())
        if step % self.trainer.steps_per_epoch:
            self._validate()
        if self.best is None:  # nobody was held out
            self.best = {"accuracy": None, "tar": None, "far": None, "network": self._network()}
        info, state = self._finished()
        weights = self.out / WEIGHTS
        export_weights(weights, info, state)
        figures: dict[str, Any] = {}
        if len(self.data.held_out):
            people = len(set(self.data.held_out.identities))
            self.callback.say(f"calibrating on {len(self.data.held_out)} photographs of {people} held-out people")
            found, figures = evaluate_held_out(weights, self.data, self.settings.calibrate_on, self.device)
            self._tell_thresholds(found)
            export_weights(weights, with_thresholds(info, found.calibrated), state)
        self.log.write(self.out / LOG)
        accuracy, tar, far = (self.best[key] for key in ("accuracy", "tar", "far"))
        result = TrainingResult(weights, step, epoch, minutes, self.loss, accuracy, tar, far, self._total())
        record = {
            "settings": self.settings.to_json(),
            "people": self.data.people(),
            "device": str(self.device),
            "device_name": torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else None,
            "cpus": os.cpu_count(),
            "processes": self.processes.size,
            "precision": "bf16" if self.trainer.half else "fp32",
        }
        summary = {**asdict(result), "weights": asdict(weights_id(weights))}
        write_json(self.out / RECORD, {**record, "result": summary, "held_out": figures, "versions": versions()})
        write_bytes(self.out / "training.svg", training_curve(self.out / LOG).encode())
        (self.out / CHECKPOINT).unlink(missing_ok=True)
        return result

    def _total(self) -> float:
        return round((time.monotonic() - self._began) / 60, 2)

    def _tell_thresholds(self, found: Calibration) -> None:
        """Say which thresholds the weights hold, and what it would take for the others."""
        if not found.thresholds and not found.unsupported:
            pattern = self.settings.calibrate_on
            self.callback.say(f"no thresholds: no held-out identity matches calibrate_on, {pattern!r}")
        elif found.unsupported:
            for line in explained(list(found.unsupported.values())):
                self.callback.say(f"held-out people too few: {line}")
            stored = ", ".join(f"{t.far:g}" for t in found.thresholds)
            told = f"thresholds stored for FAR {stored}" if stored else "no thresholds; verify needs --threshold"
            self.callback.say(f"{told}; {self.settings.held_out:.0%} of all people are held out")

    def _report(self) -> None:
        if not self._window:
            return
        now = time.monotonic()
        count = len(self._window)
        loss, accuracy = (sum(column) / count for column in zip(*self._window, strict=True))
        speed = count * self.trainer.batch_size * self.processes.size / max(now - self._reported, 1e-9)
        minutes, share = self.minutes, self.share
        # The calibration embeds as a validation does, and each crop's mirror image too.
        left = minutes * (1 - share) / share + 2 * self._validation / 60 if share > 0 else float("nan")
        rate = self.settings.learning_rate_at(share)
        alpha = self.trainer.loss.alpha_value
        step, epoch = self.trainer.step, self.trainer.epoch
        self.loss, self._window, self._reported = loss, [], now
        progress = Progress(share, step, epoch, minutes, left, loss, accuracy, rate, alpha, speed)
        self.log.add(progress)
        self.callback.progress(progress)

    def _validate(self) -> None:
        if not len(self.data.held_out) or not self.processes.first:
            return
        start = time.monotonic()
        held_out = self.data.held_out
        embeddings = self.trainer.embed(held_out)
        # A norm that overflows leaves a zero vector, not one of length 1.
        if not (np.isfinite(embeddings).all() and np.linalg.norm(embeddings, axis=1).min() > 0.5):
            after = f"after {self.trainer.step} steps"
            raise Diverged(f"embeddings of held-out identities are not finite {after}; lower the --learning-rate")
        validation = validate(embeddings, held_out.identities, held_out.row_sources(), self.settings.seed)
        if validation is None:
            return
        best = self.best is None or self.settings.keep == "last" or validation.score >= self.best["score"]
        if best:
            self.best = {**asdict(validation), "score": validation.score, "network": self._network()}
        self.log.add_validation(validation)
        self.callback.validated(self.trainer.epoch, validation, best and self.settings.keep == "best")
        self._validation = time.monotonic() - start
        self._reported += self._validation  # not counted as training

    def _network(self) -> dict[str, Tensor]:
        """A copy of the EMA's state."""
        state = self.trainer.ema.network.state_dict()
        return {name: tensor.detach().clone() for name, tensor in state.items()}

    def _finished(self) -> tuple[WeightsInfo, dict[str, Tensor]]:
        """The best network as it is exported at the end, without thresholds."""
        assert self.best is not None
        info, state, settings, initial = self._info(), self.best["network"], self.settings, self.trainer.initial
        if not settings.gate_on or initial is None:
            return info, state
        crops = self.data.training
        return gated(initial.network.state_dict(), state, info, crops, settings.gate_on, settings.gate_centered)

    def _info(self) -> WeightsInfo:
        trainer = self.trainer
        return weights_info(self.out.name, self.settings, self.data, trainer.loss.alpha_value, trainer.normalization)

    def _export(self) -> None:
        """Write the best weights so far, without thresholds."""
        assert self.best is not None
        export_weights(self.out / WEIGHTS, self._info(), self.best["network"])


def _check_state(state: dict[str, Any]) -> None:
    """Raise KeyError, TypeError or ValueError for what a session can't continue from."""
    number = int | float
    tables, numbers = dict.fromkeys(("settings", "people", "trainer"), dict), {"minutes": number, "loss": number}
    check_kinds(state, {**tables, **numbers, "log": list, "window": list, "best": dict | None})
    for row in state["log"]:
        check_kinds(row, {"step": int, "loss": number})
    for loss, accuracy in state["window"]:
        check_kinds({"loss": loss, "accuracy": accuracy}, {"loss": number, "accuracy": number})
    if state["best"] is not None:
        rates = {"accuracy": number, "tar": number | None, "far": number | None, "score": number}
        check_kinds(state["best"], {**rates, "network": dict})
