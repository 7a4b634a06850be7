"""The records in a weights file: normalization, likelihood ratio, quality. Thresholds have a module of their own.

`msgspec.convert` makes them from JSON and checks each field's type and range by its annotation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from msgspec import Meta
from torch import Tensor

from facever.weights.thresholds import CosineThreshold, Count, PromisedRate, Rate


@dataclass(frozen=True, slots=True)
class Normalization:
    """From RGB pixels in [0, 255] to a network's input: (x - mean) / scale, mean per channel."""

    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    scale: float = 128.0

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in (*self.mean, self.scale)) or self.scale <= 0:
            raise ValueError(f"pixels can't be normalized by mean {self.mean} and scale {self.scale}")

    def __call__(self, pixels: Tensor) -> Tensor:  # (N, 3, H, W) uint8 or float -> float32
        mean = torch.tensor(self.mean, device=pixels.device).view(1, 3, 1, 1)
        return (pixels.float() - mean) / self.scale


@dataclass(frozen=True, slots=True)
class WeightsId:
    """Which weights made a result: their name, and the SHA-256 of their file in hexadecimal."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Likelihood:
    """The natural logarithm of the likelihood ratio, linear in the cosine: slope * cosine + offset.

    Attributes
    ----------
    slope, offset : float
    cllr, min_cllr : float
        In bits, on the scores it was fitted to: 0 is perfect, 1 uninformative. Their difference is the loss of the
        line against the best monotone map.
    source : str
        Whose pairs these were.
    genuine_pairs, impostor_pairs : int
    """

    slope: Annotated[float, Meta(gt=0)]
    offset: float
    cllr: Annotated[float, Meta(ge=0)]
    min_cllr: Annotated[float, Meta(ge=0)]
    source: str
    genuine_pairs: Count
    impostor_pairs: Count

    def __post_init__(self) -> None:
        if not (math.isfinite(self.slope) and math.isfinite(self.offset) and self.slope > 0):
            raise ValueError(f"a likelihood ratio of slope {self.slope} and offset {self.offset} says nothing")

    def log_ratio(self, cosine: float) -> float:
        """log p(cosine | same person) / p(cosine | different people)."""
        return self.slope * cosine + self.offset

    def probability(self, cosine: float, prior: float) -> float:
        """Posterior probability of the same person, for a prior in (0, 1). Raises ValueError outside."""
        return posterior(self.log_ratio(cosine), prior)


def posterior(log_ratio: float, prior: float) -> float:
    """The probability after a log likelihood ratio, for a prior in (0, 1). Raises ValueError outside.

    >>> round(posterior(math.log(9), 0.5), 6)
    0.9
    """
    if not 0 < prior < 1:
        raise ValueError(f"a prior is a probability between 0 and 1, not {prior}")
    return 1 / (1 + math.exp(-min(700.0, max(-700.0, log_ratio + math.log(prior / (1 - prior))))))


DISCARD_SHARES = (0.0, 0.05, 0.1, 0.2, 0.3)  # of the photographs
JUDGED = DISCARD_SHARES.index(0.2)


@dataclass(frozen=True, slots=True)
class DiscardCheck:
    """The effect of discarding the photographs of lowest norm.

    Attributes
    ----------
    far, threshold : float
        The cosine with this false match rate on all impostor pairs; it stays fixed.
    genuine_pairs, impostor_pairs, people : int
        Of all photographs; the people are those with a genuine pair.
    discarded : floats
        Fractions of the photographs, the first 0.
    frr : floats or None
        The false reject rate of the remaining pairs after each; None where none remains.
    frr_at_random : float or None
        After discarding at random: that of all photographs, in expectation.
    saved_interval : (float, float) or None
        95 %, by a bootstrap over identities, of the FRR at random minus that after discarding 20 %; None with fewer
        than `MIN_PEOPLE` people.
    """

    far: PromisedRate
    threshold: CosineThreshold
    genuine_pairs: Count
    impostor_pairs: Count
    people: Count
    discarded: tuple[Rate, ...]
    frr: tuple[Rate | None, ...]
    frr_at_random: Rate | None
    saved_interval: tuple[float, float] | None

    def __post_init__(self) -> None:
        if len(self.discarded) != len(self.frr):
            raise ValueError(f"{len(self.frr)} rates for {len(self.discarded)} shares discarded")

    @property
    def helps(self) -> bool:
        """Whether discarding 20 % lowers the FRR below that at random, by an interval above zero."""
        return self.saved_interval is not None and self.saved_interval[0] > 0


@dataclass(frozen=True, slots=True)
class Quality:
    """The distribution of feature norms, and whether a low norm means a poor photograph.

    Attributes
    ----------
    percentiles : 101 floats
        Of the norms, from 0 to 100 %.
    source : str
        Whose photographs these were.
    photographs : int
    check : DiscardCheck or None
        None with too few pairs.
    """

    percentiles: tuple[float, ...]
    source: str
    photographs: Count
    check: DiscardCheck | None = None

    def __post_init__(self) -> None:
        norms = np.array(self.percentiles, np.float64)
        if norms.shape != (101,) or not np.isfinite(norms).all() or (np.diff(norms) < 0).any():
            raise ValueError("the percentiles of a quality are 101 finite norms in ascending order")

    def percentile(self, norm: float) -> float:
        """The percentile of a norm, in [0, 100]: at or above k exactly if it is not below the k-th percentile."""
        return float(np.interp(norm, self.percentiles, np.arange(101.0)))

    def why_useless(self) -> str | None:
        """Why photographs can't be declined by their norm; None where they can."""
        if self.check is None:
            return f"{self.source} have too few pairs to check whether a low norm means a poor photograph"
        if self.check.helps:
            return None
        left, all_ = (_percent(rate) for rate in (self.check.frr[JUDGED], self.check.frr_at_random))
        return (
            f"on {self.source}, discarding photographs of low norm helps no more than discarding at random: FRR "
            f"{left} without the lowest {100 * DISCARD_SHARES[JUDGED]:g} %, {all_} at random"
        )


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """The unit embedding (d,) of the crop that `facever.weights.known_answer` draws from this seed."""

    seed: Count
    embedding: tuple[CosineThreshold, ...]


def _percent(rate: float | None) -> str:
    return "unknown" if rate is None else f"{100 * rate:.2f} %"
