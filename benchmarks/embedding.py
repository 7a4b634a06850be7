"""Faces a second of the `default` weights against the same network in dlib's own runtime."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
from common import data_folder, paired, rounds, write

from facever.embedder import Embedder
from facever.pipeline import Job
from facever.streaming import process_files

COUNT = 64


def main() -> None:
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or importlib.util.find_spec("dlib") is None:
        sys.exit("this needs dlib: pip install 'facever[dlib]'")
    import dlib

    models = Path((spec.submodule_search_locations or [""])[0]) / "models"
    rival = dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat"))
    embedder = Embedder.load("default", "cpu")
    paths = sorted((data_folder() / "lfw").glob("*/*.jpg"))[::53][:COUNT]
    found = process_files(paths, Job(embedder.info.alignment, rule="center"))
    crops = np.stack([photograph.faces[0].crop for photograph in found if photograph.faces])
    result = paired(
        lambda: embedder(crops),
        lambda: [rival.compute_face_descriptor(crop) for crop in crops],
        len(crops),
        rounds(),
    )
    what = f"default, mirrored face averaged in, {embedder.precision}, over dlib without it; aligned crops of LFW"
    write("embedding", {"what": what, **result})


if __name__ == "__main__":
    main()
