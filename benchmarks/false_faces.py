"""Faces that the detector sees where there are none, beside the share of photographs of people in which it finds one.

Pictures without a face: drawn textures; the sample photographs of scikit-learn; corners of LFW's photographs, away from
the face in the middle (a bystander's face may be in one: a false face there is an upper bound). `--every` takes each so
manieth photograph of LFW. The detector's default settings; figures by the least score that counts as a face.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from common import data_folder, write
from numpy.typing import NDArray
from sklearn.datasets import load_sample_images

from facever.faces.detection import Detector
from facever.faces.images import load_image

SIZE, CORNER = 256, 72
LEAST_SCORES = (0.0, 0.9, 0.95, 0.99, 0.999)
Pixels = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--textures", type=int, default=60, help="of each kind")
    options = parser.parse_args()
    photographs = [load_image(path) for path in sorted((data_folder() / "lfw").glob("*/*.jpg"))[:: options.every]]
    pictures = {
        "textures": list(textures(options.textures)),
        "scikit-learn's photographs": [np.asarray(each) for each in load_sample_images().images],
        "corners of LFW": [corner for photograph in photographs for corner in corners(photograph)],
    }
    detector = Detector("cpu")
    false = {name: figures(detector, each) for name, each in pictures.items()}
    write("false_faces", {"what": __doc__, "without a face": false, "of people": figures(detector, photographs)})


def textures(count: int, seed: int = 0) -> Iterator[Pixels]:
    """Noise of several coarsenesses and colors, stripes, checkers, blobs: what fabric, walls and leaves look like."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    for _ in range(count):
        for cells in (4, 8, 16, 32, SIZE):  # across the picture
            yield enlarged(draw.integers(0, 256, (cells, cells, 3), np.uint8))
        angle, period = draw.uniform(0, np.pi), draw.uniform(6, 60)
        wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)
        across = np.sin(2 * np.pi * (y * np.cos(angle) - x * np.sin(angle)) / period)
        for pattern in (wave, np.sign(wave * across), wave * across, wave + across):
            scaled = (pattern - pattern.min()) / np.ptp(pattern)
            low, high = draw.uniform(0, 255, (2, 3))
            yield (low + scaled[..., None] * (high - low)).astype(np.uint8)


def corners(photograph: Pixels) -> Iterator[Pixels]:
    for part in (photograph[:CORNER], photograph[-CORNER:]):
        yield from (enlarged(part[:, :CORNER]), enlarged(part[:, -CORNER:]))


def enlarged(picture: Pixels) -> Pixels:
    return np.asarray(cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC), np.uint8)


def figures(detector: Detector, pictures: list[Pixels]) -> dict[str, Any]:
    """How many pictures have a face of at least each score, and the highest score of each kind."""
    best = []
    for start in range(0, len(pictures), 64):
        found = detector.detect_batch(pictures[start : start + 64])
        best += [max((face.score for face in faces), default=-1.0) for faces in found]
    counts = {f"{least:g}": int(np.sum(np.array(best) >= least)) for least in LEAST_SCORES}
    return {"pictures": len(pictures), "with a face, by least score": counts, "highest score": max(best, default=None)}


if __name__ == "__main__":
    main()
