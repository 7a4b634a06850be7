"""The sweep of alpha, its lower bound, and how a learned alpha develops.

Ranjan et al. 2017, section 4.3 (the bound) and 5.1 (accuracy over alpha, fixed and learned).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.datasets.pairs import Pair
from facever.losses import alpha_lower_bound
from facever.metrics.bootstrap import People, Weights
from facever.studies.faces import FACE_SETTINGS, NETWORK_IN_WORDS, Faces, face_settings
from facever.studies.intervals import Bootstrapped, over_seeds, t_interval
from facever.studies.outcome import Check, Figure, Interval, Outcome, in_epochs
from facever.studies.runs import Options, Runs, run_name
from facever.studies.simplex import axis_directions, bound_probability, measured_probabilities, probabilities
from facever.training.callbacks import Callback

SEEDS, QUICK_SEEDS = 1, 1
EPOCHS, QUICK_EPOCHS = 8, 1
ALPHAS, QUICK_ALPHAS = (1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0, 64.0), (1.0, 16.0)
STARTS, QUICK_STARTS = (4.0, 16.0, 64.0), (4.0,)
P = 0.9
# Numbers of classes and values of alpha for which the theory is plotted.
CLASSES = (10, 100, 1000, 10_000, 100_000)
THEORY_ALPHAS = tuple(float(alpha) for alpha in np.arange(0.5, 24.01, 0.5))
SOFTMAX = "softmax"
REPLICATES = 1000


def run(options: Options, callback: Callback) -> Outcome:
    """As `facever.studies.run_study`."""
    runs = Runs(options.out, callback.say)
    faces = Faces(options, callback, runs)
    seeds = options.seed_list(QUICK_SEEDS if options.quick else SEEDS)
    epochs = QUICK_EPOCHS if options.quick else EPOCHS
    alphas, starts = (QUICK_ALPHAS, QUICK_STARTS) if options.quick else (ALPHAS, STARTS)
    models = models_of(alphas, starts)
    runs.planned = len(models) * len(seeds)
    for seed in seeds:
        for model, own in models.items():
            faces(run_name(model, seed), face_settings(**own, epochs=epochs, seed=seed))
    return _outcome(faces, models, alphas, seeds, epochs, options.quick)


def models_of(alphas: Sequence[float], starts: Sequence[float]) -> dict[str, dict[str, Any]]:
    """From a model's name to its settings: softmax, each fixed alpha, each start with and without weight decay."""
    models: dict[str, dict[str, Any]] = {SOFTMAX: {"loss": "softmax"}}
    for alpha in alphas:
        models[fixed(alpha)] = {"loss": "l2-softmax", "alpha": alpha}
    for start in starts:
        learned = {"loss": "l2-softmax", "alpha": start, "alpha_learned": True}
        models[f"learned from {start:g}, weight decay"] = learned
        models[f"learned from {start:g}, no decay"] = {**learned, "alpha_decay": 0.0}
    return models


def fixed(alpha: float) -> str:
    return f"alpha {alpha:g}"


def theory() -> dict[str, Any]:
    """The probability of the right class over alpha: on the best arrangement, on the paper's, and by its bound.

    Returns
    -------
    dict
        "alpha": the grid; "classes": a record for each C with "alpha_low", "measured" (simplex), "how" it was computed,
        "bound", "measured_at_alpha_low" and, for small C, "axes_at_alpha_low" (directions both ways along each axis,
        the arrangement that the bound takes).
    """
    records = []
    for classes in CLASSES:
        low = alpha_lower_bound(classes, P)
        (*found, at_low), how = probabilities(classes, [*THEORY_ALPHAS, low])
        record: dict[str, Any] = {
            "classes": classes,
            "alpha_low": low,
            "how": how,
            "measured": found,
            "bound": [bound_probability(classes, alpha) for alpha in THEORY_ALPHAS],
            "measured_at_alpha_low": at_low,
        }
        if how == "explicit":
            record["axes_at_alpha_low"] = measured_probabilities(axis_directions(classes), [low])[0]
        records.append(record)
    return {"p": P, "alpha": list(THEORY_ALPHAS), "classes": records}


def people_difference(
    first: Sequence[NDArray[np.bool_]], second: Sequence[NDArray[np.bool_]], pairs: Sequence[Pair]
) -> tuple[float, Interval]:
    """Mean accuracy of some models minus that of others on the same pairs, and its 95 % interval over people.

    Parameters
    ----------
    first, second : sequences of bool ndarrays of shape (n,)
        Which of the n pairs each model decided correctly.
    pairs : n Pair
    """
    gap = np.mean(first, axis=0, dtype=np.float64) - np.mean(second, axis=0, dtype=np.float64)  # (n,)
    people = People.of([str(pair.identity_a) for pair in pairs], [str(pair.identity_b) for pair in pairs])

    def mean_gap(weights: Weights | None) -> float:
        return float(np.average(gap, weights=weights)) if weights is None or weights.any() else math.nan

    drawn = Bootstrapped.of(people, mean_gap, REPLICATES)
    return drawn.number, drawn.ci95


def _outcome(
    faces: Faces, models: dict[str, dict[str, Any]], alphas: Sequence[float], seeds: list[int], epochs: int, quick: bool
) -> Outcome:
    test = faces.test_names[0]
    # Held-out people differ from seed to seed, so their pairs are concatenated.
    sets = [faces.lfw or faces.held_out(face_settings(epochs=1, seed=seed)) for seed in seeds]
    pairs = [pair for each in sets for pair in each.pairs]

    def correct(model: str) -> NDArray[np.bool_]:
        return np.concatenate([faces.correct(run_name(model, seed), test) for seed in seeds])

    def value(model: str, key: str) -> list[float]:
        return [faces.runs.done[run_name(model, seed)][test][key] for seed in seeds]

    classes = _training_classes(faces, seeds)
    bound = float(np.mean([alpha_lower_bound(count, P) for count in classes]))
    below = [fixed(alpha) for alpha in alphas if alpha <= bound / 2]
    above = [fixed(alpha) for alpha in alphas if bound <= alpha <= 3.5 * bound]
    learned = next(model for model in models if model.startswith("learned"))
    how = f"bootstrap over identities of {test}, {len(seeds)} training{'s' if len(seeds) > 1 else ''} a model"

    def check(what: str, ours: list[str], theirs: list[str]) -> Check:
        gap, ends = people_difference([correct(m) for m in ours], [correct(m) for m in theirs], pairs)
        return Check(f"accuracy: {what}", gap, ends, how)

    listed = {"below": ", ".join(below), "above": ", ".join(above)}
    claims = [
        (f"above the bound ({listed['above']}) minus far below it ({listed['below']})", above, below),
        (f"above the bound ({listed['above']}) minus softmax", above, [SOFTMAX]),
        (f"above the bound ({listed['above']}) minus {learned}", above, [learned]),
    ]
    # With very few people the bound may lie where none of the values does.
    checks = [check(what, ours, theirs) for what, ours, theirs in claims if ours and theirs]
    figures = []
    for model in models:
        for key in (
            k
            for k in ("accuracy", "tar_at_far_0.01", "tar_at_far_0.001")
            if all(k in faces.runs.done[run_name(each, seed)][test] for each in models for seed in seeds)
        ):
            name = f"{model}: {test}, {key.replace('tar_at_far_', 'TAR at FAR ')}"
            figures.append(_figure(name, value(model, key), value(model, f"{key}_ci95"), test))
    courses = {model: faces.course(run_name(model, seeds[0])) for model in models if model.startswith("learned")}
    figures += [
        Figure(f"{model}: alpha at its end", c["alpha"][-1], None, "one training") for model, c in courses.items()
    ]
    curve = theory()
    figures += [
        Figure(f"p on a simplex of {r['classes']:,} classes at alpha_low", r["measured_at_alpha_low"], None, r["how"])
        for r in curve["classes"]
    ]
    return Outcome(
        study="alpha",
        title="How alpha matters, and its lower bound",
        claim=(
            "Below alpha_low accuracy falls; above it L2-softmax beats softmax over a broad range; a learned alpha "
            "ends too large, so that a fixed, low one is better (sections 4.3 and 5.1)."
        ),
        method=[
            NETWORK_IN_WORDS,
            f"One training of {in_epochs(epochs)} a model and seed, all at a learning rate of "
            f"{FACE_SETTINGS['learning_rate']:g}: fixed alpha {', '.join(f'{a:g}' for a in alphas)}, softmax, and "
            "alpha learned from several starts, with the weight decay of all other weights and with none.",
            f"alpha_low for C = {', '.join(f'{c:,}' for c in classes)} and p = {P:g}: {bound:.2f}. Far below means up "
            f"to half of it, above means from it to 3.5 times. No check depends on other values.",
            "Theory: the probability of the right class for a feature alpha · w, with class directions w at the "
            "corners of a regular simplex, the arrangement of largest distance. Up to 1,000 classes the "
            "directions are written out and the softmax is computed; above, the exact structure of the simplex is used "
            "(all wrong classes have cosine −1/(C − 1)), since C × C cosines would not fit into memory.",
            "The paper's bound takes directions both ways along each axis, with cosine 0 to all but one, and leaves "
            "the opposite one out; a simplex does slightly better, so for few classes the bound asks for a little too "
            "much.",
        ],
        quick=quick,
        seeds=seeds,
        settings={**FACE_SETTINGS, "epochs": epochs, "models": models},
        figures=figures,
        checks=checks,
        runs=faces.runs.done,
        minutes=faces.runs.minutes,
        data={
            "alpha_low": {"p": P, "classes": classes, "value": bound},
            "fixed_alphas": list(alphas),
            "test_set": test,
            "courses": courses,
            "theory": curve,
        },
    )


def _figure(name: str, values: list[float], intervals: list[Any], test: str) -> Figure:
    if len(values) > 1:
        return Figure(name, float(np.mean(values)), t_interval(values), over_seeds(len(values)))
    low, high = intervals[0]
    return Figure(name, values[0], (low, high), f"bootstrap over identities of {test}, one training")


def _training_classes(faces: Faces, seeds: list[int]) -> list[int]:
    """C of the trainings with each seed."""
    return [faces.classes(run_name(SOFTMAX, seed)) for seed in seeds]
