"""Ablation of the recipe of `scratch`: short trainings of equal work, two seeds, held-out people.

Writes records/ablation.json, and from the networks' rows records/cost.svg: accuracy over multiply-adds. Every training
runs once and is kept in --runs; an interrupted run resumes with the same command.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import data_folder, machine
from matplotlib.figure import Figure
from numpy.typing import NDArray

from facever.datasets.augmentation import Augmentation
from facever.datasets.identities import read_dropped, read_identities, split_identities
from facever.faces.embedder import Embedder
from facever.files import atomic_write, write_bytes, write_json
from facever.metrics.bootstrap import People, Weights
from facever.networks import build_network
from facever.reports.card import multiply_adds
from facever.reports.training_curve import svg_file
from facever.scoring import threshold_at_far
from facever.studies.faces import FACE_SETTINGS, face_settings, make_training
from facever.studies.intervals import Bootstrapped
from facever.studies.runs import Runs, run_name
from facever.training import TrainingSettings
from facever.training.callbacks import Callback
from facever.training.crops import CropSet, default_cache_folder
from facever.training.data import prepare
from facever.training.held_out import by_source

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "records"
DROPPED = ROOT / "recipes" / "dropped.txt"
SEEDS, EPOCHS = (0, 1), 6
FAR = 1e-2  # a lower FAR is too noisy after so few epochs
REPLICATES = 500
BASE = "base"
# The recipe of `scratch` without network and length.
SCRATCH: dict[str, Any] = {
    "network_arguments": {"dropout": 0.2},
    "alpha": 4.0,
    "alpha_learned": True,
    "learning_rate": 0.6,
    "progressive_resizing": 0.5,
    "ema": 0.998,
    "keep": "last",
    "sources": "(?P<source>[^_]+)_",
}
# With the studies' small network, and a seventh of the length.
RECIPE: dict[str, Any] = {
    **SCRATCH,
    "network_arguments": {**FACE_SETTINGS["network_arguments"], **SCRATCH["network_arguments"]},
    "dropped": read_dropped(DROPPED),
    "epochs": EPOCHS,
}


@dataclass(frozen=True, slots=True)
class Choice:
    """One row: its difference from the base, and whether it is the shipped recipe's choice."""

    group: str
    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    kept: bool = False


def network(**changes: Any) -> dict[str, Any]:
    return {"network_arguments": {**RECIPE["network_arguments"], **changes}}


def fixed(alpha: float) -> dict[str, Any]:
    """At a rate of 0.3, the best of the study of losses for a fixed alpha: at 0.9 it diverges."""
    return {"alpha": alpha, "alpha_learned": False, "learning_rate": 0.3}


WIDE, DEEP = [32, 64, 128, 256], [1, 2, 5, 3]
CHOICES = (
    Choice("recipe", BASE, kept=True),
    Choice("recipe", "alpha 12, just above its bound, learning rate 0.3", fixed(12.0)),
    Choice("recipe", "alpha 16, learning rate 0.3", fixed(16.0)),
    Choice("recipe", "learning rate 0.3", {"learning_rate": 0.3}),
    Choice("recipe", "learning rate 0.9", {"learning_rate": 0.9}),
    Choice("recipe", "no dropout before the dense layer", network(dropout=0.0)),
    Choice("recipe", "the last parameters, not their running average", {"ema": 0.0}),
    Choice("recipe", "sources and identities drawn evenly", {"sampling": "even"}),
    Choice("recipe", "label smoothing 0.1", {"label_smoothing": 0.1}),
    # 4 epochs at full size take as long as 6 with half of them at half size.
    Choice("recipe", "full size all through, 4 epochs", {"progressive_resizing": 0.0, "epochs": 4}),
    Choice("recipe", "no borders laid over crops", {"augmentation": Augmentation(border_share=0.0)}),
    Choice(
        "recipe", "mirror images the only augmentation", {"augmentation": replace(Augmentation.none(), mirror=True)}
    ),
    Choice("recipe", "suspicious folders and pictures left in", {"dropped": []}),
    Choice("network", "16 to 128 channels, 11 blocks", network(depths=DEEP)),
    Choice("network", "32 to 256 channels, 5 blocks", network(widths=WIDE, stem=32)),
    Choice("network", "32 to 256 channels, 11 blocks", network(widths=WIDE, depths=DEEP, stem=32), kept=True),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--cache", type=Path, default=default_cache_folder())
    parser.add_argument("--only", nargs="*", help="groups of rows", default=None)
    options = parser.parse_args()
    runs = Runs(options.runs, print)
    chosen = [c for c in CHOICES if options.only is None or c.group in options.only or c.name == BASE]
    for seed in SEEDS:
        for choice in chosen:
            trained(runs, choice, seed, options.cache)
    base = {source: accepted(runs, CHOICES[0], source) for source in sources(runs)}
    rows = [row(runs, choice, base) for choice in chosen]
    about: dict[str, Any] = {
        "what": f"TAR at FAR {FAR:g} of held-out people, each source apart; intervals over people, both seeds together",
        "difference": "to the base, over the same people",
        "base": {**FACE_SETTINGS, **RECIPE, "loss": "l2-softmax", "dropped": "recipes/dropped.txt"},
        "seeds": list(SEEDS),
    }
    rows += kept_rows(about["base"], {choice.name for choice in chosen})
    rows.sort(key=lambda each: [choice.name for choice in CHOICES].index(each["name"]))
    write_json(RECORDS / "ablation.json", {**about, "rows": rows, "machine": machine()})
    if options.only is None or "network" in options.only:
        draw_cost([each for each in rows if each["group"] == "network" or each["name"] == BASE])


def kept_rows(base: dict[str, Any], made: set[str]) -> list[dict[str, Any]]:
    """Rows to keep from an earlier table over the same base."""
    path = RECORDS / "ablation.json"
    earlier = json.loads(path.read_text()) if path.exists() else {"base": None, "rows": []}
    names = {choice.name for choice in CHOICES} - made
    return [each for each in earlier["rows"] if each["name"] in names and earlier["base"] == base]


def settings_of(choice: Choice, seed: int) -> TrainingSettings:
    changes = {**RECIPE, "seed": seed, **choice.changes}
    held_out = split_identities(trainable(), FACE_SETTINGS["held_out"], seed)[1]
    changes["dropped"] = [name for name in changes["dropped"] if name.partition("/")[0] not in held_out]
    return face_settings(**changes)


@cache
def trainable() -> list[str]:
    return sorted(set(read_identities(data_folder() / "train", least=2).identities))


def trained(runs: Runs, choice: Choice, seed: int, cache: Path) -> None:
    """Train, and keep which genuine pairs of held-out people are accepted."""
    settings = settings_of(choice, seed)

    def make(folder: Path) -> dict[str, Any]:
        data = data_folder() / "train"
        make_training(settings, data, folder, cache, "cpu", None, Callback())
        device = torch.device("cpu")
        crops = prepare(settings, data, cache, device, None, Callback()).held_out
        embeddings, _ = Embedder.load(folder / "weights.safetensors", device)(crops.inner(slice(None)))
        found = genuine_accepted(embeddings, crops)
        with atomic_write(folder / "accepted.npz") as temporary, temporary.open("wb") as file:
            arrays: dict[str, Any] = {f"{s}/{k}": v for s, part in found.items() for k, v in part.items()}
            np.savez_compressed(file, **arrays)
        return {s: {"tar": float(part["accepted"].mean())} for s, part in found.items()}

    runs(run_name(choice.name, seed), settings.to_json(), make)


def genuine_accepted(
    embeddings: NDArray[np.float32], crops: CropSet, far: float = FAR
) -> dict[str, dict[str, NDArray[Any]]]:
    """For each source, its genuine pairs: identities, and whether accepted at the threshold for FAR."""
    people: dict[str, list[int]] = {}
    for i, name in enumerate(crops.identities):
        people.setdefault(name, []).append(i)
    found = {}
    for source, pairs in by_source(embeddings, crops.identities, crops.row_sources()).items():
        threshold = threshold_at_far(pairs.strangers, far)
        who, accepted = [], []
        for name, rows in people.items():
            if crops.sources.get(name, "") == source:
                cosines = (embeddings[rows] @ embeddings[rows].T)[np.triu_indices(len(rows), 1)]
                who += [name] * len(cosines)
                accepted.append(cosines >= threshold)
        found[source] = {"who": np.array(who), "accepted": np.concatenate(accepted)}
    return found


def sources(runs: Runs) -> list[str]:
    return list(runs.done[run_name(CHOICES[0].name, SEEDS[0])])


def accepted(runs: Runs, choice: Choice, source: str) -> Bootstrapped:
    """TAR, averaged over seeds, and its bootstrap over identities, with the same draws for all rows."""
    drawn = []
    for seed in SEEDS:
        with np.load(runs.folder(run_name(choice.name, seed)) / "accepted.npz") as file:
            who, yes = file[f"{source}/who"].tolist(), file[f"{source}/accepted"].astype(np.float64)
        people = People.of(who, who)
        drawn.append(Bootstrapped.of(people, partial(weighted_share, yes), REPLICATES))
    return Bootstrapped(np.mean([d.value for d in drawn], axis=0), np.mean([d.draws for d in drawn], axis=0))


def weighted_share(yes: NDArray[np.float64], weights: Weights | None) -> float:
    return float(np.average(yes, weights=weights))


def row(runs: Runs, choice: Choice, base: dict[str, Bootstrapped]) -> dict[str, Any]:
    figures = {}
    for source, of_base in base.items():
        own = accepted(runs, choice, source)
        figures[source] = {
            "tar": own.number,
            "ci95": own.ci95,
            "by_seed": [runs.done[run_name(choice.name, seed)][source]["tar"] for seed in SEEDS],
        }
        if choice.name != BASE:
            figures[source] |= {"difference": (own - of_base).number, "difference_ci95": (own - of_base).ci95}
    settings = settings_of(choice, SEEDS[0])
    return {
        "group": choice.group,
        "name": choice.name,
        "kept": choice.kept,
        "changes": {k: v for k, v in settings.to_json().items() if k in choice.changes and k != "dropped"},
        "multiply_adds": multiply_adds(build_network(settings.network, **settings.all_network_arguments())),
        "minutes": [round(runs.took[run_name(choice.name, seed)], 2) for seed in SEEDS],
        "figures": figures,
    }


def draw_cost(rows: list[dict[str, Any]]) -> None:
    """Accuracy over multiply-adds, records/cost.svg."""
    figure = Figure((7, 4.5), layout="constrained")
    axes = figure.subplots()
    for source, color in zip(rows[0]["figures"], ("#0a84ff", "#ff9f0a"), strict=False):
        x = np.array([each["multiply_adds"] / 1e6 for each in rows])
        order = np.argsort(x)
        y = np.array([each["figures"][source]["tar"] for each in rows])
        ends = np.array([each["figures"][source]["ci95"] for each in rows])
        low, high = y - ends[:, 0], ends[:, 1] - y
        axes.errorbar(x[order], y[order], (low[order], high[order]), fmt="o-", color=color, capsize=3, label=source)
    for each in rows:
        name = "16 to 128 channels, 5 blocks" if each["name"] == BASE else each["name"]
        top = max(figures["ci95"][1] for figures in each["figures"].values())
        axes.annotate(
            name.replace(", ", ",\n"),
            (each["multiply_adds"] / 1e6, top),
            (0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    costs = sorted({each["multiply_adds"] / 1e6 for each in rows})
    axes.set(xscale="log", xlabel="million multiply-adds a face (64×56)", ylabel=f"TAR at FAR {FAR:g}, held-out people")
    axes.set_xticks([], minor=True)
    axes.set_xticks(costs, [f"{cost:.0f}" for cost in costs])
    axes.margins(x=0.15, y=0.25)
    axes.set_title(f"Slim Face-ResNets after {EPOCHS} epochs, two seeds")
    axes.legend()
    write_bytes(RECORDS / "cost.svg", svg_file(figure).encode())


if __name__ == "__main__":
    main()
