"""What the studies on faces share: a small network, its training, and the people on whom it is tested.

Trainings are those of `facever.training.train`, figures those of `facever.protocols`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from facever.alignment import ALIGNMENTS, Alignment, centre_crop
from facever.datasets.crops import CropSet, cut_crops, default_cache_folder
from facever.datasets.identities import IdentityFolder
from facever.datasets.pairs import Pair, photographs, read_lfw_pairs
from facever.embedder import Embedder, choose_device
from facever.errors import DataError
from facever.files import written_whole
from facever.images import load_image
from facever.protocols import Photographs, evaluate_all, evaluate_embedded
from facever.studies.runs import Options, Runs
from facever.training import TrainingSettings, train
from facever.training.data import prepare
from facever.training.run import Diverged, Interrupted
from facever.training.watcher import Watcher

# Half of the channels and of the blocks of face_resnet_slim, at half the paper's resolution, and a quarter of it for
# half of a training, so that dozens of trainings take hours on two cores. Channels fill whole vector registers. The
# last network is taken, whatever its validation: no choice that could favour a loss.
FACE_SETTINGS: dict[str, Any] = {
    "network": "face_resnet_slim",
    "network_arguments": {"widths": [16, 32, 64, 128], "depths": [1, 1, 2, 1], "stem": 16, "embedding_size": 128},
    "alignment": "tight-64x56",
    "batch_size": 128,
    "learning_rate": 0.1,
    "held_out": 0.15,
    "half_size": 0.5,
    "keep": "last",
}
NETWORK_IN_WORDS = (
    "Network: face_resnet_slim with 16 to 128 channels and five residual blocks, crops of 64×56 pixels (of 32×28 in "
    "the first half of a training), features of 128 components: much smaller than the paper's, and trained on far "
    "fewer people."
)
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

    __test__ = False  # no class of tests, whatever pytest thinks of the name

    name: str
    paths: list[Path]
    identities: list[str]
    crops: NDArray[np.uint8]
    pairs: list[Pair]


@dataclass(slots=True)
class Faces:
    """The trainings of a study and their tests.

    Raises
    ------
    DataError
        If no folder to train on was named, or LFW's files don't fit.
    """

    options: Options
    watcher: Watcher
    runs: Runs
    lfw: TestSet | None = field(init=False)

    def __post_init__(self) -> None:
        if self.options.data is None:
            raise DataError("this study trains on faces; name a folder of one folder of photographs a person by --data")
        self.lfw = lfw_set(self.options, ALIGNMENTS[FACE_SETTINGS["alignment"]], self.watcher)

    @property
    def cache(self) -> Path:
        return self.options.cache or default_cache_folder()

    @property
    def test_names(self) -> list[str]:
        """The test sets of every run, the one that counts most first."""
        return ["LFW", "held-out people"] if self.lfw is not None else ["held-out people"]

    def __call__(self, name: str, settings: TrainingSettings, may_diverge: bool = False) -> dict[str, Any]:
        """Train and test, unless it was done: figures by test set, and where alpha ended.

        A training that diverges raises Diverged, or gives {"diverged": why} if that may be.
        """
        assert self.options.data is not None
        tested_on = len(self.lfw.pairs) if self.lfw else 0
        asked = {**settings.to_json(), "data": self.options.data.name, "lfw_pairs": tested_on}

        def make(folder: Path) -> dict[str, Any]:
            try:
                return self._make(name, settings, folder)
            except Diverged as error:
                if not may_diverge:
                    raise
                return {"diverged": str(error)}

        return self.runs(name, asked, make)

    def _make(self, name: str, settings: TrainingSettings, folder: Path) -> dict[str, Any]:
        assert self.options.data is not None
        device = choose_device(self.options.device)
        try:
            make_training(
                settings, self.options.data, folder, self.cache, str(device), self.options.workers, self.watcher
            )
        except Interrupted as error:
            raise Interrupted(f"stopped in run {name}; the same command goes on from there") from error
        embedder = Embedder.load(folder / "weights.safetensors", device)
        sets = [self.lfw] if self.lfw else []
        result: dict[str, Any] = {}
        correct: dict[str, Any] = {}
        for test in (*sets, self.held_out(settings)):
            result[test.name], correct[test.name] = tested(embedder, test)
        with written_whole(folder / "correct.npz") as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **correct)
        alpha = embedder.info.loss.get("alpha")
        return {**result, **({} if alpha is None else {"alpha": alpha})}

    def held_out(self, settings: TrainingSettings) -> TestSet:
        """The people whom a training with these settings does not see."""
        assert self.options.data is not None
        device = choose_device(self.options.device)
        crops = prepare(settings, self.options.data, self.cache, device, self.options.workers, Watcher()).held_out
        paths = [self.options.data / path for path in crops.paths]
        pairs = drawn_pairs(paths, crops.identities, settings.seed)
        return TestSet("held-out people", paths, crops.identities, crops.inner(slice(None)), pairs)

    def correct(self, name: str, test: str) -> NDArray[np.bool_]:
        """Which pairs of a test set a run decided rightly, in their order."""
        path = self.runs.folder(name) / "correct.npz"
        try:
            with np.load(path) as file:
                return np.asarray(file[test], bool)
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{path}: can't be read; delete {path.parent}.json, and it is made again") from error

    def classes(self, name: str) -> int:
        """How many people a run was trained on."""
        path = self.runs.folder(name) / "training.json"
        try:
            return int(json.loads(path.read_text(encoding="utf-8"))["people"]["training_identities"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}: can't be read; delete {path.parent} and its .json, and it is made again"
            ) from error

    def course(self, name: str) -> dict[str, list[float]]:
        """Step and alpha of a run, every few steps."""
        path = self.runs.folder(name) / "log.csv"
        try:
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            return {key: [float(row[key]) for row in rows] for key in ("step", "alpha")}
        except (OSError, ValueError, KeyError) as error:
            raise DataError(
                f"{path}: can't be read; delete {path.parent} and its .json, and it is made again"
            ) from error


def make_training(
    settings: TrainingSettings,
    data: Path,
    folder: Path,
    cache: Path,
    device: str,
    workers: int | None,
    watcher: Watcher,
) -> None:
    """Train into a folder, from the checkpoint there if there is one; nothing is done where the training ended."""
    if (folder / "training.json").exists():
        return
    resume = (folder / "checkpoint.pt").exists()
    train(settings, data, folder, cache, device, workers, resume, watcher=watcher)
    torch.compiler.reset()  # the next training compiles a network of its own


def face_settings(**changes: Any) -> TrainingSettings:
    """`FACE_SETTINGS` with a loss, a length and a seed."""
    return TrainingSettings(**{**FACE_SETTINGS, **changes})


def lfw_set(options: Options, alignment: Alignment, watcher: Watcher) -> TestSet | None:
    """LFW's photographs and pairs, or None where no folder was named.

    A photograph without a detected face gets its centre crop, as in `facever eval-lfw`. Raises DataError.
    """
    if options.lfw is None:
        return None
    listed = read_lfw_pairs(options.pairs or _pairs_beside(options.lfw), options.lfw)
    paths = [path for path in photographs(listed) if isinstance(path, Path)]
    crops = crops_of(options.lfw, paths, alignment, options, watcher)
    return TestSet("LFW", paths, [path.parent.name for path in paths], crops, listed)


def _pairs_beside(lfw: Path) -> Path:
    for folder in (lfw, lfw.parent):
        if (folder / "pairs.txt").is_file():
            return folder / "pairs.txt"
    raise DataError(f"{lfw}: no pairs.txt in it or beside it; name LFW's pair file with --pairs")


def crops_of(
    root: Path, paths: list[Path], alignment: Alignment, options: Options, watcher: Watcher
) -> NDArray[np.uint8]:
    """The crops (n, H, W, 3) of photographs below a root, by way of the cache of crops."""
    folder = IdentityFolder(root, paths, [path.parent.name for path in paths])
    device = choose_device(options.device)
    cache = options.cache or default_cache_folder()
    found = cut_crops(folder, alignment, 0, cache, str(device), options.workers, watcher.cropping)
    rows = {path: i for i, path in enumerate(found.paths)}
    return np.stack([_crop(path, root, found, rows, alignment) for path in paths])


def _crop(path: Path, root: Path, found: CropSet, rows: dict[str, int], alignment: Alignment) -> NDArray[np.uint8]:
    row = rows.get(str(path.relative_to(root)))
    return centre_crop(load_image(path), alignment) if row is None else found.crops[found.rows[row]]


def drawn_pairs(paths: Sequence[Path], identities: Sequence[str], seed: int, count: int = PAIRS) -> list[Pair]:
    """Pairs of some people, by chance: `count` genuine and as many impostor ones (or all that there are), in folds.

    Raises
    ------
    DataError
        If there are too few of either kind to fill the folds.
    """
    generator = np.random.default_rng(seed)
    of: dict[str, list[int]] = {}
    for i, name in enumerate(identities):
        of.setdefault(name, []).append(i)
    genuine = [(a, b) for own in of.values() for k, a in enumerate(own) for b in own[k + 1 :]]
    count = min(count, len(genuine), (len(identities) * (len(identities) - 1)) // 2 - len(genuine))
    if count < FOLDS:
        raise DataError(f"{len(of)} held-out people give too few pairs to test on; train on a folder of more people")
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
    """Figures of a network on a test set, and which pairs it decided rightly.

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
    listed = Photographs([names[i] for i in rows], vectors[rows], norms[rows].astype(np.float64), [])
    result = evaluate_embedded(test.pairs, listed, [])
    every = evaluate_all(
        Photographs(names, vectors, norms.astype(np.float64), []), test.identities, replicates=REPLICATES
    )
    told: dict[str, Any] = {
        "accuracy": result.figures.accuracy,
        "accuracy_standard_error": result.figures.accuracy_standard_error,
        "accuracy_ci95": list(result.intervals["accuracy"]),
    }
    for far in FARS:
        tar = every.tar_at_far[float(far)]
        if tar is not None:
            told[f"tar_at_far_{far}"] = tar
            told[f"tar_at_far_{far}_ci95"] = list(every.tar_intervals[float(far)])
    return told, result.correct
