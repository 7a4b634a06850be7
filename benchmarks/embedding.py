"""Faces a second of the `default` weights against dlib's network in dlib's own runtime, each on its own crops.

In float32, and, where that is faster, in bfloat16.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import partial
from pathlib import Path

import numpy as np
from common import data_folder, paired, rounds, write

from facever.faces.embedder import Embedder
from facever.faces.parallel import process_files
from facever.faces.pipeline import Job
from facever.weights.alignment import DLIB_150

COUNT = 64


def main() -> None:
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or importlib.util.find_spec("dlib") is None:
        sys.exit("this needs dlib: pip install 'facever[dlib]'")
    import dlib

    models = Path((spec.submodule_search_locations or [""])[0]) / "models"
    rival = dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat"))
    embedders = [Embedder.load("default", "cpu", "fp32"), Embedder.load("default", "cpu")]
    paths = sorted((data_folder() / "lfw").glob("*/*.jpg"))[::53][:COUNT]
    crops, chips = (
        np.stack([p.faces[0].crop for p in process_files(paths, Job(output=alignment, rule="center")) if p.faces])
        for alignment in (embedders[0].info.alignment, DLIB_150)
    )
    times = rounds()
    for precision, embedder in {each.precision: each for each in embedders}.items():
        result = paired(
            partial(embedder, crops),
            lambda: [rival.compute_face_descriptor(chip) for chip in chips],
            len(crops),
            times,
        )
        what = f"default, mirrored face averaged in, {precision}, over dlib without it; aligned crops of LFW"
        write("embedding" if precision == "bf16" else "embedding_fp32", {"what": what, **result})


if __name__ == "__main__":
    main()
