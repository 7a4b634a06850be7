"""From a false positive identification rate to the threshold of a search."""

from __future__ import annotations

import math

from facever.errors import SettingError, WeightsError
from facever.weights.metadata import WeightsInfo

FPIR = 0.01


def fmr_of(fpir: float, entries: int) -> float:
    """The false match rate at which a search among N entries has a false positive identification rate.

    FPIR = 1 - (1 - FMR) ** N, for comparisons that are independent; else the FPIR is lower, and at most N * FMR.

    Examples
    --------
    >>> round(fmr_of(0.01, 1), 6), round(1 - (1 - fmr_of(0.01, 1000)) ** 1000, 6)
    (0.01, 0.01)
    """
    return -math.expm1(math.log1p(-fpir) / max(entries, 1))


def deciding(
    info: WeightsInfo | None, entries: int, fpir: float | None, threshold: float | None
) -> tuple[float | None, float | None, str | None]:
    """The rate that is promised, the threshold, and why there is none.

    Parameters
    ----------
    info : WeightsInfo or None
        None for embeddings made elsewhere.
    entries : int
        N, the faces or people searched among.
    fpir : float, optional
        `FPIR` by default, if the weights support it.
    threshold : float, optional
        The caller's own, which promises nothing.

    Raises
    ------
    WeightsError
        If the weights don't support an `fpir` that was asked for.
    """
    if threshold is not None:
        return None, threshold, None
    try:
        if info is None:
            raise WeightsError("no threshold: the embeddings were made elsewhere; give --weights, or --threshold")
        rate = FPIR if fpir is None else fpir
        return rate, info.search_threshold(fmr_of(rate, entries)), None
    except WeightsError as error:
        if fpir is not None:
            raise
        return None, None, f"nothing is decided: {error}"


def check_settings(k: int, by: str, fpir: float | None, threshold: float | None) -> None:
    """Raise SettingError for a value out of range."""
    if k < 1:
        raise SettingError(f"is a number of matches from 1, not {k}", "k")
    if by not in ("face", "person"):
        raise SettingError(f"is face or person, not {by!r}", "by")
    if fpir is not None and not 0 < fpir < 1:
        raise SettingError(f"is a rate between 0 and 1, not {fpir}", "fpir")
    if threshold is not None and not -1 <= threshold <= 1:
        raise SettingError(f"is a cosine in [-1, 1], not {threshold}", "threshold")
    if fpir is not None and threshold is not None:
        raise SettingError("takes the place of --fpir; give one of the two", "threshold")
