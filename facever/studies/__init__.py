"""Reproducible studies, a module each, on top of facever's own training and evaluation.

digits, losses, alpha and norm test the claims of R. Ranjan, C. D. Castillo, R. Chellappa, *L2-constrained Softmax Loss
for Discriminative Face Verification*, 2017; robustness and attacks test what weights promise.

A study returns an `Outcome`: figures with intervals, and a verdict that follows from them by a stated rule.
`facever.studies.page` plots it and writes its page.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from facever.errors import DataError

if TYPE_CHECKING:
    from facever.studies.outcome import Outcome
    from facever.studies.runs import Options
    from facever.training.callbacks import Callback

STUDIES = ("digits", "losses", "alpha", "norm", "robustness", "attacks")


def run_study(name: str, options: Options, callback: Callback) -> Outcome:
    """Run a study, except for the runs that `options.out` holds already.

    Raises
    ------
    DataError
        If there is no such study, its data is missing or unfit, or the folder holds one with other settings.
    OutputError
        If the folder can't be written.
    Interrupted
        If it was stopped by a signal; the same call resumes.
    """
    if name not in STUDIES:
        raise DataError(f"there is no study {name!r}; there are {', '.join(STUDIES)}")
    outcome: Outcome = importlib.import_module(f"facever.studies.{name}").run(options, callback)
    return outcome
