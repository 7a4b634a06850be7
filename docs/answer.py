"""Draw `pictures/answer.svg`: where cosines of one person and of strangers lie, and what the answer is there.

From benchmarks/results/answers.json. `python docs/answer.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

import numpy as np
from drawing import GRAY, STYLE
from matplotlib.figure import Figure

DOCS = Path(__file__).resolve().parent
RESULT = DOCS.parent / "benchmarks" / "results" / "answers.json"
SHOWN = "celeba"
COLORS = {"strangers": "#e8590c", "genuine": "#0a7cff"}
NAMES = {"strangers": "different people", "genuine": "one person"}


def draw(file: Path) -> None:
    result: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8"))
    lower, upper = result["lower_threshold"], result["threshold"]
    with matplotlib.rc_context(STYLE):
        figure = Figure((7.5, 3.8))
        axes = figure.add_subplot()
        for kind, color in COLORS.items():
            density = np.array(result["sets"][SHOWN]["densities"][kind])
            edges = np.linspace(-1, 1, len(density) + 1)
            axes.stairs(density, edges, fill=True, color=color, alpha=0.3)
            axes.stairs(density, edges, color=color)
            peak = edges[density.argmax()]
            axes.text(peak, density.max() + 0.08, f"pairs of {NAMES[kind]}", color=color, ha="center", va="bottom")
        top = axes.get_ylim()[1] * 1.2
        axes.axvspan(lower, upper, color=GRAY, alpha=0.18, linewidth=0)
        for x in (lower, upper):
            axes.axvline(x, color=GRAY, linewidth=1)
        label = {"ha": "center", "va": "top", "fontweight": "bold"}
        axes.text((-0.4 + lower) / 2, top * 0.97, "different people", **label)
        axes.text((lower + upper) / 2, top * 0.97, "undecided", **label)
        axes.text((upper + 1) / 2, top * 0.97, "same person", **label)
        axes.set(xlim=(-0.4, 1), ylim=(0, top), xlabel="cosine")
        axes.set_xticks([-0.25, 0, lower, upper, 0.75, 1], ["-0.25", "0", f"{lower:.2f}", f"{upper:.2f}", "0.75", "1"])
        axes.set_yticks([])
        axes.spines[["top", "right", "left"]].set_visible(False)
        figure.savefig(file, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    draw(DOCS / "pictures" / "answer.svg")
