"""Faces that found nobody are those that `facever verify` gives no answer for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from gallery_samples import MADE

from facever.faces.doubts import doubts_of_face
from facever.faces.face import Face
from facever.faces.looks import Looks
from facever.faces.parquet import photograph_rows, schema
from facever.faces.pipeline import EmbeddedFace, PhotoResult
from facever.gallery.faces import FaceTable
from facever.gallery.poor import poor_faces

CLEAR = Looks(sharpness=2.0, noise=1.0, contrast=40.0)
LOOKS = [
    CLEAR,
    replace(CLEAR, sharpness=0.39),
    replace(CLEAR, sharpness=0.41),
    replace(CLEAR, noise=2.5),
    replace(CLEAR, noise=2.5, sharpness=20.0),
    replace(CLEAR, noise=2.3),
    replace(CLEAR, contrast=11.9),
    replace(CLEAR, contrast=12.1),
    replace(CLEAR, upside_down=True),
    replace(CLEAR, covered=("eye region",)),
]


def face(looks: Looks | None, x: float = 50, side: float = 40, score: float = 1.0) -> EmbeddedFace:
    box = np.array([x, 30, x + side, 30 + side], np.float32)
    points = np.array([[10, 12], [30, 12], [20, 20], [12, 30], [28, 30]], np.float32) * side / 40 + box[:2]
    return EmbeddedFace(Face(box, points, score), None, np.eye(4, dtype=np.float32)[0], 1.0, looks)


def test_the_limits_are_those_of_an_answer(tmp_path: Path) -> None:
    faces = [face(each) for each in LOOKS]
    faces += [face(CLEAR, side=23.9), face(CLEAR, side=24.1), face(CLEAR, score=0.98), face(CLEAR, x=-20)]
    photographs = [PhotoResult(f"{i}.jpg", [each], 1, size=(200, 200)) for i, each in enumerate(faces)]
    rows = [row for each in photographs for row in photograph_rows(each, tmp_path, None)]
    pq.write_table(pa.Table.from_pylist(rows, schema(4, MADE)), tmp_path / "faces.parquet")
    table = FaceTable.open(tmp_path / "faces.parquet")
    doubtful = [bool(doubts_of_face(each, (200, 200))) for each in faces]
    assert doubtful.count(True) == 7
    assert poor_faces(table, np.arange(len(faces))).tolist() == doubtful
