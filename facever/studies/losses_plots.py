"""Plots of the study of losses: each metric; strata, interactions, rates, shares of hard photographs, gradients."""

from __future__ import annotations

import math
from typing import Any

from facever.studies.losses_plan import FIXED, FULL, GUESSED, LOSSES, MAIN, NORMALIZED, SOFTMAX
from facever.studies.outcome import Outcome
from facever.studies.plots import Curve, Drawing, curves, file_name, metrics_of, points, values_of
from facever.studies.strata import FAMILIES, FAR

GAIN = "gain in log odds"


def drawings(outcome: Outcome) -> list[Drawing]:
    """The claim on hard photographs first; then each metric's values and differences to softmax; the sweeps."""
    found = [*_by_stratum(outcome), *_hard_shares(outcome), *_gradients(outcome), *_failed(outcome)]
    for metric in metrics_of(outcome, SOFTMAX):
        name = file_name(metric)
        values = {loss: value for loss, value in values_of(outcome, metric).items() if loss in LOSSES}
        summary = ", ".join(f"{loss} {value:.4f}" for loss, (value, _) in values.items())
        text = f"{metric}, mean over {len(outcome.seeds)} seeds with a 95 % interval: {summary}."
        found.append(points(name, metric, text, metric.split(", ")[-1], values))
        found.append(_differences(f"{name}-difference", outcome, metric, SOFTMAX))
        found += [
            _differences(f"{name}-difference-{end}", outcome, metric, base)
            for base, end in ((next(iter(NORMALIZED.losses)), "feature-norm"), (next(iter(FULL.losses)), "full"))
            if any(row.baseline == base for row in outcome.comparisons)
        ]
    for end, title, losses in (
        ("", "Learning rates", MAIN.losses),
        ("-feature-norm", "Learning rates with feature normalization", NORMALIZED.losses),
        ("-full", "Learning rates of the full network", FULL.losses),
    ):
        found += _sweep(f"sweep{end}", title, {k: rates for k, rates in outcome.data["sweep"].items() if k in losses})
    return found


def _by_stratum(outcome: Outcome) -> list[Drawing]:
    """The gain of L2-softmax over softmax in each stratum, and how it differs between hard and easy ones."""
    strata: dict[str, Any] = outcome.data["strata"]
    gains = {f"{name} ({_percent(own['tar'][SOFTMAX])})": (own["gain"], own["ci95"]) for name, own in strata.items()}
    interactions = {each["hard"]: (each["difference"], each["ci95"]) for each in outcome.data["interactions"]}
    over = f"{FIXED} over {SOFTMAX}, log odds of TAR at FAR {FAR:g}"
    found = []
    if gains:
        text = f"Gain of {over}, in each stratum (in parentheses softmax's TAR), with a 95 % interval: {_told(gains)}."
        found.append(points("gain-by-stratum", "Gain by stratum", text, GAIN, gains, zero=True))
    if interactions:
        text = (
            f"How much more {over} gains on hard photographs than on the same ones undegraded, on the easiest third, "
            f"or on other people than families: {_told(interactions)}."
        )
        title = "Gain on hard photographs minus that on easy ones"
        found.append(points("interaction", title, text, "difference of gains", interactions, zero=True))
    return found


def _hard_shares(outcome: Outcome) -> list[Drawing]:
    """The gain over the share of families among the training photographs."""
    rows: list[dict[str, Any]] = outcome.data["hard_shares"]
    if not rows:
        return []
    lines = []
    for stratum in dict.fromkeys(row["stratum"] for row in rows):
        own = [row for row in rows if row["stratum"] == stratum]
        shares, gains = [row["share"] for row in own], [row["gain"] for row in own]
        lines.append(Curve(f"on {stratum}", shares, gains, _band([row["ci95"] for row in own])))
    told = ", ".join(f"{row['share']:g}: {row['gain']:+.3f}" for row in rows if row["stratum"] == FAMILIES)
    title = "Gain over the share of hard photographs in training"
    text = f"Gain of {FIXED} over {SOFTMAX}, log odds of TAR at FAR {FAR:g}; on families {told}."
    return [curves("hard-shares", title, text, "share of families in training", GAIN, lines, marks=True)]


def _gradients(outcome: Outcome) -> list[Drawing]:
    """The families' share of the gradient over the epochs."""
    shares: dict[str, Any] = outcome.data["gradient_shares"]
    if not shares:
        return []
    lines = [
        Curve(loss, list(range(1, len(own["mean"]) + 1)), own["mean"], _band(own["ci95"]))
        for loss, own in shares.items()
    ]
    told = ", ".join(f"{loss} {own['mean'][-1]:.3f}" for loss, own in shares.items())
    title = "Families' share of the gradient"
    text = f"Share of as many photographs of families as of others, after each epoch; at the end {told}."
    return [curves("gradient-shares", title, text, "epoch", "share of the gradient", lines)]


def _failed(outcome: Outcome) -> list[Drawing]:
    """The share of seeds that fail over the learning rate."""
    failed: dict[str, Any] = outcome.data["failed"]
    figures = {figure.name: figure.ci95 for figure in outcome.figures}
    count = outcome.data["borne_seeds"]
    lines = []
    for loss, by_rate in failed.items():
        intervals = [figures[f"{loss} at a rate of {rate}: share of seeds that fail"] for rate in by_rate]
        rates = [float(rate) for rate in by_rate]
        lines.append(Curve(loss, rates, [hits / count for hits in by_rate.values()], _band(intervals)))
    told = "; ".join(f"{loss} {_first_failure(by_rate)}" for loss, by_rate in failed.items())
    text = (
        f"Share of {count} seeds that diverge or end at a TAR at FAR 1e-2 of {GUESSED:g} or less. Fails from: {told}."
    )
    title = "Learning rates that a loss bears"
    return [curves("failed", title, text, "learning rate", "share of seeds that fail", lines, log_x=True, marks=True)]


def _first_failure(by_rate: dict[str, int]) -> str:
    return next((rate for rate, hits in by_rate.items() if hits), "nowhere")


def _band(intervals: list[Any]) -> tuple[list[float], list[float]] | None:
    if any(each is None for each in intervals):
        return None
    return [low for low, _ in intervals], [high for _, high in intervals]


def _percent(tar: float) -> str:
    return f"{100 * tar:.0f} %"


def _told(values: dict[str, tuple[float, Any]]) -> str:
    return ", ".join(f"{name} {value:+.3f}" for name, (value, _) in values.items())


def _differences(name: str, outcome: Outcome, metric: str, baseline: str) -> Drawing:
    gaps = {
        row.loss: (row.difference, row.ci95)
        for row in outcome.comparisons
        if row.metric == metric and row.baseline == baseline
    }
    summary = ", ".join(f"{loss} {gap:+.4f}" for loss, (gap, _) in gaps.items())
    title = f"{metric}: difference to {baseline}"
    text = f"{title} over the same seeds, with a paired 95 % interval: {summary}."
    return points(name, title, text, "difference", gaps, zero=True)


def _sweep(name: str, title: str, swept: dict[str, dict[str, float]]) -> list[Drawing]:
    if max(map(len, swept.values()), default=0) < 2:
        return []  # a quick study does not sweep
    lines = [Curve(loss, [math.log10(float(r)) for r in found], list(found.values())) for loss, found in swept.items()]
    best = ", ".join(f"{loss} {max(found, key=lambda rate: found[rate])}" for loss, found in swept.items())
    text = f"TAR at FAR 1e-2 of held-out people over the learning rate, 0 where it diverged. Best: {best}."
    return [curves(name, title, text, "log10 of the learning rate", "TAR at FAR 1e-2", lines, marks=True)]
