"""LFW by dlib's own pipeline (its detector, its landmarks, its chips, its runtime) and by ours, with the same code.

dlib: frontal HOG detector on the photograph enlarged once, five landmarks, 150x150 chips, no jitter.
Where it detects no face, a chip of the whole photograph is used, like our center crop.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import data_folder, write
from numpy.typing import NDArray

from facever.cli.common import counted
from facever.datasets.lfw import read_lfw_pairs
from facever.datasets.pairs import Pair, photographs
from facever.evaluation import PhotoEmbedder, people_of
from facever.faces.cache import EmbeddingCache, default_cache_file
from facever.faces.images import load_image
from facever.faces.sources import Source
from facever.metrics import VerificationResult, verification_result
from facever.metrics.bootstrap import WeightedRates, bootstrap, correct_decisions
from facever.metrics.comparison import mcnemar, tar_differences
from facever.verifier import Verifier

MODELS = ("shape_predictor_5_face_landmarks.dat", "dlib_face_recognition_resnet_model_v1.dat")


class Dlib:
    """dlib's own pipeline from a photograph to an embedding."""

    def __init__(self, models: Path) -> None:
        import dlib

        self.dlib = dlib
        self.detector = dlib.get_frontal_face_detector()
        self.landmarks = dlib.shape_predictor(str(models / MODELS[0]))
        self.network = dlib.face_recognition_model_v1(str(models / MODELS[1]))

    def __call__(self, photograph: Source) -> tuple[NDArray[np.float32], bool]:
        """(embedding of the face nearest to the center, whether one was found)."""
        image = np.ascontiguousarray(load_image(photograph))
        boxes = list(self.detector(image, 1))
        height, width = image.shape[:2]
        whole = self.dlib.rectangle(0, 0, width - 1, height - 1)
        box = min(boxes, key=lambda b: np.hypot(b.center().x - width / 2, b.center().y - height / 2), default=whole)
        chip = self.dlib.get_face_chip(image, self.landmarks(image, box), size=150, padding=0.25)
        return np.array(self.network.compute_face_descriptor(chip), np.float32), bool(boxes)


def dlib_features(paths: list[Source]) -> tuple[NDArray[np.float32], int]:
    """(dlib's descriptors (n, 128), how many photographs have no face)."""
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or importlib.util.find_spec("dlib") is None:
        sys.exit("this needs dlib: pip install 'facever[dlib]'")
    pipeline = Dlib(Path((spec.submodule_search_locations or [""])[0]) / "models")
    features, found = zip(*(pipeline(path) for path in counted(paths, len(paths), "dlib")), strict=True)
    return np.array(features), found.count(False)


@dataclass(frozen=True)
class Figures:
    """A model's scores, correct decisions and figures."""

    scores: NDArray[np.float64]
    correct: NDArray[np.bool_]
    figures: dict[str, Any]

    @classmethod
    def of(cls, scores: NDArray[np.float64], pairs: list[Pair], without_face: int) -> Figures:
        same, folds = np.array([pair.same for pair in pairs]), np.array([pair.fold for pair in pairs])
        result = verification_result(scores, same, folds)
        correct = correct_decisions(scores, same, folds, np.array(result.fold_thresholds))
        intervals = bootstrap(people_of(pairs), WeightedRates(scores, same, correct, supported(result)))
        names = ["accuracy", *(f"tar_at_far_{far:g}" for far in supported(result))]
        figures = {
            "accuracy": result.accuracy,
            "accuracy_standard_error": result.accuracy_standard_error,
            "auc": result.auc,
            "eer": result.eer,
            "tar_at_far": {f"{far:g}": result.tar_at_far[far] for far in supported(result)},
            "intervals_over_people": dict(zip(names, intervals, strict=True)),
            "photographs_without_face": without_face,
        }
        return cls(scores, correct, figures)


def supported(result: VerificationResult) -> tuple[float, ...]:
    return tuple(far for far, tar in result.tar_at_far.items() if tar is not None)


def compared(ours: Figures, dlib: Figures, pairs: list[Pair]) -> dict[str, Any]:
    """Ours minus dlib's on the same pairs: McNemar's test, and a bootstrap over identities."""
    test = mcnemar(dlib.correct, ours.correct)
    same = np.array([pair.same for pair in pairs])
    fars = tuple(float(far) for far in ours.figures["tar_at_far"])
    differences = tar_differences(dlib.scores, ours.scores, same, people_of(pairs), fars)
    return {
        "accuracy": ours.figures["accuracy"] - dlib.figures["accuracy"],
        "only_ours_right": test.only_second,
        "only_dlib_right": test.only_first,
        "mcnemar_p": test.p_value,
        **{each.figure: {"difference": each.difference, "interval": each.interval} for each in differences},
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--every", type=int, default=1, help="take every so many-th pair, for a trial")
    parser.add_argument("--dry", action="store_true", help="print, and write no result")
    arguments = parser.parse_args()
    pairs = read_lfw_pairs(data_folder() / "pairs.txt", data_folder() / "lfw")[:: arguments.every]
    paths = photographs(pairs)
    row = {path: i for i, path in enumerate(paths)}
    a, b = np.array([row[pair.path_a] for pair in pairs]), np.array([row[pair.path_b] for pair in pairs])

    def by_us(weights: str) -> Figures:
        embedder = PhotoEmbedder(Verifier.load(weights, "cpu"), cache=EmbeddingCache(default_cache_file()))
        embedded = embedder(paths)
        vectors = embedded.vectors.astype(np.float64)
        return Figures.of((vectors[a] * vectors[b]).sum(axis=1), pairs, len(embedded.without_face))

    ours, same_network = by_us("default"), by_us("dlib")

    features, without_face = dlib_features(paths)
    features = features.astype(np.float64)
    # dlib's own score: negative distance of the descriptors.
    dlib = Figures.of(-np.linalg.norm(features[a] - features[b], axis=1), pairs, without_face)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    by_cosine = Figures.of((unit[a] * unit[b]).sum(axis=1), pairs, without_face)

    result: dict[str, Any] = {
        "what": "LFW's list by dlib's own pipeline, and by ours with default and with dlib's network, mirrored",
        "pairs": len(pairs),
        "photographs": len(paths),
        "ours": ours.figures,
        "ours_with_dlibs_network": same_network.figures,
        "dlib": dlib.figures,
        "dlib_by_cosine": by_cosine.figures,
        "ours_minus_dlib": compared(ours, dlib, pairs),
        "ours_minus_ours_with_dlibs_network": compared(ours, same_network, pairs),
    }
    if arguments.dry:
        print(json.dumps(result, indent=2))
    else:
        write("dlib_lfw", result)


if __name__ == "__main__":
    main()
