"""The norm of the feature as a measure of quality.

Ranjan et al. 2017, section 3: trained with softmax, clear faces have features of a large norm and poor ones of a small
norm, and pairs of small norms are verified worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.alignment import ALIGNMENTS
from facever.datasets.pairs import Pair
from facever.embedder import Embedder, choose_device
from facever.evaluation.bootstrap import People
from facever.pipeline import Job, process_files
from facever.scoring import cosine, threshold_at_far
from facever.studies.faces import FACE_SETTINGS, NETWORK_IN_WORDS, Faces, TestSet, face_settings
from facever.studies.intervals import Drawn, t_interval
from facever.studies.outcome import Check, Comparison, Figure, Outcome, in_epochs
from facever.studies.quality import SHARES, SPOILINGS, BinnedPairs, Discard, bins_of, gain_of
from facever.studies.runs import Options, Runs
from facever.training.watcher import Watcher

SEEDS, QUICK_SEEDS = 1, 1
EPOCHS, QUICK_EPOCHS = 12, 1
SOFTMAX, L2 = "softmax", "l2-softmax, alpha 16"
MODELS: dict[str, dict[str, Any]] = {SOFTMAX: {"loss": "softmax"}, L2: {"loss": "l2-softmax", "alpha": 16.0}}
BINS, BIN_NAMES = 3, ("low", "middle", "high")
FMR = 0.01
SPOILED = 400  # photographs whose norms are watched while they are spoiled
SHOWN = 36  # photographs at either end
REPLICATES = 1000
BY_NORM, BY_DETECTOR = "softmax, by norm", "softmax, by detector's score"
OVER_PHOTOGRAPHS = "Student's t over photographs"


@dataclass(frozen=True, slots=True)
class Scored:
    """A model's view of the test pairs.

    Attributes
    ----------
    norms : float64 ndarray of shape (photographs,)
    a, b : int64 ndarrays of shape (pairs,)
        The photographs of each pair.
    same, accepted : bool ndarrays of shape (pairs,)
        Accepted at the threshold that gives FMR 1e-2 on the impostor pairs.
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

    def discard(self, quality: NDArray[np.float64]) -> Discard:
        """By a quality of photographs; as ranks, so that several trainings can be put one behind the other."""
        levels = np.unique(quality)
        rank = np.searchsorted(levels, quality) / max(len(levels) - 1, 1)
        lower = np.minimum(rank[self.a], rank[self.b])
        return Discard(lower[self.same], ~self.accepted[self.same])


def run(options: Options, watcher: Watcher) -> Outcome:
    """As `facever.studies.run_study`."""
    runs = Runs(options.out, watcher.say)
    faces = Faces(options, watcher, runs)
    seeds = options.seed_list(QUICK_SEEDS if options.quick else SEEDS)
    epochs = QUICK_EPOCHS if options.quick else EPOCHS
    settings = {(m, s): face_settings(**MODELS[m], epochs=epochs, seed=s) for s in seeds for m in MODELS}
    for (model, seed), each in settings.items():
        faces(run_name(model, seed), each)
    scored: dict[str, list[Scored]] = {model: [] for model in MODELS}
    detector: list[NDArray[np.float64]] = []
    response: dict[str, list[dict[str, Any]]] = {model: [] for model in MODELS}
    sets = []
    for seed in seeds:
        test = faces.lfw or faces.held_out(settings[SOFTMAX, seed])
        sets.append(test)
        detector.append(_detector_scores(faces, test, seed))
        for model in MODELS:
            weights = runs.folder(run_name(model, seed)) / "weights.safetensors"
            embedder = Embedder.load(weights, choose_device(options.device))
            scored[model].append(score(embedder, test))
            response[model].append(_response(runs, run_name(model, seed), embedder, test))
    judged = judge(faces.test_names[0], sets, scored, detector, response)
    shown = _ends(sets[0], scored[SOFTMAX][0].norms)
    return _outcome(faces, sets, judged, response, seeds, epochs, options.quick, shown)


def run_name(model: str, seed: int) -> str:
    return f"{model.replace(', ', '-').replace(' ', '-')}-seed-{seed}"


def score(embedder: Embedder, test: TestSet) -> Scored:
    """Embed a test set's photographs and decide its pairs."""
    vectors, norms = embedder(test.crops)
    row = {path: i for i, path in enumerate(test.paths)}
    a = np.array([row[pair.path_a] for pair in test.pairs], np.int64)  # type: ignore[index]
    b = np.array([row[pair.path_b] for pair in test.pairs], np.int64)  # type: ignore[index]
    same = np.array([pair.same for pair in test.pairs])
    cosines = cosine(vectors[a], vectors[b])
    threshold = threshold_at_far(cosines[~same], FMR, min_false_accepts=0)
    return Scored(norms.astype(np.float64), a, b, same, cosines >= threshold)


def _detector_scores(faces: Faces, test: TestSet, seed: int) -> NDArray[np.float64]:
    """The detector's probability of a face in each photograph, 0 where none was found."""
    alignment = ALIGNMENTS[FACE_SETTINGS["alignment"]]
    options = faces.options

    def detect(folder: Path) -> dict[str, Any]:
        job = Job(alignment, device=str(choose_device(options.device)), rule="center")
        found = []
        for photograph in process_files(test.paths, job, options.workers):
            found.append(photograph.faces[0].face.score if photograph.faces else 0.0)
            faces.watcher.cropping(len(found), len(test.paths))
        return {"scores": found}

    name = "detector" if faces.lfw else f"detector-seed-{seed}"
    asked = {"test": test.name, "photographs": len(test.paths)}
    found = faces.runs(name, asked, detect)["scores"]
    faces.runs.done.pop(name)  # a number for every photograph is not for results.json
    return np.array(found, np.float64)


def _response(runs: Runs, name: str, embedder: Embedder, test: TestSet) -> dict[str, Any]:
    """Norms of spoiled photographs over their own before, a mean and interval for each step of each spoiling."""
    chosen = np.unique(np.linspace(0, len(test.crops) - 1, min(SPOILED, len(test.crops))).astype(int))
    crops = test.crops[chosen]

    def measure(folder: Path) -> dict[str, Any]:
        clean = embedder(crops)[1].astype(np.float64)
        told: dict[str, Any] = {}
        for spoiling in SPOILINGS:
            told[spoiling.name] = []
            for step in spoiling.steps:
                ratio = embedder(spoiling.change(crops, step))[1] / np.maximum(clean, 1e-12)
                ends = t_interval(ratio.tolist())
                told[spoiling.name].append({"step": step, "ratio": float(ratio.mean()), "ci95": ends})
        return told

    return runs(f"{name}-spoiled", {"photographs": len(crops), "test": test.name}, measure)


@dataclass(frozen=True, slots=True)
class Judged:
    """What the pairs say about the norm, with people drawn anew.

    Attributes
    ----------
    cells : from model to balanced accuracy by pair of bins, (BINS, BINS)
    curves : from a quality to its error-versus-discard curve, one FNMR for each of `SHARES`
    lost : from model to (spoiling, share of the norm lost at its strongest step, interval over photographs)
    how : str
        What the intervals over people are.
    """

    cells: dict[str, Drawn]
    curves: dict[str, Drawn]
    lost: dict[str, list[tuple[str, float, Any]]]
    how: str

    def high_minus_low(self, model: str) -> Drawn:
        """Balanced accuracy of pairs from the top bin minus that of the bottom one."""
        return self.cells[model].then(lambda cells: cells[..., -1, -1] - cells[..., 0, 0])

    def gain(self, quality: str) -> Drawn:
        """FNMR saved by discarding by a quality, over random discard."""
        return self.curves[quality].then(gain_of)

    def checks(self) -> list[Check]:
        """What the paper says of softmax."""
        found = [
            (
                "softmax: balanced accuracy of pairs from the top third of norms minus the bottom third",
                self.high_minus_low(SOFTMAX),
            ),
            (
                "softmax: FNMR saved by discarding by norm, over random discard (mean of the first half)",
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
        saved = "FNMR saved by discarding, mean of the first half"
        low = (self.cells[L2] - self.cells[SOFTMAX]).then(lambda cells: cells[..., 0, 0])
        pairs = "balanced accuracy of pairs of low norm"
        return [
            Comparison(BY_NORM, BY_DETECTOR, f"{test}, {saved}", score.number, score.ci95, self.how),
            Comparison(L2, SOFTMAX, f"{test}, {pairs}", low.number, low.ci95, self.how),
        ]

    def figures(self) -> list[Figure]:
        found: list[tuple[str, Drawn]] = []
        for model, cells in self.cells.items():
            for i, j in zip(*np.triu_indices(BINS), strict=True):
                name = f"{model}: balanced accuracy, {BIN_NAMES[i]} with {BIN_NAMES[j]} norm"
                found.append((name, cells.then(lambda values, i=i, j=j: values[..., i, j])))  # type: ignore[misc]
            found.append((f"{model}: balanced accuracy, high minus low norm", self.high_minus_low(model)))
        found += [(f"{quality}: FNMR saved over random discard", self.gain(quality)) for quality in self.curves]
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
    scored: dict[str, list[Scored]],
    detector: list[NDArray[np.float64]],
    response: dict[str, list[dict[str, Any]]],
) -> Judged:
    """Put the trainings of all seeds one behind the other, and draw people."""
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
        cells={model: Drawn.of(everybody, bins.accuracy, REPLICATES) for model, bins in joined.items()},
        curves={name: Drawn.of(genuine, discard.curve, REPLICATES) for name, discard in discards.items()},
        lost={model: _lost(each) for model, each in response.items()},
        how=f"people of {test} drawn anew, {len(sets)} training{'s' if len(sets) > 1 else ''} a model",
    )


def _outcome(
    faces: Faces,
    sets: list[TestSet],
    judged: Judged,
    response: dict[str, list[dict[str, Any]]],
    seeds: list[int],
    epochs: int,
    quick: bool,
    arrays: dict[str, NDArray[Any]],
) -> Outcome:
    test = faces.test_names[0]
    curves = {}
    for name, curve in judged.curves.items():
        low, high = curve.band()
        curves[name] = {"fnmr": curve.value.tolist(), "low": low.tolist(), "high": high.tolist()}
    return Outcome(
        study="norm",
        title="The feature's norm as a measure of quality",
        claim=(
            "Trained with softmax, clear faces get features of a large norm and poor ones of a small norm, and pairs "
            "of small norms are verified worse (section 3)."
        ),
        method=[
            NETWORK_IN_WORDS,
            f"One network trained with softmax and one with L2-softmax (alpha 16), {in_epochs(epochs)} each; {test}, "
            f"{len(sets[0].paths):,} photographs and {len(sets[0].pairs):,} pairs.",
            f"Photographs in {BINS} bins of as many by norm; pairs by the bins of both, at the one threshold that "
            f"gives FMR {FMR:g} on all; balanced accuracy, since bins hold unequal shares of genuine pairs.",
            "Error versus discard: genuine pairs are dropped from the lowest quality on, that of a pair being the "
            "lower one of its two photographs; the threshold stays. Random discard leaves the FNMR as it is.",
            "Response: crops spoiled in steps, and the norm of the spoiled over that of the same crop before.",
        ],
        quick=quick,
        seeds=seeds,
        settings={**FACE_SETTINGS, "epochs": epochs, "models": MODELS, "fmr": FMR, "bins": BINS},
        figures=judged.figures(),
        checks=judged.checks(),
        comparisons=judged.comparisons(test),
        runs={name: result for name, result in faces.runs.done.items() if not name.endswith("-spoiled")},
        minutes=faces.runs.minutes,
        data={
            "test_set": test,
            "bins": {model: cells.value.tolist() for model, cells in judged.cells.items()},
            "discard": {"shares": SHARES.tolist(), "curves": curves},
            "response": {model: each[0] for model, each in response.items()},
        },
        arrays=arrays,
    )


def _people(pairs: Sequence[Pair]) -> People:
    return People.of([str(pair.identity_a) for pair in pairs], [str(pair.identity_b) for pair in pairs])


def _joined_bins(parts: list[BinnedPairs]) -> BinnedPairs:
    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    return BinnedPairs(joined("low"), joined("high"), joined("same"), joined("accepted"), parts[0].count)


def _joined_discard(parts: list[Discard]) -> Discard:
    return Discard(np.concatenate([p.quality for p in parts]), np.concatenate([p.rejected for p in parts]))


def _lost(response: list[dict[str, Any]]) -> list[tuple[str, float, Any]]:
    """(spoiling, share of the norm lost at its strongest step, interval) with the first seed."""
    found = []
    for name, steps in response[0].items():
        last = steps[-1]
        ends = None if last["ci95"] is None else (1 - last["ci95"][1], 1 - last["ci95"][0])
        found.append((name, 1 - last["ratio"], ends))
    return found


def _ends(test: TestSet, norms: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """The crops at either end, for the user's own page."""
    order = np.argsort(norms, kind="stable")
    count = min(SHOWN, len(order) // 2)
    return {
        "photographs: Lowest norms (softmax)": test.crops[order[:count]],
        "photographs: Highest norms (softmax)": test.crops[order[::-1][:count]],
    }
