"""Protocols of face verification with facever's own pipeline: photographs in, figures out.

The figures themselves come from `facever.evaluation`, which knows nothing of photographs or networks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.datasets.foreign import ForeignEmbeddings
from facever.datasets.pairs import Pair, photographs
from facever.embedding_cache import Embedded, EmbeddingCache, keys_of
from facever.errors import DataError
from facever.evaluation import VerificationResult, verification_result
from facever.evaluation.bootstrap import Interval, People, WeightedRates, bootstrap, correct_decisions
from facever.evaluation.groups import GroupFigures, figures_by_group
from facever.evaluation.rates import d_prime
from facever.files import sha256_of
from facever.likelihood import Likelihood, fit_likelihood
from facever.photographs import Source
from facever.pipeline import FaceRule, Through
from facever.scoring import cosine, far_at_threshold, tar_at_threshold
from facever.verifier import Verifier
from facever.weights import Threshold


@dataclass(frozen=True, slots=True)
class KeptThreshold:
    """What a threshold that the weights promise for `far` does on these pairs."""

    far: float
    cosine: float
    measured_far: float
    measured_tar: float


@dataclass(frozen=True, slots=True)
class Photographs:
    """Embeddings of an evaluation's photographs.

    Attributes
    ----------
    names : n str
    vectors : float32 ndarray of shape (n, d), unit length; zeros where there is no embedding
    norms : float64 ndarray of shape (n,)
        Of the features before normalisation; not a number for embeddings made elsewhere.
    without_face : list of str
        Failures to acquire: the centre crop was embedded in place of a face, or, with embeddings made elsewhere, there
        was none, and every cosine with it is 0.
    """

    names: list[str]
    vectors: NDArray[np.float32]
    norms: NDArray[np.float64]
    without_face: list[str]


@dataclass(frozen=True, slots=True)
class PairsResult:
    """The outcome of a protocol.

    Attributes
    ----------
    figures : VerificationResult
    images : int
        Photographs in the pairs, each embedded once.
    images_without_face : list of str
        Failures to acquire; their pairs count like all others.
    thresholds : list of KeptThreshold
    cosines : float64 ndarray of shape (n,), one a pair, in the order of the pairs
    pairs : list of Pair
    correct : bool ndarray of shape (n,)
        Whether each pair was decided rightly at its fold's threshold.
    norms : float64 ndarray of shape (n,)
        The lower norm of each pair.
    intervals : dict
        95 % intervals of "accuracy" and of the TAR at each supported FAR ("0.001"), over people drawn with replacement.
    people : int or None
        How many; None where the list names nobody, so that the intervals are over pairs taken as independent.
    d_prime : float
    likelihood : Likelihood or None
        Fitted to these very pairs, for C_llr; None where the scores separate nothing.
    groups : list of GroupFigures
    notes : list of str
        What a reader should know about the pairs.
    """

    figures: VerificationResult
    images: int
    images_without_face: list[str]
    thresholds: list[KeptThreshold]
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
            "groups": [asdict(group) for group in self.groups],
            "notes": self.notes,
        }


def evaluate_pairs(
    verifier: Verifier,
    pairs: Sequence[Pair],
    rule: FaceRule = "center",
    workers: int | None = None,
    through: Through = lambda photographs, total: photographs,
    cache: EmbeddingCache | None = None,
    root: Path | None = None,
    notes: Sequence[str] = (),
) -> PairsResult:
    """Embed each photograph of the pairs once, score every pair, and evaluate.

    A photograph without a detected face gets its centre crop: leaving its pairs out would flatter the figures.

    Parameters
    ----------
    through : callable
        Wraps the stream of photographs, of which it is told the number; for a progress bar.
    cache : EmbeddingCache, optional
        Where to look for embeddings first, and to keep new ones.
    root : Path, optional
        Names of photographs in the result are relative to it.

    Raises
    ------
    DataError
        If a photograph can't be read, or a kind of pair is missing.
    """
    embedded = embed_each(verifier, photographs(pairs), rule, workers, through, cache, root)
    return evaluate_embedded(pairs, embedded, verifier.info.thresholds, notes)


def evaluate_foreign(
    foreign: ForeignEmbeddings, pairs: Sequence[Pair], root: Path, notes: Sequence[str] = ()
) -> PairsResult:
    """Evaluate embeddings made elsewhere. A photograph that has none is a failure to acquire; its cosines are 0.

    Raises
    ------
    DataError
        If no photograph has one.
    """
    paths = photographs(pairs)
    vectors, found = foreign.of(paths, root)
    names = [name_below(path, root) for path in paths]
    missing = [name for name, there in zip(names, found, strict=True) if not there]
    return evaluate_embedded(pairs, Photographs(names, vectors, np.full(len(paths), np.nan), missing), [], notes)


def evaluate_embedded(
    pairs: Sequence[Pair], embedded: Photographs, thresholds: Sequence[Threshold], notes: Sequence[str] = ()
) -> PairsResult:
    """Figures of pairs whose photographs, in the order of `photographs(pairs)`, are embedded."""
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
    people = _people(pairs) if named else People(np.arange(len(pairs)), np.arange(len(pairs)), len(pairs))
    fars = tuple(far for far, tar in figures.tar_at_far.items() if tar is not None)
    intervals = bootstrap(people, WeightedRates(cosines, same, correct, fars))
    threshold = float(np.mean(figures.fold_thresholds))
    return PairsResult(
        figures=figures,
        images=len(index),
        images_without_face=embedded.without_face,
        thresholds=[_kept(threshold, cosines, same) for threshold in thresholds],
        cosines=cosines,
        pairs=list(pairs),
        correct=correct,
        norms=np.minimum(embedded.norms[a], embedded.norms[b]),
        intervals=dict(zip(["accuracy", *(f"{far:g}" for far in fars)], intervals, strict=True)),
        people=people.count if named else None,
        d_prime=d_prime(cosines[same], cosines[~same]),
        likelihood=_likelihood(cosines, same),
        groups=figures_by_group(cosines, same, correct, [pair.group for pair in pairs], people, threshold),
        notes=list(notes),
    )


def embed_each(
    verifier: Verifier,
    paths: Sequence[Source],
    rule: FaceRule = "center",
    workers: int | None = None,
    through: Through = lambda photographs, total: photographs,
    cache: EmbeddingCache | None = None,
    root: Path | None = None,
) -> Photographs:
    """One embedding of each photograph, from the cache where it has it.

    Raises
    ------
    DataError
        If a photograph can't be read.
    """
    keys: list[str | None] = [None] * len(paths)
    known: dict[str, Embedded] = {}
    if cache is not None:
        job = verifier.job(rule, centre_fallback=True)
        keys = list(keys_of(paths, job, sha256_of(verifier.path)))
        known = cache.get(keys)
    found = [known.get(key) if key is not None else None for key in keys]
    missing = [i for i, there in enumerate(found) if there is None]
    broken: list[str] = []
    new: dict[str, Embedded] = {}
    stream = verifier.embed_files([paths[i] for i in missing], rule, workers, centre_fallback=True)
    for i, photograph in zip(missing, through(stream, len(missing)), strict=True):
        found[i] = embedded = Embedded.of(photograph)
        key = keys[i]
        if embedded is None:
            broken.append(photograph.problems[0])
        elif key is not None:
            new[key] = embedded
    if cache is not None and new:
        cache.put(new)
    if broken:
        raise DataError(
            f"{len(broken)} photographs can't be read, the first: {broken[0]}; mend or restore them: "
            "figures without them could not be compared"
        )
    names = [name_below(path, root) for path in paths]
    there = [embedded for embedded in found if embedded is not None]
    return Photographs(
        names,
        np.array([embedded.embedding for embedded in there], np.float32),
        np.array([embedded.norm for embedded in there], np.float64),
        [name for name, embedded in zip(names, there, strict=True) if not embedded.found],
    )


def _number(value: float) -> float | None:
    """JSON knows neither infinity nor what is not a number."""
    return value if math.isfinite(value) else None


def name_below(source: Source, root: Path | None) -> str:
    """A photograph's name: its path below the root where it lies there."""
    if root is not None and isinstance(source, Path) and source.is_relative_to(root):
        return source.relative_to(root).as_posix()
    return str(source)


def _people(pairs: Sequence[Pair]) -> People:
    return People.of([pair.identity_a or "" for pair in pairs], [pair.identity_b or "" for pair in pairs])


def _likelihood(cosines: NDArray[np.float64], same: NDArray[np.bool_]) -> Likelihood | None:
    try:
        return fit_likelihood(cosines[same], cosines[~same], "these pairs")
    except DataError:
        return None


def _kept(threshold: Threshold, cosines: NDArray[np.float64], same: NDArray[np.bool_]) -> KeptThreshold:
    far = far_at_threshold(cosines[~same], threshold.cosine)
    tar = tar_at_threshold(cosines[same], threshold.cosine)
    return KeptThreshold(threshold.far, threshold.cosine, float(far), float(tar))
