"""The paper's illustration: features of two components on handwritten digits.

Ranjan et al. 2017, section 4.2.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.datasets.augmentation import Augmentation
from facever.errors import DataError, reading
from facever.faces.device import choose_device
from facever.losses import alpha_lower_bound
from facever.studies.digit_training import Digits, for_sweep, read_digits, train_digits
from facever.studies.intervals import difference, paired_over_seeds, seed_figure
from facever.studies.outcome import Check, Comparison, Outcome, in_epochs
from facever.studies.runs import Options, Runs, run_name
from facever.training.callbacks import Callback
from facever.training.settings import TrainingSettings

SEEDS, QUICK_SEEDS = 3, 2
# The paper's advice is a low alpha above the bound, which is 4.28 for ten classes. The checks use this one.
MAIN = "l2-softmax, alpha 8"
# More than on faces: with two components, 0.003 has no visible effect.
CENTER_WEIGHT = 0.1
ALPHAS = (1.0, 4.0, 8.0, 16.0, 32.0)
MODELS: dict[str, dict[str, Any]] = {
    "softmax": {"loss": "softmax"},
    "center loss": {"loss": "center", "center_weight": CENTER_WEIGHT},
    **{f"l2-softmax, alpha {alpha:g}": {"loss": "l2-softmax", "alpha": alpha} for alpha in ALPHAS},
}
QUICK_MODELS = ("softmax", "center loss", "l2-softmax, alpha 1", MAIN)
SETTINGS: dict[str, Any] = {
    "batch_size": 32,
    "warmup": 0.1,
    "held_out": 0.0,
    "precision": "fp32",
    "compile": False,
}
EPOCHS = {"scikit-learn's digits": (48, 10), "MNIST": (8, 1)}  # at full length, quick
# Each loss has its own best learning rate, chosen on a held-out third of the training digits with another seed at half
# the length.
RATES, QUICK_RATES = (0.01, 0.03, 0.1), (0.03,)
SWEEP_SEED = 1000
METRICS = {
    "accuracy": "accuracy",
    "within": "mean angle to the own class's direction, degrees",
    "between": "mean angle to the nearest other class's direction, degrees",
    "ratio": "angle within over angle between",
    "norm_spread": "spread of norms (standard deviation over mean)",
}


def run(options: Options, callback: Callback) -> Outcome:
    """As `facever.studies.run_study`."""
    runs = Runs(options.out, callback.say)
    digits = read_digits(options.mnist)
    seeds = options.seed_list(QUICK_SEEDS if options.quick else SEEDS)
    epochs = EPOCHS[digits.name][options.quick]
    models = QUICK_MODELS if options.quick else tuple(MODELS)
    device = choose_device(options.device)

    def train(name: str, settings: TrainingSettings, on: Digits) -> dict[str, Any]:
        asked = {**settings.to_json(), "network": "DigitNetwork", "data": on.name, "digits": len(on.train)}
        return runs(name, asked, lambda folder: train_digits(settings, on, folder, device))

    swept = 0 if options.quick else len(RATES)
    runs.planned = len(models) * (swept + len(seeds))
    sweep: dict[str, dict[str, float]] = {}
    for model in models:
        rates = QUICK_RATES if options.quick else RATES
        if len(rates) == 1:
            sweep[model] = {f"{rates[0]:g}": math.nan}  # a single rate
            continue
        sweep[model] = {}
        for rate in rates:
            settings = settings_of(model, rate, max(1, epochs // 2), SWEEP_SEED)
            found = train(f"sweep-{run_name(model, SWEEP_SEED, rate)}", settings, for_sweep(digits))
            sweep[model][f"{rate:g}"] = found["accuracy"]
    chosen = {model: float(max(found, key=lambda rate: found[rate])) for model, found in sweep.items()}
    for seed in seeds:
        for model in models:
            train(run_name(model, seed), settings_of(model, chosen[model], epochs, seed), digits)
    return _outcome(runs, digits, models, seeds, epochs, sweep, chosen, options.quick)


def settings_of(model: str, learning_rate: float, epochs: int, seed: int) -> TrainingSettings:
    """One model's settings; models differ in loss and learning rate only."""
    own: dict[str, Any] = {"learning_rate": learning_rate, "epochs": epochs, "seed": seed}
    # A mirrored digit is another one, or none.
    return TrainingSettings(**SETTINGS, **MODELS[model], **own, augmentation=Augmentation.none())


def _outcome(
    runs: Runs,
    digits: Digits,
    models: tuple[str, ...],
    seeds: list[int],
    epochs: int,
    sweep: dict[str, dict[str, float]],
    chosen: dict[str, float],
    quick: bool,
) -> Outcome:
    for name, result in runs.done.items():
        if result.get("diverged") and not name.startswith("sweep"):
            raise DataError(f"{name}: the training diverged; run the study without --quick, which sweeps its rate")
    values = {
        model: {metric: [runs.done[run_name(model, seed)][metric] for seed in seeds] for metric in METRICS}
        for model in models
    }
    how = paired_over_seeds(len(seeds))
    comparisons = []
    for model in models[1:]:
        for metric in METRICS:
            gap, interval = difference(values[model][metric], values["softmax"][metric])
            comparisons.append(Comparison(model, "softmax", metric, gap, interval, how))
    checks = []
    for what, metric, sign in (
        ("accuracy of l2-softmax (alpha 8) minus that of softmax", "accuracy", 1),
        ("angle within classes over angle between them: softmax minus l2-softmax (alpha 8)", "ratio", -1),
        ("angle within classes in degrees: softmax minus l2-softmax (alpha 8)", "within", -1),
    ):
        ours, theirs = values[MAIN][metric], values["softmax"][metric]
        gap, interval = difference(ours, theirs) if sign > 0 else difference(theirs, ours)
        checks.append(Check(what, gap, interval, how))
    bound = alpha_lower_bound(10)
    return Outcome(
        study="digits",
        title="Features of two components on handwritten digits",
        claim=(
            "On MNIST with a feature of two components, L2-softmax recognizes more digits than softmax, and features "
            "of a class lie closer together in angle; softmax lets the norms of easy digits grow (section 4.2)."
        ),
        method=[
            f"{digits.name}: {len(digits.train):,} digits to train on, {len(digits.test):,} to test on, 28×28 pixels.",
            f"One small network (three convolutions, two outputs), the same seeds, batches and schedule for all "
            f"losses: {in_epochs(epochs)}, SGD. Center loss counts {CENTER_WEIGHT} here.",
            f"One learning rate for all, {QUICK_RATES[0]:g}, not tuned."
            if quick
            else f"The learning rate of each loss is the best of {', '.join(f'{rate:g}' for rate in RATES)} on every "
            "held-out third of the training digits, with another seed and half the length.",
            f"For 10 classes the lower bound of alpha is {bound:.2f} (p = 0.9). The checks use alpha 8, "
            "the first of our values above it, since the paper advises a low value above the bound.",
            "Angles are those of the features of test digits to the mean direction of their class, and of that "
            "direction to its nearest neighbor.",
        ],
        quick=quick,
        seeds=seeds,
        settings={
            **SETTINGS,
            "epochs": epochs,
            "models": {model: {**MODELS[model], "learning_rate": chosen[model]} for model in models},
        },
        figures=[
            seed_figure(f"{model}: {text}", values[model][metric])
            for model in models
            for metric, text in METRICS.items()
        ],
        checks=checks,
        comparisons=comparisons,
        runs=runs.done,
        minutes=runs.minutes,
        data={"alpha_lower_bound": bound, "data": digits.name, "sweep": sweep},
        arrays=_looks(runs, models, seeds[0]),
    )


def _looks(runs: Runs, models: tuple[str, ...], seed: int) -> dict[str, NDArray[Any]]:
    """The frames of each model with one seed: "MODEL/features" and so on."""
    arrays = {}
    for model in models:
        path = runs.folder(run_name(model, seed)) / "looks.npz"
        with reading(path, f"delete {path.parent}.json to repeat the run"), np.load(path) as file:
            arrays.update({f"{model}/{name}": file[name] for name in file.files})
    return arrays
