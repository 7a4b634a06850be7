"""Plots of the study of robustness: false accepts among decided pairs, and how pairs come out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facever.reports.plots import INK, SERIES, new_axes
from facever.studies.outcome import Outcome
from facever.studies.plots import Drawing, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Shares of pairs, from the right answer to the wrong one.
GENUINE = {"same": SERIES[0], "undecided": "#adb5bd", "no_face": "#ced4da", "different": SERIES[4]}
STRANGERS = {"different": SERIES[0], "undecided": "#adb5bd", "no_face": "#ced4da", "same": SERIES[4]}
WORDS = {"same": "same person", "different": "different people", "undecided": "undecided", "no_face": "no face found"}
LEAST = 1e-5  # on the logarithmic axis; no false accept is drawn there


def drawings(outcome: Outcome) -> list[Drawing]:
    """FAR of decided pairs under each condition, and the answers to genuine pairs and to strangers."""
    conditions = outcome.data["conditions"]
    genuine = _answers(conditions, "genuine", GENUINE, "pairs of one person")
    return [_far(outcome), genuine, _answers(conditions, "strangers", STRANGERS, "pairs of strangers")]


def _far(outcome: Outcome) -> Drawing:
    conditions, promised = outcome.data["conditions"], outcome.data["promised_far"]
    figure, axes = new_axes("false accepts among decided strangers (log scale)", "")
    figure.set_size_inches(6.4, 7.6)
    told = []
    for row, record in enumerate(conditions.values()):
        for side, color, down in (("both", SERIES[1], -0.15), ("one", SERIES[0], 0.15)):
            far = record[side]["strangers"]["same_of_decided"]
            if far["value"] is None:
                axes.text(
                    1, row + 1.4 * down, "none decided", ha="right", va="center", color=color, fontsize="xx-small"
                )
                continue
            if far["ci95"] is not None:
                ends = [max(end, LEAST) for end in far["ci95"]]
                axes.plot(ends, [row + down] * 2, color=color, linewidth=2, alpha=0.5, solid_capstyle="butt")
            label = f"degraded: {side} of the pair" if row == 0 else None
            axes.plot([max(far["value"], LEAST)], [row + down], "o", color=color, markersize=4, label=label)
    for name, record in conditions.items():
        value = record["both"]["strangers"]["same_of_decided"]["value"]
        told.append(f"{name} {'none decided' if value is None else f'{value:.2g}'}")
    axes.axvline(promised, color=INK, linewidth=1, linestyle="--", label=f"promised: {promised:g}")
    axes.set_xscale("log")
    _rows(axes, list(conditions))
    _legend(figure, axes)
    text = f"False accept rate of decided pairs, both photographs degraded, with 95 % intervals: {', '.join(told)}."
    return drawn(figure, "far", "False accepts among decided pairs", text)


def _answers(conditions: dict[str, Any], kind: str, colors: dict[str, str], title: str) -> Drawing:
    """Stacked shares of the answers, both photographs degraded."""
    figure, axes = new_axes(f"share of {title}", "")
    figure.set_size_inches(6.4, 7.6)

    def share(record: dict[str, Any], key: str) -> float:
        return float(record["both"][kind][key]["value"] or 0.0)

    for row, record in enumerate(conditions.values()):
        left = 0.0
        for key, color in colors.items():
            label = WORDS[key] if row == 0 else None
            axes.barh(row, share(record, key), 0.75, left=left, color=color, label=label)
            left += share(record, key)
    _rows(axes, list(conditions))
    axes.set_xlim(0, 1)
    axes.set_axisbelow(True)
    _legend(figure, axes)
    right = next(iter(colors))
    told = ", ".join(f"{name} {share(record, right):.3f}" for name, record in conditions.items())
    text = f"Answers to {title}, both photographs degraded. Share of the right one: {told}."
    return drawn(figure, f"answers-{kind}", f"Answers to {title}", text)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize="small", loc="outside lower center", ncols=4, labelcolor=INK)


def _rows(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
