"""What masks, hands and sunglasses do to answers, on held-out people; and the test that recognizes covered faces.

Drawn onto aligned crops (`facever.datasets.occlusion`), on both photographs of a pair and on one, at the thresholds of
the weights. `--fit` fits the logistic regressions of `facever.faces.looks` on training people first and writes
facever/faces/covered.json. Writes results/occlusion.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import data_folder, write
from numpy.typing import NDArray

from facever.datasets.identities import read_identities, split_identities
from facever.datasets.occlusion import Occlusion
from facever.datasets.sources import sources_by_pattern
from facever.faces import looks
from facever.faces.embedder import Embedder
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
FITTED = Path(looks.__file__).with_name("covered.json")
FITTED_ON = 3000  # crops of each source
FALSE_ALARMS = 0.02  # on training people
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
    if options.fit:
        fit(np.concatenate([some(crops.of(training), sources, name, FITTED_ON) for name in set(sources.values())]))
    result = {
        name: measured(crops.of(held_out), sources, name, options.weights) for name in sorted({*sources.values()})
    }
    what = "drawn occlusion on held-out people, by source; FAR and TAR at the stored threshold for FAR 1e-3"
    write("occlusion", {"what": what, "weights": options.weights, **result})


def some(crops: CropSet, sources: dict[str, str], source: str, count: int) -> Crops:
    rows = np.array([i for i, name in enumerate(crops.identities) if sources[name] == source])
    return crops.inner(slice(None))[np.random.default_rng(0).permutation(rows)[:count]]


def drawn(crops: Crops, part: str, seed: int) -> Crops:
    x = torch.from_numpy(crops).permute(0, 3, 1, 2).float()
    covered = Occlusion(FACE_112X112, *SHARES[part])(x, torch.Generator().manual_seed(seed))
    return covered.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()


def fit(crops: Crops) -> None:
    """Logistic regression of drawn against untouched crops, its offset by the false alarms on the latter."""
    from sklearn.linear_model import LogisticRegression

    clear = looks.cover_features(list(crops))
    record: dict[str, Any] = {}
    for part in looks.PARTS:
        covered = looks.cover_features(list(drawn(crops, part, 1)))
        both = np.concatenate([clear, covered])
        center, spread = both.mean(axis=0), both.std(axis=0) + 1e-6
        model = LogisticRegression(C=0.1, max_iter=5000)
        model.fit((both - center) / spread, np.repeat([0, 1], len(clear)))
        weights = model.coef_[0] / spread
        offset = -float(np.quantile(clear @ weights, 1 - FALSE_ALARMS))
        record[part] = {"weights": [float(f"{w:.5g}") for w in weights], "offset": round(offset, 4)}
    write_json(FITTED, record)
    looks._fitted.cache_clear()


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
        told = np.array([part in looks.covered_parts(crop) for crop in covered])
        result[part] = {
            "recognized": float(told.mean()),
            "false_alarms": float(np.mean([part in looks.covered_parts(crop) for crop in clear])),
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
