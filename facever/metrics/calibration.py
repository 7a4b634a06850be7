"""Calibration on people not trained on: thresholds for stated false accept rates, likelihood ratios, quality, the tail.

Intervals are 95 %, by a bootstrap over identities: see `facever.metrics.bootstrap`.
"""

from __future__ import annotations

import math
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
from facever.metrics.rates import Bools
from facever.metrics.tails import TAIL_EXCESSES, TAIL_RATE, fit_tail
from facever.scoring import impostors_needed, tar_at_threshold, threshold_at_far
from facever.weights.records import Likelihood, Quality, Threshold
from facever.weights.tails import Tail

NO_TAIL = "the tail for search --fpir: the highest cosines of different people are all the same, or of too few people"
CALIBRATED_FARS = (1e-2, 1e-3, 1e-4)


@dataclass(frozen=True, slots=True)
class Calibration:
    """The calibration of some weights.

    Attributes
    ----------
    thresholds : list of Threshold
        One for each false accept rate that the impostor pairs support, with ten expected false accepts.
    likelihood : Likelihood or None
        None where genuine pairs are no more similar than impostor pairs.
    unsupported : dict from float to str
        The other rates, with what they would need.
    notes : list of str
        What was left out, and anomalies of a list of pairs.
    quality : Quality or None
        None where no norms were given.
    tail : Tail or None
        None with too few impostor pairs, or people.
    no_tail : str or None
        Why there is no tail, with what it would need.
    """

    thresholds: list[Threshold]
    likelihood: Likelihood | None
    unsupported: dict[float, str]
    notes: list[str] = field(default_factory=list)
    quality: Quality | None = None
    tail: Tail | None = None
    no_tail: str | None = None


def calibration_of_people(
    embeddings: NDArray[np.float32],
    identities: Sequence[str],
    source: str,
    fars: Sequence[float] = CALIBRATED_FARS,
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
    fars : sequence of float in (0, 1)
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
    supported, unsupported = _by_support(fars, found.genuine_pairs, impostors, len(names))
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
    return Calibration(thresholds, line, unsupported, [], quality, tail, no_tail)


def calibration_of_pairs(
    cosines: NDArray[np.float64],
    same: Bools,
    people: People,
    source: str,
    fars: Sequence[float] = CALIBRATED_FARS,
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
    supported, unsupported = _by_support(fars, genuine.size, impostor.size, None)
    thresholds = []
    for far in supported:
        cosine = threshold_at_far(impostor, far)
        thresholds.append(Threshold(far, cosine, source, impostor.size, tar_at_threshold(genuine, cosine)))
    genuine_pairs, impostor_pairs = (_listed(cosines[kind], people, kind) for kind in (same, ~same))
    if supported:
        points = OperatingPoints(genuine_pairs, impostor_pairs, tuple(supported), tuple(t.cosine for t in thresholds))
        thresholds = _with_intervals(thresholds, points, people.count, replicates)
    no_tail, tail = _why_no_tail(impostor.size), None
    if no_tail is None:
        start = threshold_at_far(impostor, TAIL_RATE)
        tail = fit_tail(impostor_pairs, start, people.count, source, impostor.size, None, replicates)
        no_tail = None if tail is not None else NO_TAIL
    line = fit_likelihood_or_none(genuine, impostor, source)
    return Calibration(thresholds, line, unsupported, tail=tail, no_tail=no_tail)


def _among_look_alikes(
    threshold: Threshold, pairs: AllPairs, look_alikes: LookAlikes, within_groups: bool, replicates: int
) -> Threshold:
    """The threshold with the rate of its worst group; raised, if `within_groups`, until that keeps the promise."""
    higher = look_alikes.threshold_at_far(threshold.far) if within_groups else None
    if higher is not None and higher > threshold.cosine:
        # Its interval was that of the lower one.
        threshold = replace(threshold, cosine=higher, tar=pairs.tar_at(higher), cosine_interval=None, far_interval=None)
    return replace(threshold, worst_group=look_alikes.worst(threshold.far, threshold.cosine, replicates))


def _by_support(
    fars: Sequence[float], genuine: int, impostors: int, people: int | None
) -> tuple[list[float], dict[float, str]]:
    """(rates that so many pairs support, what each other rate would need), each rate once."""
    supported, unsupported = [], {}
    for far in dict.fromkeys(fars):
        needed = impostors_needed(far)
        if genuine and impostors >= needed:
            supported.append(far)
            continue
        text = f"FAR {far:g} needs {needed:,} pairs of different people, and there are {impostors:,}"
        if people and impostors:  # pairs grow with the square of the people
            more = math.ceil(people * math.sqrt(max(1.0, needed / impostors)))
            text += f" of {people:,} people; {more:,} people with as many photographs each would do"
        unsupported[far] = text if genuine else f"{text}; it needs genuine pairs too, and there are none"
    return supported, unsupported


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
    found = point_intervals(points, people, replicates)
    return [
        replace(threshold, cosine_interval=intervals.threshold, far_interval=intervals.far_at_fixed)
        for threshold, intervals in zip(thresholds, found, strict=True)
    ]
