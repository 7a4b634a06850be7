"""Intervals over seeds and over people."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from facever.studies.outcome import Figure, Interval


def t_interval(values: Sequence[float], level: float = 0.95) -> Interval | None:
    """Student's interval for the mean: mean ± t(k - 1) · s / sqrt(k); None for fewer than two values.

    Parameters
    ----------
    values : k floats
        One a seed, or one difference a seed: then it is the paired interval.
    """
    from scipy.stats import t

    k = len(values)
    if k < 2:
        return None
    half = float(t.ppf((1 + level) / 2, k - 1)) * float(np.std(values, ddof=1)) / math.sqrt(k)
    mean = float(np.mean(values))
    return mean - half, mean + half


def over_seeds(count: int) -> str:
    """What `t_interval` of one value a seed is, in words."""
    return f"Student's t over {count} seeds" if count > 1 else "none: a single seed"


def paired_over_seeds(count: int) -> str:
    return f"paired Student's t over {count} seeds" if count > 1 else "none: a single seed"


def seed_figure(name: str, values: Sequence[float]) -> Figure:
    """The mean over seeds with its interval."""
    return Figure(name, float(np.mean(values)), t_interval(values), over_seeds(len(values)))


def difference(first: Sequence[float], second: Sequence[float]) -> tuple[float, Interval | None]:
    """Mean of first - second over the same seeds, and its paired interval."""
    pairs = [a - b for a, b in zip(first, second, strict=True)]
    return float(np.mean(pairs)), t_interval(pairs)
