"""Plots of the study of losses: each metric, the differences to softmax, and the sweep of learning rates."""

from __future__ import annotations

import math

from facever.studies.losses import PLAIN, PLAIN_SOFTMAX, SOFTMAX
from facever.studies.outcome import Outcome
from facever.studies.plots import Curve, Drawing, curves, file_name, metrics_of, points, values_of


def drawings(outcome: Outcome) -> list[Drawing]:
    """Each metric's values and differences to softmax, for both networks; then both sweeps.

    The network without feature normalization is trained for another length, so its values are plotted apart.
    """
    metrics = metrics_of(outcome, SOFTMAX)
    found = []
    for metric in metrics:
        name = file_name(metric)
        values = {loss: value for loss, value in values_of(outcome, metric).items() if loss not in PLAIN}
        summary = ", ".join(f"{loss} {value:.4f}" for loss, (value, _) in values.items())
        text = f"{metric}, mean over {len(outcome.seeds)} seeds with a 95 % interval: {summary}."
        found.append(points(name, metric, text, metric.split(", ")[-1], values))
        found.append(_differences(f"{name}-difference", outcome, metric, SOFTMAX))
    if any(row.baseline == PLAIN_SOFTMAX for row in outcome.comparisons):
        found += [
            _differences(f"{file_name(metric)}-difference-no-feature-norm", outcome, metric, PLAIN_SOFTMAX)
            for metric in metrics
        ]
    plain = {loss: rates for loss, rates in outcome.data["sweep"].items() if loss in PLAIN}
    others = {loss: rates for loss, rates in outcome.data["sweep"].items() if loss not in PLAIN}
    found += _sweep("sweep", "Learning rates", others)
    return found + _sweep("sweep-no-feature-norm", "Learning rates without feature normalization", plain)


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
