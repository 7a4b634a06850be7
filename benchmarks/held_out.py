"""What all shipped weights make of the people held out of training: each source apart, relatives apart from strangers.

At each one's own threshold for FAR 1e-3, which comes from the celeba people among them. The crops are cached where
trainings have theirs.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from common import data_folder, write

from facever.datasets.crops import cut_crops, default_cache_folder
from facever.datasets.identities import read_identities, split_identities
from facever.embedder import Embedder
from facever.training import TrainingSettings
from facever.training.data import MARGIN
from facever.training.held_out import TRANSFERRED_FAR, held_out_figures
from facever.weights import find_weights, shipped_weights


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", type=Path, default=default_cache_folder())
    folder = read_identities(data_folder() / "train", least=2)
    defaults = TrainingSettings(epochs=1)
    result: dict[str, Any] = {}
    for name in shipped_weights():
        embedder = Embedder.load(find_weights(name), "cpu")
        crops = cut_crops(folder, embedder.info.alignment, MARGIN, parser.parse_args().cache)
        people = crops.of(split_identities(crops.identities, defaults.held_out, defaults.seed)[1])
        embeddings, _ = embedder(people.inner(slice(None)))
        cosine = next((t.cosine for t in embedder.info.thresholds if t.far == TRANSFERRED_FAR), None)
        result[name] = held_out_figures(embeddings, people.identities, cosine)
    write(
        "held_out", {"what": "people held out of training, by source, in bfloat16 where the machine has it", **result}
    )


if __name__ == "__main__":
    main()
