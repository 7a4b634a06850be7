"""Plots of an evaluation as SVG that inherits the page's colors."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facever.metrics.decisions import undecided_curve
from facever.weights.records import Likelihood

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A unique color, replaced by the page's text color, light or dark.
INK = "#010203"
SERIES = ("#0a7cff", "#e8590c", "#2f9e44", "#9c36b5", "#e03131", "#1098ad")

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ScoredPairs:
    """A model's scores of some pairs, (n,) each; `counts` are weights, 1 by default."""

    name: str
    cosines: Floats
    same: Bools
    counts: NDArray[np.integer[Any]] | None = None

    @property
    def weights(self) -> Floats:
        return np.ones(len(self.cosines)) if self.counts is None else self.counts.astype(np.float64)


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot for the page: SVG and alternative text."""

    title: str
    svg: str
    text: str


def roc(models: Sequence[ScoredPairs]) -> Plot:
    """TAR over FAR, FAR on a logarithmic axis."""
    from sklearn.metrics import roc_auc_score, roc_curve

    figure, axes = new_axes("FAR", "TAR")
    summary = []
    for model, color in zip(models, SERIES, strict=False):
        far, tar, _ = roc_curve(model.same, model.cosines, sample_weight=model.weights)
        shown = _thinned(np.maximum(far, _least(model)), tar)
        axes.step(*shown, where="post", color=color, label=model.name)
        summary.append(f"{model.name}: AUC {roc_auc_score(model.same, model.cosines, sample_weight=model.weights):.5f}")
    axes.set_xscale("log")
    _legend(axes, models)
    return Plot("ROC", svg_text(figure), f"True accept rate over false accept rate. {'; '.join(summary)}.")


def det(models: Sequence[ScoredPairs]) -> Plot:
    """1 - TAR over FAR, both on logarithmic axes."""
    from sklearn.metrics import roc_curve

    figure, axes = new_axes("FAR", "1 − TAR")
    summary = []
    for model, color in zip(models, SERIES, strict=False):
        far, tar, _ = roc_curve(model.same, model.cosines, sample_weight=model.weights)
        miss = 1 - tar
        floor = 0.5 / model.weights[model.same].sum()
        axes.step(*_thinned(np.maximum(far, _least(model)), np.maximum(miss, floor)), where="post", color=color)
        crossing = int(np.argmin(np.abs(miss - far)))
        summary.append(f"{model.name}: equal error rate near {max(far[crossing], miss[crossing]):.4f}")
    axes.set(xscale="log", yscale="log")
    _legend(axes, models)
    return Plot("DET", svg_text(figure), f"False reject rate over false accept rate. {'; '.join(summary)}.")


def histograms(model: ScoredPairs, threshold: float | None) -> Plot:
    """Densities of genuine and impostor cosines, with the threshold if there is one."""
    figure, axes = new_axes("cosine", "density")
    bins = np.linspace(model.cosines.min(), model.cosines.max() + 1e-9, 60).tolist()
    for kind, chosen, color in (("impostor", ~model.same, SERIES[1]), ("genuine", model.same, SERIES[0])):
        values, weights = model.cosines[chosen], model.weights[chosen]
        axes.hist(values, bins, weights=weights, density=True, color=color, alpha=0.6, label=f"{kind} pairs")
    if threshold is not None:
        axes.axvline(threshold, color=INK, linestyle="--", linewidth=1, label=f"threshold {threshold:.4f}")
    axes.legend(frameon=False)
    genuine, impostor = _median(model, model.same), _median(model, ~model.same)
    text = f"Histograms: genuine pairs around {genuine:.3f}, impostor pairs around {impostor:.3f}."
    return Plot("Cosines", svg_text(figure), text)


def calibration(model: ScoredPairs, line: Likelihood, bins: int = 12) -> Plot:
    """Share of genuine pairs over the probability by the likelihood ratio, both kinds weighted equally."""
    figure, axes = new_axes("probability by the likelihood ratio, prior ½", "share of genuine pairs")
    log_ratio = line.slope * model.cosines + line.offset
    probability = 1 / (1 + np.exp(-np.clip(log_ratio, -60, 60)))
    weight = np.where(model.same, 0.5 / model.weights[model.same].sum(), 0.5 / model.weights[~model.same].sum())
    weight = weight * model.weights
    which = np.minimum((probability * bins).astype(int), bins - 1)
    total = np.bincount(which, weight, bins)
    there = total > 0
    mean = np.bincount(which, weight * probability, bins)[there] / total[there]
    share = np.bincount(which, weight * model.same, bins)[there] / total[there]
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--", alpha=0.5)
    axes.plot(mean, share, "o-", color=SERIES[0])
    worst = float(np.abs(mean - share).max())
    text = f"Calibration: at most {worst:.2f} off the diagonal. Cllr {line.cllr:.3f} bits."
    return Plot("Calibration", svg_text(figure), text)


def undecided(model: ScoredPairs, threshold: float) -> Plot:
    """The share of wrong decisions over the share left undecided, as a band around the threshold widens."""
    figure, axes = new_axes("undecided, %", "wrong of decided, %")
    share, error = undecided_curve(model.cosines, model.same, model.weights, threshold)
    axes.plot(100 * share, 100 * error, color=SERIES[0])
    axes.set_ylim(bottom=0)
    tenth = float(np.interp(0.1, share, error))
    text = (
        f"Wrong decisions, mean of both kinds of pair, over the share left undecided around {threshold:.4f}: "
        f"{100 * error[0]:.2f} % with none, {100 * tenth:.2f} % with a tenth."
    )
    return Plot("Errors beside undecided", svg_text(figure), text)


def quality(norms: Floats, correct: Bools, bins: int = 5) -> Plot | None:
    """Accuracy in bins of equal count, by the lower norm of a pair; None where norms are unknown."""
    if not np.isfinite(norms).all() or len(norms) < bins:
        return None
    order = np.argsort(norms, kind="stable")
    parts = np.array_split(order, bins)
    accuracy = [float(correct[part].mean()) for part in parts]
    labels = [f"{norms[part[0]]:.4g}–{norms[part[-1]]:.4g}" for part in parts]
    figure, axes = new_axes("lower feature norm of the pair", "accuracy")
    axes.bar(labels, accuracy, color=SERIES[0], alpha=0.8)
    axes.set_ylim(max(0.0, min(accuracy) - 0.05), 1.0)
    summary = ", ".join(f"{label}: {100 * value:.2f} %" for label, value in zip(labels, accuracy, strict=True))
    return Plot("Accuracy by quality", svg_text(figure), f"Accuracy by the lower norm of the pair: {summary}.")


def _least(model: ScoredPairs) -> float:
    """Where a FAR of 0 is plotted on a logarithmic axis: half of one false accept."""
    return float(0.5 / model.weights[~model.same].sum())


def _median(model: ScoredPairs, kind: Bools) -> float:
    values, weights = model.cosines[kind], model.weights[kind]
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    # The mean of the middle two where their number is even.
    middle = np.searchsorted(total, [total[-1] / 2, np.nextafter(total[-1] / 2, np.inf)])
    return float(values[order][middle].mean())


def _thinned(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """A curve thinned to visible steps: a thousandth of either axis, x being logarithmic."""
    cells = np.stack([np.round(np.log10(x) * 250), np.round(y * 1000), np.round(np.log10(np.maximum(y, 1e-9)) * 250)])
    changed = np.append(True, (np.diff(cells, axis=1) != 0).any(axis=0))
    changed[-1] = True
    return x[changed], y[changed]


def new_axes(x: str, y: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.tick_params(colors=INK, which="both")
    for side, spine in axes.spines.items():
        spine.set_color(INK)
        spine.set_visible(side in ("left", "bottom"))
    axes.grid(True, color=INK, alpha=0.12, linewidth=0.6)
    return figure, axes


def _legend(axes: Axes, models: Sequence[ScoredPairs]) -> None:
    if len(models) > 1:
        axes.legend([model.name for model in models], frameon=False)


def svg_text(figure: Figure) -> str:
    """The figure as an <svg> element: text as text, no fixed size, the page's text color, deterministic."""
    import matplotlib as mpl

    for axes in figure.axes:
        legend = axes.get_legend()
        for text in legend.get_texts() if legend else []:
            text.set_color(INK)
    # A fixed salt makes its ids deterministic; two drawings on a page must not share them.
    salt = figure.axes[0].get_ylabel() + figure.axes[0].get_xlabel()
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    head, rest = svg.split(">", 1)
    return re.sub(r' (?:width|height)="[^"]*"', "", head) + ">" + rest
