"""How well a number says which photographs are fit to be compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from facever.evaluation.bootstrap import Weights

Floats = NDArray[np.float64]
Crops = NDArray[np.uint8]

# Shares of the pairs discarded at which a curve is drawn; its area is taken over the first half.
SHARES = np.round(np.arange(0.0, 0.951, 0.05), 2)
AREA_UP_TO = 0.5


@dataclass(frozen=True, slots=True)
class Discard:
    """The error-versus-discard curve of genuine pairs at a fixed threshold.

    P. Grother, E. Tabassi, *Performance of Biometric Quality Measures*, 2007: discard the pairs of the lowest quality,
    and see how many of the others are falsely rejected. The threshold stays that of all pairs.

    Parameters
    ----------
    quality : float64 ndarray of shape (n,)
        Of each pair: the lower one of its two photographs.
    rejected : bool ndarray of shape (n,)
    """

    quality: Floats
    rejected: NDArray[np.bool_]

    def curve(self, weights: Weights | None = None) -> Floats:
        """FNMR after each of `SHARES` was discarded, (20,); pairs may count several times or not at all.

        Pairs of equal quality count alike: of a tie, as large a part as is needed is kept, with the tie's own FNMR.
        """
        w = np.ones(len(self.quality)) if weights is None else weights
        levels, level = np.unique(-self.quality, return_inverse=True)  # best first
        total = np.cumsum(np.bincount(level, w, len(levels)))
        errors = np.cumsum(np.bincount(level, w * self.rejected, len(levels)))
        kept = (1 - SHARES) * total[-1]
        # Linear between the levels: a part of a tie has its share of the errors.
        found = np.interp(kept, np.append(0.0, total), np.append(0.0, errors))
        return np.asarray(found / np.maximum(kept, 1e-12))


def gain_of(curve: Floats) -> Floats:
    """How far curves (..., 20) lie below random discard, on the mean of the first half of the shares: (...).

    Random discard leaves the FNMR as it is, in expectation.
    """
    return np.asarray(curve[..., 0] - curve[..., SHARES <= AREA_UP_TO].mean(axis=-1))


def bins_of(values: Floats, count: int) -> NDArray[np.int64]:
    """The bin of each value, from 0 for the lowest, (n,): bins of as many values, ties in the order of the values."""
    order = np.argsort(values, kind="stable")
    bins = np.empty(len(values), np.int64)
    for number, part in enumerate(np.array_split(order, count)):
        bins[part] = number
    return bins


@dataclass(frozen=True, slots=True)
class BinnedPairs:
    """Pairs by the bins of both photographs.

    Parameters
    ----------
    low, high : int64 ndarray of shape (n,)
        The lower and the higher bin of each pair.
    same, accepted : bool ndarray of shape (n,)
    count : int
        Of bins.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    same: NDArray[np.bool_]
    accepted: NDArray[np.bool_]
    count: int

    def accuracy(self, weights: Weights | None = None) -> Floats:
        """Balanced accuracy, (TAR + 1 - FAR) / 2, of each pair of bins: (count, count), NaN where low > high.

        Both kinds count alike, since cells hold unequal shares of genuine pairs.
        """
        w = np.ones(len(self.low)) if weights is None else weights
        cell = self.low * self.count + self.high
        rates = []
        for kind, right in ((self.same, self.accepted), (~self.same, ~self.accepted)):
            size = np.bincount(cell[kind], w[kind], self.count**2)
            hits = np.bincount(cell[kind], (w * right)[kind], self.count**2)
            rates.append(np.divide(hits, size, out=np.full(self.count**2, np.nan), where=size > 0))
        return np.asarray((rates[0] + rates[1]) / 2).reshape(self.count, self.count)


def blurred(crops: Crops, sigma: float) -> Crops:
    """Gaussian blur of so many pixels."""
    if sigma == 0:
        return crops
    return np.stack([np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma), np.uint8) for crop in crops])


def noisy(crops: Crops, deviation: float) -> Crops:
    """White noise of so many grey levels, the same for every call."""
    noise = np.random.default_rng(0).normal(0, deviation, crops.shape)
    return np.asarray(np.clip(np.round(crops + noise), 0, 255), np.uint8)


def shrunk(crops: Crops, share: float) -> Crops:
    """Scaled down to so much of both sides, by averaging, and up again."""
    if share == 1:
        return crops
    height, width = crops.shape[1:3]
    small = (max(2, round(width * share)), max(2, round(height * share)))
    return np.stack(
        [
            np.asarray(cv2.resize(cv2.resize(crop, small, interpolation=cv2.INTER_AREA), (width, height)), np.uint8)
            for crop in crops
        ]
    )


def dimmed(crops: Crops, share: float) -> Crops:
    """So much of the light, rounded to whole grey levels as a camera would."""
    return np.asarray(np.round(crops * share), np.uint8)


@dataclass(frozen=True, slots=True)
class Spoiling:
    """A way to spoil photographs, in steps from none to strong."""

    name: str
    unit: str
    change: Callable[[Crops, float], Crops]
    steps: tuple[float, ...]


SPOILINGS = (
    Spoiling("blur", "standard deviation in pixels", blurred, (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)),
    Spoiling("noise", "standard deviation in grey levels", noisy, (0.0, 5.0, 10.0, 20.0, 40.0, 60.0)),
    Spoiling("down-scaling", "share of the side that is left", shrunk, (1.0, 0.75, 0.5, 0.35, 0.25, 0.15)),
    Spoiling("low light", "share of the light that is left", dimmed, (1.0, 0.7, 0.5, 0.3, 0.2, 0.1)),
)
