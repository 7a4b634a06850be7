"""What the smallest face costs and loses: crowds of LFW's faces, 30 to 400 pixels wide, in JPEGs of 12 megapixels."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import data_folder, rounds, write
from numpy.typing import NDArray
from PIL import Image

from facever.faces.detector_settings import DetectorSettings
from facever.faces.parallel import process_files
from facever.faces.pipeline import Job
from facever.weights.alignment import ALIGNMENTS

PICTURES, COLUMNS, ROWS = 8, 10, 7
SHARES = ("40", "1%", "2%", "3%", "4%", "6%")
BINS = (30, 60, 90, 120, 180, 400)
# LFW's face is some 100 of its 250 pixels wide, in the middle.
FACE = 0.4


def crowd(path: Path, sources: list[Path], seed: int) -> NDArray[np.float64]:
    """Write a picture; the center and width of each face in it, (n, 3)."""
    rng = np.random.default_rng(seed)
    canvas = Image.new("RGB", (4000, 3000), (110, 115, 120))
    faces = []
    for cell, source in enumerate(sources):
        width = float(np.exp(rng.uniform(np.log(BINS[0]), np.log(BINS[-1]))))
        side = min(round(width / FACE), 428)  # larger photographs are cut, so that faces do not overlap
        photograph = Image.open(source).convert("RGB").resize([round(width / FACE)] * 2, Image.Resampling.LANCZOS)
        cut = (photograph.width - side) // 2
        x, y = 400 * (cell % COLUMNS), 428 * (cell // COLUMNS)
        canvas.paste(photograph.crop((cut, cut, cut + side, cut + side)).crop((0, 0, 400, 428)), (x, y))
        faces.append((x + side / 2, y + side / 2, width))
    canvas.save(path, quality=92)
    return np.array(faces)


def recall(faces: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which faces have a box around their center, of at most three times their width."""
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    distance = np.linalg.norm(middle[None] - faces[:, None, :2], axis=2)
    return (distance < faces[:, 2:] / 2).any(axis=1)


def main() -> None:
    torch.set_num_threads(1)
    count = COLUMNS * ROWS
    lfw = random.Random(0).sample(sorted((data_folder() / "lfw").glob("*/*.jpg")), PICTURES * count)
    repeats = rounds(3)
    with tempfile.TemporaryDirectory(prefix="facever-") as folder:
        paths = [Path(folder, f"{i}.jpg") for i in range(PICTURES)]
        faces = [crowd(path, lfw[count * i : count * (i + 1)], i) for i, path in enumerate(paths)]
        result: dict[str, Any] = {}
        seconds: dict[str, list[float]] = {share: [] for share in SHARES}
        for _ in range(repeats):
            for share in SHARES:
                job = Job(output=ALIGNMENTS["face-112x112"], detector=DetectorSettings.parse(share))
                start = time.perf_counter()
                found = list(process_files(paths, job, 1))
                seconds[share].append((time.perf_counter() - start) / PICTURES)
                boxes = [np.array([face.face.box for face in each.faces]).reshape(-1, 4) for each in found]
                seen = np.concatenate([recall(a, b) for a, b in zip(faces, boxes, strict=True)])
                widths = np.concatenate(faces)[:, 2]
                by_width = {
                    f"{low} to {high}": round(float(seen[(low <= widths) & (widths < high)].mean()), 3)
                    for low, high in pairwise(BINS)
                }
                result[share] = {"found": by_width}
    for share, times in seconds.items():
        result[share]["ms"] = round(1000 * statistics.median(times))
    write("crowds", {"what": f"{PICTURES} pictures of {count} faces; share of faces found, by width", **result})


if __name__ == "__main__":
    main()
