"""The detector's three networks as ONNX models, with the arithmetic of boxes inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from facever.faces.detection import PYRAMID_FACTOR
from facever.faces.detector_settings import DetectorSettings
from facever.faces.mtcnn import cascade_networks, normalized
from facever.weights.metadata import versions
from facever.weights.onnx_export import write_model

NAMES = ("pnet.onnx", "rnet.onnx", "onet.onnx")
_ABOUT = (
    "pixels: a level of the image pyramid; scale: its size divided by the photograph's. windows: the parts of the "
    "photograph that probability is about. boxes: what RNet should see.",
    "pixels: PNet's boxes, cut out and scaled to 24x24; windows: those boxes. boxes: what ONet should see.",
    "pixels: RNet's boxes, cut out and scaled to 48x48; windows: those boxes. boxes: of the faces. landmarks: left "
    "eye, right eye, nose, left and right corner of the mouth, as seen.",
)
_COMMON = (
    "pixels are RGB, uint8; probability is that of a face; boxes are x0, y0, x1, y1 in pixels of the photograph. "
    "Networks and parameters: facenet-pytorch (MIT), after K. Zhang, Z. Zhang, Z. Li, Y. Qiao, MTCNN, 2016."
)


class _PNet(nn.Module):
    """A level (1, h, w, 3) and its scale -> probability (m,), windows (m, 4), boxes (m, 4)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        offsets, probability = self.network(normalized(pixels))
        probability = probability[0, 1]  # (rows, columns), one window of 12 pixels every two
        x, y = (2 * torch.ones_like(probability).cumsum(axis).flatten() - 1 for axis in (1, 0))
        windows = torch.floor(torch.stack([x, y, x + 11, y + 11], 1) / scale)
        return probability.flatten(), windows, _squared(_moved(windows, offsets[0].flatten(1).T, 0))


class _Later(nn.Module):
    """RNet or ONet: pixels (n, h, w, 3), windows (n, 4) -> probability (n,), boxes (n, 4), landmarks (n, 5, 2)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor, windows: Tensor) -> tuple[Tensor, ...]:
        offsets, *points, probability = self.network(normalized(pixels))
        boxes = _moved(windows, offsets, 1)
        if not points:
            return probability[:, 1], _squared(boxes)
        corner, side = windows[:, None, :2], windows[:, None, 2:] - windows[:, None, :2] + 1
        return probability[:, 1], boxes, corner - 1 + side * points[0].view(-1, 2, 5).transpose(1, 2)


def _moved(boxes: Tensor, offsets: Tensor, extra: int) -> Tensor:
    """As `facever.faces.boxes.regressed`."""
    side = boxes[:, 2:] - boxes[:, :2] + extra
    return boxes + offsets * torch.cat([side, side], 1)


def _squared(boxes: Tensor) -> Tensor:
    """As `facever.faces.boxes.squared`."""
    side = boxes[:, 2:] - boxes[:, :2]
    longest = side.amax(1, keepdim=True)
    corner = boxes[:, :2] + (side - longest) / 2
    return torch.cat([corner, corner + longest], 1)


def export_detector(folder: Path) -> dict[Path, float]:
    """Write PNet, RNet and ONet into a folder, as `pnet.onnx`, `rnet.onnx` and `onet.onnx`.

    What remains to do between them: the image pyramid, thresholds, non-maximum suppression, and cutting out boxes. The
    metadata holds, under the key "facever", the detector's settings.

    Returns
    -------
    dict from Path to float
        The files, and the greatest difference of each from torch, as for `facever.weights.onnx_export.write_model`.

    Raises
    ------
    WeightsError, OutputError
    FaceverError
        Where the extra `onnx` is not installed.
    """
    pnet, rnet, onet = cascade_networks()
    n, m = {0: "n"}, {0: "m"}
    level: Mapping[int, str] = {1: "height", 2: "width"}
    box = {"probability": n, "boxes": n}
    stages: list[tuple[nn.Module, int, dict[str, Mapping[int, str]]]] = [
        (_PNet(pnet), 0, {"pixels": level, "scale": {}, "probability": m, "windows": m, "boxes": m}),
        (_Later(rnet), 24, {"pixels": n, "windows": n, **box}),
        (_Later(onet), 48, {"pixels": n, "windows": n, **box, "landmarks": n}),
    ]
    record = {"detector": {**asdict(DetectorSettings()), "pyramid_factor": PYRAMID_FACTOR}, "versions": versions()}
    written = {}
    for name, about, (stage, size, axes) in zip(NAMES, _ABOUT, stages, strict=True):
        two = (_patches(2, size), _patches(3, size)) if size else (_level(40, 52), _level(61, 43))
        written[folder / name] = write_model(folder / name, stage, two, axes, f"{about} {_COMMON}", record)
    return written


def _noise(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def _level(height: int, width: int) -> tuple[Tensor, Tensor]:
    return _noise(1, height, width, 3), torch.tensor(12 / height)


def _patches(count: int, size: int) -> tuple[Tensor, Tensor]:
    return _noise(count, size, size, 3), torch.tensor([[8.0, 4.0, 40.0, 44.0]]).repeat(count, 1)
