"""The thresholds in a weights file: where two faces count as the same person, or as different people.

`msgspec.convert` makes them from JSON and checks each field's type and range by its annotation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from msgspec import Meta

Rate = Annotated[float, Meta(ge=0, le=1)]
PromisedRate = Annotated[float, Meta(gt=0, lt=1)]
Count = Annotated[int, Meta(ge=0)]
# A threshold lies just above the highest cosine that it rejects.
CosineThreshold = Annotated[float, Meta(ge=-1, le=1.0001)]
RateInterval = tuple[Rate, Rate]


@dataclass(frozen=True, slots=True)
class WorstGroup:
    """The group of look-alikes with the highest false accept rate at a threshold. See `facever.metrics.look_alikes`.

    Attributes
    ----------
    by : str
        The weights whose embeddings grouped the people.
    groups : int
        Into how many.
    people, photographs, impostor_pairs : int
        Of this group.
    far : float
        Its false accept rate.
    far_interval : (float, float), optional
        95 %, by a bootstrap over its identities.
    """

    by: str
    groups: Count
    people: Count
    photographs: Count
    impostor_pairs: Count
    far: Rate
    far_interval: RateInterval | None = None

    def __post_init__(self) -> None:
        check_ordered(self.far_interval)


@dataclass(frozen=True, slots=True)
class Threshold:
    """A cosine at or above which two faces count as the same person, and what it promises.

    Attributes
    ----------
    far : float
        The promised false accept rate.
    cosine : float
    source : str
        The people on whose pairs it was chosen.
    impostor_pairs : int
        Number of their impostor pairs.
    tar : float
        TAR on their genuine pairs.
    cosine_interval, far_interval : (float, float), optional
        95 % intervals by a bootstrap over identities: of the cosine, chosen anew in each replicate, and of the false
        accept rate of this cosine.
    worst_group : WorstGroup, optional
        The highest false accept rate in a group of look-alikes.
    """

    far: PromisedRate
    cosine: CosineThreshold
    source: str
    impostor_pairs: Count
    tar: Rate
    cosine_interval: tuple[CosineThreshold, CosineThreshold] | None = None
    far_interval: RateInterval | None = None
    worst_group: WorstGroup | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.far) and math.isfinite(self.cosine)):
            raise ValueError(f"a threshold of cosine {self.cosine} at FAR {self.far} decides nothing")
        check_ordered(self.cosine_interval, self.far_interval)


@dataclass(frozen=True, slots=True)
class LowerThreshold:
    """A cosine below which two faces count as different people, and what that promises.

    Attributes
    ----------
    frr : float
        The promised false reject rate: the share of genuine pairs below the cosine.
    cosine : float
    source : str
        The people on whose pairs it was chosen.
    genuine_pairs : int
        Number of their genuine pairs.
    far : float
        The share of their impostor pairs at or above the cosine.
    """

    frr: PromisedRate
    cosine: CosineThreshold
    source: str
    genuine_pairs: Count
    far: Rate

    def __post_init__(self) -> None:
        if not (math.isfinite(self.frr) and math.isfinite(self.cosine)):
            raise ValueError(f"a threshold of cosine {self.cosine} at FRR {self.frr} decides nothing")


def check_lower_thresholds(thresholds: Sequence[LowerThreshold]) -> None:
    """Raise ValueError unless each rate occurs once and a rarer one has no higher cosine."""
    by_rate = sorted(thresholds, key=lambda threshold: -threshold.frr)
    for commoner, rarer in pairwise(by_rate):
        if rarer.frr == commoner.frr:
            raise ValueError(f"two thresholds for FRR {rarer.frr:g}")
        if rarer.cosine > commoner.cosine:
            raise ValueError(
                f"the threshold for FRR {rarer.frr:g}, {rarer.cosine:.4f}, is above that for FRR {commoner.frr:g}, "
                f"{commoner.cosine:.4f}"
            )


def check_thresholds(thresholds: Sequence[Threshold]) -> None:
    """Raise ValueError unless each rate occurs once and a rarer one has no lower cosine."""
    by_rate = sorted(thresholds, key=lambda threshold: -threshold.far)
    for commoner, rarer in pairwise(by_rate):
        if rarer.far == commoner.far:
            raise ValueError(f"two thresholds for FAR {rarer.far:g}")
        if rarer.cosine < commoner.cosine:
            raise ValueError(
                f"the threshold for FAR {rarer.far:g}, {rarer.cosine:.4f}, is below that for FAR {commoner.far:g}, "
                f"{commoner.cosine:.4f}"
            )


def check_ordered(*intervals: tuple[float, float] | None) -> None:
    for interval in intervals:
        if interval is not None and not interval[0] <= interval[1]:
            raise ValueError(f"an interval from {interval[0]} to {interval[1]}")
