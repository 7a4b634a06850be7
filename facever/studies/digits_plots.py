"""Plots of the study of digits: a scatter for each loss, points with intervals, and the animation."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from facever.reports.plots import new_axes
from facever.studies.digits import METRICS
from facever.studies.outcome import Outcome
from facever.studies.plots import Drawing, points, reach_of, scatter, scatter_on


def drawings(outcome: Outcome) -> list[Drawing]:
    """A scatter of each model's test features with the first seed, and a plot of each metric over the models."""
    found = []
    for number, model in enumerate(models(outcome)):
        features, labels, directions = (
            outcome.arrays[f"{model}/{key}"] for key in ("features", "labels", "directions")
        )
        summary = {
            metric: outcome.runs[_run(outcome, model)][metric] for metric in ("accuracy", "within", "norm_spread")
        }
        text = (
            f"Features of {len(labels):,} test digits as the classifier sees them, and its directions, after training "
            f"with {model}: accuracy {100 * summary['accuracy']:.2f} %, mean angle to the class's direction "
            f"{summary['within']:.1f}°, spread of norms {summary['norm_spread']:.2f}."
        )
        found.append(scatter(f"features-{number}", model, text, features[-1], labels, directions[-1]))
    for metric, label in METRICS.items():
        values = {
            model: next((f.value, f.ci95) for f in outcome.figures if f.name == f"{model}: {label}")
            for model in models(outcome)
        }
        said_all = ", ".join(f"{model} {value:.4g}" for model, (value, _) in values.items())
        text = f"Mean over {len(outcome.seeds)} seeds with a 95 % interval: {said_all}."
        found.append(points(metric.replace("_", "-"), label.capitalize(), text, metric.replace("_", " "), values))
    return found


def models(outcome: Outcome) -> list[str]:
    return list(outcome.settings["models"])


def _run(outcome: Outcome, model: str) -> str:
    """The name of a model's run with the first seed; runs are ordered by seed, then model."""
    trained = [name for name in outcome.runs if not name.startswith("sweep")]
    return trained[models(outcome).index(model)]


def animation(outcome: Outcome) -> bytes:
    """A GIF of all models side by side over the training with the first seed; holding the last frame."""
    names = models(outcome)
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    count = len(outcome.arrays[f"{names[0]}/steps"])
    frames = [_frame(outcome, names, rows, columns, at) for at in range(count)]
    # The palette of the last frame has every color; a palette per frame would flicker.
    palette = frames[-1].quantize(64)
    reduced = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    buffer = io.BytesIO()
    times = [120] * (count - 1) + [2500]
    reduced[0].save(
        buffer, "GIF", save_all=True, append_images=reduced[1:], duration=times, loop=0, optimize=True, disposal=1
    )
    return buffer.getvalue()


def _frame(outcome: Outcome, names: list[str], rows: int, columns: int, at: int) -> Image.Image:
    figure, first = new_axes("", "")
    figure.set_size_inches(2.3 * columns, 2.5 * rows)
    figure.patch.set(facecolor="white", alpha=1)
    first.remove()
    for number, model in enumerate(names):
        features, labels, directions, steps = (
            outcome.arrays[f"{model}/{key}"] for key in ("features", "labels", "directions", "steps")
        )
        axes = figure.add_subplot(rows, columns, number + 1)
        # Axes limits per frame, since norms grow by orders of magnitude while softmax trains.
        scatter_on(axes, features[at], labels, directions[at], reach_of(features[at]))
        axes.set_title(model, fontsize=8)
        axes.tick_params(labelsize=5)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
    figure.suptitle(f"step {int(steps[at])} of {int(steps[-1])}", fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return Image.fromarray(np.asarray(Image.open(buffer).convert("RGB")))
