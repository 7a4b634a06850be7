"""How a training can end early."""

from __future__ import annotations

from facever.errors import DataError, FaceverError


class Interrupted(FaceverError):
    """A training stopped by a signal (SIGINT, SIGTERM) after saving its state."""

    exit_code = 130


class Diverged(DataError):
    """A training whose loss, or whose embeddings of held-out identities, are not finite."""
