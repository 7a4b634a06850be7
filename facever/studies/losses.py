"""The paper's comparison of losses at a small scale, and its reason: hard photographs.

Ranjan et al. 2017, section 5.1: softmax beside L2-softmax, and center loss joined with either. Section 3: softmax
neglects hard photographs, so L2-softmax should gain most on those.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from facever.errors import DataError
from facever.studies import losses_plan as plan
from facever.studies.faces import Faces, face_settings
from facever.studies.losses_outcome import outcome_of
from facever.studies.losses_plan import Group, Trained, planned, shared
from facever.studies.outcome import Outcome
from facever.studies.runs import Options, Runs, run_name
from facever.studies.strata import family_rows
from facever.training.callbacks import Callback


def run(options: Options, callback: Callback) -> Outcome:
    """As `facever.studies.run_study`."""
    runs = Runs(options.out, callback.say)
    faces = Faces(options, callback, runs)
    quick = options.quick
    trained = Trained(quick, options.full, options.seed_list(plan.QUICK_SEEDS if quick else plan.SEEDS))
    runs.planned = planned(trained)
    for group in trained.groups:
        train_group(faces if group is not plan.FULL else full_faces(faces), trained, group)
    train_shares(faces, trained)
    try_rates(faces, trained)
    return outcome_of(faces, trained)


def full_faces(faces: Faces) -> Faces:
    """The same with the crops of the paper's own network."""
    return replace(faces, alignment=plan.FULL.own["alignment"])


def train_group(faces: Faces, trained: Trained, group: Group) -> None:
    """Train each loss with every seed at its best rate."""
    for loss in group.losses:
        if not trained.quick:
            trained.sweep[loss] = swept(faces, loss, group)
        found = trained.sweep.get(loss, {plan.QUICK_RATE: 1.0})
        own = dict.fromkeys(trained.seeds, group.settings(loss))
        epochs = trained.epochs_of(group)
        trained.rates[loss] = trained_through(faces, loss, own, found, epochs, strata=group.strata)


def swept(faces: Faces, loss: str, group: Group) -> dict[float, float]:
    """From learning rate to the score of the sweep: TAR at FAR 1e-2 of people held out by a separate seed.

    Accuracy where the people are too few for that figure; 0 for a training that diverges.
    """
    found: dict[float, float] = {}

    def measure(rate: float) -> None:
        settings = face_settings(
            **group.settings(loss), learning_rate=rate, epochs=group.sweep_epochs, seed=plan.SWEEP_SEED
        )
        name = f"sweep-{run_name(loss, plan.SWEEP_SEED, rate)}"
        found[rate] = _score(faces(name, settings, may_diverge=True, lfw=False))

    for rate in group.rates:
        measure(rate)
    while len(found) < plan.MOST and (further := beyond(found, group.step)) is not None:
        measure(further)
    return found


def _score(record: dict[str, Any]) -> float:
    people = record.get("held-out people", {})
    return float(people.get(plan.SWEPT, people.get("accuracy", 0.0)))


def trained_through(
    faces: Faces,
    loss: str,
    own: Mapping[int, dict[str, Any]],
    found: Mapping[float, float],
    epochs: int,
    lfw: bool = True,
    strata: bool = False,
) -> float:
    """Train with every seed at the best rate of the sweep, or the next best if a seed diverges there; return the rate.

    Where none of the sweep's is left, at successively lower ones. `own`: from each seed to the settings of the loss;
    `lfw` and `strata` as for `Faces`.
    """
    lower = [float(f"{min(found) / plan.STEP**step:.2g}") for step in (1, 2, 3)]
    for rate in [*by_rank(found), *lower]:
        for seed, settings_of_seed in own.items():
            settings = face_settings(**settings_of_seed, learning_rate=rate, epochs=epochs, seed=seed)
            if "diverged" in faces(run_name(loss, seed, rate), settings, True, lfw, strata):
                break
        else:
            return rate
    raise DataError(f"{loss} diverges at every learning rate down to {lower[-1]:g}")


def by_rank(found: Mapping[float, float]) -> list[float]:
    """The rates by descending figure, the lowest of equals first, without those that diverged (a figure of 0)."""
    return sorted((rate for rate in found if found[rate] > 0), key=lambda rate: (-found[rate], rate))


def beyond(found: dict[float, float], step: float) -> float | None:
    """The rate to try next: a step beyond the end at which the best one is; None if it is inside."""
    best = next(iter(by_rank(found)), min(found))
    if best == max(found):
        return float(f"{best * step:.2g}")
    return float(f"{best / step:.2g}") if best == min(found) else None


def train_shares(faces: Faces, trained: Trained) -> None:
    """Train softmax and L2-softmax on equally many photographs of which some share shows families."""
    people = {seed: faces.training_people(face_settings(epochs=1, seed=seed)) for seed in trained.seeds}
    families = [family_rows(names) for names in people.values()]
    if not all(rows.any() and not rows.all() for rows in families):
        return
    trained.shares.extend(plan.QUICK_HARD_SHARES if trained.quick else plan.HARD_SHARES)
    epochs = trained.epochs_of(plan.MAIN)
    for loss in plan.HARD_LOSSES:
        for share in trained.shares:
            name, found = shared(loss, share), {trained.rates[loss]: 1.0}
            own = {s: {**plan.MAIN.settings(loss), "dropped": left_out(people[s], share, s)} for s in trained.seeds}
            trained.rates[name] = trained_through(faces, name, own, found, epochs, lfw=False, strata=True)


def left_out(identities: list[str], share: float, seed: int) -> list[str]:
    """Whom to leave out so that `share` of the photographs left show families, whatever the share equally many.

    People are drawn in the same order for every share, so that a larger share holds the families of a smaller one.

    Parameters
    ----------
    identities : list of str
        The person of each photograph.
    """
    names, counts = np.unique(identities, return_counts=True)
    family = family_rows(list(names))
    most = max(plan.HARD_SHARES)
    total = int(min(counts[~family].sum(), counts[family].sum() / most))
    order = np.random.default_rng([seed, 2]).permutation(len(names))
    dropped: list[str] = []
    for kind, wanted in ((family, share * total), (~family, (1 - share) * total)):
        own = order[kind[order]]
        taken = np.cumsum(counts[own]) <= wanted
        dropped += [str(name) for name in names[own[~taken]]]
    return sorted(dropped)


def try_rates(faces: Faces, trained: Trained) -> None:
    """Train shortly at each rate with several seeds, and count those that fail."""
    quick = trained.quick
    rates = plan.QUICK_BORNE_RATES if quick else plan.BORNE_RATES
    epochs = 1 if quick else plan.BORNE_EPOCHS
    trained.borne_seeds.extend(trained.seeds if quick else range(plan.BORNE_SEEDS))
    warmup = min(0.5, 0.03 * plan.EPOCHS / epochs)
    for loss in plan.BORNE_LOSSES[:2] if quick else plan.BORNE_LOSSES:
        failed = trained.failed.setdefault(loss, dict.fromkeys(rates, 0))
        for rate in rates:
            for seed in trained.borne_seeds:
                settings = face_settings(
                    **plan.MAIN.settings(loss), learning_rate=rate, epochs=epochs, seed=seed, warmup=warmup
                )
                name = f"borne-{run_name(loss, seed, rate)}"
                record = faces(name, settings, may_diverge=True, lfw=False)
                failed[rate] += _score(record) <= plan.GUESSED
