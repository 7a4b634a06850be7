"""Draw `pictures/long-run.svg`: memory over a long embed and a long train, from benchmarks/results/long_run.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

from drawing import STYLE
from matplotlib.figure import Figure

DOCS = Path(__file__).resolve().parent
RESULT = DOCS.parent / "benchmarks" / "results" / "long_run.json"


RUNS = {
    "embed": (("long", "#0a7cff", "{photographs:,} photographs"), ("short", "#e8590c", "{photographs:,} photographs")),
    "train": (("train", "#0a7cff", "{epochs} epochs"),),
}


def draw(file: Path) -> None:
    result: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8"))
    with matplotlib.rc_context(STYLE):
        figure = Figure((7.5, 3.2), layout="constrained")
        for axes, (command, runs) in zip(figure.subplots(1, 2), RUNS.items(), strict=True):
            for run, color, name in runs:
                own = result[run]
                minutes = [sample["seconds"] / 60 for sample in own["samples"]]
                memory = [sample["memory"] for sample in own["samples"]]
                axes.plot(minutes, memory, color=color, label=name.format(**own))
            axes.set(ylim=(0, None), xlabel="minutes", ylabel="memory, MB", title=command)
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False, loc="lower right")
        figure.savefig(file, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    draw(DOCS / "pictures" / "long-run.svg")
