"""Face detection by the MTCNN cascade.

K. Zhang, Z. Zhang, Z. Li, Y. Qiao, *Joint Face Detection and Alignment using Multi-task Cascaded Convolutional
Networks*, 2016. The three networks and their weights are facenet-pytorch's; the cascade over them is ours: a batch
may mix sizes and hold pictures without a face.

    image (H,W,3) --pyramid--> PNet --boxes--> RNet (24x24) --boxes--> ONet (48x48) --> box, landmarks, score
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from facever.faces.boxes import FloatArray, regressed, squared, suppressed
from facever.faces.detector_settings import DetectorSettings
from facever.faces.face import Face
from facever.faces.halvings import Halvings
from facever.faces.images import ImageArray
from facever.faces.mtcnn import cascade_networks, normalized

# Pictures whose shorter side is below this are first enlarged to it: a small picture of a face holds a small face.
ENLARGE_BELOW = 200
MAX_ENLARGEMENT = 4.0
PYRAMID_FACTOR = 0.709
# Turned faces that are found at all have a lower score, in nearly all photographs.
CERTAIN = 0.99
# Mirrored border of the second try, as a share of the picture's longer side, which is reduced to at most LONGER_SIDE:
# a face that needs the border is large, of at least BORDERED_FACE of the shorter side of both together.
BORDER = 0.3
LONGER_SIDE = 2000
BORDERED_FACE = 0.2
# PNet sees at most so many pixels of one level at once.
LEVEL_PIXELS = 1_000_000


@dataclass(slots=True)
class _Candidates:
    """Boxes of several images on their way through the cascade: n boxes, each with the index of its image."""

    boxes: FloatArray  # (n, 4)
    scores: FloatArray  # (n,)
    images: NDArray[np.int64]  # (n,)

    def __getitem__(self, keep: NDArray[np.int64] | NDArray[np.bool_]) -> _Candidates:
        return _Candidates(self.boxes[keep], self.scores[keep], self.images[keep])

    def __len__(self) -> int:
        return len(self.scores)

    def suppressed(self, overlap: float, of_smaller: bool = False) -> NDArray[np.int64]:
        """Indices of the boxes that remain by non-maximum suppression within each image."""
        kept = [np.empty(0, np.int64)]
        for image in np.unique(self.images):
            own = np.nonzero(self.images == image)[0]
            kept.append(own[suppressed(self.boxes[own], self.scores[own], overlap, of_smaller)])
        return np.concatenate(kept)


_Windows = tuple[FloatArray, FloatArray, FloatArray]  # boxes (n, 4), scores (n,), offsets (n, 4)


class Detector:
    """MTCNN over one photograph or over many of unequal sizes.

    Parameters
    ----------
    device : str or torch.device
        Where the networks run.
    settings : DetectorSettings
    """

    def __init__(self, device: str | torch.device = "cpu", settings: DetectorSettings = DetectorSettings()) -> None:
        self.device = torch.device(device)
        self.settings = settings
        self._pnet, self._rnet, self._onet = (network.to(self.device) for network in cascade_networks())

    def detect(self, image: ImageArray) -> list[Face]:
        """The faces of one RGB uint8 photograph (H, W, 3), by descending score; [] where there is none."""
        return self.detect_batch([image])[0]

    def detect_batch(self, images: Sequence[ImageArray]) -> list[list[Face]]:
        """The faces of each photograph, of whatever sizes; the same as `detect` gives for each alone.

        A photograph without a face is tried again with a mirrored border, which helps with tight crops. With
        `rotations`, one without a certain face is tried in three more directions; the one with the best face counts.
        """
        found = self.detect_as_they_are(images)
        if self.settings.rotations:
            unsure = [i for i, faces in enumerate(found) if not faces or faces[0].score < CERTAIN]
            for quarters in (1, 2, 3):
                turned = self.detect_as_they_are([np.ascontiguousarray(np.rot90(images[i], quarters)) for i in unsure])
                for i, faces in zip(unsure, turned, strict=True):
                    if faces and (not found[i] or faces[0].score > found[i][0].score):
                        found[i] = [face.turned_back(quarters, images[i].shape) for face in faces]
        return found

    def detect_as_they_are(self, images: Sequence[ImageArray]) -> list[list[Face]]:
        """The same, without turning any photograph."""
        found = self._enlarged(images)
        again = [i for i, faces in enumerate(found) if not faces and min(images[i].shape[:2]) > 1]
        if again:
            bordered = [_bordered(images[i]) for i in again]
            second = self._enlarged([picture for picture, _, _ in bordered], BORDERED_FACE)
            for i, (_, border, scale), faces in zip(again, bordered, second, strict=True):
                inside = [face.moved(border, scale) for face in faces]
                found[i] = [face for face in inside if _center_inside(face, images[i])]
        return found

    def _enlarged(self, images: Sequence[ImageArray], smallest: float = 0.0) -> list[list[Face]]:
        """The cascade on pictures enlarged where needed; faces in pixels of the originals.

        `smallest` is a share of the shorter side, besides the settings' smallest face.
        """
        scales = [min(MAX_ENLARGEMENT, max(1.0, ENLARGE_BELOW / min(image.shape[:2]))) for image in images]
        sized = [_resized(image, s) for image, s in zip(images, scales, strict=True)]
        found = self._cascade(sized, smallest)
        return [[face.moved(0.0, s) for face in faces] for faces, s in zip(found, scales, strict=True)]

    @torch.inference_mode()
    def _cascade(self, images: Sequence[ImageArray], smallest: float) -> list[list[Face]]:
        photographs = [Halvings(image) for image in images]
        candidates = self._propose(photographs, smallest)
        candidates = self._refine(photographs, candidates)
        candidates, landmarks = self._output(photographs, candidates)

        found: list[list[Face]] = [[] for _ in images]
        for k in np.argsort(-candidates.scores, kind="stable"):
            face = Face(candidates.boxes[k], landmarks[k], float(candidates.scores[k]))
            found[candidates.images[k]].append(face)
        return found

    def _propose(self, photographs: Sequence[Halvings], smallest: float) -> _Candidates:
        """PNet over the image pyramids: every 12x12 window that may hold a face, in pixels of its photograph."""
        levels: dict[tuple[int, int], list[tuple[int, float]]] = {}  # photographs of one size go together
        for i, photograph in enumerate(photographs):
            height, width = photograph.shape
            scale = 12.0 / max(self.settings.smallest(height, width), smallest * min(height, width))
            while min(height, width) * scale >= 12:
                levels.setdefault((int(height * scale + 1), int(width * scale + 1)), []).append((i, scale))
                scale *= PYRAMID_FACTOR
        found: list[list[_Windows]] = [[] for _ in photographs]
        for (height, width), members in levels.items():
            chunk = max(1, LEVEL_PIXELS // (height * width))
            for part in (members[k : k + chunk] for k in range(0, len(members), chunk)):
                pixels = np.stack([photographs[i].reduced(height, width) for i, _ in part])
                regression, probability = (each.cpu().numpy() for each in self._pnet(self._normalized(pixels)))
                for (i, scale), p, offsets in zip(part, probability[:, 1], regression, strict=True):
                    found[i].append(self._windows(p, offsets, scale))
        return _joined([_merged(windows, i) for i, windows in enumerate(found) if windows])

    def _windows(self, p: FloatArray, offsets: FloatArray, scale: float) -> _Windows:
        """Windows of one level, from probabilities (h, w) and offsets (4, h, w): one window every two pixels."""
        rows, columns = np.nonzero(p >= self.settings.thresholds[0])
        corner = np.stack([columns, rows], axis=1).astype(np.float32) * 2
        box = np.floor(np.concatenate([corner + 1, corner + 12], axis=1) / scale).astype(np.float32)
        keep = suppressed(box, p[rows, columns], 0.5)
        return box[keep], p[rows, columns][keep], offsets[:, rows, columns].T[keep]

    def _refine(self, photographs: Sequence[Halvings], candidates: _Candidates) -> _Candidates:
        """RNet: false windows out, boxes moved."""
        candidates, patches = _patches(photographs, candidates, 24)
        if not len(candidates):
            return candidates
        offsets, probability = self._in_chunks(self._rnet, patches)
        candidates.scores = probability[:, 1]
        passed = candidates.scores > self.settings.thresholds[1]
        candidates, offsets = candidates[passed], offsets[passed]
        keep = candidates.suppressed(0.7)
        candidates = candidates[keep]
        candidates.boxes = squared(regressed(candidates.boxes, offsets[keep], extra=1.0))
        return candidates

    def _output(self, photographs: Sequence[Halvings], candidates: _Candidates) -> tuple[_Candidates, FloatArray]:
        """ONet: the final boxes and the five landmarks, (n, 5, 2)."""
        candidates, patches = _patches(photographs, candidates, 48)
        if not len(candidates):
            return candidates, np.empty((0, 5, 2), np.float32)
        offsets, points, probability = self._in_chunks(self._onet, patches)
        candidates.scores = probability[:, 1]
        passed = candidates.scores > self.settings.thresholds[2]
        candidates, offsets, points = candidates[passed], offsets[passed], points[passed]
        side = candidates.boxes[:, 2:] - candidates.boxes[:, :2] + 1  # (n, 2)
        relative = points.reshape(-1, 2, 5).transpose(0, 2, 1)  # x of all five, then y -> (n, 5, 2)
        landmarks = relative * side[:, None] + candidates.boxes[:, None, :2] - 1
        candidates.boxes = regressed(candidates.boxes, offsets, extra=1.0)
        keep = candidates.suppressed(0.7, of_smaller=True)
        return candidates[keep], landmarks[keep].astype(np.float32)

    def _in_chunks(self, network: nn.Module, patches: ImageArray) -> list[FloatArray]:
        """The network's outputs for all patches; chunks bound the memory that a crowd takes."""
        chunk = 16 if self.device.type == "cpu" else 512  # 16 stay in a core's cache
        parts = [network(self._normalized(patches[i : i + chunk])) for i in range(0, len(patches), chunk)]
        return [torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True)]

    def _normalized(self, pixels: ImageArray) -> torch.Tensor:
        return normalized(torch.from_numpy(pixels).to(self.device))


def _merged(levels: list[_Windows], image: int) -> _Candidates:
    """The windows of all levels of one photograph, moved by their offsets and made square."""
    box, score, offset = (np.concatenate(column) for column in zip(*levels, strict=True))
    keep = suppressed(box, score, 0.7)
    # PNet was trained with sides x1 - x0, the later networks with sides + 1.
    return _Candidates(squared(regressed(box[keep], offset[keep], extra=0.0)), score[keep], np.full(len(keep), image))


def _joined(parts: list[_Candidates]) -> _Candidates:
    none = _Candidates(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))
    parts = [none, *parts]
    return _Candidates(
        np.concatenate([p.boxes for p in parts]),
        np.concatenate([p.scores for p in parts]),
        np.concatenate([p.images for p in parts]),
    )


def _resized(image: ImageArray, scale: float) -> ImageArray:
    if scale == 1.0:
        return image
    height, width = image.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA), np.uint8)


def _bordered(image: ImageArray) -> tuple[ImageArray, int, float]:
    """The picture with a mirrored border: the border's pixels, and the scale that the picture was reduced by before."""
    scale = min(1.0, LONGER_SIDE / max(image.shape[:2]))
    image = _resized(image, scale)
    border = int(BORDER * max(image.shape[:2])) + 1
    edges = (border, border, border, border)
    return np.asarray(cv2.copyMakeBorder(image, *edges, cv2.BORDER_REFLECT_101), np.uint8), border, scale


def _center_inside(face: Face, image: ImageArray) -> bool:
    """Whether the face is in the photograph, not in its mirrored border."""
    x, y = (face.box[:2] + face.box[2:]) / 2
    return bool(0 <= x < image.shape[1] and 0 <= y < image.shape[0])


def _patches(photographs: Sequence[Halvings], candidates: _Candidates, size: int) -> tuple[_Candidates, ImageArray]:
    """The part of each box that lies inside its photograph; boxes wholly outside are dropped."""
    patches, kept = [], []
    for k, box in enumerate(candidates.boxes):
        patch = photographs[candidates.images[k]].patch(box, size)
        if patch is not None:
            patches.append(patch[0])
            candidates.boxes[k] = patch[1]
            kept.append(k)
    stacked = np.stack(patches) if patches else np.empty((0, size, size, 3), np.uint8)
    return candidates[np.array(kept, np.int64)], stacked
