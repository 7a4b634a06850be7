"""Test sets of the studies, and a network's figures on them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.datasets.identities import IdentityFolder
from facever.datasets.lfw import find_pairs_file, read_lfw_pairs
from facever.datasets.pairs import Pair, photographs
from facever.errors import DataError
from facever.evaluation import EmbeddingSet, evaluate_all, evaluate_embedded
from facever.faces.alignment import center_crop
from facever.faces.device import choose_device
from facever.faces.embedder import Embedder
from facever.faces.images import load_image
from facever.studies.runs import Options
from facever.training.callbacks import Callback
from facever.training.crops import CropSet, cut_crops, default_cache_folder
from facever.weights.alignment import Alignment

PAIRS, FOLDS = 3000, 10  # of held-out people: genuine ones, and as many impostor ones
REPLICATES = 300
FARS = ("0.01", "0.001")


@dataclass(frozen=True, slots=True)
class TestSet:
    """People on whom networks are tested.

    Attributes
    ----------
    name : str
    paths, identities : one for each crop
    crops : uint8 ndarray of shape (n, H, W, 3), RGB, as inference cuts them
    pairs : list of Pair
        Of these photographs.
    """

    __test__ = False  # not a test class, in spite of its name

    name: str
    paths: list[Path]
    identities: list[str]
    crops: NDArray[np.uint8]
    pairs: list[Pair]


def lfw_set(options: Options, alignment: Alignment, callback: Callback) -> TestSet | None:
    """LFW's photographs and pairs, or None if no folder is given.

    A photograph without a detected face gets its center crop, as in `facever eval-lfw`. Raises DataError.
    """
    if options.lfw is None:
        return None
    listed = read_lfw_pairs(options.pairs or find_pairs_file(options.lfw), options.lfw)
    paths = [path for path in photographs(listed) if isinstance(path, Path)]
    crops = crops_of(options.lfw, paths, alignment, options, callback)
    return TestSet("LFW", paths, [path.parent.name for path in paths], crops, listed)


def crops_of(
    root: Path, paths: list[Path], alignment: Alignment, options: Options, callback: Callback
) -> NDArray[np.uint8]:
    """The crops (n, H, W, 3) of photographs below a root, through the cache of crops."""
    folder = IdentityFolder(root, paths, [path.parent.name for path in paths])
    device = choose_device(options.device)
    cache = options.cache or default_cache_folder()
    found = cut_crops(folder, alignment, 0, cache, str(device), options.workers, callback.cropping)
    rows = {path: i for i, path in enumerate(found.paths)}
    return np.stack([_crop(path, root, found, rows, alignment) for path in paths])


def _crop(path: Path, root: Path, found: CropSet, rows: dict[str, int], alignment: Alignment) -> NDArray[np.uint8]:
    row = rows.get(str(path.relative_to(root)))
    return center_crop(load_image(path), alignment) if row is None else found.crops[found.rows[row]]


def genuine_pairs(people: Iterable[Hashable]) -> list[tuple[int, int]]:
    """The places of each two photographs of one person.

    Examples
    --------
    >>> genuine_pairs(["Ann", "Eve", "Ann", "Ann", "Eve"])
    [(0, 2), (0, 3), (2, 3), (1, 4)]
    """
    of: dict[Hashable, list[int]] = {}
    for i, person in enumerate(people):
        of.setdefault(person, []).append(i)
    return [pair for own in of.values() for pair in combinations(own, 2)]


def drawn_pairs(paths: Sequence[Path], identities: Sequence[str], seed: int, count: int = PAIRS) -> list[Pair]:
    """Random pairs of people: `count` genuine and as many impostor ones, or all there are, in folds.

    Raises
    ------
    DataError
        If there are too few of either kind to fill the folds.
    """
    generator = np.random.default_rng(seed)
    genuine = genuine_pairs(identities)
    count = min(count, len(genuine), (len(identities) * (len(identities) - 1)) // 2 - len(genuine))
    if count < FOLDS:
        people = len(set(identities))
        raise DataError(f"{people} held-out people give too few pairs to test on; train on a folder of more people")
    chosen = [genuine[k] for k in generator.choice(len(genuine), count, replace=False)]
    impostor: dict[tuple[int, int], None] = {}
    while len(impostor) < count:
        a, b = sorted(map(int, generator.integers(0, len(identities), 2)))
        if identities[a] != identities[b]:
            impostor[a, b] = None
    return [
        Pair(paths[a], paths[b], same, k * FOLDS // count, identities[a], identities[b])
        for same, listed in ((True, chosen), (False, list(impostor)))
        for k, (a, b) in enumerate(listed)
    ]


def tested(embedder: Embedder, test: TestSet) -> tuple[dict[str, Any], NDArray[np.bool_]]:
    """Figures of a network on a test set, and which pairs it decided correctly.

    Returns
    -------
    dict
        "accuracy" over the folds with "accuracy_standard_error" and "accuracy_ci95" over people; TAR at FAR over
        every pair of the photographs, "tar_at_far_0.01" and "…_ci95" over people; absent where they are too few.
    correct : bool ndarray of shape (pairs,)
    """
    vectors, norms = embedder(test.crops)
    row = {path: i for i, path in enumerate(test.paths)}
    rows = [row[path] for path in photographs(test.pairs)]  # type: ignore[index]
    names = [str(path) for path in test.paths]
    listed = EmbeddingSet([names[i] for i in rows], vectors[rows], norms[rows].astype(np.float64), [])
    result = evaluate_embedded(test.pairs, listed, [])
    every = evaluate_all(
        EmbeddingSet(names, vectors, norms.astype(np.float64), []), test.identities, replicates=REPLICATES
    )
    record: dict[str, Any] = {
        "accuracy": result.figures.accuracy,
        "accuracy_standard_error": result.figures.accuracy_standard_error,
        "accuracy_ci95": list(result.intervals["accuracy"]),
    }
    for far in FARS:
        tar = every.tar_at_far[float(far)]
        if tar is not None:
            record[f"tar_at_far_{far}"] = tar
            record[f"tar_at_far_{far}_ci95"] = list(every.tar_intervals[float(far)])
    return record, result.correct
