"""What a training tells, on a terminal or in a log file."""

from __future__ import annotations

import time
from types import TracebackType

from rich.progress import TaskID

from facever.cli.common import progress_bar, rate_text, say
from facever.training.callbacks import Callback, Progress
from facever.training.validation import Validation


def _by_source(validation: Validation) -> str:
    """Where there are several sources, TAR within each."""
    each = validation.tar_by_source
    return f" ({', '.join(f'{s} {tar:.3f}' for s, tar in each.items())})" if len(each) > 1 else ""


class TrainingBars(Callback):
    """Progress bars on a terminal; in a pipe or a log file a line every half minute."""

    def __enter__(self) -> TrainingBars:
        self._context = progress_bar()
        self._bars = self._context.__enter__()
        self._tasks: dict[str, TaskID] = {}
        self._told = 0.0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.__exit__(kind, error, trace)

    def say(self, message: str) -> None:
        say(message)

    def cropping(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done == 1:
            say(f"detecting and aligning {total} photographs, once: the crops are cached")
            self._cutting = self._told_cut = now
        elif self._bars.disable and now - self._told_cut > 30:
            self._told_cut = now
            left = (now - self._cutting) / (done - 1) * (total - done) / 60
            say(f"detecting and aligning: {done} of {total}, {left:.1f} minutes left")
        self._show("detecting and aligning", done, total, "")

    def detecting(self, done: int, total: int) -> None:
        self._show("detecting and embedding", done, total, "")

    def distillation(self, done: int, total: int) -> None:
        if self._bars.disable and done == total:
            say(f"embedded {total} photographs to learn from")
        self._show("embedding to learn from", done, total, "")

    def progress(self, progress: Progress) -> None:
        note = (
            f"epoch {progress.epoch}  loss {progress.loss:.3f}  accuracy {100 * progress.accuracy:.1f} %  "
            f"{rate_text(progress.photographs_per_second)} photographs/s"
        )
        self._show("training", round(1000 * progress.share), 1000, note)
        if self._bars.disable and (progress.minutes - self._told > 0.5 or progress.share >= 1):
            self._told = progress.minutes
            say(f"{100 * progress.share:5.1f} %  {note}  {progress.minutes_left:.1f} minutes left")

    def validated(self, epoch: int, validation: Validation, best: bool) -> None:
        tar = ""
        if validation.tar is not None:
            tar = f", TAR {validation.tar:.3f} at FAR {validation.far:g}{_by_source(validation)}"
        say(f"epoch {epoch}: held-out accuracy {100 * validation.accuracy:.2f} %{tar}{' (best)' if best else ''}")

    def _show(self, name: str, done: int, total: int, note: str) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=total, note=note)
        self._bars.update(self._tasks[name], completed=done, note=note)
        if done == total:
            self._bars.remove_task(self._tasks.pop(name))
