"""The most suspicious pictures and folders of the training photographs, by the embeddings of `default`.

Names and cosines only; recipes/dropped.txt is the result of reviewing them. A picture is suspicious if it is more
similar to another person than to the rest of its folder; two folders if their means are similar; a folder if its
pictures are not. `default` was trained on most of these labels, so it misses some of the errors it learned.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from common import data_folder, write
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

from facever.datasets.identities import group_of, labels_of, read_identities
from facever.faces.embedder import Embedder
from facever.training.crops import cut_crops, default_cache_folder
from facever.training.data import MARGIN
from facever.weights.shipped import find_weights

LISTED = 200
ROWS = 2000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", type=Path, default=default_cache_folder())
    cache = parser.parse_args().cache
    embedder = Embedder.load(find_weights("default"), "cpu")
    folder = read_identities(data_folder() / "train", least=2)
    crops = cut_crops(folder, embedder.info.alignment, MARGIN, cache)
    parts = [embedder(crops.inner(slice(i, i + ROWS)))[0] for i in range(0, len(crops), ROWS)]
    found = suspicious(np.concatenate(parts), crops.paths, crops.identities)
    write("label_noise", {"what": "the most suspicious first; cosines without the mean of all embeddings", **found})


def suspicious(embeddings: NDArray[np.float32], paths: list[str], identities: list[str]) -> dict[str, Any]:
    labels, names = labels_of(identities)
    person = np.array(labels)
    x = normalize(embeddings - embeddings.mean(0))
    sums = np.zeros((len(names), x.shape[1]), np.float32)
    np.add.at(sums, person, x)
    centers = normalize(sums)
    own = (normalize(sums[person] - x) * x).sum(1)  # like the others of its folder
    other, nearest = np.empty(len(x), np.float32), np.empty(len(x), np.int64)
    for i in range(0, len(x), ROWS):
        cosines = x[i : i + ROWS] @ centers.T
        cosines[np.arange(len(cosines)), person[i : i + ROWS]] = -1
        nearest[i : i + ROWS], other[i : i + ROWS] = cosines.argmax(1), cosines.max(1)
    alike = np.triu(centers @ centers.T, 1)
    pairs = np.dstack(np.unravel_index(np.argsort(-alike, axis=None)[:LISTED], alike.shape))[0]
    within = np.bincount(person, own) / np.bincount(person)
    return {
        "pictures": [
            {"path": paths[i], "own": rounded(own[i]), "other": names[nearest[i]], "cosine": rounded(other[i])}
            for i in np.argsort(own - other)[:LISTED]
        ],
        "folders_alike": [
            {
                "folders": [names[a], names[b]],
                "cosine": rounded(alike[a, b]),
                "relatives": group_of(names[a]) == group_of(names[b]),
            }
            for a, b in pairs
        ],
        "folders_unlike_themselves": [
            {"folder": names[i], "own": rounded(within[i])} for i in np.argsort(within)[: LISTED // 4]
        ],
    }


def rounded(value: float) -> float:
    return round(float(value), 3)


if __name__ == "__main__":
    main()
