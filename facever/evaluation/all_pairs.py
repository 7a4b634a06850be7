"""Every genuine and impostor pair of a folder of identities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.datasets.identities import labels_of
from facever.errors import DataError
from facever.evaluation.embedded import EmbeddingSet
from facever.evaluation.pairs import ThresholdCheck
from facever.metrics.all_pairs import AllPairs, all_pairs
from facever.metrics.bootstrap import REPLICATES, Interval
from facever.metrics.decisions import Decisions, decisions_of_all
from facever.metrics.likelihood import fit_likelihood_or_none
from facever.metrics.look_alikes import LookAlikes
from facever.metrics.operating_points import OperatingPoints, point_intervals
from facever.metrics.pair_sample import sample_pairs
from facever.scoring import Bounds, impostors_needed
from facever.weights.records import Likelihood
from facever.weights.thresholds import Threshold

ALL_PAIRS_FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
WORST = 20

NamedPair = tuple[str, str, float]


@dataclass(frozen=True, slots=True)
class AllPairsResult:
    """Every pair of a set of photographs.

    Attributes
    ----------
    lonely : int
        People with one photograph, who have impostor pairs only.
    scores : AllPairs
        The histograms of all cosines.
    tar_at_far, threshold_at_far : dict from FAR to float or None
        None where the impostor pairs are too few for that FAR.
    tar_intervals, threshold_intervals : dict from FAR to (float, float)
        95 %, by a bootstrap over identities, at the supported FARs.
    thresholds : list of ThresholdCheck
        Stored thresholds, measured on these pairs.
    decisions : Decisions or None
        Of these pairs by the weights' own thresholds, if they hold them; a pair with a poor photograph is undecided.
    likelihood : Likelihood or None
        Fitted to these pairs, for C_llr; None where the scores do not separate the kinds.
    suspicious : list of (name, name, cosine)
        The most similar pairs of different people, by descending cosine.
    most_alike, least_alike : list of (name, name, cosine)
        The worst `WORST` pairs of different people, and of one person.
    """

    photographs: int
    people: int
    singletons: int
    without_face: list[str]
    scores: AllPairs
    tar_at_far: dict[float, float | None]
    threshold_at_far: dict[float, float | None]
    tar_intervals: dict[float, Interval]
    threshold_intervals: dict[float, Interval]
    thresholds: list[ThresholdCheck]
    decisions: Decisions | None
    likelihood: Likelihood | None
    suspicious: list[NamedPair]
    most_alike: list[NamedPair]
    least_alike: list[NamedPair]

    @property
    def genuine_pairs(self) -> int:
        return self.scores.genuine_pairs

    @property
    def impostor_pairs(self) -> int:
        return self.scores.impostor_pairs

    def to_json(self) -> dict[str, Any]:
        """Every figure, without the histograms."""
        return {
            "photographs": self.photographs,
            "people": self.people,
            "people_with_one_photograph": self.singletons,
            "without_face": self.without_face,
            "genuine_pairs": self.genuine_pairs,
            "impostor_pairs": self.impostor_pairs,
            "tar_at_far": _by_text(self.tar_at_far),
            "threshold_at_far": _by_text(self.threshold_at_far),
            "tar_intervals": _by_text(self.tar_intervals),
            "threshold_intervals": _by_text(self.threshold_intervals),
            "intervals_over": f"{self.people} people",
            "stored_thresholds": [asdict(threshold) for threshold in self.thresholds],
            "decisions": self.decisions and self.decisions.to_json(),
            "cllr": self.likelihood and self.likelihood.cllr,
            "min_cllr": self.likelihood and self.likelihood.min_cllr,
            "suspicious": self.suspicious,
            "least_alike": self.least_alike,
        }


def evaluate_all(
    embedded: EmbeddingSet,
    identities: Sequence[str],
    suspicious: int = 10,
    thresholds: Sequence[Threshold] = (),
    replicates: int = REPLICATES,
    look_alikes: LookAlikes | None = None,
    bounds: Bounds | None = None,
) -> AllPairsResult:
    """Score every pair of the photographs, `identities[i]` being the person in photograph i.

    Parameters
    ----------
    suspicious : int
        How many of the most similar impostor pairs to list.
    thresholds : sequence of Threshold
        Stored thresholds to measure on these pairs.
    replicates : int
        Bootstrap replicates.
    look_alikes : LookAlikes, optional
        The groups of these photographs, to measure the stored thresholds in.
    bounds : Bounds, optional
        What decides, to count three answers.

    Raises
    ------
    DataError
        If there is no pair of a kind, or an embedding is not finite.
    """
    labels, names = labels_of(identities)
    who = np.array(labels, np.int64)
    found = all_pairs(embedded.vectors, who, closest=max(suspicious, WORST))
    if not (found.genuine_pairs and found.impostor_pairs):
        raise DataError("all pairs need two people, and two photographs of one of them; add photographs")
    fars = tuple(far for far in ALL_PAIRS_FARS if found.impostor_pairs >= impostors_needed(far))
    chosen = tuple(found.threshold_at_far(far) for far in fars)
    counts = np.bincount(who)
    intervals = []
    if fars:
        sample = sample_pairs(embedded.vectors, who, found)
        intervals = point_intervals(OperatingPoints(*sample, fars, chosen, counts), len(names), replicates)

    scores, pairs, same = found.scores()

    def named(pairs: Sequence[tuple[int, int, float]], count: int) -> list[NamedPair]:
        return [(embedded.names[i], embedded.names[j], value) for i, j, value in pairs[:count]]

    return AllPairsResult(
        photographs=len(labels),
        people=len(names),
        singletons=int(np.count_nonzero(counts == 1)),
        without_face=embedded.without_face,
        scores=found,
        tar_at_far={far: found.tar_at_far(far) if far in fars else None for far in ALL_PAIRS_FARS},
        threshold_at_far={far: found.threshold_at_far(far) if far in fars else None for far in ALL_PAIRS_FARS},
        tar_intervals={far: each.tar for far, each in zip(fars, intervals, strict=True)},
        threshold_intervals={far: each.threshold for far, each in zip(fars, intervals, strict=True)},
        thresholds=[
            ThresholdCheck(
                t.far,
                t.cosine,
                found.far_at(t.cosine),
                found.tar_at(t.cosine),
                None if look_alikes is None else look_alikes.worst(t.far, t.cosine, replicates),
            )
            for t in thresholds
        ],
        decisions=None if bounds is None else _decisions(embedded, who, found, bounds),
        likelihood=fit_likelihood_or_none(scores[same], scores[~same], "these pairs", pairs[same], pairs[~same]),
        suspicious=named(found.closest, suspicious),
        most_alike=named(found.closest, WORST),
        least_alike=named(found.farthest, WORST),
    )


def _decisions(embedded: EmbeddingSet, who: NDArray[np.int64], every: AllPairs, bounds: Bounds) -> Decisions:
    if embedded.poor is None or not embedded.poor.any():
        return decisions_of_all(every, every, bounds)
    good = ~embedded.poor
    return decisions_of_all(every, all_pairs(embedded.vectors[good], who[good], closest=0), bounds)


def _by_text(values: dict[float, Any]) -> dict[str, Any]:
    """FARs as keys such as "0.001", and null for NaN."""
    return {f"{far:g}": _finite(value) for far, value in values.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_finite(each) for each in value]
    return value if value is None or math.isfinite(value) else None
