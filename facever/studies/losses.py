"""The paper's comparison of losses at a small scale.

Ranjan et al. 2017, section 5.1: softmax beside L2-softmax, and center loss joined with either.
"""

from __future__ import annotations

from typing import Any

from facever.errors import DataError
from facever.studies.faces import FACE_SETTINGS, NETWORK_IN_WORDS, Faces, face_settings
from facever.studies.intervals import difference, paired_over_seeds, seed_figure
from facever.studies.outcome import Check, Comparison, Outcome, in_epochs
from facever.studies.runs import Options, Runs, run_name
from facever.training.callbacks import Callback

SEEDS, QUICK_SEEDS = 3, 1
EPOCHS, QUICK_EPOCHS = 24, 1
SWEEP_EPOCHS, SWEEP_SEED = 6, 1000
# Where the best of these is at an end, the sweep continues beyond it, up to `MOST` rates.
RATES, QUICK_RATE, STEP, MOST = (0.03, 0.1, 0.3), 0.1, 3.0, 5
SOFTMAX, FIXED, LEARNED = "softmax", "l2-softmax, alpha 16", "l2-softmax, learned alpha"
CENTER, JOINED = "center loss", "l2-softmax, alpha 16, with center loss"
# Center loss counts 0.003 and its centers move by 0.5, the defaults, as Wen et al. 2016 have it.
LOSSES: dict[str, dict[str, Any]] = {
    SOFTMAX: {"loss": "softmax"},
    FIXED: {"loss": "l2-softmax", "alpha": 16.0},
    LEARNED: {"loss": "l2-softmax", "alpha": 4.0, "alpha_learned": True},
    CENTER: {"loss": "center"},
    JOINED: {"loss": "l2-center", "alpha": 16.0},
}
# Batch normalization after the dense layer keeps the features' norms similar under any loss, which the paper's network
# leaves to the loss. So the paper's main losses are trained without it as well, at a finer grid of rates, since there
# the losses differ in the highest rate that they tolerate.
PLAIN_RATES, PLAIN_STEP, PLAIN_EPOCHS = (0.1, 0.15, 0.2, 0.3), 1.5, 8
PLAIN_SOFTMAX, PLAIN_FIXED, PLAIN_CENTER = (f"{loss}, no feature norm" for loss in (SOFTMAX, FIXED, CENTER))
PLAIN = {PLAIN_SOFTMAX: SOFTMAX, PLAIN_FIXED: FIXED, PLAIN_CENTER: CENTER}
PLAIN_IN_WORDS = (
    "This network ends in batch normalization, which keeps the features' norms "
    f"similar under any loss. Without it, as in the paper's network, {', '.join(PLAIN.values())} are "
    f"trained once more, under equal conditions, for {in_epochs(PLAIN_EPOCHS)} at the best of "
    f"{', '.join(f'{rate:g}' for rate in PLAIN_RATES)}, and beyond where the best was at an end. No check depends on "
    "these."
)
METRICS = ("accuracy", "tar_at_far_0.01", "tar_at_far_0.001")
SWEPT = "tar_at_far_0.01"


def run(options: Options, callback: Callback) -> Outcome:
    """As `facever.studies.run_study`."""
    runs = Runs(options.out, callback.say)
    faces = Faces(options, callback, runs)
    seeds = options.seed_list(QUICK_SEEDS if options.quick else SEEDS)
    epochs = QUICK_EPOCHS if options.quick else EPOCHS
    trained = trainings(options.quick)
    runs.planned = len(trained) * len(seeds)
    sweep: dict[str, dict[float, float]] = {}
    if not options.quick:
        runs.planned += sum(len(PLAIN_RATES if loss in PLAIN else RATES) for loss in trained)
        sweep = {loss: swept(faces, loss, own) for loss, own in trained.items()}
    untried = {QUICK_RATE: 1.0}
    chosen = {
        loss: trained_through(
            faces, loss, own, sweep.get(loss, untried), PLAIN_EPOCHS if loss in PLAIN else epochs, seeds
        )
        for loss, own in trained.items()
    }
    return _outcome(runs, faces.test_names, seeds, epochs, sweep, chosen, options.quick)


def trainings(quick: bool) -> dict[str, dict[str, Any]]:
    """From the name of each loss and its network to its settings."""
    if quick:
        return LOSSES
    arguments = {**FACE_SETTINGS["network_arguments"], "feature_norm": False}
    return {**LOSSES, **{name: {**LOSSES[loss], "network_arguments": arguments} for name, loss in PLAIN.items()}}


def swept(faces: Faces, loss: str, own: dict[str, Any]) -> dict[float, float]:
    """From learning rate to the score of the sweep: TAR at FAR 1e-2 of people held out by a separate seed.

    Accuracy where the people are too few for that figure; 0 for a training that diverges.
    """
    step = PLAIN_STEP if loss in PLAIN else STEP
    rates = PLAIN_RATES if loss in PLAIN else RATES
    found: dict[float, float] = {}

    def measure(rate: float) -> None:
        settings = face_settings(**own, learning_rate=rate, epochs=SWEEP_EPOCHS, seed=SWEEP_SEED)
        record = faces(f"sweep-{run_name(loss, SWEEP_SEED, rate)}", settings, may_diverge=True)
        people = record.get("held-out people", {})
        found[rate] = people.get(SWEPT, people.get("accuracy", 0.0))

    for rate in rates:
        measure(rate)
    while len(found) < MOST and (further := beyond(found, step)) is not None:
        measure(further)
    return found


def trained_through(
    faces: Faces, loss: str, own: dict[str, Any], found: dict[float, float], epochs: int, seeds: list[int]
) -> float:
    """Train with every seed at the best rate of the sweep, or the next best if a seed diverges there; return the rate.

    Where none of the sweep's is left, at successively lower ones.
    """
    lower = [float(f"{min(found) / PLAIN_STEP**step:.2g}") for step in (1, 2, 3)]
    for rate in [*by_rank(found), *lower]:
        for seed in seeds:
            settings = face_settings(**own, learning_rate=rate, epochs=epochs, seed=seed)
            if "diverged" in faces(run_name(loss, seed, rate), settings, may_diverge=True):
                break
        else:
            return rate
    raise DataError(f"{loss} diverges at every learning rate down to {lower[-1]:g}")


def by_rank(found: dict[float, float]) -> list[float]:
    """The rates by descending figure, the lowest of equals first, without those that diverged (a figure of 0)."""
    return sorted((rate for rate in found if found[rate] > 0), key=lambda rate: (-found[rate], rate))


def beyond(found: dict[float, float], step: float = STEP) -> float | None:
    """The rate to try next: a step beyond the end at which the best one is; None if it is inside."""
    best = next(iter(by_rank(found)), min(found))
    if best == max(found):
        return float(f"{best * step:.2g}")
    return float(f"{best / step:.2g}") if best == min(found) else None


def metric_name(test: str, metric: str) -> str:
    """ "LFW, TAR at FAR 0.001" """
    return f"{test}, {metric.replace('tar_at_far_', 'TAR at FAR ')}"


def _outcome(
    runs: Runs,
    tests: list[str],
    seeds: list[int],
    epochs: int,
    sweep: dict[str, dict[float, float]],
    chosen: dict[str, float],
    quick: bool,
) -> Outcome:
    def values(loss: str, test: str, metric: str) -> list[float]:
        return [runs.done[run_name(loss, seed, chosen[loss])][test][metric] for seed in seeds]

    losses = trainings(quick)
    trained = [runs.done[run_name(loss, seed, chosen[loss])] for loss in losses for seed in seeds]
    measured = [(t, metric) for t in tests for metric in METRICS if all(metric in each[t] for each in trained)]
    how = paired_over_seeds(len(seeds))
    pairs = [(loss, SOFTMAX) for loss in LOSSES if loss != SOFTMAX] + [(FIXED, CENTER), (JOINED, FIXED)]
    if not quick:
        pairs += [(PLAIN_CENTER, PLAIN_SOFTMAX), (PLAIN_FIXED, PLAIN_SOFTMAX), (PLAIN_FIXED, PLAIN_CENTER)]
    comparisons = [
        Comparison(loss, base, metric_name(*of), *difference(values(loss, *of), values(base, *of)), how)
        for loss, base in pairs
        for of in measured
    ]
    # The checks were fixed before any result: accuracy, and the lowest FAR, on the first test set.
    claimed = [of for of in measured if of[0] == tests[0] and of[1] in ("accuracy", METRICS[-1])]
    checks = [
        Check(f"{loss} minus {base}: {metric_name(*of)}", *difference(values(loss, *of), values(base, *of)), how)
        for loss, base in ((FIXED, SOFTMAX), (FIXED, CENTER), (JOINED, FIXED))
        for of in claimed
    ]
    return Outcome(
        study="losses",
        title="Softmax, L2-softmax and center loss under equal conditions",
        claim=(
            "L2-softmax verifies better than softmax and than center loss, and center loss joined with it helps "
            "further (section 5.1)."
        ),
        method=[
            NETWORK_IN_WORDS,
            f"The same seeds, held-out people, batches, augmentation and schedule for all losses: "
            f"{in_epochs(epochs)} of SGD with momentum, {len(seeds)} seeds.",
            f"One learning rate for all, {QUICK_RATE:g}, not tuned."
            if quick
            else f"The learning rate of each loss is the best of {', '.join(f'{rate:g}' for rate in RATES)}, and "
            f"beyond where the best was at an end, by TAR at FAR 1e-2 of held-out people after {SWEEP_EPOCHS} epochs. "
            "The sweep has another seed, and so other held-out people than the figures. Where a seed diverges at "
            "the best rate, all take the next best.",
            "The last network of each training counts, as the schedule ends there; LFW took no part in any choice.",
            "Accuracy is that of listed pairs at thresholds from other folds, TAR at FAR that of every pair of the "
            "test photographs.",
            *(() if quick else (PLAIN_IN_WORDS,)),
        ],
        quick=quick,
        seeds=seeds,
        settings={
            **FACE_SETTINGS,
            "epochs": epochs,
            "losses": {
                loss: {**own, "learning_rate": chosen[loss], **({"epochs": PLAIN_EPOCHS} if loss in PLAIN else {})}
                for loss, own in losses.items()
            },
        },
        figures=[seed_figure(f"{loss}: {metric_name(*of)}", values(loss, *of)) for loss in losses for of in measured],
        checks=checks,
        comparisons=comparisons,
        runs=runs.done,
        minutes=runs.minutes,
        data={
            "sweep": {loss: {f"{rate:g}": value for rate, value in sorted(f.items())} for loss, f in sweep.items()},
        },
    )
