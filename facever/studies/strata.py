"""Easy and hard photographs: a test set parted, or degraded on purpose, and how well faces are verified in each part.

What parts photographs is independent of the networks under test: whose they are, what was done to them, and what the
detector and the pixels tell. Never the feature's norm, which is a network's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facever.datasets.identities import group_of, labels_of
from facever.faces.device import choose_device
from facever.faces.looks import bend, standard_crop
from facever.faces.parallel import process_files
from facever.faces.pipeline import Job
from facever.metrics.bootstrap import People, WeightedRates, resampled_weights
from facever.studies.degradations import blurred, dimmed, recompressed, shrunk
from facever.studies.runs import Options
from facever.studies.testing import TestSet, genuine_pairs
from facever.training.callbacks import Callback
from facever.weights.alignment import Alignment

Floats = NDArray[np.float64]
Crops = NDArray[np.uint8]

FAR = 0.01  # in every part; the smallest have some thousand pairs of strangers
IMPOSTORS = 50_000  # drawn in each part
REPLICATES = 200
# What a photograph loses; blur and size are in pixels of crops of 64x56.
CHANGES: dict[str, Callable[[Crops], Crops]] = {
    "a quarter of the size": lambda crops: shrunk(crops, 0.25),
    "blur": lambda crops: blurred(crops, 1.5),
    "JPEG at quality 20": lambda crops: recompressed(crops, 20),
    "a fifth of the light": lambda crops: dimmed(crops, 0.2),
}
FAMILIES, OTHERS = "held-out families", "other held-out people"
THIRDS = ("lowest", "middle", "highest")


@dataclass(frozen=True, slots=True)
class Looks:
    """What is seen of each face of a test set, (n,) each, NaN where the detector found none.

    Attributes
    ----------
    score : the detector's probability of a face, in [0, 1]
    size : square root of the box's area, in pixels of the photograph
    sharpness : see `facever.faces.looks.bend`
    frontal : 1 where the nose lies midway between the eyes, less as the head turns
    """

    score: Floats
    size: Floats
    sharpness: Floats
    frontal: Floats


@dataclass(frozen=True, slots=True)
class Stratum:
    """Some photographs of a test set, as they are or changed: rows (m,), and their crops unless unchanged."""

    name: str
    rows: NDArray[np.int64]
    change: Callable[[Crops], Crops] | None = None


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two strata of which the first is the harder one, and the kind of difficulty."""

    kind: str
    hard: str
    easy: str


def looks_of(test: TestSet, alignment: Alignment, options: Options, callback: Callback) -> Looks:
    """What is seen of each face of a test set; photographs are detected once more for it."""
    job = Job(output=alignment, device=str(choose_device(options.device)), rule="center")
    score, size, frontal = (np.full(len(test.paths), np.nan) for _ in range(3))
    sharp = np.array([bend(standard_crop(crop, alignment)) for crop in test.crops])
    for i, photograph in enumerate(process_files(test.paths, job, options.workers)):
        callback.cropping(i + 1, len(test.paths))
        if photograph.faces:
            face = photograph.faces[0].face
            score[i], size[i], frontal[i] = face.score, face.size, frontality(face.landmarks)
    return Looks(score, size, sharp, frontal)


def frontality(landmarks: NDArray[np.float32]) -> float:
    """1 where the nose lies midway between the eyes along their line, 0 where it lies below one, less beyond.

    Examples
    --------
    >>> points = np.array([[0, 0], [40, 0], [20, 20], [8, 40], [32, 40]], np.float32)
    >>> frontality(points), frontality(points + np.array([[0, 0]] * 2 + [[10, 0]] + [[0, 0]] * 2, np.float32))
    (1.0, 0.5)
    """
    left, right, nose = landmarks[:3].astype(np.float64)
    across = right - left
    along = float((nose - left) @ across / max(float(across @ across), 1e-12))
    return 1 - 2 * abs(along - 0.5)


def family_rows(identities: Sequence[str]) -> NDArray[np.bool_]:
    """Which photographs show a member of a family, by the names of their people."""
    return np.array([group_of(name) != name for name in identities], bool)


def strata_of_lfw(test: TestSet, looks: Looks | None) -> tuple[list[Stratum], list[Contrast]]:
    """LFW as it is, degraded, and in thirds by what the detector and the pixels tell."""
    every = np.arange(len(test.paths))
    strata, contrasts = _degraded(test.name, every)
    measures: dict[str, Floats] = {}
    if looks is not None:
        measures = {"detector's score": looks.score, "sharpness": looks.sharpness, "frontality": looks.frontal}
    for measure, values in measures.items():
        parts, contrast = _thirds(test.name, measure, every, values)
        strata += parts
        contrasts.append(contrast)
    return strata, contrasts


def strata_of_people(test: TestSet, looks: Looks | None) -> tuple[list[Stratum], list[Contrast]]:
    """Held-out families beside the other held-out people; these also degraded, and in thirds by the face's size.

    All of them, where no name tells a family.
    """
    family = family_rows(test.identities)
    others = np.flatnonzero(~family)
    strata, contrasts = _degraded(OTHERS, others)
    if looks is not None:
        parts, contrast = _thirds(OTHERS, "size of the face", others, looks.size)
        strata, contrasts = strata + parts, [*contrasts, contrast]
    if family.any():
        strata.append(Stratum(FAMILIES, np.flatnonzero(family)))
        contrasts.insert(0, Contrast("families", FAMILIES, OTHERS))
    return strata, contrasts


def _degraded(name: str, rows: NDArray[np.int64]) -> tuple[list[Stratum], list[Contrast]]:
    strata = [Stratum(name, rows)] + [Stratum(f"{name}, {what}", rows, change) for what, change in CHANGES.items()]
    return strata, [Contrast("degraded", each.name, name) for each in strata[1:]]


def _thirds(name: str, measure: str, rows: NDArray[np.int64], values: Floats) -> tuple[list[Stratum], Contrast]:
    """Photographs in thirds by a measure of which less is harder."""
    own = rows[np.isfinite(values[rows])]
    parts = np.array_split(own[np.argsort(values[own], kind="stable")], len(THIRDS))
    strata = [Stratum(f"{name}, {which} {measure}", np.sort(part)) for which, part in zip(THIRDS, parts, strict=True)]
    return strata, Contrast("thirds", strata[0].name, strata[-1].name)


@dataclass(frozen=True, slots=True)
class StratumPairs:
    """Pairs of rows of a stratum: all genuine ones and some impostor ones; who they are, for a bootstrap."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    same: NDArray[np.bool_]
    people: People


def stratum_pairs(identities: Sequence[str], seed: int = 0) -> StratumPairs | None:
    """Pairs of n photographs; None where there are too few for `FAR`."""
    labels = np.array(labels_of(identities)[0], np.int64)
    first, second = np.triu_indices(len(labels), 1) if len(labels) < 2000 else _drawn(labels, seed)
    same = labels[first] == labels[second]
    strangers = np.flatnonzero(~same)
    if len(strangers) * FAR < 1 or same.sum() < 2:
        return None
    if len(strangers) > IMPOSTORS:
        strangers = np.random.default_rng(seed).choice(strangers, IMPOSTORS, replace=False)
    keep = np.sort(np.concatenate([np.flatnonzero(same), strangers]))
    first, second = first[keep], second[keep]
    people = People(labels[first], labels[second], int(labels.max()) + 1)
    return StratumPairs(first, second, same[keep], people)


def _drawn(labels: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All genuine pairs of many photographs, and random others."""
    genuine = genuine_pairs(labels.tolist())
    drawn = np.random.default_rng(seed).integers(0, len(labels), (2, 2 * IMPOSTORS))
    drawn = np.sort(drawn, axis=0)
    drawn = np.unique(drawn[:, labels[drawn[0]] != labels[drawn[1]]], axis=1)
    pairs = np.concatenate([np.array(genuine, np.int64).reshape(-1, 2).T, drawn], axis=1)
    return pairs[0], pairs[1]


@dataclass(frozen=True, slots=True)
class StratumFigures:
    """TAR at `FAR` over so many genuine pairs, and its bootstrap replicates over people."""

    tar: float
    genuine: int
    replicates: list[float]


def figures_of(
    embed: Callable[[Crops], NDArray[np.float32]], test: TestSet, strata: Sequence[Stratum]
) -> dict[str, StratumFigures]:
    """The figures of each stratum that has pairs enough.

    Every network has the same pairs and, in each replicate, the same people, so that differences are paired.

    Parameters
    ----------
    embed : callable
        From crops to unit embeddings.
    """
    plain: NDArray[np.float32] | None = None
    found: dict[str, StratumFigures] = {}
    for stratum in strata:
        pairs = stratum_pairs([test.identities[i] for i in stratum.rows])
        if pairs is None:
            continue
        if stratum.change is None:
            plain = embed(test.crops) if plain is None else plain
            vectors = plain[stratum.rows]
        else:
            vectors = embed(stratum.change(test.crops[stratum.rows]))
        cosines = np.einsum("ij,ij->i", vectors[pairs.first], vectors[pairs.second])
        rates = WeightedRates(cosines, pairs.same, pairs.same, (FAR,))
        replicates = [rates(weights)[1] for weights in resampled_weights(pairs.people, REPLICATES)]
        found[stratum.name] = StratumFigures(rates(np.ones(len(cosines)))[1], int(pairs.same.sum()), replicates)
    return found


def log_odds(tar: Floats | float, genuine: int) -> Floats:
    """log(TAR / (1 - TAR)) of a rate over so many pairs, with half a pair added to either side, so that it is finite.

    A gain of one loss over another is compared between strata on this scale: a share of what was missing weighs the
    same wherever TAR lies.

    Examples
    --------
    >>> float(log_odds(0.5, 100))
    0.0
    >>> round(float(log_odds(1.0, 100)), 3)  # log(100.5 / 0.5)
    5.303
    """
    accepted = np.asarray(tar, np.float64) * genuine
    return np.asarray(np.log((accepted + 0.5) / (genuine - accepted + 0.5)), np.float64)
