"""The tail of impostor cosines, a record in a weights file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import numpy as np
from msgspec import Meta

from facever.weights.thresholds import CosineThreshold, Count, PromisedRate, Rate, check_ordered

# The interval of a rate may reach up to so many times the promised one.
MAX_EXCESS = 10.0
# Cosines beyond the one with this false match rate are as unlikely among impostors as that one.
LAST = 1e-8


@dataclass(frozen=True, slots=True)
class Tail:
    """The highest impostor cosines, for false match rates that are too low to be counted.

    What exceeds `start` follows a generalized Pareto distribution (S. Coles, *An introduction to statistical modeling
    of extreme values*, 2001, chapter 4): for t >= start,

        FMR(t) = rate * (1 + shape * (t - start) / scale) ** (-1 / shape).

    Attributes
    ----------
    start : float
        A cosine.
    rate : float
        The share of impostor pairs at or above it.
    shape, scale : float
    source : str
        Whose pairs these were.
    impostor_pairs, people : int
    intervals : sequence of (float, float, float)
        False match rates, descending, each with the ends of the 95 % interval, by a bootstrap over identities, of the
        rate that its cosine keeps.
    """

    start: CosineThreshold
    rate: PromisedRate
    shape: Annotated[float, Meta(gt=-1, lt=0.5)]
    scale: Annotated[float, Meta(gt=0)]
    source: str
    impostor_pairs: Count
    people: Annotated[int, Meta(ge=2)]
    intervals: tuple[tuple[PromisedRate, Rate, Rate], ...]

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.start, self.rate, self.shape, self.scale))):
            raise ValueError("a tail that is not finite")
        rates = [rate for rate, _, _ in self.intervals]
        if not rates or any(later >= earlier for earlier, later in pairwise(rates)):
            raise ValueError("the intervals of a tail are by descending rate")
        for _, low, high in self.intervals:
            check_ordered((low, high))

    def cosine(self, fmr: float) -> float:
        """The threshold for a false match rate in (0, 1); `start` for a higher one than `rate`.

        Examples
        --------
        >>> tail = Tail(0.4, 0.01, 0.0, 0.05, "them", 10**6, 500, ((1e-4, 5e-5, 2e-4),))
        >>> round(tail.cosine(0.01), 4), round(tail.cosine(1e-4), 4)  # 0.4 + 0.05 * log(100)
        (0.4, 0.6303)
        """
        depth = math.log(max(1.0, self.rate / fmr))
        steps = depth if abs(self.shape) < 1e-9 else math.expm1(self.shape * depth) / self.shape
        return self.start + self.scale * steps

    def density(self, cosine: float) -> float:
        """Impostor pairs, as a share, per unit of cosine; for a cosine from `start` up, and never below that at `LAST`.

        Examples
        --------
        >>> tail = Tail(0.4, 0.01, 0.0, 0.05, "them", 10**6, 500, ((1e-4, 5e-5, 2e-4),))
        >>> round(tail.density(0.4), 4)  # 0.01 / 0.05
        0.2
        """
        depth = (min(cosine, self.cosine(LAST)) - self.start) / self.scale
        if abs(self.shape) < 1e-9:
            return self.rate / self.scale * math.exp(-depth)
        return self.rate / self.scale * (1 + self.shape * depth) ** (-1 / self.shape - 1)

    def why_unsupported(self, fmr: float) -> str | None:
        """Why these people don't support a rate, with how many would; None where they do.

        They do if the 95 % interval, linear between the logarithms of those recorded, ends within `MAX_EXCESS` times
        the rate. Its width on that scale falls with the square root of the number of people.
        """
        lowest = self.intervals[-1][0]
        if fmr < lowest * (1 - 1e-9):
            return f"the calibration on {self.source} ends at a rate of {lowest:g}"
        rates = [-math.log(rate) for rate, _, _ in self.intervals]
        excess = [math.log(max(high / rate, 1.0)) for rate, _, high in self.intervals]
        found = float(np.interp(-math.log(fmr), rates, excess)) / math.log(MAX_EXCESS)
        if found <= 1:
            return None
        return (
            f"{self.people:,} people ({self.source}) are too few; it takes about {math.ceil(self.people * found**2):,}"
        )
