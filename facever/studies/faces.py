"""Shared by the studies on faces: a small network and its training, by `facever.training.train`."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from facever.errors import DataError, reading
from facever.faces.device import choose_device
from facever.faces.embedder import Embedder
from facever.studies.gradients import GradientShares, read_shares
from facever.studies.runs import Options, Runs, save_arrays
from facever.studies.strata import (
    Contrast,
    Floats,
    Looks,
    Stratum,
    figures_of,
    looks_of,
    strata_of_lfw,
    strata_of_people,
)
from facever.studies.testing import TestSet, drawn_pairs, lfw_set, tested
from facever.training import TrainingSettings, train
from facever.training.callbacks import Callback
from facever.training.crops import default_cache_folder
from facever.training.data import prepare
from facever.training.errors import Diverged, Interrupted
from facever.weights.alignment import ALIGNMENTS

# Half of the channels and of the blocks of face_resnet_slim, at half the paper's resolution, and a quarter of it for
# half of a training, so that dozens of trainings take hours on two cores. Channels fill whole vector registers. The
# last network counts, whatever its validation score: a choice could favor a loss.
FACE_SETTINGS: dict[str, Any] = {
    "network": "face_resnet_slim",
    "network_arguments": {"widths": [16, 32, 64, 128], "depths": [1, 1, 2, 1], "stem": 16, "embedding_size": 128},
    "alignment": "tight-64x56",
    "batch_size": 128,
    "learning_rate": 0.1,
    "held_out": 0.15,
    "progressive_resizing": 0.5,
    "keep": "last",
}
NETWORK_IN_WORDS = (
    "Network: face_resnet_slim with 16 to 128 channels and five residual blocks, crops of 64×56 pixels (of 32×28 in "
    "the first half of a training), features of 128 components: much smaller than the paper's, and trained on far "
    "fewer people."
)


@dataclass(slots=True)
class Faces:
    """The trainings of a study and their tests, all by one alignment.

    Raises
    ------
    DataError
        If no training folder is given, or LFW's files do not match.
    """

    options: Options
    callback: Callback
    runs: Runs
    alignment: str = FACE_SETTINGS["alignment"]
    lfw: TestSet | None = field(init=False)

    def __post_init__(self) -> None:
        if self.options.data is None:
            raise DataError(
                "this study trains on faces; name a folder of one folder of photographs per person by --data"
            )
        self.lfw = lfw_set(self.options, ALIGNMENTS[self.alignment], self.callback)

    @property
    def cache(self) -> Path:
        return self.options.cache or default_cache_folder()

    @property
    def test_names(self) -> list[str]:
        """The test sets of every run, the most important first."""
        return ["LFW", "held-out people"] if self.lfw is not None else ["held-out people"]

    def __call__(
        self,
        name: str,
        settings: TrainingSettings,
        may_diverge: bool = False,
        lfw: bool = True,
        strata: bool = False,
    ) -> dict[str, Any]:
        """Train and test, unless done before: figures by test set, and the final alpha.

        A training that diverges raises Diverged, or returns {"diverged": why} where that is allowed.

        Parameters
        ----------
        lfw : bool
            Test on LFW besides held-out people.
        strata : bool
            Test on each stratum of either as well, and look at the gradients after each epoch.
        """
        assert self.options.data is not None
        lfw = lfw and self.lfw is not None
        tested_on = len(self.lfw.pairs) if self.lfw and lfw else 0
        asked = {**settings.to_json(), "data": self.options.data.name, "lfw_pairs": tested_on}
        if strata:
            asked["strata"] = True

        def make(folder: Path) -> dict[str, Any]:
            try:
                return self._make(name, settings, folder, lfw, strata)
            except Diverged as error:
                if not may_diverge:
                    raise
                return {"diverged": str(error)}

        return self.runs(name, asked, make)

    def _make(self, name: str, settings: TrainingSettings, folder: Path, lfw: bool, strata: bool) -> dict[str, Any]:
        assert self.options.data is not None
        device = choose_device(self.options.device)
        shares = folder / "gradients.json"
        callback = GradientShares(shares, self.callback) if strata else self.callback
        try:
            make_training(settings, self.options.data, folder, self.cache, str(device), self.options.workers, callback)
        except Interrupted as error:
            raise Interrupted(f"stopped in run {name}; the same command resumes it") from error
        embedder = Embedder.load(folder / "weights.safetensors", device)
        sets = [self.lfw] if self.lfw and lfw else []
        result: dict[str, Any] = {}
        correct: dict[str, Any] = {}
        for test in (*sets, self.held_out(settings)):
            result[test.name], correct[test.name] = tested(embedder, test)
        save_arrays(folder / "correct.npz", correct, private=True)
        if strata:
            result["strata"] = self._strata(embedder, settings, folder, lfw)
            result["gradient_shares"] = [share for _, share in sorted(read_shares(shares).items())]
        alpha = embedder.info.loss.get("alpha")
        return {**result, **({} if alpha is None else {"alpha": alpha})}

    def _strata(self, embedder: Embedder, settings: TrainingSettings, folder: Path, lfw: bool) -> dict[str, Any]:
        """TAR and genuine pairs of each stratum; the replicates go into a file of the run."""
        found: dict[str, Any] = {}
        replicates: dict[str, Any] = {}
        for test, strata, _ in self.strata(settings, lfw):
            for name, figures in figures_of(lambda crops: embedder(crops)[0], test, strata).items():
                replicates[name] = np.array(figures.replicates, np.float32)
                found[name] = {"tar": figures.tar, "genuine": figures.genuine}
        save_arrays(folder / "replicates.npz", replicates)
        return found

    def strata(
        self, settings: TrainingSettings, lfw: bool = True
    ) -> list[tuple[TestSet, list[Stratum], list[Contrast]]]:
        """Test sets with their strata, and which are the harder ones of which; in a quick study without LFW."""
        people = self.held_out(settings)
        sets = [(people, f"people-seed-{settings.seed}", strata_of_people)]
        if self.lfw is not None and lfw and not self.options.quick:
            sets.insert(0, (self.lfw, "lfw", strata_of_lfw))
        return [(test, *make(test, self._looks(test, name))) for test, name, make in sets]

    def _looks(self, test: TestSet, name: str) -> Looks | None:
        """What is seen of a test set's faces, from a file of the study if it is there; nothing in a quick one."""
        if self.options.quick:
            return None
        path = self.runs.out / "runs" / f"looks-{self.alignment}-{name}.npz"
        if path.exists():
            with reading(path, "delete it"), np.load(path) as file:
                return Looks(**{key: np.asarray(file[key], np.float64) for key in file.files})
        looks = looks_of(test, ALIGNMENTS[self.alignment], self.options, self.callback)
        save_arrays(path, asdict(looks))
        return looks

    def replicates(self, name: str) -> dict[str, Floats]:
        """The bootstrap replicates of TAR of a run, by stratum."""
        path = self.runs.folder(name) / "replicates.npz"
        with reading(path, f"delete {path.parent}.json to repeat it"), np.load(path) as file:
            return {key: np.asarray(file[key], np.float64) for key in file.files}

    def training_people(self, settings: TrainingSettings) -> list[str]:
        """The person of each photograph that a training with these settings sees."""
        assert self.options.data is not None
        device = choose_device(self.options.device)
        data = prepare(settings, self.options.data, self.cache, device, self.options.workers, self.callback)
        return data.training.identities

    def held_out(self, settings: TrainingSettings) -> TestSet:
        """The people held out by a training with these settings."""
        assert self.options.data is not None
        device = choose_device(self.options.device)
        crops = prepare(settings, self.options.data, self.cache, device, self.options.workers, Callback()).held_out
        paths = [self.options.data / path for path in crops.paths]
        pairs = drawn_pairs(paths, crops.identities, settings.seed)
        return TestSet("held-out people", paths, crops.identities, crops.inner(slice(None)), pairs)

    def correct(self, name: str, test: str) -> NDArray[np.bool_]:
        """Which pairs of a test set a run decided correctly, in their order."""
        path = self.runs.folder(name) / "correct.npz"
        with reading(path, f"delete {path.parent}.json to repeat it"), np.load(path) as file:
            return np.asarray(file[test], bool)

    def classes(self, name: str) -> int:
        """How many people a run was trained on."""
        path = self.runs.folder(name) / "training.json"
        with reading(path, f"delete {path.parent} and its .json to repeat it"):
            return int(json.loads(path.read_text(encoding="utf-8"))["people"]["training_identities"])

    def course(self, name: str) -> dict[str, list[float]]:
        """Step and alpha of a run, every few steps."""
        path = self.runs.folder(name) / "log.csv"
        remedy = f"delete {path.parent} and its .json to repeat it"
        with reading(path, remedy), path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
            return {key: [float(row[key]) for row in rows] for key in ("step", "alpha")}


def make_training(
    settings: TrainingSettings,
    data: Path,
    folder: Path,
    cache: Path,
    device: str,
    workers: int | None,
    callback: Callback,
) -> None:
    """Train into a folder, resuming from its checkpoint if there is one; a finished training is left as it is."""
    if (folder / "training.json").exists():
        return
    resume = (folder / "checkpoint.pt").exists()
    train(settings, data, folder, cache, device, workers, resume, callback=callback)
    torch.compiler.reset()  # the next training compiles a network of its own


def face_settings(**changes: Any) -> TrainingSettings:
    """`FACE_SETTINGS` with a loss, a length and a seed."""
    return TrainingSettings(**{**FACE_SETTINGS, **changes})
