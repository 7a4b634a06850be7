"""Listed pairs: scores, figures over folds and by group, intervals over identities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.datasets.pairs import Pair, photographs
from facever.evaluation.embedded import EmbeddingSet
from facever.metrics import VerificationResult, verification_result
from facever.metrics.bootstrap import Interval, People, WeightedRates, bootstrap, correct_decisions
from facever.metrics.decisions import Decisions, decisions_of
from facever.metrics.groups import GroupFigures, figures_by_group
from facever.metrics.likelihood import fit_likelihood_or_none
from facever.metrics.rates import d_prime
from facever.scoring import Bounds, cosine, far_at_threshold, tar_at_threshold
from facever.weights.records import Likelihood
from facever.weights.thresholds import Threshold, WorstGroup


@dataclass(frozen=True, slots=True)
class ThresholdCheck:
    """A stored threshold for `far`, measured on these pairs, and, if asked for, in the worst group of look-alikes."""

    far: float
    cosine: float
    measured_far: float
    measured_tar: float
    worst_group: WorstGroup | None = None


@dataclass(frozen=True, slots=True)
class PairsResult:
    """The result on a list of pairs.

    Attributes
    ----------
    figures : VerificationResult
    images : int
        Photographs in the pairs, each embedded once.
    images_without_face : list of str
        Failures to acquire; their pairs count.
    thresholds : list of ThresholdCheck
    decisions : Decisions or None
        Of these pairs by the weights' own thresholds, if they hold them; a pair with a poor photograph is undecided.
    cosines : float64 ndarray of shape (n,), one a pair, in the order of the pairs
    pairs : list of Pair
    correct : bool ndarray of shape (n,)
        Whether each pair was decided correctly at its fold's threshold.
    norms : float64 ndarray of shape (n,)
        The lower norm of each pair.
    intervals : dict
        95 % intervals of "accuracy" and of the TAR at each supported FAR ("0.001"), by a bootstrap over
        identities.
    people : int or None
        Number of identities; None where the list names none and pairs are treated as independent.
    d_prime : float
    likelihood : Likelihood or None
        Fitted to these pairs, for C_llr; None where the scores do not separate the kinds.
    groups : list of GroupFigures
    notes : list of str
        Anomalies of the list.
    """

    figures: VerificationResult
    images: int
    images_without_face: list[str]
    thresholds: list[ThresholdCheck]
    decisions: Decisions | None
    cosines: NDArray[np.float64]
    pairs: list[Pair]
    correct: NDArray[np.bool_]
    norms: NDArray[np.float64]
    intervals: dict[str, Interval]
    people: int | None
    d_prime: float
    likelihood: Likelihood | None
    groups: list[GroupFigures] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Every figure, without the scores of the pairs."""
        return {
            **self.figures.to_json(),
            "intervals": {name: [_number(end) for end in interval] for name, interval in self.intervals.items()},
            "intervals_over": "pairs" if self.people is None else f"{self.people} people",
            "d_prime": _number(self.d_prime),
            "cllr": self.likelihood and self.likelihood.cllr,
            "min_cllr": self.likelihood and self.likelihood.min_cllr,
            "images": self.images,
            "images_without_face": len(self.images_without_face),
            "names_without_face": self.images_without_face,
            "stored_thresholds": [asdict(threshold) for threshold in self.thresholds],
            "decisions": self.decisions and self.decisions.to_json(),
            "groups": [_with_numbers(asdict(group)) for group in self.groups],
            "notes": self.notes,
        }


def evaluate_embedded(
    pairs: Sequence[Pair],
    embedded: EmbeddingSet,
    thresholds: Sequence[Threshold],
    notes: Sequence[str] = (),
    bounds: Bounds | None = None,
) -> PairsResult:
    """Figures of pairs whose photographs are embedded in the order of `photographs(pairs)`.

    Raises
    ------
    DataError
        If a kind of pair is missing.
    """
    index = {path: i for i, path in enumerate(photographs(pairs))}
    a = np.array([index[pair.path_a] for pair in pairs])
    b = np.array([index[pair.path_b] for pair in pairs])
    vectors = embedded.vectors.astype(np.float64)
    cosines = np.asarray(cosine(vectors[a], vectors[b]), np.float64)
    same = np.array([pair.same for pair in pairs])
    folds = np.array([pair.fold for pair in pairs])
    figures = verification_result(cosines, same, folds)
    correct = correct_decisions(cosines, same, folds, np.array(figures.fold_thresholds))

    named = all(pair.identity_a and pair.identity_b for pair in pairs)
    people = people_of(pairs)
    fars = tuple(far for far, tar in figures.tar_at_far.items() if tar is not None)
    intervals = bootstrap(people, WeightedRates(cosines, same, correct, fars))
    threshold = float(np.mean(figures.fold_thresholds))
    good = np.ones(len(index), bool) if embedded.poor is None else ~embedded.poor
    return PairsResult(
        figures=figures,
        images=len(index),
        images_without_face=embedded.without_face,
        thresholds=[_checked(threshold, cosines, same) for threshold in thresholds],
        decisions=None if bounds is None else decisions_of(cosines, same, good[a] & good[b], bounds),
        cosines=cosines,
        pairs=list(pairs),
        correct=correct,
        norms=np.minimum(embedded.norms[a], embedded.norms[b]),
        intervals=dict(zip(["accuracy", *(f"{far:g}" for far in fars)], intervals, strict=True)),
        people=people.count if named else None,
        d_prime=d_prime(cosines[same], cosines[~same]),
        likelihood=fit_likelihood_or_none(cosines[same], cosines[~same], "these pairs"),
        groups=figures_by_group(cosines, same, correct, [pair.group for pair in pairs], people, threshold),
        notes=list(notes),
    )


def _number(value: float) -> float | None:
    """None for numbers that JSON lacks: NaN and infinity."""
    return value if math.isfinite(value) else None


def _with_numbers(fields: dict[str, Any]) -> dict[str, Any]:
    """The same with None for interval ends that are not finite."""
    return {k: [_number(end) for end in v] if k.endswith("_interval") else v for k, v in fields.items()}


def people_of(pairs: Sequence[Pair]) -> People:
    """The people of the pairs; where the list names none, each pair has its own."""
    if all(pair.identity_a and pair.identity_b for pair in pairs):
        return People.of([pair.identity_a or "" for pair in pairs], [pair.identity_b or "" for pair in pairs])
    return People(np.arange(len(pairs)), np.arange(len(pairs)), len(pairs))


def _checked(threshold: Threshold, cosines: NDArray[np.float64], same: NDArray[np.bool_]) -> ThresholdCheck:
    far = far_at_threshold(cosines[~same], threshold.cosine)
    tar = tar_at_threshold(cosines[same], threshold.cosine)
    return ThresholdCheck(threshold.far, threshold.cosine, float(far), float(tar))
