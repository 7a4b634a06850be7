"""Figures of the shipped weights on held-out people: by source, relatives apart from strangers.

At each one's own threshold for FAR 1e-3, which comes from the CelebA people among them; and the gain of averaging with
the mirror image and a second crop. Computed in bfloat16 on any machine, unless --precision says otherwise. Crops are
cached with those of trainings. With --only, the figures of other weights in the file are kept.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import RESULTS, data_folder, write
from numpy.typing import NDArray

from facever.datasets.identities import read_identities, split_identities
from facever.datasets.sources import sources_by_pattern
from facever.faces.embedder import Embedder
from facever.training import TrainingSettings
from facever.training.crops import cut_crops, default_cache_folder
from facever.training.data import MARGIN
from facever.training.held_out import TRANSFERRED_FAR, by_source, held_out_figures, tar_by_source
from facever.weights.shipped import find_weights, shipped_weights

SOURCES = "(?P<source>[^_]+)_"
ENLARGED = 1.06  # the second crop: the middle of the first


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", type=Path, default=default_cache_folder())
    parser.add_argument("--only", nargs="*", help="names of weights", default=None)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    options = parser.parse_args()
    folder = read_identities(data_folder() / "train", least=2)
    defaults = TrainingSettings(epochs=1)
    earlier = json.loads((RESULTS / "held_out.json").read_text()) if options.only is not None else {"views": {}}
    result: dict[str, Any] = {name: earlier[name] for name in shipped_weights() if name in earlier}
    views: dict[str, Any] = earlier["views"]
    precisions: dict[str, str] = earlier.get("precision", dict.fromkeys(result, "bf16"))
    for name in shipped_weights() if options.only is None else options.only:
        embedder = Embedder.load(find_weights(name), "cpu", options.precision)
        crops = cut_crops(folder, embedder.info.alignment, MARGIN, options.cache)
        crops = replace(crops, sources=sources_by_pattern(crops.identities, SOURCES))
        people = crops.of(split_identities(crops.identities, defaults.held_out, defaults.seed)[1])
        embeddings, _ = embedder(people.inner(slice(None)))
        cosine = next((t.cosine for t in embedder.info.thresholds if t.far == TRANSFERRED_FAR), None)
        result[name] = held_out_figures(embeddings, people.identities, people.row_sources(), cosine)
        precisions[name] = options.precision
        who = (people.identities, people.row_sources())
        views[name] = [
            {"view": view, "passes": passes, "tar": tar_by_source(by_source(found, *who))}
            for view, passes, found in seen(embedder, people.inner(slice(None)))
        ]
    what = "people held out of training, by source"
    about_views = f"TAR at FAR 1e-3 by what is averaged over; the second crop is enlarged by {ENLARGED:g}"
    write("held_out", {"what": what, "precision": precisions, **result, "what_views": about_views, "views": views})


def seen(embedder: Embedder, crops: NDArray[np.uint8]) -> list[tuple[str, int, NDArray[np.float32]]]:
    """For each set of views of a crop: its name, its forward passes, the unit embeddings."""

    def features(crops: NDArray[np.uint8], mirrored: bool) -> NDArray[np.float32]:
        embedder.mirrored = mirrored
        return np.concatenate([embedder.features(crops[i : i + 32]).numpy() for i in range(0, len(crops), 32)])

    nearer = enlarged(crops)
    found = [
        ("the crop", 1, features(crops, False)),
        ("the crop and its mirror image", 2, features(crops, True)),
        ("the crop and a second one", 2, (features(crops, False) + features(nearer, False)) / 2),
        ("both, and their mirror images", 4, (features(crops, True) + features(nearer, True)) / 2),
    ]
    return [(view, passes, each / np.linalg.norm(each, axis=1, keepdims=True)) for view, passes, each in found]


def enlarged(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle of each crop at the size of the whole, bicubic."""
    height, width = crops.shape[1:3]
    top, left = (round(size * (1 - 1 / ENLARGED) / 2) for size in (height, width))
    middle = torch.from_numpy(crops[:, top : height - top, left : width - left]).permute(0, 3, 1, 2).float()
    whole = torch.nn.functional.interpolate(middle, (height, width), mode="bicubic", antialias=True)
    return whole.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()


if __name__ == "__main__":
    main()
