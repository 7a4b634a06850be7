"""The exceptions for whatever a user can cause.

Each message says what is wrong, with which file, and what to do about it. The command line turns it into a line on
stderr and the exit code given here.
"""

from __future__ import annotations

import contextlib
import os
import stat
import warnings
from collections.abc import Iterator


class FaceverError(Exception):
    """Base of all errors below."""

    exit_code: int = 2


class SettingError(FaceverError, ValueError):
    """An argument out of range, of another type, or that does not go with another.

    `setting` names it, and `message` continues the sentence; the command line writes the option instead.
    """

    def __init__(self, message: str, setting: str | None = None) -> None:
        super().__init__(f"{setting} {message}" if setting else message)
        self.message, self.setting = message, setting

    def __reduce__(self) -> tuple[type[SettingError], tuple[str, str | None]]:  # for workers
        return type(self), (self.message, self.setting)


class ImageError(FaceverError):
    """A picture that can't be read. `source` names it, `cause` says why."""

    def __init__(self, source: str, cause: str) -> None:
        super().__init__(f"{source}: {cause}")
        self.source = source
        self.cause = cause

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:  # for workers
        return type(self), (self.source, self.cause)


class NoFaceError(FaceverError):
    """No face in a photograph that needs one."""

    exit_code = 3


class AlignmentError(FaceverError):
    """Landmarks that determine no similarity transform: equal, collinear or not finite."""


class WeightsError(FaceverError):
    """A weights file that is missing, broken, of another network, or not facever's."""


class DataError(FaceverError):
    """A folder, pair list or data set that can't be used as asked."""


class OutputError(FaceverError):
    """A file that can't be written."""


@contextlib.contextmanager
def reading(
    path: object,
    remedy: str,
    kind: type[FaceverError] = DataError,
    what: str = "can't be read",
    piped: bool = False,
) -> Iterator[None]:
    """Turn whatever goes wrong while a file is read into an error that names it.

    A damaged file makes libraries raise nearly anything, RecursionError and MemoryError included, and warn without
    naming it. `piped`: the file may be a pipe.
    """
    check_regular(path, remedy, kind, piped)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except FaceverError:
        raise
    except Exception as error:
        raise kind(f"{path}: {what} ({reason_of(error)}); {remedy}") from error


def check_regular(path: object, remedy: str, kind: type[FaceverError] = DataError, piped: bool = False) -> None:
    """Raise an error for a device, a socket or, unless `piped`, a pipe: it may never open, or never end."""
    try:
        mode = os.stat(str(path)).st_mode  # noqa: PTH116 (a name that no file can have)
    except (OSError, ValueError):  # whoever opens it finds out more
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or (piped and stat.S_ISFIFO(mode))):
        raise kind(f"{path}: a device or pipe, not a file; {remedy}")


def reason_of(error: BaseException) -> str:
    """An exception in one short line; messages may quote a broken file's content."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:120] or type(error).__name__
