"""Calibration on people not trained on: thresholds for stated false accept rates, likelihood ratios, quality, the tail.

Intervals are 95 %, by a bootstrap over identities: see `facever.metrics.bootstrap`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from facever.datasets.identities import labels_of
from facever.metrics.all_pairs import AllPairs, all_pairs
from facever.metrics.bootstrap import REPLICATES, People
from facever.metrics.likelihood import fit_likelihood_or_none
from facever.metrics.look_alikes import LookAlikes
from facever.metrics.operating_points import OperatingPoints, point_intervals
from facever.metrics.pair_sample import PairSample, sample_pairs
from facever.metrics.quality import QUALITY_FAR, quality_of
from facever.metrics.rates import HIGHEST_FAR, Bools, rarest_far
from facever.metrics.support import Unsupported, unsupported_at
from facever.metrics.tails import TAIL_EXCESSES, TAIL_RATE, fit_tail
from facever.scoring import (
    far_at_threshold,
    impostors_needed,
    tar_at_threshold,
    threshold_at_far,
    threshold_at_frr,
)
from facever.weights.calibrated import Calibrated
from facever.weights.records import Likelihood, Quality
from facever.weights.tails import Tail
from facever.weights.thresholds import LowerThreshold, Threshold

NO_TAIL = "the tail for search --fpir: the highest cosines of different people are all the same, or of too few people"
CALIBRATED_FARS = (1e-2, 1e-3, 1e-4)
CALIBRATED_FRRS = (0.1, 0.05, 0.02, 0.01)


@dataclass(frozen=True, slots=True)
class Calibration:
    """The calibration of some weights.

    Attributes
    ----------
    thresholds : list of Threshold
        One for each false accept rate that the impostor pairs support, with ten expected false accepts.
    likelihood : Likelihood or None
        None where genuine pairs are no more similar than impostor pairs.
    unsupported : dict from float to Unsupported
        The other rates, with what they would take.
    notes : list of str
        What was left out, and anomalies of a list of pairs.
    quality : Quality or None
        None where no norms were given.
    tail : Tail or None
        None with too few impostor pairs, or people.
    lower_thresholds : list of LowerThreshold
        One for each of `CALIBRATED_FRRS` that the genuine pairs support, with ten expected false rejects.
    no_tail : str or None
        Why there is no tail, with what it would need.
    """

    thresholds: list[Threshold]
    likelihood: Likelihood | None
    unsupported: dict[float, Unsupported]
    notes: list[str] = field(default_factory=list)
    quality: Quality | None = None
    tail: Tail | None = None
    lower_thresholds: list[LowerThreshold] = field(default_factory=list)
    no_tail: str | None = None

    @property
    def calibrated(self) -> Calibrated:
        """What of it goes into a file."""
        return Calibrated(self.thresholds, self.likelihood, self.quality, self.tail, self.lower_thresholds)


def calibration_of_people(
    embeddings: NDArray[np.float32],
    identities: Sequence[str],
    source: str,
    fars: Sequence[float] | None = None,
    replicates: int = REPLICATES,
    norms: NDArray[np.float32] | None = None,
    look_alikes: LookAlikes | None = None,
    within_groups: bool = False,
) -> Calibration:
    """Calibrate on every pair of these photographs, in bounded memory.

    Thresholds are edges of bins of `facever.metrics.all_pairs`: at most 3e-5 above the lowest that keep the rate.

    Parameters
    ----------
    embeddings : float32 ndarray of shape (n, d), unit length
    identities : n str
        The person of each.
    source : str
        Description of these people, for the record.
    fars : sequence of float in (0, 1), optional
        `CALIBRATED_FARS` by default; and where the pairs support none of those, the rarest of one digit that they do.
    replicates : int
        Bootstrap replicates.
    norms : float32 ndarray of shape (n,), optional
        Feature norms, for the quality record.
    look_alikes : LookAlikes, optional
        The groups of these photographs: each threshold then has the FAR of the worst one.
    within_groups : bool
        Raise thresholds until the worst group keeps the rate as well.

    Raises
    ------
    DataError
        If an embedding or a norm is not finite, or a rate is out of range.
    """
    labels, names = labels_of(identities)
    who = np.array(labels, np.int64)
    found = all_pairs(embeddings, who, closest=0)
    impostors = found.impostor_pairs
    supported, unsupported = by_support(fars, found.genuine_pairs, impostors, len(names))
    cosines = [found.threshold_at_far(far) for far in supported]
    thresholds = [
        Threshold(far, cosine, source, impostors, found.tar_at_far(far))
        for far, cosine in zip(supported, cosines, strict=True)
    ]
    no_tail = _why_no_tail(impostors)
    sample = sample_pairs(embeddings, who, found) if supported or no_tail is None else None
    tail = None
    if sample is not None:
        counts = np.bincount(who)
        points = OperatingPoints(*sample, tuple(supported), tuple(cosines), counts)
        thresholds = _with_intervals(thresholds, points, len(names), replicates)
        if no_tail is None:
            start = found.threshold_at_far(TAIL_RATE)
            tail = fit_tail(sample[1], start, len(names), source, impostors, counts, replicates)
            no_tail = None if tail is not None else NO_TAIL
    if look_alikes is not None:
        thresholds = [_among_look_alikes(each, found, look_alikes, within_groups, replicates) for each in thresholds]
    scores, counts, same = found.scores()
    line = fit_likelihood_or_none(scores[same], scores[~same], source, counts[same], counts[~same])
    quality = None
    if norms is not None:
        quality = quality_of(norms, embeddings, identities, source, found.threshold_at_far(QUALITY_FAR))
    lower = [
        LowerThreshold(frr, cosine := found.threshold_at_frr(frr), source, found.genuine_pairs, found.far_at(cosine))
        for frr in _supported_frrs(found.genuine_pairs)
    ]
    return Calibration(thresholds, line, unsupported, [], quality, tail, lower, no_tail)


def calibration_of_pairs(
    cosines: NDArray[np.float64],
    same: Bools,
    people: People,
    source: str,
    fars: Sequence[float] | None = None,
    replicates: int = REPLICATES,
) -> Calibration:
    """Calibrate on listed pairs alone.

    Parameters
    ----------
    cosines : float64 ndarray of shape (n,)
    same : bool ndarray of shape (n,)
    people : People
        Of the same n pairs.

    Raises
    ------
    DataError
        If a score is not finite, or a rate is out of range.
    """
    genuine, impostor = cosines[same], cosines[~same]
    supported, unsupported = by_support(fars, genuine.size, impostor.size, None)
    thresholds = []
    for far in supported:
        cosine = threshold_at_far(impostor, far)
        thresholds.append(Threshold(far, cosine, source, impostor.size, tar_at_threshold(genuine, cosine)))
    genuine_pairs, impostor_pairs = (_listed(cosines[kind], people, kind) for kind in (same, ~same))
    if supported:
        points = OperatingPoints(genuine_pairs, impostor_pairs, tuple(supported), tuple(t.cosine for t in thresholds))
        thresholds = _with_intervals(thresholds, points, people.count, replicates)
    lower = [
        LowerThreshold(
            frr, cosine := threshold_at_frr(genuine, frr), source, genuine.size, far_at_threshold(impostor, cosine)
        )
        for frr in _supported_frrs(genuine.size if impostor.size else 0)
    ]
    no_tail, tail = _why_no_tail(impostor.size), None
    if no_tail is None:
        start = threshold_at_far(impostor, TAIL_RATE)
        tail = fit_tail(impostor_pairs, start, people.count, source, impostor.size, None, replicates)
        no_tail = None if tail is not None else NO_TAIL
    line = fit_likelihood_or_none(genuine, impostor, source)
    return Calibration(thresholds, line, unsupported, tail=tail, lower_thresholds=lower, no_tail=no_tail)


def _among_look_alikes(
    threshold: Threshold, pairs: AllPairs, look_alikes: LookAlikes, within_groups: bool, replicates: int
) -> Threshold:
    """The threshold with the rate of its worst group; raised, if `within_groups`, until that keeps the promise."""
    higher = look_alikes.threshold_at_far(threshold.far) if within_groups else None
    if higher is not None and higher > threshold.cosine:
        # Its interval was that of the lower one.
        threshold = replace(threshold, cosine=higher, tar=pairs.tar_at(higher), cosine_interval=None, far_interval=None)
    return replace(threshold, worst_group=look_alikes.worst(threshold.far, threshold.cosine, replicates))


def by_support(
    fars: Sequence[float] | None, genuine: int, impostors: int, people: int | None
) -> tuple[list[float], dict[float, Unsupported]]:
    """(rates that so many pairs support, what each other rate would take), each rate once.

    Parameters
    ----------
    fars : sequence of float in (0, 1), or None
        As for `calibration_of_people`.
    people : int or None
        How many people make these pairs; None for a list of pairs.
    """
    supported, unsupported = [], {}
    for far in dict.fromkeys(CALIBRATED_FARS if fars is None else fars):
        needed = impostors_needed(far)
        if genuine and impostors >= needed:
            supported.append(far)
            continue
        unsupported[far] = unsupported_at(far, genuine, impostors, people)
    if fars is None and not supported:
        rarest = rarest_far(impostors)
        if genuine and rarest is not None:
            supported = [rarest]
        else:
            unsupported[HIGHEST_FAR] = unsupported_at(HIGHEST_FAR, genuine, impostors, people)
    return supported, unsupported


def _supported_frrs(genuine: int) -> list[float]:
    return [frr for frr in CALIBRATED_FRRS if genuine >= impostors_needed(frr)]  # the same count of errors


def _why_no_tail(impostors: int) -> str | None:
    """What a tail would need, if the pairs are too few for one."""
    needed = impostors_needed(TAIL_RATE, TAIL_EXCESSES)
    if impostors >= needed:
        return None
    return f"the tail for search --fpir needs {needed:,} pairs of different people, and there are {impostors:,}"


def _listed(cosines: NDArray[np.float64], people: People, kind: Bools) -> PairSample:
    return PairSample(cosines, people.a[kind], people.b[kind], np.ones(len(cosines)))


def _with_intervals(
    thresholds: list[Threshold], points: OperatingPoints, people: int, replicates: int
) -> list[Threshold]:
    if people < 2:
        return thresholds
    found = point_intervals(points, people, replicates)
    return [
        replace(threshold, cosine_interval=intervals.threshold, far_interval=intervals.far_at_fixed)
        for threshold, intervals in zip(thresholds, found, strict=True)
    ]
