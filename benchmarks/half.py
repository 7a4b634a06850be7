"""What half precision in a weights file costs on LFW: dlib's network stored in full and in half, the same crops."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import data_folder, write

from facever.datasets.pairs import photographs, read_lfw_pairs
from facever.dlib_format import dlib_info, read_network
from facever.embedder import Embedder
from facever.pipeline import Job, process_files
from facever.protocols import Photographs, evaluate_embedded
from facever.weights import save_weights


def main() -> None:
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None:
        sys.exit("this needs dlib's weights: pip install 'facever[dlib]'")
    models = Path((spec.submodule_search_locations or [""])[0]) / "models"
    network = read_network(models / "dlib_face_recognition_resnet_model_v1.dat")
    info = dlib_info("dlib")
    pairs = read_lfw_pairs(data_folder() / "pairs.txt", data_folder() / "lfw")
    paths = photographs(pairs)
    done = process_files(paths, Job(info.alignment, rule="center", centre_fallback=True))
    crops = np.stack([(p.faces[0] if p.faces else p.centre).crop for p in done])  # type: ignore[union-attr]
    result: dict[str, Any] = {"what": "LFW accuracy of dlib's network stored in full and in half precision"}
    for name, half in (("full", False), ("half", True)):
        with tempfile.TemporaryDirectory() as folder:
            save_weights(Path(folder) / "w.safetensors", info, network, half)
            embeddings, norms = Embedder.load(Path(folder) / "w.safetensors", "cpu")(crops)
        found = evaluate_embedded(pairs, Photographs([str(p) for p in paths], embeddings, norms, []), [])
        result[name] = {"accuracy": found.figures.accuracy, "auc": found.figures.auc, "eer": found.figures.eer}
        result[f"{name}_cosines"] = found.cosines
    change = np.abs(result.pop("full_cosines") - result.pop("half_cosines"))
    write("half", {**result, "largest_change_of_a_cosine": float(change.max())})


if __name__ == "__main__":
    main()
