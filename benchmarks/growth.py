"""Accuracy of the recipe of `scratch` over seeds, training length and number of people.

Writes records/growth.json and records/growth.svg. Extrapolation: each further doubling brings what the last one did, in
log-odds. Intervals are over seeds and identities, and assume that this holds.
Seed 0 of 42 epochs is the shipped training, whose length is in minutes: half of the minutes, so more than half of the
steps, were at half size. Every other runs once and is kept in --runs; the same command resumes an interrupted run. With
--only, the other rows of the file are kept.
"""

from __future__ import annotations

import argparse
import csv
import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ablation import DROPPED, RECORDS, ROOT, SCRATCH, genuine_accepted, trainable, weighted_share
from common import data_folder, machine
from matplotlib.figure import Figure
from numpy.typing import NDArray

from facever.datasets.identities import read_dropped, split_identities
from facever.faces.embedder import Embedder
from facever.files import atomic_write, write_bytes, write_json
from facever.metrics.bootstrap import People
from facever.reports.training_curve import svg_file
from facever.studies.faces import make_training
from facever.studies.intervals import Bootstrapped
from facever.studies.runs import Options, Runs, run_name
from facever.studies.testing import TestSet, lfw_set, tested
from facever.training import TrainingSettings
from facever.training.callbacks import Callback
from facever.training.crops import default_cache_folder
from facever.training.data import prepare
from facever.weights.alignment import ALIGNMENTS

EPOCHS = 42  # as in the minutes of the shipped training
# The recipe of `scratch`, but in epochs, so that a slower machine does the same work.
RECIPE: dict[str, Any] = {
    "network": "face_resnet_slim",
    "alignment": "tight-64x56",
    **SCRATCH,
    "calibrate_on": "celeba_*",
}
FAR, REPLICATES = 1e-3, 500


@dataclass(frozen=True, slots=True)
class Row:
    """Trainings that differ in their seed only. `share` is the fraction of training identities, in whole families."""

    name: str
    epochs: int
    seeds: tuple[int, ...]
    share: float = 1.0


ROWS = (
    Row("10 epochs", 10, (0, 1, 2)),
    Row("21 epochs", 21, (0, 1)),
    Row("42 epochs", EPOCHS, (0, 1)),
    Row("half of the identities, as many steps as 42 epochs", 2 * EPOCHS, (0,), 0.5),
    Row("a quarter of the identities, as many steps as 42 epochs", 4 * EPOCHS, (0,), 0.25),
)
FEW, MIDDLE, FULL, HALF_OF_ALL, QUARTER_OF_ALL = ROWS
SHIPPED = (FULL, 0)
FURTHER = (2.0, 4.0)  # extrapolation, in units of the longest or largest training
LINES = {
    "length": {FEW.epochs / EPOCHS: FEW, 0.5: MIDDLE, 1.0: FULL},
    "identities": {0.25: QUARTER_OF_ALL, 0.5: HALF_OF_ALL, 1.0: FULL},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/growth"))
    parser.add_argument("--cache", type=Path, default=default_cache_folder())
    parser.add_argument("--only", nargs="*", help="names of rows", default=[row.name for row in ROWS])
    options = parser.parse_args()
    runs = Runs(options.runs, print)
    data = data_folder()
    faces = Options(options.runs, lfw=data / "lfw", pairs=data / "pairs.txt", cache=options.cache, device="cpu")
    lfw = lfw_set(faces, ALIGNMENTS[RECIPE["alignment"]], Callback())
    assert lfw is not None
    made = [row for row in ROWS if row.name in options.only]
    for row in made:
        for seed in row.seeds:
            trained(runs, row, seed, options.cache, lfw)
    figures = {row: drawn(runs, row, lfw) for row in made}
    recipe = {**RECIPE, "epochs": EPOCHS}
    rows, lines = kept(recipe)
    rows |= {row.name: summary_of(runs, row, figures[row]) for row in made}
    for over, of in LINES.items():
        if set(of.values()) <= set(made):
            lines[over] = {name: line(figures, of, name) for name in figures[FULL]}
    write_json(
        RECORDS / "growth.json",
        {
            "what": f"held-out people: TAR at FAR {FAR:g} of each source; LFW: accuracy over ten folds",
            "recipe": recipe,
            "rows": [rows[row.name] for row in ROWS if row.name in rows],
            "extended": lines,
            "machine": machine(),
        },
    )
    write_bytes(RECORDS / "growth.svg", svg_file(draw(lines)).encode())


def kept(recipe: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The rows by name, and the lines, of an earlier file of the same recipe."""
    path = RECORDS / "growth.json"
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"recipe": None}
    if earlier["recipe"] != recipe:
        return {}, {}
    return {row["name"]: row for row in earlier["rows"]}, earlier["extended"]


def trained(runs: Runs, row: Row, seed: int, cache: Path, lfw: TestSet) -> None:
    """Train, and keep which genuine pairs of held-out people are accepted, and which of LFW's pairs are right."""
    dropped = read_dropped(DROPPED)
    settings = TrainingSettings(**RECIPE, epochs=row.epochs, seed=seed, dropped=dropped)
    if row.share < 1:
        settings = replace(settings, dropped=dropped + left_out(row.share, settings.held_out, seed))

    def make(folder: Path) -> dict[str, Any]:
        data, device = data_folder() / "train", torch.device("cpu")
        if (row, seed) != SHIPPED:
            make_training(settings, data, folder, cache, "cpu", None, Callback())
        embedder = Embedder.load(files(runs, row, seed)[0], device, "bf16")
        crops = prepare(settings, data, cache, device, None, Callback()).held_out
        found = genuine_accepted(embedder(crops.inner(slice(None)))[0], crops, FAR)
        figures, correct = tested(embedder, lfw)
        arrays: dict[str, Any] = {f"{s}/{k}": v for s, part in found.items() for k, v in part.items()}
        with atomic_write(folder / "tested.npz") as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays, lfw=correct)
        held_out = {source: float(part["accepted"].mean()) for source, part in found.items()}
        return {"LFW": figures, "held_out": held_out}

    runs(run_name(row.name, seed), settings.to_json(), make)


def left_out(share: float, held_out: float, seed: int) -> list[str]:
    """The identities to leave out, in whole families, so that this share of the training identities remains."""
    training, _ = split_identities(trainable(), held_out, seed)
    return split_identities(training, 1 - share, seed + 100)[1]


def files(runs: Runs, row: Row, seed: int) -> tuple[Path, Path]:
    """The weights of a training, and the folder of its records."""
    if (row, seed) == SHIPPED:
        return ROOT / "models" / "scratch.safetensors", RECORDS / "scratch"
    folder = runs.folder(run_name(row.name, seed))
    return folder / "weights.safetensors", folder


def course(runs: Runs, row: Row, seed: int) -> dict[str, float]:
    """Minutes of a training, and the share of its steps at half size."""
    _, folder = files(runs, row, seed)
    minutes = json.loads((folder / "training.json").read_text(encoding="utf-8"))["result"]["minutes"]
    with (folder / "log.csv").open(encoding="utf-8", newline="") as file:
        steps = [(float(line["share"]), int(line["step"])) for line in csv.DictReader(file)]
    small = max(step for share, step in steps if share < RECIPE["progressive_resizing"])
    return {"minutes": minutes, "progressive_resizing": round(small / steps[-1][1], 2)}


def drawn(runs: Runs, row: Row, lfw: TestSet) -> dict[str, list[Bootstrapped]]:
    """For LFW and each source, the figure of each seed with its bootstrap over identities."""
    found: dict[str, list[Bootstrapped]] = {}
    for seed in row.seeds:
        with np.load(runs.folder(run_name(row.name, seed)) / "tested.npz") as file:
            tests = {"LFW": (*zip(*((p.identity_a, p.identity_b) for p in lfw.pairs), strict=True), file["lfw"])}
            for source in runs.done[run_name(row.name, seed)]["held_out"]:
                who = file[f"{source}/who"].tolist()
                tests[source] = (who, who, file[f"{source}/accepted"])
        for name, (first, second, yes) in tests.items():
            people = People.of(list(first), list(second))
            measure = partial(weighted_share, np.asarray(yes, np.float64))
            found.setdefault(name, []).append(Bootstrapped.of(people, measure, REPLICATES))
    return found


def over_seeds(each: list[Bootstrapped]) -> Bootstrapped:
    """The mean over seeds; the bootstrap resamples seeds too, where there are several."""
    picks = np.random.default_rng(0).integers(0, len(each), (REPLICATES, len(each)))
    draws = np.stack([one.draws for one in each])  # (seeds, REPLICATES)
    return Bootstrapped(
        np.mean([one.value for one in each], axis=0), draws[picks, np.arange(REPLICATES)[:, None]].mean(axis=1)
    )


def log_odds(p: NDArray[np.float64]) -> NDArray[np.float64]:
    p = p.clip(1e-4, 1 - 1e-4)
    return np.log(p / (1 - p))


def line(figures: dict[Row, dict[str, list[Bootstrapped]]], of: dict[float, Row], name: str) -> dict[str, Any]:
    """The figure at each share of the line, and its extrapolation, over the seeds that all rows share.

    Each seed holds out other people, so rows are compared over the same seeds.
    """
    seeds = sorted(set.intersection(*(set(row.seeds) for row in of.values())))
    means = [over_seeds([figures[row][name][row.seeds.index(seed)] for seed in seeds]) for row in of.values()]
    # The figure first, then its replicates: (shares, 1 + REPLICATES)
    values = log_odds(np.stack([np.append(each.value, each.draws) for each in means]))
    ends = 1 / (1 + np.exp(-(values[-1] + np.log2(FURTHER)[:, None] * (values[-1] - values[-2]))))
    extended = [Bootstrapped(row[0], row[1:]) for row in ends]
    return {
        "seeds": seeds,
        "share": list(of),
        "figure": [each.number for each in means],
        "ci95": [list(each.ci95) for each in means],
        "further": list(FURTHER),
        "extended": [each.number for each in extended],
        "extended_ci95": [list(each.ci95) for each in extended],
    }


def summary_of(runs: Runs, row: Row, figures: dict[str, list[Bootstrapped]]) -> dict[str, Any]:
    courses = [course(runs, row, seed) for seed in row.seeds]
    return {
        "name": row.name,
        "epochs": row.epochs,
        **({"share_of_identities": row.share} if row.share < 1 else {}),
        "seeds": list(row.seeds),
        "minutes": [each["minutes"] for each in courses],
        "steps_at_half_size": [each["progressive_resizing"] for each in courses],
        "figures": {
            name: {
                "mean": over_seeds(each).number,
                "ci95": list(over_seeds(each).ci95),
                "by_seed": [one.number for one in each],
            }
            for name, each in figures.items()
        },
        "LFW, standard errors over folds": [
            runs.done[run_name(row.name, seed)]["LFW"]["accuracy_standard_error"] for seed in row.seeds
        ],
    }


def draw(lines: dict[str, dict[str, dict[str, Any]]]) -> Figure:
    """Each figure over length and over identities, with the extrapolation and its interval."""
    figure = Figure((9, 4.5), layout="constrained")
    words = {"length": "epochs of the full recipe", "identities": "share of the identities, as many steps"}
    for axes, (over, of_tests) in zip(figure.subplots(1, 2, sharey=True), lines.items(), strict=True):
        for (name, found), color in zip(of_tests.items(), ("#30b0c7", "#0a84ff", "#ff9f0a"), strict=False):
            scale = EPOCHS if over == "length" else 1
            x, y, ends = np.array(found["share"]) * scale, np.array(found["figure"]), np.array(found["ci95"])
            axes.errorbar(x, y, (y - ends[:, 0], ends[:, 1] - y), fmt="o-", color=color, capsize=3, label=name)
            x = np.array([x[-1], *np.array(found["further"]) * scale])
            axes.plot(x, [y[-1], *found["extended"]], "--", color=color)
            low, high = np.array([ends[-1], *found["extended_ci95"]]).T
            axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
        axes.set(xscale="log", xlabel=words[over])
        axes.set_xticks([], minor=True)
        ticks = [*np.array(found["share"]) * scale, *np.array(found["further"]) * scale]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.grid(alpha=0.2)
    figure.axes[0].set_ylabel(f"LFW: accuracy; others: TAR at FAR {FAR:g}")
    figure.axes[0].legend()
    figure.suptitle(
        "The recipe of scratch; dashed: if each doubling brings what the last one brought, with 95 % intervals"
    )
    return figure


if __name__ == "__main__":
    main()
