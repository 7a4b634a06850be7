"""How a training can end early."""

from __future__ import annotations

import signal

from facever.errors import DataError, FaceverError


class Interrupted(FaceverError):
    """A training stopped by a signal (SIGINT, SIGTERM) after saving its state; exits with 128 + the signal's number."""

    def __init__(self, message: str, number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.exit_code = 128 + number


class Diverged(DataError):
    """A training whose loss, or whose embeddings of held-out identities, are not finite."""
