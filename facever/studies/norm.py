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
from facever.evaluation.bootstrap import People, drawn_weights, interval
from facever.pipeline import Job, process_files
from facever.scoring import cosine, threshold_at_far
from facever.studies.faces import FACE_SETTINGS, NETWORK_IN_WORDS, Faces, TestSet, face_settings
from facever.studies.intervals import t_interval
from facever.studies.outcome import Check, Comparison, Figure, Outcome, in_epochs
from facever.studies.quality import SHARES, SPOILINGS, BinnedPairs, Discard, bins_of
from facever.studies.runs import Options, Runs
from facever.training.watcher import Watcher

SEEDS, QUICK_SEEDS = 1, 1
EPOCHS, QUICK_EPOCHS = 12, 1
SOFTMAX, L2 = "softmax", "l2-softmax, alpha 16"
MODELS: dict[str, dict[str, Any]] = {SOFTMAX: {"loss": "softmax"}, L2: {"loss": "l2-softmax", "alpha": 16.0}}
BINS = 3
FMR = 0.01
SPOILED = 400  # photographs whose norms are watched while they are spoiled
SHOWN = 36  # photographs at either end
REPLICATES = 1000
DETECTOR = "detector's score"
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
    return _outcome(faces, sets, scored, detector, response, seeds, epochs, options.quick)


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


def _outcome(
    faces: Faces,
    sets: list[TestSet],
    scored: dict[str, list[Scored]],
    detector: list[NDArray[np.float64]],
    response: dict[str, list[dict[str, Any]]],
    seeds: list[int],
    epochs: int,
    quick: bool,
) -> Outcome:
    test = faces.test_names[0]
    pairs = [pair for each in sets for pair in each.pairs]
    genuine = [pair for pair in pairs if pair.same]
    how = f"people of {test} drawn anew, {len(seeds)} training{'s' if len(seeds) > 1 else ''} a model"

    cells = {model: _joined_bins([s.binned() for s in each]) for model, each in scored.items()}
    grids = {model: joined.accuracy() for model, joined in cells.items()}
    curves = {
        "softmax, by norm": _joined_discard([s.discard(s.norms) for s in scored[SOFTMAX]]),
        "l2-softmax, by norm": _joined_discard([s.discard(s.norms) for s in scored[L2]]),
        f"softmax, by {DETECTOR}": _joined_discard(
            [s.discard(d) for s, d in zip(scored[SOFTMAX], detector, strict=True)]
        ),
    }
    # One set of draws of people for all that is about all pairs, one for all that is about genuine pairs.
    top = BINS - 1
    low_high: dict[str, list[float]] = {model: [] for model in MODELS}
    drawn_cells: dict[str, list[NDArray[np.float64]]] = {model: [] for model in MODELS}
    low_gain = []
    for weights in drawn_weights(_people(pairs), REPLICATES):
        drawn = {model: joined.accuracy(weights) for model, joined in cells.items()}
        for model, grid in drawn.items():
            drawn_cells[model].append(grid)
            low_high[model].append(float(grid[top, top] - grid[0, 0]))
        low_gain.append(float(drawn[L2][0, 0] - drawn[SOFTMAX][0, 0]))
    gains: dict[str, list[float]] = {name: [] for name in curves}
    drawn_curves: dict[str, list[NDArray[np.float64]]] = {name: [] for name in curves}
    for weights in drawn_weights(_people(genuine), REPLICATES):
        for name, discard in curves.items():
            gains[name].append(discard.gain(weights))
            drawn_curves[name].append(discard.curve(weights))

    by_norm, by_detector = "softmax, by norm", f"softmax, by {DETECTOR}"
    checks = [
        Check(
            "softmax: balanced accuracy of pairs from the top third of norms minus the bottom third",
            float(grids[SOFTMAX][top, top] - grids[SOFTMAX][0, 0]),
            interval(np.array(low_high[SOFTMAX])),
            how,
        ),
        Check(
            "softmax: FNMR saved by discarding by norm, over random discard (mean of the first half)",
            curves[by_norm].gain(),
            interval(np.array(gains[by_norm])),
            how,
        ),
        Check(
            "softmax: FNMR saved by discarding by norm, over the detector's score",
            curves[by_norm].gain() - curves[by_detector].gain(),
            interval(np.array(gains[by_norm]) - np.array(gains[by_detector])),
            how,
        ),
        *(
            Check(
                f"softmax: share of the norm lost to {name} at its strongest step",
                lost,
                ends,
                "photographs, Student's t",
            )
            for name, lost, ends in _lost(response[SOFTMAX])
        ),
    ]
    names = ["low", "middle", "high"]
    figures = [
        Figure(
            f"{model}: balanced accuracy, {names[i]} with {names[j]} norm",
            float(grids[model][i, j]),
            interval(np.array(drawn_cells[model])[:, i, j]),
            how,
        )
        for model in MODELS
        for i in range(BINS)
        for j in range(i, BINS)
        if np.isfinite(grids[model][i, j])
    ]
    figures += [
        Figure(
            f"{model}: balanced accuracy, high minus low norm",
            float(grids[model][top, top] - grids[model][0, 0]),
            interval(np.array(low_high[model])),
            how,
        )
        for model in MODELS
    ]
    figures += [
        Figure(f"{name}: FNMR saved over random discard", curves[name].gain(), interval(np.array(gains[name])), how)
        for name in curves
    ]
    figures += [
        Figure(f"{model}: share of the norm lost to {name}", lost, ends, OVER_PHOTOGRAPHS)
        for model in MODELS
        for name, lost, ends in _lost(response[model])
    ]
    gap = float(grids[L2][0, 0] - grids[SOFTMAX][0, 0])
    told_curves = {}
    for name, discard in curves.items():
        low, high = np.nanquantile(np.array(drawn_curves[name]), [0.025, 0.975], axis=0)
        told_curves[name] = {"fnmr": discard.curve().tolist(), "low": low.tolist(), "high": high.tolist()}
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
        figures=figures,
        checks=checks,
        comparisons=[
            Comparison(
                L2, SOFTMAX, f"{test}, balanced accuracy of pairs of low norm", gap, interval(np.array(low_gain)), how
            )
        ],
        runs={name: result for name, result in faces.runs.done.items() if not name.endswith("-spoiled")},
        minutes=faces.runs.minutes,
        data={
            "test_set": test,
            "bins": {model: grid.tolist() for model, grid in grids.items()},
            "discard": {"shares": SHARES.tolist(), "curves": told_curves},
            "response": {model: each[0] for model, each in response.items()},
        },
        arrays=_ends(sets[0], scored[SOFTMAX][0].norms),
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
