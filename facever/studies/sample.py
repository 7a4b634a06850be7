"""Pairs of LFW for the studies that test weights: a part drawn at random, or all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facever.datasets.lfw import find_pairs_file, read_lfw_pairs
from facever.datasets.pairs import Pair, photographs
from facever.errors import DataError
from facever.studies.runs import Options

QUICK = 8  # genuine pairs of each fold, and as many of strangers


@dataclass(frozen=True, slots=True)
class Sample:
    """Pairs of n photographs.

    Attributes
    ----------
    paths : n Path
    people : int64 ndarray of shape (n,)
        The person of each photograph, from 0.
    a, b : int64 ndarrays of shape (pairs,)
        Photographs of each pair.
    same : bool ndarray of shape (pairs,)
    folds : int64 ndarray of shape (pairs,)
    """

    paths: list[Path]
    people: NDArray[np.int64]
    a: NDArray[np.int64]
    b: NDArray[np.int64]
    same: NDArray[np.bool_]
    folds: NDArray[np.int64]

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> Sample:
        """The photographs of pairs, in the order of their first use."""
        paths = [path for path in photographs(pairs) if isinstance(path, Path)]
        row = {path: i for i, path in enumerate(paths)}
        a, b = (np.array([row[path] for path in side], np.int64) for side in zip(*_sides(pairs), strict=True))
        people = np.unique([path.parent.name for path in paths], return_inverse=True)[1]
        return cls(
            paths, people, a, b, np.array([pair.same for pair in pairs]), np.array([pair.fold for pair in pairs])
        )

    def where(self, kept: NDArray[np.bool_]) -> Sample:
        """With these photographs alone, and the pairs of them."""
        number = np.cumsum(kept) - 1
        both = kept[self.a] & kept[self.b]
        paths = [path for path, keep in zip(self.paths, kept, strict=True) if keep]
        people = np.unique(self.people[kept], return_inverse=True)[1]
        return Sample(paths, people, number[self.a[both]], number[self.b[both]], self.same[both], self.folds[both])


def lfw_sample(options: Options, count: int) -> Sample:
    """The pairs that the options ask for; by default so many of each kind of each fold.

    Raises DataError if no folder is given, or LFW's files do not match.
    """
    if options.lfw is None:
        raise DataError("this study tests on LFW; name its folder by --lfw")
    listed = read_lfw_pairs(options.pairs or find_pairs_file(options.lfw), options.lfw)
    return Sample.of(listed if options.full else part_of(listed, QUICK if options.quick else count))


def part_of(pairs: Sequence[Pair], count: int, seed: int = 0) -> list[Pair]:
    """So many pairs of each kind of each fold, drawn at random, or all there are; in their order."""
    generator = np.random.default_rng(seed)
    kinds: dict[tuple[int, bool], list[int]] = {}
    for i, pair in enumerate(pairs):
        kinds.setdefault((pair.fold, pair.same), []).append(i)
    chosen = [i for own in kinds.values() for i in generator.permutation(own)[:count].tolist()]
    return [pairs[i] for i in sorted(chosen)]


def _sides(pairs: Sequence[Pair]) -> list[tuple[object, object]]:
    return [(pair.path_a, pair.path_b) for pair in pairs]
