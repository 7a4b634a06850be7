"""How pairs of photographs come out: errors at a threshold, and the three answers of `verify`.

Genuine pairs are those listed. Pairs of strangers are all there are among the photographs, so that a rate of one in
1,000 can be measured. Intervals come from the bootstrap over identities of `facever.metrics.bootstrap`, and are no
narrower than Wilson's for as many independent pairs: where no pair is accepted, a bootstrap knows no doubt.

Shapes: n photographs, p people, k - 1 replicates; row 0 of a count is that of the pairs as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.errors import DataError
from facever.metrics.bootstrap import correct_decisions, interval, resampled_people
from facever.metrics.folds import cross_validated_accuracy
from facever.question import Question
from facever.scoring import decide
from facever.studies.intervals import no_narrower_than_wilson
from facever.studies.sample import Sample
from facever.studies.seen import Seen, answerable, answerable_grid

REPLICATES = 300
BLOCK = 512  # photographs whose pairs are in memory at a time
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def drawn_people(sample: Sample, replicates: int) -> Floats:
    """How often each person counts, (k, p): once each, and then as resampled."""
    count = int(sample.people.max()) + 1
    return np.array([np.ones(count), *resampled_people(count, replicates)], np.float64)


def rates(sample: Sample, a: Seen, b: Seen, question: Question, replicates: int = REPLICATES) -> dict[str, Any]:
    """Rates of pairs whose first photograph is seen in `a` and whose second in `b`, each with its 95 % interval.

    Returns
    -------
    dict
        "accuracy" by LFW's protocol, of the listed pairs with a face in both; None where too few are left. "genuine"
        and "strangers", a dict each: "pairs" asked; "no_face", "same", "different" and "undecided", shares of these;
        "accepted", the share at or above the upper threshold of the pairs with a face in both; "same_of_decided".
        A rate is {"value": float or None, "ci95": [low, high] or None}.
    """
    draws = drawn_people(sample, replicates)
    return {
        "accuracy": _accuracy(sample, a, b, draws),
        "genuine": _shares(_genuine(sample, a, b, question, draws)),
        "strangers": _shares(_strangers(sample, a, b, question, draws)),
    }


def _outcomes(cosines: NDArray[np.float32], faced: Bools, sure: Bools, question: Question) -> dict[str, Bools]:
    accepted = decide(cosines, question.threshold) & faced
    return {
        "faced": faced,
        "accepted": accepted,
        "same": accepted & sure,
        "different": ~decide(cosines, question.lower_threshold) & sure,
    }


def _genuine(sample: Sample, a: Seen, b: Seen, question: Question, draws: Floats) -> dict[str, Floats]:
    """Weighted numbers (k,) of the genuine pairs by outcome."""
    first, second = a[sample.a[sample.same]], b[sample.b[sample.same]]
    cosines = _cosines(first, second)
    weights = draws[:, sample.people[sample.a[sample.same]]]  # (k, pairs)
    found = _outcomes(cosines, first.found & second.found, answerable(first, second), question)
    return {"asked": weights.sum(axis=1)} | {name: weights @ mask for name, mask in found.items()}


def _strangers(sample: Sample, a: Seen, b: Seen, question: Question, draws: Floats) -> dict[str, Floats]:
    """The same of each photograph in `a` with each of another person in `b`; if `a` is `b`, of each pair once."""
    weights = draws[:, sample.people].astype(np.float32)  # (k, n)
    total: dict[str, Floats] = {}
    for start in range(0, len(a), BLOCK):
        rows = slice(start, start + BLOCK)
        part = a[rows]
        strangers = sample.people[rows, None] != sample.people[None]
        cosines = np.clip(part.embeddings @ b.embeddings.T, -1, 1)
        found = _outcomes(cosines, part.found[:, None] & b.found[None], answerable_grid(part, b), question)
        for name, mask in ({"asked": strangers} | found).items():
            pairs = (mask & strangers).astype(np.float32)
            total.setdefault(name, np.zeros(len(draws)))
            total[name] += np.sum((weights[:, rows] @ pairs) * weights, axis=1, dtype=np.float64)
    once = 0.5 if a is b else 1.0  # a pair degraded alike comes both ways
    return {name: once * count for name, count in total.items()}


def _shares(counts: dict[str, Floats]) -> dict[str, Any]:
    asked, faced, decided = counts["asked"], counts["faced"], counts["same"] + counts["different"]
    return {
        "pairs": round(asked[0]),
        "no_face": _rate(asked - faced, asked),
        "same": _rate(counts["same"], asked),
        "different": _rate(counts["different"], asked),
        "undecided": _rate(faced - decided, asked),
        "accepted": _rate(counts["accepted"], faced),
        "same_of_decided": _rate(counts["same"], decided),
    }


def _rate(of: Floats, all_: Floats) -> dict[str, Any]:
    drawn = np.divide(of, all_, out=np.full(len(of), np.nan), where=all_ > 0)
    return _figure(float(drawn[0]), drawn[1:], round(of[0]), round(all_[0]))


def _figure(value: float, drawn: Floats, hits: int, pairs: int) -> dict[str, Any]:
    """A rate, its replicates, and the counts behind it."""
    if not pairs:
        return {"value": None, "ci95": None}
    return {"value": value, "ci95": list(no_narrower_than_wilson(interval(drawn), hits, pairs))}


def _accuracy(sample: Sample, a: Seen, b: Seen, draws: Floats) -> dict[str, Any] | None:
    first, second = a[sample.a], b[sample.b]
    faced = first.found & second.found
    cosines = _cosines(first, second)[faced].astype(np.float64)
    same, folds = sample.same[faced], sample.folds[faced]
    try:
        accuracies, thresholds = cross_validated_accuracy(cosines, same, folds)
    except DataError:
        return None
    correct = correct_decisions(cosines, same, folds, thresholds)
    people_a, people_b = sample.people[sample.a[faced]], sample.people[sample.b[faced]]
    weights = np.where(same, draws[:, people_a], draws[:, people_a] * draws[:, people_b])  # (k, pairs)
    drawn = (weights @ correct) / np.maximum(weights.sum(axis=1), 1e-12)
    return _figure(float(accuracies.mean()), drawn[1:], int(correct.sum()), len(correct))


def _cosines(a: Seen, b: Seen) -> NDArray[np.float32]:
    return np.clip(np.sum(a.embeddings * b.embeddings, axis=1), -1, 1)
