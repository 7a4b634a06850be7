"""What a training tells whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass

from facever.training.validation import Validation


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


class Callback:
    """What a training tells; this one keeps silent. Override what is of interest."""

    def say(self, message: str) -> None:
        """A line that the user should know."""

    def cropping(self, done: int, total: int) -> None:
        """So many of the photographs that were not in the cache have been detected and aligned."""

    def distillation(self, done: int, total: int) -> None:
        """So many crops have been embedded by the teacher."""

    def progress(self, progress: Progress) -> None:
        """Every few steps."""

    def validated(self, epoch: int, validation: Validation, best: bool) -> None:
        """After each epoch."""
