"""Draw `roc.svg`: TAR over FAR of the shipped weights, from records/*/all-pairs.json. `python docs/roc.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

from drawing import STYLE
from matplotlib.figure import Figure

DOCS = Path(__file__).resolve().parent
RECORDS = DOCS.parent / "records"
WEIGHTS = {
    "default": "#0a7cff",
    "dlib": "#e8590c",
    "mobilefacenet": "#c92a2a",
    "face-resnet": "#2f9e44",
    "scratch": "#9c36b5",
}


def draw(file: Path) -> None:
    with matplotlib.rc_context(STYLE):
        figure = Figure((7.5, 4.6))
        axes = figure.add_subplot()
        for name, color in WEIGHTS.items():
            record: dict[str, Any] = json.loads((RECORDS / name / "all-pairs.json").read_text(encoding="utf-8"))
            fars = [far for far, tar in record["tar_at_far"].items() if tar is not None]
            x = [float(far) for far in fars]
            low, high = zip(*(record["tar_intervals"][far] for far in fars), strict=True)
            axes.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0)
            axes.plot(x, [record["tar_at_far"][far] for far in fars], "o-", color=color, markersize=4, label=name)
        axes.set(xscale="log", ylim=(0, 1.02), xlabel="FAR", ylabel="TAR")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="lower right")
        figure.savefig(file, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    draw(DOCS / "roc.svg")
