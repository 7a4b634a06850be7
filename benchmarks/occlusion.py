"""What masks, hands and sunglasses do to answers, on held-out people; and what recognizes them, and upside-down faces.

Drawn onto aligned crops (`facever.datasets.occlusion`), on both photographs of a pair and on one, at the thresholds of
the weights. `--fit` fits the logistic regressions of `facever.faces.looks` on training people first and writes
facever/faces/looks.json. Writes results/occlusion.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import data_folder, write
from numpy.typing import NDArray

from facever.cli.common import counted
from facever.datasets.identities import IdentityFolder, read_identities, split_identities
from facever.datasets.occlusion import Occlusion
from facever.datasets.sources import sources_by_pattern
from facever.faces import looks
from facever.faces.detection import CERTAIN
from facever.faces.embedder import Embedder
from facever.faces.images import load_image
from facever.faces.pipeline import Job, Pipeline
from facever.faces.sources import Decoded
from facever.files import write_json
from facever.scoring import far_at_threshold, tar_at_threshold
from facever.training import TrainingSettings
from facever.training.crops import CropSet, cut_crops, default_cache_folder
from facever.training.data import MARGIN
from facever.weights.alignment import FACE_112X112
from facever.weights.shipped import find_weights

Crops = NDArray[np.uint8]
SOURCES = "(?P<source>[^_]+)_"
SHARES = {"lower face": (1.0, 0.0), "eye region": (0.0, 1.0)}
FITTED = Path(looks.__file__).with_name("looks.json")
FITTED_ON = 3000  # crops of each source
FALSE_ALARMS = 0.02  # on training people
FALSELY_TURNED = 0.01  # as well: the detector has the last word
TURNED_ON = 4000  # photographs of each source; a face is found in half of them
A_SOURCE = 700


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=default_cache_folder())
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--weights", default="default")
    options = parser.parse_args()
    folder = read_identities(data_folder() / "train", least=2)
    defaults = TrainingSettings(epochs=1)
    crops = cut_crops(folder, FACE_112X112, MARGIN, options.cache)
    sources = sources_by_pattern(crops.identities, SOURCES)
    training, held_out = split_identities(crops.identities, defaults.held_out, defaults.seed)
    names, pipeline = sorted({*sources.values()}), Pipeline(Job(output=FACE_112X112, rule="center"))
    if options.fit:
        learned = crops.of(training)
        clear = np.concatenate([some(learned, sources, name, FITTED_ON) for name in names])
        turned = [upside_down(pipeline, photographs(folder, training, sources, name, TURNED_ON)) for name in names]
        fit(clear, np.concatenate([each.crops for each in turned]))
    result = {name: measured(crops.of(held_out), sources, name, options.weights) for name in names}
    for name in names:
        result[name][looks.UPSIDE_DOWN] = told_turned(
            pipeline,
            upside_down(pipeline, photographs(folder, held_out, sources, name, A_SOURCE)),
            some(crops.of(held_out), sources, name, A_SOURCE),
        )
    what = "drawn occlusion on held-out people, by source; FAR and TAR at the stored threshold for FAR 1e-3"
    write("occlusion", {"what": what, "weights": options.weights, **result})


def some(crops: CropSet, sources: dict[str, str], source: str, count: int) -> Crops:
    rows = np.array([i for i, name in enumerate(crops.identities) if sources[name] == source])
    return crops.inner(slice(None))[np.random.default_rng(0).permutation(rows)[:count]]


def drawn(crops: Crops, part: str, seed: int) -> Crops:
    x = torch.from_numpy(crops).permute(0, 3, 1, 2).float()
    covered = Occlusion(FACE_112X112, *SHARES[part])(x, torch.Generator().manual_seed(seed))
    return covered.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()


def photographs(
    folder: IdentityFolder, people: Collection[str], sources: dict[str, str], source: str, count: int
) -> list[Path]:
    """Some photographs of these people from one source."""
    listed = zip(folder.paths, folder.identities, strict=True)
    own = [path for path, name in listed if name in people and sources[name] == source]
    return [own[i] for i in np.random.default_rng(0).permutation(len(own))[:count]]


@dataclass(frozen=True, slots=True)
class Turned:
    """Standard crops of the faces that the detector finds upside down, (n, H, W, 3), and its scores (n,)."""

    crops: Crops
    scores: NDArray[np.float64]


def upside_down(pipeline: Pipeline, paths: list[Path]) -> Turned:
    """The faces found in photographs turned by 180 degrees."""
    crops, scores = [], []
    for path in counted(paths, len(paths), "turned"):
        image = np.ascontiguousarray(load_image(path)[::-1, ::-1])
        for face in pipeline([Decoded(str(path), image)])[0].faces:
            crops.append(face.crop)
            scores.append(face.face.score)
    return Turned(np.stack(crops), np.array(scores))


def told_turned(pipeline: Pipeline, turned: Turned, clear: Crops) -> dict[str, float]:
    """How many faces upside down are recognized: of all, and of those of which the detector is sure."""
    told, falsely = (np.array([pipeline.looks(crop).upside_down for crop in crops]) for crops in (turned.crops, clear))
    sure = turned.scores >= CERTAIN
    return {
        "found": len(told),
        "recognized": float(told.mean()),
        "sure": int(sure.sum()),
        "recognized_of_sure": float(told[sure].mean()),
        "false_alarms": float(falsely.mean()),
    }


def fit(crops: Crops, turned: Crops) -> None:
    """Logistic regressions of drawn and turned against untouched crops, their offsets by the false alarms on these."""
    clear = looks.cover_features(list(crops))
    record = {part: fitted(clear, drawn(crops, part, 1), FALSE_ALARMS) for part in looks.PARTS}
    write_json(FITTED, {**record, looks.UPSIDE_DOWN: fitted(clear, turned, FALSELY_TURNED)})
    looks._fitted.cache_clear()


def fitted(clear: NDArray[np.float32], crops: Crops, false_alarms: float) -> dict[str, Any]:
    """Weights and offset."""
    from sklearn.linear_model import LogisticRegression

    changed = looks.cover_features(list(crops))
    both = np.concatenate([clear, changed])
    center, spread = both.mean(axis=0), both.std(axis=0) + 1e-6
    model = LogisticRegression(C=0.1, max_iter=5000)
    model.fit((both - center) / spread, np.repeat([0, 1], [len(clear), len(changed)]))
    weights = model.coef_[0] / spread
    offset = -float(np.quantile(clear @ weights, 1 - false_alarms))
    return {"weights": [float(f"{w:.5g}") for w in weights], "offset": round(offset, 4)}


def measured(crops: CropSet, sources: dict[str, str], source: str, weights: str) -> dict[str, Any]:
    embedder = Embedder.load(find_weights(weights), "cpu", "fp32")
    names = np.array([name for name in crops.identities if sources[name] == source])
    chosen = np.random.default_rng(0).permutation(len(names))[:A_SOURCE]
    clear, names = some(crops, sources, source, A_SOURCE), names[chosen]
    who = np.unique(names, return_inverse=True)[1]
    threshold = embedder.info.threshold(1e-3).cosine
    plain = embedder(clear)[0]
    result: dict[str, Any] = {"photographs": len(clear), "untouched": rates(plain, plain, who, threshold)}
    for part in looks.PARTS:
        covered = drawn(clear, part, 2)
        embeddings = embedder(covered)[0]
        told, falsely = (
            np.array([part in looks.Looks.of(crop, FACE_112X112).covered for crop in each]) for each in (covered, clear)
        )
        result[part] = {
            "recognized": float(told.mean()),
            "false_alarms": float(falsely.mean()),
            "on_both": rates(embeddings, embeddings, who, threshold),
            "on_both_decided": rates(embeddings, embeddings, who, threshold, told),
            "on_one": rates(embeddings, plain, who, threshold),
        }
    return result


def rates(
    a: NDArray[np.float32], b: NDArray[np.float32], who: NDArray[np.int64], threshold: float, told: Any = None
) -> dict[str, float]:
    """FAR and TAR of all pairs of one photograph with another one; without those recognized in both, if `told`."""
    cosines, same = a @ b.T, who[:, None] == who[None]
    other = ~np.eye(len(a), dtype=bool)
    if told is not None:
        other &= ~(told[:, None] & told[None])
    return {
        "far": far_at_threshold(cosines[~same & other], threshold),
        "tar": tar_at_threshold(cosines[same & other], threshold),
        "pairs": int(other.sum()),
    }


if __name__ == "__main__":
    main()
