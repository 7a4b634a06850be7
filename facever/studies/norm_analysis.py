"""Scored pairs against the feature's norm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.datasets.pairs import Pair
from facever.faces.embedder import Embedder
from facever.metrics.bootstrap import People
from facever.metrics.discard import DiscardCurve, gain_of
from facever.scoring import cosine, threshold_at_far
from facever.studies.intervals import Bootstrapped
from facever.studies.norm_bins import BinnedPairs, bins_of
from facever.studies.outcome import Check, Comparison, Figure
from facever.studies.testing import TestSet

SOFTMAX, L2 = "softmax", "l2-softmax, alpha 16"
BINS, BIN_NAMES = 3, ("low", "middle", "high")
FAR = 0.01
REPLICATES = 1000
BY_NORM, BY_DETECTOR = "softmax, by norm", "softmax, by detector's score"
OVER_PHOTOGRAPHS = "Student's t over photographs"


@dataclass(frozen=True, slots=True)
class NormScores:
    """A model's decisions on the test pairs.

    Attributes
    ----------
    norms : float64 ndarray of shape (photographs,)
    a, b : int64 ndarrays of shape (pairs,)
        The photographs of each pair.
    same, accepted : bool ndarrays of shape (pairs,)
        Accepted at the threshold that gives FAR 1e-2 on the impostor pairs.
    """

    norms: NDArray[np.float64]
    a: NDArray[np.int64]
    b: NDArray[np.int64]
    same: NDArray[np.bool_]
    accepted: NDArray[np.bool_]

    def binned(self) -> BinnedPairs:
        bins = bins_of(self.norms, BINS)
        low, high = np.minimum(bins[self.a], bins[self.b]), np.maximum(bins[self.a], bins[self.b])
        return BinnedPairs(low, high, self.same, self.accepted, BINS)

    def discard(self, quality: NDArray[np.float64]) -> DiscardCurve:
        """Photographs by a quality, as ranks, so that several trainings can be concatenated."""
        levels = np.unique(quality)
        rank = np.searchsorted(levels, quality) / max(len(levels) - 1, 1)
        lower = np.minimum(rank[self.a], rank[self.b])
        return DiscardCurve(lower[self.same], ~self.accepted[self.same])


def score(embedder: Embedder, test: TestSet) -> NormScores:
    """Embed a test set's photographs and decide its pairs."""
    vectors, norms = embedder(test.crops)
    row = {path: i for i, path in enumerate(test.paths)}
    a = np.array([row[pair.path_a] for pair in test.pairs], np.int64)  # type: ignore[index]
    b = np.array([row[pair.path_b] for pair in test.pairs], np.int64)  # type: ignore[index]
    same = np.array([pair.same for pair in test.pairs])
    cosines = cosine(vectors[a], vectors[b])
    threshold = threshold_at_far(cosines[~same], FAR, min_false_accepts=0)
    return NormScores(norms.astype(np.float64), a, b, same, cosines >= threshold)


@dataclass(frozen=True, slots=True)
class Judged:
    """How the norm relates to errors, with a bootstrap over identities.

    Attributes
    ----------
    cells : from model to balanced accuracy by pair of bins, (BINS, BINS)
    curves : from a quality to its error-versus-discard curve, one FRR for each of `CURVE_SHARES`
    lost : from model to (degradation, share of the norm lost at its strongest step, interval over photographs)
    how : str
        Describes the intervals.
    """

    cells: dict[str, Bootstrapped]
    curves: dict[str, Bootstrapped]
    lost: dict[str, list[tuple[str, float, Any]]]
    how: str

    def high_minus_low(self, model: str) -> Bootstrapped:
        """Balanced accuracy of pairs from the top bin minus that of the bottom one."""
        return self.cells[model].then(lambda cells: cells[..., -1, -1] - cells[..., 0, 0])

    def gain(self, quality: str) -> Bootstrapped:
        """FRR saved by discarding by a quality, over random discard."""
        return self.curves[quality].then(gain_of)

    def checks(self) -> list[Check]:
        """What the paper says of softmax."""
        found = [
            (
                "softmax: balanced accuracy of pairs from the top third of norms minus the bottom third",
                self.high_minus_low(SOFTMAX),
            ),
            (
                "softmax: FRR saved by discarding by norm, over random discard (mean of the first half)",
                self.gain(BY_NORM),
            ),
        ]
        return [
            *(Check(what, drawn.number, drawn.ci95, self.how) for what, drawn in found),
            *(
                Check(f"softmax: share of the norm lost to {name} at its strongest step", lost, ends, OVER_PHOTOGRAPHS)
                for name, lost, ends in self.lost[SOFTMAX]
            ),
        ]

    def comparisons(self, test: str) -> list[Comparison]:
        """The norm against the detector's score, and L2-softmax against softmax where norms are low."""
        score = self.gain(BY_NORM) - self.gain(BY_DETECTOR)
        saved = "FRR saved by discarding, mean of the first half"
        low = (self.cells[L2] - self.cells[SOFTMAX]).then(lambda cells: cells[..., 0, 0])
        pairs = "balanced accuracy of pairs of low norm"
        return [
            Comparison(BY_NORM, BY_DETECTOR, f"{test}, {saved}", score.number, score.ci95, self.how),
            Comparison(L2, SOFTMAX, f"{test}, {pairs}", low.number, low.ci95, self.how),
        ]

    def figures(self) -> list[Figure]:
        found: list[tuple[str, Bootstrapped]] = []
        for model, cells in self.cells.items():
            for i, j in zip(*np.triu_indices(BINS), strict=True):
                name = f"{model}: balanced accuracy, {BIN_NAMES[i]} with {BIN_NAMES[j]} norm"
                found.append((name, cells.then(lambda values, i=i, j=j: values[..., i, j])))  # type: ignore[misc]
            found.append((f"{model}: balanced accuracy, high minus low norm", self.high_minus_low(model)))
        found += [(f"{quality}: FRR saved over random discard", self.gain(quality)) for quality in self.curves]
        return [
            *(Figure(name, drawn.number, drawn.ci95, self.how) for name, drawn in found),
            *(
                Figure(f"{model}: share of the norm lost to {name}", lost, ends, OVER_PHOTOGRAPHS)
                for model, all_lost in self.lost.items()
                for name, lost, ends in all_lost
            ),
        ]


def judge(
    test: str,
    sets: list[TestSet],
    scored: dict[str, list[NormScores]],
    detector: list[NDArray[np.float64]],
    response: dict[str, list[dict[str, Any]]],
) -> Judged:
    """Concatenate the trainings of all seeds, and resample people."""
    pairs = [pair for each in sets for pair in each.pairs]
    everybody, genuine = _people(pairs), _people([pair for pair in pairs if pair.same])
    joined = {model: _joined_bins([s.binned() for s in each]) for model, each in scored.items()}
    by_detector = zip(scored[SOFTMAX], detector, strict=True)
    discards = {
        BY_NORM: _joined_discard([s.discard(s.norms) for s in scored[SOFTMAX]]),
        "l2-softmax, by norm": _joined_discard([s.discard(s.norms) for s in scored[L2]]),
        BY_DETECTOR: _joined_discard([s.discard(scores) for s, scores in by_detector]),
    }
    return Judged(
        cells={model: Bootstrapped.of(everybody, bins.accuracy, REPLICATES) for model, bins in joined.items()},
        curves={name: Bootstrapped.of(genuine, discard.curve, REPLICATES) for name, discard in discards.items()},
        lost={model: _lost(each) for model, each in response.items()},
        how=f"bootstrap over identities of {test}, {len(sets)} training{'s' if len(sets) > 1 else ''} a model",
    )


def _people(pairs: Sequence[Pair]) -> People:
    return People.of([str(pair.identity_a) for pair in pairs], [str(pair.identity_b) for pair in pairs])


def _joined_bins(parts: list[BinnedPairs]) -> BinnedPairs:
    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    return BinnedPairs(joined("low"), joined("high"), joined("same"), joined("accepted"), parts[0].count)


def _joined_discard(parts: list[DiscardCurve]) -> DiscardCurve:
    return DiscardCurve(np.concatenate([p.quality for p in parts]), np.concatenate([p.rejected for p in parts]))


def _lost(response: list[dict[str, Any]]) -> list[tuple[str, float, Any]]:
    """(degradation, share of the norm lost at its strongest step, interval) with the first seed."""
    found = []
    for name, steps in response[0].items():
        last = steps[-1]
        ends = None if last["ci95"] is None else (1 - last["ci95"][1], 1 - last["ci95"][0])
        found.append((name, 1 - last["ratio"], ends))
    return found
