"""The norm of a feature as a photograph's quality: percentiles over stated people, and whether it is of use on them.

Ranjan et al. 2017, section 3: clear faces get features of a large norm, poor ones of a small norm. That depends on how
a network was trained, so each weights file says how far it holds for itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.datasets.identities import labels_of
from facever.errors import DataError
from facever.metrics.all_pairs import all_pairs
from facever.metrics.bootstrap import People
from facever.metrics.discard import RemainingPairs, remaining_pairs_of_list, remaining_pairs_of_people
from facever.metrics.rates import Bools
from facever.scoring import decide, impostors_needed, threshold_at_far
from facever.weights.records import DISCARD_SHARES, JUDGED, DiscardCheck, Quality

Floats = NDArray[np.floating[Any]]

QUALITY_FAR = 1e-3
# Of fewer people the interval over people is too narrow.
MIN_PEOPLE = 10


def quality_of(
    norms: Floats,
    embeddings: NDArray[np.float32],
    identities: Sequence[str],
    source: str,
    threshold: float | None = None,
) -> Quality:
    """Of people with all their pairs, in bounded memory.

    Parameters
    ----------
    norms : ndarray of shape (n,), float
        Of the features before they were scaled to unit length.
    embeddings : float32 ndarray of shape (n, d), unit length
    identities : n str
    source : str
        Who these people are, for the record.
    threshold : float, optional
        The cosine that has QUALITY_FAR 1e-3 on their impostor pairs; found anew where it is not given.

    Raises
    ------
    DataError
        If there is no photograph, or a norm or an embedding is not finite.
    """
    percentiles = _percentiles(norms)
    who = np.array(labels_of(identities)[0], np.int64)
    counts = np.bincount(who)
    genuine = int((counts * (counts - 1) // 2).sum())
    impostors = len(who) * (len(who) - 1) // 2 - genuine
    check = None
    if genuine and impostors >= impostors_needed(QUALITY_FAR):
        cosine = all_pairs(embeddings, who, closest=0).threshold_at_far(QUALITY_FAR) if threshold is None else threshold
        cuts = _cuts(percentiles)
        left = remaining_pairs_of_people(embeddings, who, np.asarray(norms, np.float64), cuts, cosine)
        check = _check(left, cosine, impostors)
    return Quality(tuple(percentiles.tolist()), source, len(who), check)


def quality_of_pairs(
    norms: Floats, a: NDArray[np.int64], b: NDArray[np.int64], cosines: Floats, same: Bools, people: People, source: str
) -> Quality:
    """Of listed pairs alone.

    Parameters
    ----------
    norms : ndarray of shape (photographs,), float
    a, b : int64 ndarrays of shape (n,)
        The photographs of each pair.
    cosines, same : ndarrays of shape (n,), float and bool
    people : People
        Of the same n pairs.

    Raises
    ------
    DataError
        If there is no photograph, or a norm or a cosine is not finite.
    """
    percentiles = _percentiles(norms)
    impostors = int(np.count_nonzero(~same))
    check = None
    if same.any() and impostors >= impostors_needed(QUALITY_FAR):
        cosine = threshold_at_far(cosines[~same], QUALITY_FAR)
        lower = np.minimum(norms[a], norms[b]).astype(np.float64)[same]
        left = remaining_pairs_of_list(~decide(cosines[same], cosine), people.a[same], lower, _cuts(percentiles))
        check = _check(left, cosine, impostors)
    return Quality(tuple(percentiles.tolist()), source, len(norms), check)


def _percentiles(norms: Floats) -> NDArray[np.float64]:
    """(101,), ascending."""
    if not len(norms):
        raise DataError("there is no photograph of which to take the norm; add photographs with a face")
    broken = int(np.count_nonzero(~np.isfinite(norms)))
    if broken:
        raise DataError(f"{broken:,} of {len(norms):,} norms are not finite; leave out their photographs")
    # Interpolation between equal norms may round below them.
    return np.maximum.accumulate(np.percentile(np.asarray(norms, np.float64), np.arange(101)))


def _cuts(percentiles: NDArray[np.float64]) -> NDArray[np.float64]:
    """The norm below which a photograph is left out, for each of `DISCARD_SHARES`."""
    return percentiles[[round(100 * share) for share in DISCARD_SHARES]]


def _check(left: RemainingPairs, threshold: float, impostor_pairs: int) -> DiscardCheck:
    frr = [rate if math.isfinite(rate) else None for rate in left.frr().tolist()]
    people = int(np.count_nonzero(left.pairs[:, 0]))
    ends = left.saved_interval(JUDGED) if people >= MIN_PEOPLE else (math.nan, math.nan)
    return DiscardCheck(
        far=QUALITY_FAR,
        threshold=threshold,
        genuine_pairs=int(left.pairs[:, 0].sum()),
        impostor_pairs=impostor_pairs,
        people=people,
        discarded=DISCARD_SHARES,
        frr=tuple(frr),
        frr_at_random=frr[0],
        saved_interval=ends if all(map(math.isfinite, ends)) else None,
    )
