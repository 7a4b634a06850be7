"""Calibration from photographs: a folder of identities, or listed pairs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facever.datasets.identities import labels_of, read_identities, split_identities
from facever.datasets.pairs import PairList, photographs
from facever.errors import DataError
from facever.evaluation.look_alikes import GroupingEmbedder, grouping_weights
from facever.evaluation.pairs import people_of
from facever.faces.parallel import process_files
from facever.faces.pipeline import EmbeddedFace, PhotoResult, Through
from facever.faces.sources import Source
from facever.metrics.calibration import Calibration, by_support, calibration_of_pairs, calibration_of_people
from facever.metrics.look_alikes import LookAlikes
from facever.metrics.quality import quality_of_pairs
from facever.metrics.support import refusal
from facever.scoring import cosine
from facever.verifier import Verifier


def calibrate_folder(
    verifier: Verifier,
    data: Path,
    only: str = "*",
    held_out: float = 1.0,
    seed: int = 0,
    workers: int | None = None,
    through: Through = lambda photographs, total: photographs,
    fars: Sequence[float] | None = None,
    within_groups: bool = False,
) -> Calibration:
    """Calibrate on every pair of a folder of identities.

    Photographs without a detected face are left out: a threshold is for faces. The rate of the worst group of
    look-alikes is measured at each threshold; see `facever.metrics.look_alikes`.

    Parameters
    ----------
    only : str
        Shell pattern of the people's names.
    held_out : float in (0, 1]
        Use only the fraction of people that a training with this fraction and seed holds out; 1 uses all.
    fars : sequence of float, optional
        False accept rates, each in (0, 1), that must be supported; by default those of
        `facever.metrics.calibration_of_people` that are.
    within_groups : bool
        Choose thresholds that keep the rate in the worst group, too.

    Raises
    ------
    DataError
        If there are no such people, no faces, no pair of a kind, a rate is out of range, or the pairs don't support a
        rate of `fars`, or any: before anything is embedded, where all photographs together are too few.
    """
    folder = read_identities(data, only=only)
    names = set(folder.identities)
    if held_out < 1:
        names = set(split_identities(names, held_out, seed)[1])
    chosen = [(path, name) for path, name in zip(folder.paths, folder.identities, strict=True) if name in names]
    if not chosen:
        raise DataError(f"{data}: nobody is held out at a fraction of {held_out:g}; choose a larger one")
    counts = Counter(name for _, name in chosen).values()
    genuine = sum(math.comb(count, 2) for count in counts)
    _check_support(data, fars, genuine, math.comb(len(chosen), 2) - genuine, len(counts))
    info = verifier.info
    grouping = GroupingEmbedder(grouping_weights(info.network), info.alignment, verifier.job().device)
    others: list[NDArray[np.float32]] = []

    def grouped(stream: Iterable[PhotoResult], total: int) -> Iterator[PhotoResult]:
        for photograph in through(stream, total):
            others.extend(grouping(face.crop for face in photograph.faces[:1] if face.crop is not None))
            yield photograph

    found = _faces(verifier, [path for path, _ in chosen], workers, grouped, keep_crops=True)
    if not found:
        raise DataError(f"{data}: no face was found in its photographs; use larger, sharper ones")
    chosen = [(path, name) for path, name in chosen if path in found]
    identities = [name for _, name in chosen]
    kind = "held-out people" if held_out < 1 else "people"
    source = f"{len(set(identities))} {kind} of {data.name} ({only})"
    faces = [found[path] for path, _ in chosen]
    embeddings, who = _embeddings(faces), np.array(labels_of(identities)[0], np.int64)
    look_alikes = LookAlikes(embeddings, who, np.array(others), grouping.weights)
    calibration = calibration_of_people(
        embeddings,
        identities,
        source,
        fars,
        norms=_norms(faces),
        look_alikes=look_alikes,
        within_groups=within_groups,
    )
    return _supported(data, fars, replace(calibration, notes=[*calibration.notes, *folder.notes()]))


def calibrate_pairs(
    verifier: Verifier,
    listed: PairList,
    name: str,
    workers: int | None = None,
    through: Through = lambda photographs, total: photographs,
    fars: Sequence[float] | None = None,
) -> Calibration:
    """Calibrate on listed pairs. Those with a photograph without a face are left out and counted in the notes.

    Parameters
    ----------
    name : str
        The list's, for the record.

    Raises
    ------
    DataError
        If no pair of a kind is left, a rate is out of range, or not supported, as for `calibrate_folder`.
    """
    genuine = sum(pair.same for pair in listed.pairs)
    _check_support(name, fars, genuine, len(listed.pairs) - genuine, None)
    found = _faces(verifier, photographs(listed.pairs), workers, through)
    pairs = [pair for pair in listed.pairs if pair.path_a in found and pair.path_b in found]
    if not pairs:
        raise DataError(f"{name}: no pair with a face in both photographs; use larger, sharper ones")
    used = photographs(pairs)
    row = {path: i for i, path in enumerate(used)}
    a, b = (np.array([row[path] for path in side]) for side in zip(*((p.path_a, p.path_b) for p in pairs), strict=True))
    faces = [found[path] for path in used]
    vectors = _embeddings(faces).astype(np.float64)
    cosines = np.asarray(cosine(vectors[a], vectors[b]), np.float64)
    same, people = np.array([pair.same for pair in pairs]), people_of(pairs)
    source = f"{len(pairs):,} pairs of {name}"
    result = _supported(name, fars, calibration_of_pairs(cosines, same, people, source, fars))
    quality = quality_of_pairs(_norms(faces), a, b, cosines, same, people, source)
    lost = len(listed.pairs) - len(pairs)
    left_out = [f"{lost} pairs left out: no face in one of their photographs"] if lost else []
    return replace(result, notes=[*listed.notes, *left_out], quality=quality)


def _check_support(
    what: object, fars: Sequence[float] | None, genuine: int, impostors: int, people: int | None
) -> None:
    """Refuse, before photographs are embedded, rates that all of their pairs don't support."""
    supported, unsupported = by_support(fars, genuine, impostors, people)
    if unsupported and (fars is not None or not supported):
        raise refusal(what, list(unsupported.values()))


def _supported(what: object, fars: Sequence[float] | None, found: Calibration) -> Calibration:
    if found.unsupported and (fars is not None or not found.thresholds):
        raise refusal(what, list(found.unsupported.values()))
    return found


def _faces(
    verifier: Verifier, paths: Sequence[Source], workers: int | None, through: Through, keep_crops: bool = False
) -> dict[Source, EmbeddedFace]:
    """The face nearest to the center of each photograph that shows one; crops, if kept, are for `through` only."""
    stream = process_files(paths, verifier.job("center", keep_crops=keep_crops), workers)
    done = zip(paths, through(stream, len(paths)), strict=True)
    return {path: replace(photograph.faces[0], crop=None) for path, photograph in done if photograph.faces}


def _embeddings(faces: Sequence[EmbeddedFace]) -> NDArray[np.float32]:  # (n, d)
    return np.array([face.embedding for face in faces], np.float32)


def _norms(faces: Sequence[EmbeddedFace]) -> NDArray[np.float32]:  # (n,)
    return np.array([face.norm for face in faces], np.float32)
