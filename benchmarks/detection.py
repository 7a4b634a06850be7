"""Photographs a second of our cascade against facenet-pytorch's `MTCNN.detect`, one photograph at a time."""

from __future__ import annotations

import numpy as np
from common import data_folder, paired, rounds, write
from facenet_pytorch import MTCNN
from PIL import Image

from facever.faces.detection import Detector
from facever.faces.detector_settings import DetectorSettings

COUNT = 100


def main() -> None:
    paths = sorted((data_folder() / "lfw").glob("*/*.jpg"))[::37][:COUNT]
    photographs = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    detector, rival = Detector(), MTCNN(min_face_size=DetectorSettings().min_face, keep_all=True)
    result = paired(
        lambda: [detector.detect(image) for image in photographs],
        lambda: [rival.detect(image, landmarks=True) for image in photographs],
        COUNT,
        rounds(),
    )
    write("detection", {"what": f"detection over facenet-pytorch's, {COUNT} LFW photographs, float32", **result})


if __name__ == "__main__":
    main()
