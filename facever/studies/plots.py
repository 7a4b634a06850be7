"""Plots of studies: points with intervals, curves, scatters, each as SVG and PNG."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facever.reports.plots import INK, SERIES, new_axes, svg_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from facever.studies.outcome import Interval, Outcome

DPI = 150
# One for each of ten digits, distinguishable in light and dark.
TEN = (*SERIES, "#f08c00", "#868e96", "#d6336c", "#74b816")


@dataclass(frozen=True, slots=True)
class Drawing:
    """A plot of a page: `name` of its files, SVG text for the page, PNG, and alternative text."""

    name: str
    title: str
    svg: str
    png: bytes
    text: str


@dataclass(frozen=True, slots=True)
class Curve:
    """A line through points, with a band where `band` gives its lower and upper ends."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    band: tuple[Sequence[float], Sequence[float]] | None = None
    dashed: bool = False
    color: int | None = None


def metrics_of(outcome: Outcome, model: str) -> list[str]:
    """The metrics for which a model has figures, in the order of the study."""
    return [f.name.removeprefix(f"{model}: ") for f in outcome.figures if f.name.startswith(f"{model}: ")]


def values_of(outcome: Outcome, metric: str) -> dict[str, tuple[float, Interval | None]]:
    """From each model to its figure of a metric, and the figure's interval."""
    end = f": {metric}"
    return {f.name.removesuffix(end): (f.value, f.ci95) for f in outcome.figures if f.name.endswith(end)}


def file_name(metric: str) -> str:
    """ "LFW, accuracy" -> "lfw-accuracy" """
    return "".join(c if c.isalnum() else "-" for c in metric.lower()).replace("--", "-")


def points(
    name: str,
    title: str,
    text: str,
    x_label: str,
    values: Mapping[str, tuple[float, Interval | None]],
    zero: bool = False,
) -> Drawing:
    """A row for each value, with its interval as a bar; `zero` adds a line at 0."""
    figure, axes = new_axes(x_label, "")
    labels = list(values)
    figure.set_figheight(max(float(figure.get_figheight()), 0.9 + 0.22 * len(labels)))
    for row, (value, interval) in enumerate(values.values()):
        if interval is not None:
            axes.plot(interval, [row, row], color=SERIES[0], linewidth=2, alpha=0.55, solid_capstyle="butt")
        axes.plot([value], [row], "o", color=SERIES[0])
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    if zero:
        axes.axvline(0, color=INK, linewidth=1, linestyle="--", alpha=0.6)
    return drawn(figure, name, title, text)


def curves(
    name: str,
    title: str,
    text: str,
    x_label: str,
    y_label: str,
    lines: Sequence[Curve],
    *,
    log_x: bool = False,
    log_y: bool = False,
    vertical: Mapping[str, float] | None = None,
    horizontal: Mapping[str, tuple[float, Interval | None]] | None = None,
    marks: bool = False,
) -> Drawing:
    """Lines over one axis; `vertical` and `horizontal` are straight ones with a name."""
    figure, axes = new_axes(x_label, y_label)
    for index, line in enumerate(lines):
        color = SERIES[(index if line.color is None else line.color) % len(SERIES)]
        style = "--" if line.dashed else "-"
        marked = marks or len(line.x) < 2
        axes.plot(line.x, line.y, style, marker="o" if marked else None, markersize=4, color=color, label=line.label)
        if line.band is not None:
            axes.fill_between(line.x, *line.band, color=color, alpha=0.15, linewidth=0)
    for label, at in (vertical or {}).items():
        axes.axvline(at, color=INK, linewidth=1, linestyle=":", label=label)
    for label, (at, interval) in (horizontal or {}).items():
        axes.axhline(at, color=SERIES[1], linewidth=1.2, linestyle="--", label=label)
        if interval is not None:
            axes.axhspan(*interval, color=SERIES[1], alpha=0.12, linewidth=0)
    if log_x:
        axes.set_xscale("log", base=2 if max(max(line.x) for line in lines) <= 256 else 10)
        axes.xaxis.set_major_formatter("{x:g}")
    if log_y:
        axes.set_yscale("log")
    axes.legend(frameon=False, fontsize="small")
    return drawn(figure, name, title, text)


def grid(
    name: str, title: str, text: str, label: str, rows: Sequence[str], columns: Sequence[str], cells: NDArray[Any]
) -> Drawing:
    """A table of values (r, c) as colored fields with their numbers; cells that are not numbers stay empty."""
    figure, axes = new_axes(label, label)
    shown = np.ma.masked_invalid(cells)
    low, high = (float(shown.min()), float(shown.max())) if shown.count() else (0.0, 1.0)
    # Only the light half of the color map is used, so that dark numbers are readable everywhere.
    axes.imshow(shown, cmap="Blues", vmin=low - 0.02, vmax=high + 1.5 * (high - low) + 0.05, aspect="auto")
    for (row, column), value in np.ndenumerate(cells):
        if np.isfinite(value):
            axes.text(column, row, f"{value:.3f}", ha="center", va="center", color="#0b1d33", fontsize="small")
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.grid(False)
    return drawn(figure, name, title, text)


def scatter(
    name: str,
    title: str,
    text: str,
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    directions: NDArray[np.float32],
) -> Drawing:
    """Features of two components (n, 2), colored by their class, and the classifier's directions (C, 2)."""
    figure, axes = new_axes("first component", "second component")
    figure.set_size_inches(4.4, 4.4)
    scatter_on(axes, features, labels, directions, reach_of(features))
    return drawn(figure, name, title, text)


def reach_of(features: NDArray[np.float32]) -> float:
    """Half the side of the square around the origin that contains all features."""
    return 1.08 * max(float(np.abs(features).max()), 1e-6)


def scatter_on(
    axes: Axes, features: NDArray[np.float32], labels: NDArray[np.int64], directions: NDArray[np.float32], reach: float
) -> None:
    """Draw features and directions; these as rays to the edge, since only their angle is meant."""
    for label in range(len(directions)):
        own = features[labels == label]
        axes.scatter(own[:, 0], own[:, 1], s=5, color=TEN[label % len(TEN)], linewidths=0)
        direction = directions[label] / max(float(np.linalg.norm(directions[label])), 1e-12)
        axes.plot(
            *np.stack([0 * direction, reach * direction]).T, color=TEN[label % len(TEN)], linewidth=0.9, alpha=0.7
        )
        axes.annotate(
            str(label),
            tuple(0.94 * reach * direction),
            ha="center",
            va="center",
            color=TEN[label % len(TEN)],
            fontweight="bold",
        )
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")


def drawn(figure: Figure, name: str, title: str, text: str) -> Drawing:
    svg = svg_text(figure)
    # Each drawing of a page has its own ids, even where two have the same axes.
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return Drawing(name, title, svg, buffer.getvalue(), text)
