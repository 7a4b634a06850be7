"""Open-set search: people in a gallery and people who are not, in a folder of identities."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facever.datasets.identities import labels_of, read_identities
from facever.errors import DataError, WeightsError
from facever.evaluation.run import Evaluation, ModelOptions, embed_photographs
from facever.faces.pipeline import Through
from facever.gallery.people import unit
from facever.gallery.rates import fmr_of
from facever.metrics.bootstrap import REPLICATES
from facever.metrics.identification import FPIRS, Searches, SearchFigures, search_figures
from facever.weights.metadata import WeightsInfo

SIZES = (100, 1000)
QUERIES_AT_ONCE = 1024


def evaluate_search(
    folder: Path,
    options: ModelOptions,
    only: str = "*",
    seed: int = 0,
    through: Through = lambda results, total: results,
) -> Evaluation[SearchFigures]:
    """Evaluate a model in searches among 100, 1,000 and all people of a folder of identities that are enrolled.

    Half of the people, drawn by the seed, are unknown: their photographs are searched for, and nobody should be found.
    Of each other person with several photographs, half are searched for, and the mean of the rest is enrolled; a single
    photograph is enrolled. Smaller galleries take people who are searched for first. A photograph without a detected
    face counts with its center crop.

    Raises
    ------
    DataError
        If nobody can be searched for, or a photograph can't be read.
    WeightsError
        If the weights can't be used.
    """
    start = time.monotonic()
    people = read_identities(folder, only=only)
    model = embed_photographs(people.paths, folder, options, through, keep_crops=False)
    scoring = time.monotonic()
    result = figures_of(model.embedded.vectors, people.identities, model.info, seed, model.embedded.without_face)
    end = time.monotonic()
    return Evaluation(f"Searches in {folder.name}", result, model, options, end - scoring, end - start)


def figures_of(
    vectors: NDArray[np.float32],
    identities: Sequence[str],
    info: WeightsInfo | None = None,
    seed: int = 0,
    without_face: Sequence[str] = (),
    sizes: Sequence[int] = SIZES,
    replicates: int = REPLICATES,
) -> SearchFigures:
    """The protocol, on unit vectors (n, d) of people; `info` is that of the weights whose promise is checked."""
    split = Split(labels_of(identities)[0], seed)
    enrolled = len(split.enrolled)
    if not (len(split.mated) and len(split.unmated)):
        raise DataError("searches need two people with two photographs each, and others; add photographs")
    templates = unit(np.array([vectors[rows].sum(axis=0) for rows in split.enrolled], np.float32))
    galleries, searches = [], []
    for size in [*(size for size in sizes if size < enrolled), enrolled]:
        found = split.searches(vectors, templates[:size])
        promised = [promise(info, fpir, size) for fpir in FPIRS]
        galleries.append(search_figures(found, promised, replicates=replicates))
        searches.append(found)
    return SearchFigures(len(vectors), list(without_face), galleries, searches)


def promise(info: WeightsInfo | None, fpir: float, entries: int) -> float | None:
    """The threshold that `facever search` would take; None where the calibration does not support it."""
    try:
        return None if info is None else info.search_threshold(fmr_of(fpir, entries))
    except WeightsError:
        return None


class Split:
    """Who is enrolled, and what is searched for, by a seed.

    Attributes
    ----------
    enrolled : list of int64 ndarray
        The photographs of each person in the gallery; those who are searched for come first.
    mated, mated_people : int64 ndarray of shape (m,)
        Photographs that are searched for, and the index of their person in `enrolled`.
    unmated, unmated_people : int64 ndarray of shape (u,)
        Photographs of people who are not enrolled, and their labels.
    """

    def __init__(self, labels: Sequence[int], seed: int = 0) -> None:
        who = np.array(labels, np.int64)
        generator = np.random.default_rng(seed)
        order = generator.permutation(int(who.max(initial=-1)) + 1)
        self.unmated = np.flatnonzero(np.isin(who, order[: len(order) // 2]))
        self.unmated_people = who[self.unmated]
        several: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []  # (enrolled, searched for)
        alone: list[NDArray[np.int64]] = []
        for person in order[len(order) // 2 :]:
            own = generator.permutation(np.flatnonzero(who == person))
            half = len(own) // 2
            if half:
                several.append((own[half:], own[:half]))
            else:
                alone.append(own)
        self.enrolled = [kept for kept, _ in several] + alone
        nothing = [np.empty(0, np.int64)]
        self.mated = np.concatenate([asked for _, asked in several] or nothing)
        self.mated_people = np.repeat(np.arange(len(several)), [len(asked) for _, asked in several])

    def searches(self, vectors: NDArray[np.float32], templates: NDArray[np.float32]) -> Searches:
        """All searches of a gallery of the first people, their templates (p, d)."""
        there = self.mated_people < len(templates)
        own, ranks = [], []
        for rows, people in _chunks(self.mated[there], self.mated_people[there]):
            cosines = np.clip(vectors[rows] @ templates.T, -1, 1)  # (q, p)
            mine = cosines[np.arange(len(rows)), people]
            own.append(mine)
            ranks.append((cosines >= mine[:, None]).sum(axis=1))
        top = [
            np.clip(vectors[rows] @ templates.T, -1, 1).max(axis=1) for rows, _ in _chunks(self.unmated, self.unmated)
        ]
        return Searches(
            len(templates),
            np.concatenate(own).astype(np.float64),
            np.concatenate(ranks).astype(np.int64),
            self.mated_people[there],
            np.concatenate(top).astype(np.float64),
            self.unmated_people,
        )


def _chunks(*columns: NDArray[np.int64]) -> list[list[NDArray[np.int64]]]:
    starts = range(0, len(columns[0]), QUERIES_AT_ONCE)
    return [[column[start : start + QUERIES_AT_ONCE] for column in columns] for start in starts]
