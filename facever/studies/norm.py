"""The norm of the feature as a measure of quality.

Ranjan et al. 2017, section 3: trained with softmax, clear faces have features of a large norm and poor ones of a small
norm, and pairs of small norms are verified worse.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.faces.device import choose_device
from facever.faces.embedder import Embedder
from facever.faces.parallel import process_files
from facever.faces.pipeline import Job
from facever.metrics.discard import CURVE_SHARES
from facever.studies.degradations import DEGRADATIONS
from facever.studies.faces import FACE_SETTINGS, NETWORK_IN_WORDS, Faces, face_settings
from facever.studies.intervals import t_interval
from facever.studies.norm_analysis import BINS, FAR, L2, SOFTMAX, Judged, NormScores, judge, score
from facever.studies.outcome import Outcome, in_epochs
from facever.studies.runs import Options, Runs, run_name
from facever.studies.testing import TestSet
from facever.training.callbacks import Callback
from facever.weights.alignment import ALIGNMENTS

SEEDS, QUICK_SEEDS = 1, 1
EPOCHS, QUICK_EPOCHS = 12, 1
MODELS: dict[str, dict[str, Any]] = {SOFTMAX: {"loss": "softmax"}, L2: {"loss": "l2-softmax", "alpha": 16.0}}
DEGRADED = 400  # photographs whose norms are measured under degradation
SHOWN = 36  # photographs at either end


def run(options: Options, callback: Callback) -> Outcome:
    """As `facever.studies.run_study`."""
    runs = Runs(options.out, callback.say)
    faces = Faces(options, callback, runs)
    seeds = options.seed_list(QUICK_SEEDS if options.quick else SEEDS)
    epochs = QUICK_EPOCHS if options.quick else EPOCHS
    settings = {(m, s): face_settings(**MODELS[m], epochs=epochs, seed=s) for s in seeds for m in MODELS}
    runs.planned = 2 * len(settings) + len(seeds)  # trainings, their degradations, the detector
    for (model, seed), each in settings.items():
        faces(run_name(model, seed), each)
    scored: dict[str, list[NormScores]] = {model: [] for model in MODELS}
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


def _detector_scores(faces: Faces, test: TestSet, seed: int) -> NDArray[np.float64]:
    """The detector's probability of a face in each photograph, 0 where none was found."""
    alignment = ALIGNMENTS[FACE_SETTINGS["alignment"]]
    options = faces.options

    def detect(folder: Path) -> dict[str, Any]:
        job = Job(output=alignment, device=str(choose_device(options.device)), rule="center")
        found = []
        for photograph in process_files(test.paths, job, options.workers):
            found.append(photograph.faces[0].face.score if photograph.faces else 0.0)
            faces.callback.cropping(len(found), len(test.paths))
        return {"scores": found}

    name = "detector" if faces.lfw else f"detector-seed-{seed}"
    asked = {"test": test.name, "photographs": len(test.paths)}
    found = faces.runs(name, asked, detect)["scores"]
    faces.runs.done.pop(name)  # one number per photograph is too much for results.json
    return np.array(found, np.float64)


def _response(runs: Runs, name: str, embedder: Embedder, test: TestSet) -> dict[str, Any]:
    """Norms of degraded photographs over the originals', with a mean and interval for each step of each degradation."""
    chosen = np.unique(np.linspace(0, len(test.crops) - 1, min(DEGRADED, len(test.crops))).astype(int))
    crops = test.crops[chosen]

    def measure(folder: Path) -> dict[str, Any]:
        clean = embedder(crops)[1].astype(np.float64)
        record: dict[str, Any] = {}
        for degradation in DEGRADATIONS:
            record[degradation.name] = []
            for step in degradation.steps:
                ratio = embedder(degradation.change(crops, step))[1] / np.maximum(clean, 1e-12)
                ends = t_interval(ratio.tolist())
                record[degradation.name].append({"step": step, "ratio": float(ratio.mean()), "ci95": ends})
        return record

    return runs(f"{name}-degraded", {"photographs": len(crops), "test": test.name}, measure)


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
        curves[name] = {"frr": curve.value.tolist(), "low": low.tolist(), "high": high.tolist()}
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
            f"Photographs in {BINS} bins of equal count by norm; pairs by the bins of both, at the one threshold that "
            f"gives FAR {FAR:g} on all; balanced accuracy, since bins hold unequal shares of genuine pairs.",
            "Error versus discard: genuine pairs are discarded by ascending quality, that of a pair being the "
            "lower one of its two photographs; the threshold is fixed. Random discard does not change the expected "
            "FRR.",
            "Response: crops degraded in steps, and the norm of the degraded crop over that of the original.",
        ],
        quick=quick,
        seeds=seeds,
        settings={**FACE_SETTINGS, "epochs": epochs, "models": MODELS, "far": FAR, "bins": BINS},
        figures=judged.figures(),
        checks=judged.checks(),
        comparisons=judged.comparisons(test),
        runs={name: result for name, result in faces.runs.done.items() if not name.endswith("-degraded")},
        minutes=faces.runs.minutes,
        data={
            "test_set": test,
            "bins": {model: cells.value.tolist() for model, cells in judged.cells.items()},
            "discard": {"shares": CURVE_SHARES.tolist(), "curves": curves},
            "response": {model: each[0] for model, each in response.items()},
        },
        arrays=arrays,
    )


def _ends(test: TestSet, norms: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """The crops of the lowest and highest norms, for the user's own page."""
    order = np.argsort(norms, kind="stable")
    count = min(SHOWN, len(order) // 2)
    return {
        "photographs: Lowest norms (softmax)": test.crops[order[:count]],
        "photographs: Highest norms (softmax)": test.crops[order[::-1][:count]],
    }
