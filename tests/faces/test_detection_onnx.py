"""The detector in ONNX: each network gives what the detector's own stage makes of the same pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from facever.faces.boxes import regressed, squared
from facever.faces.detection import DetectorSettings, cascade_networks, normalized
from facever.faces.detection_onnx import export_detector

onnxruntime = pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detector")
    assert max(export_detector(folder).values()) < 1e-4
    return folder


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape[1]).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("size", [(12, 12), (13, 40), (77, 50)])
def test_pnet_gives_the_windows_of_its_cells_and_the_squares_that_the_cascade_makes(
    size: tuple[int, int], exported: Path
) -> None:
    level, scale = noise(1, *size, 3), np.array(0.3, np.float32)
    session = onnxruntime.InferenceSession(exported / "pnet.onnx")
    probability, windows, boxes = session.run(None, {"pixels": level, "scale": scale})
    with torch.no_grad():
        offsets, expected = cascade_networks()[0](normalized(torch.from_numpy(level)))
    rows, columns = np.nonzero(np.ones(expected.shape[2:]))
    np.testing.assert_allclose(probability, expected[0, 1].numpy()[rows, columns], atol=1e-6)
    corner = np.stack([columns, rows], 1).astype(np.float32) * 2
    np.testing.assert_array_equal(windows, np.floor(np.hstack([corner + 1, corner + 12]) / scale))
    moved = regressed(windows, offsets[0].numpy()[:, rows, columns].T, 0.0)
    np.testing.assert_allclose(boxes, squared(moved), atol=1e-3)


WINDOWS = np.array([[10, 20, 50, 70], [-3, 4, 30, 37.5], [0, 0, 99, 99]], np.float32)


def test_rnet_gives_the_squares_that_the_cascade_makes(exported: Path) -> None:
    pixels = noise(3, 24, 24, 3)
    session = onnxruntime.InferenceSession(exported / "rnet.onnx")
    probability, boxes = session.run(None, {"pixels": pixels, "windows": WINDOWS})
    with torch.no_grad():
        offsets, expected = cascade_networks()[1](normalized(torch.from_numpy(pixels)))
    np.testing.assert_allclose(probability, expected[:, 1].numpy(), atol=1e-6)
    np.testing.assert_allclose(boxes, squared(regressed(WINDOWS, offsets.numpy(), 1.0)), atol=1e-3)


def test_onet_gives_boxes_and_landmarks_in_pixels_of_the_photograph(exported: Path) -> None:
    pixels = noise(3, 48, 48, 3)
    session = onnxruntime.InferenceSession(exported / "onet.onnx")
    probability, boxes, landmarks = session.run(None, {"pixels": pixels, "windows": WINDOWS})
    with torch.no_grad():
        offsets, points, expected = cascade_networks()[2](normalized(torch.from_numpy(pixels)))
    np.testing.assert_allclose(probability, expected[:, 1].numpy(), atol=1e-6)
    np.testing.assert_allclose(boxes, regressed(WINDOWS, offsets.numpy(), 1.0), atol=1e-3)
    for face, (x0, y0, x1, y1) in enumerate(WINDOWS):
        for i in range(5):
            x, y = points[face, i], points[face, i + 5]
            expected_point = (x0 + float(x) * (x1 - x0 + 1) - 1, y0 + float(y) * (y1 - y0 + 1) - 1)
            assert landmarks[face, i] == pytest.approx(expected_point, abs=1e-3)


def test_the_files_say_how_to_use_them_and_where_they_come_from(exported: Path) -> None:
    for name in ("pnet", "rnet", "onet"):
        meta = onnxruntime.InferenceSession(exported / f"{name}.onnx").get_modelmeta()
        assert "facenet-pytorch (MIT)" in meta.description
        told = json.loads(meta.custom_metadata_map["facever"])["detector"]
        assert told["thresholds"] == list(DetectorSettings().thresholds)
        assert (told["min_face"], told["pyramid_factor"]) == (40, 0.709)
