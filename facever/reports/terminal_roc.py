"""A small ROC for the terminal, drawn by plotext."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from facever.metrics.rates import Bools

HEIGHT = 14
WIDEST = 72


def roc_text(
    cosines: NDArray[np.float64], same: Bools, width: int, counts: NDArray[np.int64] | None = None, height: int = HEIGHT
) -> str:
    """TAR over FAR, FAR on a logarithmic axis down to one false accept, as lines of text without colors.

    Parameters
    ----------
    cosines, same : ndarray of shape (n,)
        Both kinds of pair must occur.
    width, height : int
        In characters and lines; at most `WIDEST` characters are used.
    counts : ndarray of shape (n,), optional
        Weights of the scores, 1 by default.
    """
    import plotext
    from sklearn.metrics import roc_curve

    weights = np.ones(len(cosines)) if counts is None else counts.astype(np.float64)
    far, tar, _ = roc_curve(same, cosines, sample_weight=weights)
    least = max(-7, math.floor(math.log10(1 / weights[~same].sum())))
    x = np.linspace(least, 0, 4 * WIDEST)  # logarithms of FAR
    # So that rounding does not lose a FAR of exactly 10**x.
    y = tar[np.searchsorted(far, 10**x * (1 + 1e-9), side="right") - 1]
    figure = plotext.figure
    figure.clear()  # plotext has one figure for the whole process
    figure.theme("colorless")
    figure.plot_size(min(width, WIDEST), height)
    figure.draw(figure.signal(x.tolist(), y.tolist()).lines())
    figure.title("ROC: TAR over FAR")
    figure.ruler("x").ticks(list(range(least, 1)), [f"1e{decade}" if decade else "1" for decade in range(least, 1)])
    text = str(plotext.uncolorize(str(figure.build())))
    figure.clear()
    return "\n".join(line.rstrip() for line in text.splitlines())
