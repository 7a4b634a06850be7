"""Plots of the study of the norm; photographs are shown in the page only."""

from __future__ import annotations

import numpy as np

from facever.studies.degradations import DEGRADATIONS
from facever.studies.norm_analysis import BIN_NAMES
from facever.studies.outcome import Outcome
from facever.studies.plots import Curve, Drawing, curves, grid


def drawings(outcome: Outcome) -> list[Drawing]:
    """Accuracy by pair of bins, error versus discard, and the norm's response to each degradation."""
    return [*_bins(outcome), _discard(outcome), *_response(outcome)]


def _bins(outcome: Outcome) -> list[Drawing]:
    found = []
    for number, (model, cells) in enumerate(outcome.data["bins"].items()):
        table = np.array(cells, np.float64)
        summary = ", ".join(
            f"{BIN_NAMES[i]} with {BIN_NAMES[j]} {table[i, j]:.4f}"
            for i in range(3)
            for j in range(i, 3)
            if np.isfinite(table[i, j])
        )
        text = f"Balanced accuracy of pairs by the norms of both photographs, {model}: {summary}."
        found.append(grid(f"bins-{number}", f"Accuracy by norms: {model}", text, "norm", BIN_NAMES, BIN_NAMES, table))
    return found


def _discard(outcome: Outcome) -> Drawing:
    record = outcome.data["discard"]
    shares = record["shares"]
    lines = [
        Curve(name, shares, curve["frr"], (curve["low"], curve["high"]) if index == 0 else None)
        for index, (name, curve) in enumerate(record["curves"].items())
    ]
    for index, (name, curve) in enumerate(list(record["curves"].items())[:2]):
        start = curve["frr"][0]
        lines.append(Curve(f"{name.split(', by')[0]}, at random", shares, [start] * len(shares), None, True, index))
    half = shares.index(0.5)
    summary = "; ".join(f"{n}: {c['frr'][0]:.4f} to {c['frr'][half]:.4f}" for n, c in record["curves"].items())
    text = (
        f"False reject rate of genuine pairs after discarding those of the lowest quality, from none to half: "
        f"{summary}. The band is the first curve's 95 % interval; random discard changes nothing in expectation."
    )
    return curves("discard", "Error versus discard", text, "share discarded", "FRR", lines)


def _response(outcome: Outcome) -> list[Drawing]:
    found = []
    for degradation in DEGRADATIONS:
        lines, summary = [], []
        for model, response in outcome.data["response"].items():
            steps = response[degradation.name]
            x, y = [s["step"] for s in steps], [s["ratio"] for s in steps]
            ends = [s["ci95"] or (s["ratio"], s["ratio"]) for s in steps]
            lines.append(Curve(model, x, y, ([e[0] for e in ends], [e[1] for e in ends])))
            summary.append(f"{model} {y[-1]:.2f} at {x[-1]:g}")
        text = (
            f"The norm after {degradation.name} over the norm before, mean with a 95 % interval: {', '.join(summary)}."
        )
        name = degradation.name.replace(" ", "-")
        found.append(
            curves(
                name,
                f"The norm under {degradation.name}",
                text,
                f"{degradation.name}, {degradation.unit}",
                "norm, relative",
                lines,
                marks=True,
            )
        )
    return found
