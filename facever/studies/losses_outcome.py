"""What the trainings of the study of losses say: figures, checks, and the data of its plots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facever.studies import losses_plan as plan
from facever.studies.faces import FACE_SETTINGS, Faces, face_settings
from facever.studies.intervals import (
    difference,
    over_seeds_and_people,
    paired_over_seeds,
    seed_figure,
    seeds_and_people,
    share_interval,
)
from facever.studies.outcome import Check, Comparison, Figure, Outcome
from facever.studies.runs import run_name
from facever.studies.strata import FAMILIES, FAR, OTHERS, Contrast, Floats, log_odds

KINDS = {
    "families": "families over other people",
    "degraded": "degraded photographs over whole ones",
    "thirds": "the hardest third over the easiest",
}


class Losses:
    """The finished trainings, and what is read from them."""

    def __init__(self, faces: Faces, trained: plan.Trained) -> None:
        self.faces, self.trained, self.runs = faces, trained, faces.runs
        self.seeds = trained.seeds
        sets = [faces.strata(face_settings(epochs=1, seed=seed)) for seed in self.seeds]
        # Only those that every seed's people are enough for.
        every = [contrast for _, _, contrasts in sets[0] for contrast in contrasts]
        self.contrasts = [c for c in every if self._measured(c.hard) and self._measured(c.easy)]

    def name(self, loss: str, seed: int) -> str:
        return run_name(loss, seed, self.trained.rates[loss])

    def record(self, loss: str, seed: int) -> dict[str, Any]:
        return dict(self.runs.done[self.name(loss, seed)])

    def values(self, loss: str, test: str, metric: str) -> list[float]:
        return [self.record(loss, seed)[test][metric] for seed in self.seeds]

    def tar(self, loss: str, stratum: str) -> list[float]:
        return [self.record(loss, seed)["strata"][stratum]["tar"] for seed in self.seeds]

    def odds(self, loss: str, stratum: str) -> tuple[Floats, Floats]:
        """The log odds of TAR of each seed (s,), and their replicates over people (s, r)."""
        records = [self.record(loss, seed)["strata"][stratum] for seed in self.seeds]
        drawn = [self.faces.replicates(self.name(loss, seed))[stratum] for seed in self.seeds]
        values = [float(log_odds(record["tar"], record["genuine"])) for record in records]
        return np.array(values), np.stack(
            [log_odds(draws, record["genuine"]) for draws, record in zip(drawn, records, strict=True)]
        )

    def gain(self, stratum: str, share: float | None = None) -> tuple[Floats, Floats]:
        """L2-softmax over softmax in log odds, with replicates; of the trainings with a share of hard photographs."""
        first, second = (
            self.odds(loss if share is None else plan.shared(loss, share), stratum)
            for loss in (plan.FIXED, plan.SOFTMAX)
        )
        return first[0] - second[0], first[1] - second[1]

    def _measured(self, stratum: str) -> bool:
        return all(
            stratum in self.record(loss, seed)["strata"] for loss in (plan.SOFTMAX, plan.FIXED) for seed in self.seeds
        )


def outcome_of(faces: Faces, trained: plan.Trained) -> Outcome:
    """The study's outcome; every training is done."""
    losses = Losses(faces, trained)
    tests = faces.test_names
    names = [loss for group in trained.groups for loss in group.losses]
    records = [losses.record(loss, seed) for loss in names for seed in losses.seeds]
    measured = [(t, metric) for t in tests for metric in plan.METRICS if all(metric in each[t] for each in records)]
    return Outcome(
        study="losses",
        title="Softmax, L2-softmax and center loss under equal conditions, and on hard photographs",
        claim=(
            "L2-softmax verifies better than softmax and than center loss, and center loss joined with it helps "
            "further (section 5.1). It gains most where photographs are hard, which softmax neglects (sections 1 and "
            "3)."
        ),
        method=plan.method_of(trained),
        quick=trained.quick,
        seeds=losses.seeds,
        settings={
            **FACE_SETTINGS,
            "losses": {
                loss: {
                    **group.settings(loss),
                    "learning_rate": trained.rates[loss],
                    "epochs": trained.epochs_of(group),
                }
                for group in trained.groups
                for loss in group.losses
            },
        },
        figures=[
            *(
                seed_figure(f"{loss}: {plan.metric_name(*of)}", losses.values(loss, *of))
                for loss in names
                for of in measured
            ),
            *_borne(trained),
        ],
        checks=[*_claimed(losses, tests[0], measured), *_interactions(losses), *_reasons(losses)],
        comparisons=[*_compared(losses, measured), *_by_stratum(losses)],
        runs=losses.runs.done,
        minutes=losses.runs.minutes,
        data={
            "sweep": {loss: _by_rate(found) for loss, found in trained.sweep.items()},
            "strata": _strata(losses),
            "interactions": [_interaction_record(losses, contrast) for contrast in losses.contrasts],
            "failed": {loss: _by_rate(found) for loss, found in trained.failed.items()},
            "borne_seeds": len(trained.borne_seeds),
            "hard_shares": _hard_shares(losses),
            "gradient_shares": _gradient_shares(losses),
        },
    )


def _claimed(losses: Losses, test: str, measured: Sequence[tuple[str, str]]) -> list[Check]:
    """The checks of section 5.1, fixed before any result: accuracy and the lowest FAR, on the first test set."""
    how = paired_over_seeds(len(losses.seeds))
    return [
        Check(
            f"{loss} minus {base}: {plan.metric_name(*of)}",
            *difference(losses.values(loss, *of), losses.values(base, *of)),
            how,
        )
        for loss, base in ((plan.FIXED, plan.SOFTMAX), (plan.FIXED, plan.CENTER), (plan.JOINED, plan.FIXED))
        for of in measured
        if of[0] == test and of[1] in ("accuracy", plan.METRICS[-1])
    ]


def _interactions(losses: Losses) -> list[Check]:
    """Whether L2-softmax gains more over softmax where photographs are harder: a check for each kind of difficulty."""
    checks = []
    for kind, words in KINDS.items():
        own = [_interaction(losses, contrast) for contrast in losses.contrasts if contrast.kind == kind]
        if own:
            values, draws = (np.mean([each[part] for each in own], axis=0) for part in (0, 1))
            what = f"{plan.FIXED} minus {plan.SOFTMAX}, log odds of TAR at FAR {FAR:g}: {words}"
            checks.append(Check(what, *seeds_and_people(values, draws), over_seeds_and_people(len(values))))
    return checks


def _interaction(losses: Losses, contrast: Contrast) -> tuple[Floats, Floats]:
    hard, easy = losses.gain(contrast.hard), losses.gain(contrast.easy)
    return hard[0] - easy[0], hard[1] - easy[1]


def _reasons(losses: Losses) -> list[Check]:
    """The paper's reasons: the gain on hard photographs where few are trained on; their share of the gradient."""
    checks = []
    if losses.trained.shares:
        least, most = min(s for s in losses.trained.shares if s), max(losses.trained.shares)
        few, many = losses.gain(FAMILIES, least), losses.gain(FAMILIES, most)
        gap = seeds_and_people(few[0] - many[0], few[1] - many[1])
        what = (
            f"{plan.FIXED} minus {plan.SOFTMAX} on families, log odds of TAR at FAR {FAR:g}: trained on {least:.0%} "
            f"families over {most:.0%}"
        ).replace("%", " %")
        checks.append(Check(what, *gap, over_seeds_and_people(len(losses.seeds))))
    ours, softmax = (_mean_shares(losses, loss) for loss in (plan.FIXED, plan.SOFTMAX))
    if ours and softmax:
        what = f"families' share of the gradient over a training: {plan.FIXED} minus {plan.SOFTMAX}"
        checks.append(Check(what, *difference(ours, softmax), paired_over_seeds(len(losses.seeds))))
    return checks


def _mean_shares(losses: Losses, loss: str) -> list[float]:
    """The families' share of the gradient, averaged over the epochs of each seed; empty without families."""
    courses = [losses.record(loss, seed)["gradient_shares"] for seed in losses.seeds]
    return [float(np.mean(course)) for course in courses] if all(courses) else []


def _compared(losses: Losses, measured: Sequence[tuple[str, str]]) -> list[Comparison]:
    how = paired_over_seeds(len(losses.seeds))
    pairs = [(loss, plan.SOFTMAX) for loss in plan.LOSSES if loss != plan.SOFTMAX]
    pairs += [(plan.FIXED, plan.CENTER), (plan.JOINED, plan.FIXED)]
    for group in losses.trained.groups[1:]:
        base, *others = group.losses
        pairs += [(loss, base) for loss in others]
    return [
        Comparison(
            loss, base, plan.metric_name(*of), *difference(losses.values(loss, *of), losses.values(base, *of)), how
        )
        for loss, base in pairs
        for of in measured
    ]


def _by_stratum(losses: Losses) -> list[Comparison]:
    """Each loss over softmax in each stratum, in TAR."""
    how = paired_over_seeds(len(losses.seeds))
    return [
        Comparison(
            loss,
            plan.SOFTMAX,
            f"{stratum}: TAR at FAR {FAR:g}",
            *difference(losses.tar(loss, stratum), losses.tar(plan.SOFTMAX, stratum)),
            how,
        )
        for loss in plan.LOSSES
        if loss != plan.SOFTMAX
        for stratum in _names(losses)
    ]


def _names(losses: Losses) -> list[str]:
    """The strata of every training, in order."""
    records = [losses.record(loss, seed)["strata"] for loss in plan.LOSSES for seed in losses.seeds]
    return [name for name in records[0] if all(name in each for each in records)]


def _strata(losses: Losses) -> dict[str, Any]:
    """TAR of each loss in each stratum, and the gain of L2-softmax in log odds."""
    found: dict[str, Any] = {}
    for name in _names(losses):
        gain, ci95 = seeds_and_people(*losses.gain(name))
        tars = {loss: float(np.mean(losses.tar(loss, name))) for loss in plan.LOSSES}
        found[name] = {"tar": tars, "gain": gain, "ci95": ci95}
    return found


def _interaction_record(losses: Losses, contrast: Contrast) -> dict[str, Any]:
    value, ci95 = seeds_and_people(*_interaction(losses, contrast))
    return {"kind": contrast.kind, "hard": contrast.hard, "easy": contrast.easy, "difference": value, "ci95": ci95}


def _hard_shares(losses: Losses) -> list[dict[str, Any]]:
    """By share of families in training: TAR of both losses, and the gain, on either kind of people."""
    rows = []
    for share in losses.trained.shares:
        for stratum in (FAMILIES, OTHERS):
            tars = {loss: losses.tar(plan.shared(loss, share), stratum) for loss in plan.HARD_LOSSES}
            points, points_ci95 = difference(tars[plan.FIXED], tars[plan.SOFTMAX])
            gain, ci95 = seeds_and_people(*losses.gain(stratum, share))
            means = {loss: float(np.mean(each)) for loss, each in tars.items()}
            row = {"share": share, "stratum": stratum, "tar": means, "gain": gain, "ci95": ci95}
            rows.append({**row, "points": points, "points_ci95": points_ci95})
    return rows


def _gradient_shares(losses: Losses) -> dict[str, Any]:
    """The families' share of the gradient after each epoch, by loss: mean over seeds, with Student's intervals."""
    found: dict[str, Any] = {}
    for loss in plan.LOSSES:
        courses = [losses.record(loss, seed)["gradient_shares"] for seed in losses.seeds]
        if all(courses):
            figures = [seed_figure("", list(of_epoch)) for of_epoch in zip(*courses, strict=True)]
            found[loss] = {"mean": [f.value for f in figures], "ci95": [f.ci95 for f in figures]}
    return found


def _borne(trained: plan.Trained) -> list[Figure]:
    """The share of seeds that fail to train, for each loss and learning rate, with Wilson's interval."""
    count = len(trained.borne_seeds)
    return [
        Figure(
            f"{loss} at a rate of {rate:g}: share of seeds that fail",
            failed / count,
            share_interval(failed, count),
            f"Wilson's, {count} seeds",
        )
        for loss, found in trained.failed.items()
        for rate, failed in found.items()
    ]


def _by_rate(found: dict[float, Any]) -> dict[str, Any]:
    return {f"{rate:g}": value for rate, value in sorted(found.items())}
