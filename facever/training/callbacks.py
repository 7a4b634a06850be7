"""Callbacks: progress of a training, for bars, logs and tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from facever.training.validation import Validation

if TYPE_CHECKING:
    from facever.training.trainer import Trainer


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a training. `share` in [0, 1] is the fraction done; rates are since the last report."""

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


class Callback:
    """Receives the progress of a training; does nothing unless overridden."""

    def say(self, message: str) -> None:
        """A message for the user."""

    def cropping(self, done: int, total: int) -> None:
        """`done` of the `total` photographs missing from the cache are detected and aligned."""

    def detecting(self, done: int, total: int) -> None:
        """`done` of `total` photographs of a study are detected and embedded."""

    def distillation(self, done: int, total: int) -> None:
        """`done` of `total` crops are embedded by the teacher, or by the initial weights for the anchor."""

    def progress(self, progress: Progress) -> None:
        """Every few steps."""

    def epoch_ended(self, trainer: Trainer) -> None:
        """After each epoch, before its validation: what a study looks at inside. The trainer must stay as it is."""

    def validated(self, epoch: int, validation: Validation, best: bool) -> None:
        """After each epoch."""
