"""The norm of a feature as a photograph's quality: percentiles over stated people, and whether it is of use on them.

Ranjan et al. 2017, section 3: clear faces get features of a large norm, poor ones of a small norm. That depends on how
a network was trained, so each weights file says how far it holds for itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.datasets.identities import labels_of
from facever.errors import DataError
from facever.evaluation.all_pairs import all_pairs
from facever.evaluation.bootstrap import People
from facever.evaluation.discard import PairsLeft, pairs_left_of_list, pairs_left_of_people
from facever.evaluation.rates import Bools
from facever.scoring import decide, impostors_needed, threshold_at_far

Floats = NDArray[np.floating[Any]]

FMR = 1e-3
SHARES = (0.0, 0.05, 0.1, 0.2, 0.3)  # of the photographs
JUDGED = SHARES.index(0.2)
# Of fewer people the interval over people is too narrow.
MIN_PEOPLE = 10


@dataclass(frozen=True, slots=True)
class DiscardCheck:
    """What it brings to leave out the photographs of the smallest norms.

    Attributes
    ----------
    fmr, threshold : float
        The cosine that has this false match rate on all impostor pairs; it stays while photographs are left out.
    genuine_pairs, impostor_pairs, people : int
        Of all photographs; the people are those with a genuine pair.
    discarded : floats
        Shares of the photographs, the first 0.
    fnmr : floats or None
        The false non-match rate of the pairs left after each; None where none is left.
    fnmr_at_random : float or None
        After as many photographs are left out at random: that of all, in expectation.
    saved_interval : (float, float) or None
        95 %, over people drawn anew, of the FNMR at random minus that with 20 % of the photographs left out; None with
        fewer than `MIN_PEOPLE` people.
    """

    fmr: float
    threshold: float
    genuine_pairs: int
    impostor_pairs: int
    people: int
    discarded: tuple[float, ...]
    fnmr: tuple[float | None, ...]
    fnmr_at_random: float | None
    saved_interval: tuple[float, float] | None

    def __post_init__(self) -> None:
        if len(self.discarded) != len(self.fnmr):
            raise ValueError(f"{len(self.fnmr)} rates for {len(self.discarded)} shares discarded")

    @property
    def helps(self) -> bool:
        """The rule: with 20 % left out, the FNMR is below that at random, by an interval that lies above zero."""
        return self.saved_interval is not None and self.saved_interval[0] > 0

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> DiscardCheck:
        """Raises KeyError, TypeError or ValueError where a field is missing or of another kind."""
        ends = fields["saved_interval"]
        low_high = None if ends is None else (float(ends[0]), float(ends[1]))
        rates = tuple(None if rate is None else float(rate) for rate in fields["fnmr"])
        shares = tuple(float(share) for share in fields["discarded"])
        return cls(**{**fields, "discarded": shares, "fnmr": rates, "saved_interval": low_high})


@dataclass(frozen=True, slots=True)
class Quality:
    """What norms are usual, and whether a small one says that a photograph is poor.

    Attributes
    ----------
    percentiles : 101 floats
        The norms below which 0, 1, ..., 100 % of the photographs lie.
    source : str
        Whose photographs these were.
    photographs : int
    check : DiscardCheck or None
        None where these people have too few pairs for it.
    """

    percentiles: tuple[float, ...]
    source: str
    photographs: int
    check: DiscardCheck | None = None

    def __post_init__(self) -> None:
        norms = np.array(self.percentiles, np.float64)
        if norms.shape != (101,) or not np.isfinite(norms).all() or (np.diff(norms) < 0).any():
            raise ValueError("the percentiles of a quality are 101 finite norms in ascending order")

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Quality:
        """Raises KeyError, TypeError or ValueError where a field is missing or of another kind."""
        check = fields["check"]
        norms = tuple(float(norm) for norm in fields["percentiles"])
        return cls(norms, str(fields["source"]), int(fields["photographs"]), check and DiscardCheck.from_json(check))

    def percentile(self, norm: float) -> float:
        """Where a norm lies among these, in [0, 100]: at or above k exactly if it is not below the k-th percentile."""
        return float(np.interp(norm, self.percentiles, np.arange(101.0)))

    def why_useless(self) -> str | None:
        """Why no photograph may be declined by its norm; None where it may."""
        if self.check is None:
            return f"{self.source} have too few pairs to check whether a small norm means a poor photograph"
        if self.check.helps:
            return None
        left, all_ = (_percent(rate) for rate in (self.check.fnmr[JUDGED], self.check.fnmr_at_random))
        return (
            f"on {self.source}, leaving out the photographs of small norms helps no more than leaving out any: FNMR "
            f"{left} without the lowest {100 * SHARES[JUDGED]:g} %, {all_} at random"
        )


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
        Of the features before they were scaled to length 1.
    embeddings : float32 ndarray of shape (n, d), unit length
    identities : n str
    source : str
        Who these people are, for the record.
    threshold : float, optional
        The cosine that has FMR 1e-3 on their impostor pairs; found anew where it is not given.

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
    if genuine and impostors >= impostors_needed(FMR):
        cosine = all_pairs(embeddings, who, closest=0).threshold_at_far(FMR) if threshold is None else threshold
        cuts = _cuts(percentiles)
        left = pairs_left_of_people(embeddings, who, np.asarray(norms, np.float64), cuts, cosine)
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
    if same.any() and impostors >= impostors_needed(FMR):
        cosine = threshold_at_far(cosines[~same], FMR)
        lower = np.minimum(norms[a], norms[b]).astype(np.float64)[same]
        left = pairs_left_of_list(~decide(cosines[same], cosine), people.a[same], lower, _cuts(percentiles))
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
    """The norm below which a photograph is left out, for each of `SHARES`."""
    return percentiles[[round(100 * share) for share in SHARES]]


def _check(left: PairsLeft, threshold: float, impostor_pairs: int) -> DiscardCheck:
    fnmr = [rate if math.isfinite(rate) else None for rate in left.fnmr().tolist()]
    people = int(np.count_nonzero(left.pairs[:, 0]))
    ends = left.saved_interval(JUDGED) if people >= MIN_PEOPLE else (math.nan, math.nan)
    return DiscardCheck(
        fmr=FMR,
        threshold=threshold,
        genuine_pairs=int(left.pairs[:, 0].sum()),
        impostor_pairs=impostor_pairs,
        people=people,
        discarded=SHARES,
        fnmr=tuple(fnmr),
        fnmr_at_random=fnmr[0],
        saved_interval=ends if all(map(math.isfinite, ends)) else None,
    )


def _percent(rate: float | None) -> str:
    return "unknown" if rate is None else f"{100 * rate:.2f} %"
