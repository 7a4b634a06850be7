"""The training curve, drawn from its log."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

from facever.errors import DataError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def training_curve(log: Path) -> str:
    """Loss, validation score and a learned alpha over the minutes of a training, as SVG.

    Parameters
    ----------
    log : Path
        The log.csv of a training.

    Raises
    ------
    DataError
        If it is not such a log.
    """
    from matplotlib.figure import Figure

    try:
        with log.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        minutes = [float(r["minutes"]) for r in rows]
        loss = [float(r["loss"]) for r in rows]
        alpha = [float(r["alpha"]) for r in rows]
        column = "validation_score" if "validation_score" in rows[0] else "validation_tar"
        fars = [float(r.get("validation_far", "0.001") or "nan") for r in rows if r[column]]
        validated = [(float(r["minutes"]), float(r[column])) for r in rows if r[column]]
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise DataError(f"{log}: not the log of a training ({error!r})") from error
    learned = max(alpha) > min(alpha)  # empty, so NaN, for a loss without alpha
    figure = Figure(figsize=(7, 4.5 if learned else 3), layout="constrained")
    panels = figure.subplots(1 + learned, sharex=True, squeeze=False, height_ratios=[2, 1][: 1 + learned])[:, 0]
    axes = panels[0]
    axes.plot(minutes, loss, color="#868e96", linewidth=1, label="loss (left)")
    axes.set_ylabel("loss")
    lines = axes.get_lines()
    if validated:
        right = axes.twinx()
        figure_of = "accuracy" if math.isnan(fars[-1]) else f"TAR at FAR {fars[-1]:g}"
        right.plot(*zip(*validated, strict=True), "o-", color="#0a7cff", label=f"held-out {figure_of} (right)")
        right.set_ylabel(figure_of.partition(" at")[0])
        lines = [*lines, *right.get_lines()]
    axes.legend(handles=lines, loc="center right")
    if learned:
        panels[1].plot(minutes, alpha, color="#e8590c")
        panels[1].set_ylabel("alpha")
    for each in panels:
        each.grid(alpha=0.3)
    panels[-1].set_xlabel("minutes")
    return svg_file(figure)


def svg_file(figure: Figure) -> str:
    """The content of an SVG file, on white, the same every time."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "facever"}):  # makes its ids deterministic
        figure.savefig(buffer, format="svg", metadata={"Date": None}, facecolor="white")
    return buffer.getvalue()
