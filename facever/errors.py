"""The exceptions that facever raises for what a user can cause or mend.

Each message says what was wrong, with which file, and what to do about it. The command line turns them into a
line on stderr and the exit code that stands here; nothing else in the package prints or exits.
"""

from __future__ import annotations

from typing import ClassVar


class FaceverError(Exception):
    """The root of all errors below; catch it to catch whatever a user can cause."""

    exit_code: ClassVar[int] = 2


class SettingError(FaceverError, ValueError):
    """An argument out of range, of another type, or that does not go with another."""


class ImageError(FaceverError):
    """A picture that can't be read. `source` names it, `cause` says why."""

    def __init__(self, source: str, cause: str) -> None:
        super().__init__(f"{source}: {cause}")
        self.source = source
        self.cause = cause

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:  # crosses process borders
        return type(self), (self.source, self.cause)


class NoFaceError(FaceverError):
    """No face was found in a photograph of which one was needed."""

    exit_code = 3


class PoorPhotographError(FaceverError):
    """A photograph of a quality below the one asked for, so that no answer is given."""

    exit_code = 4


class AlignmentError(FaceverError):
    """Landmarks from which no similarity transform follows (equal, collinear or not finite)."""


class WeightsError(FaceverError):
    """A weights file that is missing, broken, of another network, or not facever's."""


class DataError(FaceverError):
    """A folder, pair list or data set that can't be used as asked."""


class OutputError(FaceverError):
    """A file that can't be written."""


def reason_of(error: BaseException) -> str:
    """Say in one short line what an exception says; messages may quote a broken file's content."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:120] or type(error).__name__
