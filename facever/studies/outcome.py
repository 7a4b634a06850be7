"""The outcome of a study: figures with intervals, checks, and the verdict that follows from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]

RULE = (
    "Each check is a difference with a 95 % interval, signed so that the claim expects it above zero. It supports the "
    "claim where the whole interval lies above zero, contradicts it where it lies below, and is open otherwise. All "
    "support: holds. Some support: holds in part. None supports and none contradicts: not seen at this scale. None "
    "supports, some contradict: contradicted."
)


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the study. `ci95` is None where nothing was repeated; `interval` describes the repetition."""

    name: str
    value: float
    ci95: Interval | None
    interval: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """A loss minus a baseline in one metric."""

    loss: str
    baseline: str
    metric: str
    difference: float
    ci95: Interval | None
    interval: str


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation of the claim, as a difference that should be above zero."""

    what: str
    difference: float
    ci95: Interval | None
    interval: str

    @property
    def speaks(self) -> str:
        """ "for", "against" or "open"."""
        if self.ci95 is None or not all(map(math.isfinite, self.ci95)):
            return "open"
        return "for" if self.ci95[0] > 0 else "against" if self.ci95[1] < 0 else "open"


def verdict_of(checks: Sequence[Check]) -> str:
    """The verdict by `RULE`: "holds", "holds in part", "not seen at this scale" or "contradicted"."""
    summary = [check.speaks for check in checks]
    if summary and all(word == "for" for word in summary):
        return "holds"
    if "for" in summary:
        return "holds in part"
    return "contradicted" if "against" in summary else "not seen at this scale"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished study.

    Attributes
    ----------
    study, title, claim : str
        The claim in the paper's sense, with its section; or what facever's weights promise.
    method : list of str
        The procedure, a sentence or two each.
    settings : mapping
        Everything that it depends on besides the data.
    figures, comparisons, checks
    data : mapping
        Everything else in results.json: curves, sweeps, learned alphas.
    runs : mapping from name to result
    minutes : float
        Total of all runs, interrupted or not.
    arrays : mapping
        What is plotted but not written: features, photographs.
    paper : bool
        Whether the claim is the paper's.
    """

    study: str
    title: str
    claim: str
    method: list[str]
    quick: bool
    seeds: list[int]
    settings: Mapping[str, Any]
    figures: list[Figure]
    checks: list[Check]
    runs: Mapping[str, Any]
    minutes: float
    comparisons: list[Comparison] = field(default_factory=list)
    data: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    paper: bool = True

    @property
    def verdict(self) -> str:
        return verdict_of(self.checks)

    def to_json(self) -> dict[str, Any]:
        """The content of results.json; numbers that are not finite are null."""
        from facever.weights.metadata import versions

        checks = [{**asdict(check), "speaks": check.speaks} for check in self.checks]
        record = {
            "study": self.study,
            "title": self.title,
            "quick": self.quick,
            "claim": self.claim,
            "method": self.method,
            "verdict": self.verdict,
            "rule": RULE,
            "checks": checks,
            "figures": [asdict(figure) for figure in self.figures],
            "comparisons": [asdict(comparison) for comparison in self.comparisons],
            "seeds": self.seeds,
            "settings": dict(self.settings),
            "versions": versions(),
            "minutes": round(self.minutes, 2),
            **self.data,
            "runs": dict(self.runs),
        }
        return dict(_plain(record))


def in_epochs(count: int) -> str:
    return "1 epoch" if count == 1 else f"{count} epochs"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
