"""Distillation from a teacher: a student learns to match its embeddings of the training crops.

A. Romero et al., *FitNets: Hints for Thin Deep Nets*, 2015 (a feature through a linear head), and F. Tung, G. Mori,
*Similarity-Preserving Knowledge Distillation*, 2019 (the batch's matrix of similarities).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn

from facever.faces.embedder import Embedder
from facever.files import atomic_write, sha256_of
from facever.training.crops import CropSet
from facever.training.distillation.mixup import MixupPairs
from facever.weights.shipped import find_weights

# Shifts of the teacher's views, in pixels of its crop, right and down. Each view is averaged with its mirror image.
VIEWS = ((0, 0), (-4, -4), (4, 4))
BATCH, CUDA_BATCH = 64, 512


class DistillationLoss(nn.Module):
    """The distance of a student from its teacher.

    |h(f) - t|² + similarity_weight · mean_ij (s_i·s_j - t_i·t_j)², with s = f/|f|, t the teacher's embedding without
    its mean, and h(f) the student's feature through a linear head, unit length; both terms are means over the batch.

    Parameters
    ----------
    student_size, teacher_size : int
        Embedding sizes.
    similarity_weight : float, >= 0
    """

    def __init__(self, student_size: int, teacher_size: int, similarity_weight: float) -> None:
        super().__init__()
        self.head = nn.Linear(student_size, teacher_size, bias=False)
        self.similarity_weight = similarity_weight

    def forward(self, features: Tensor, targets: Tensor) -> Tensor:  # (N, d), (N, k) -> scalar
        students = F.normalize(features.float())
        agreement = (F.normalize(self.head(students).float()) - targets).square().sum(1).mean()
        with torch.autocast(features.device.type, enabled=False):  # differences of cosines are small
            difference = students @ students.T - targets @ targets.T
        return agreement + self.similarity_weight * difference.square().mean()


def teacher_embeddings(
    weights: str,
    crops: CropSet,
    cache: Path,
    device: torch.device,
    progress: Callable[[int, int], None] = lambda done, total: None,
    mixup_pairs: MixupPairs | None = None,
) -> Tensor:
    """The teacher's mean embedding over several views of each crop, centered, unit length. float32 (m, k)

    Centered, because a student otherwise learns little but the mean for long. With mixup pairs (m + q, k): theirs, from
    one view each, follow.

    Computed once for the same weights and crops, and kept in the folder of the crop caches.

    Parameters
    ----------
    weights : str
        As for `facever.weights.shipped.find_weights`.
    crops : CropSet
        By the teacher's alignment.
    mixup_pairs : MixupPairs, optional
        Of those crops.

    Raises
    ------
    WeightsError, OutputError
    """
    path = find_weights(weights)
    key = {"weights": sha256_of(path), "paths": crops.paths, "pixels": crops.digest()}
    looks = [_Look({**key, "views": VIEWS}, len(crops), VIEWS, crops.padded)]
    if mixup_pairs is not None:
        mixup = {**key, "views": VIEWS[:1], "mixup_pairs": mixup_pairs.digest()}
        looks.append(_Look(mixup, len(mixup_pairs), VIEWS[:1], lambda part: mixup_pairs.of(crops, part)))
    average, *others = (torch.from_numpy(_embeddings(path, device, look, crops, cache, progress)) for look in looks)
    return F.normalize(torch.cat([average, *others]) - average.mean(0)).to(device)


def initial_embeddings(
    weights: str,
    crops: CropSet,
    cache: Path,
    device: torch.device,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """The unit embedding of each crop, averaged with its mirror image, by the weights that a training starts from.

    float32 (m, k); kept as `teacher_embeddings`. Raises WeightsError, OutputError.
    """
    path = find_weights(weights)
    key = {"weights": sha256_of(path), "paths": crops.paths, "pixels": crops.digest(), "views": VIEWS[:1]}
    look = _Look(key, len(crops), VIEWS[:1], crops.padded)
    return torch.from_numpy(_embeddings(path, device, look, crops, cache, progress)).to(device)


@dataclass(frozen=True, slots=True)
class _Look:
    """What the teacher embeds: `total` pictures, which `pixels` gives with their margin, each in some views.

    `key`: all that the embeddings depend on, for the cache.
    """

    key: dict[str, Any]
    total: int
    views: tuple[tuple[int, int], ...]
    pixels: Callable[[slice], NDArray[np.uint8]]


def _embeddings(
    weights: Path,
    device: torch.device,
    look: _Look,
    crops: CropSet,
    cache: Path,
    progress: Callable[[int, int], None],
) -> NDArray[np.float32]:
    """The mean over the views, from the cache if it is there. (total, k)"""
    name = hashlib.sha256(json.dumps(look.key).encode()).hexdigest()[:16]
    file = cache / f"teacher-{name}.safetensors"
    with suppress(OSError, SafetensorError, KeyError):
        return load_file(file)["embeddings"]
    embedder = Embedder.load(weights, device)
    height, width, margin = crops.alignment.height, crops.alignment.width, crops.margin
    batch = CUDA_BATCH if device.type == "cuda" else BATCH
    parts: list[NDArray[np.float32]] = []
    for i in range(0, look.total, batch):
        pixels = look.pixels(slice(i, i + batch))
        mean = np.zeros((len(pixels), embedder.network.embedding_size), np.float32)
        for x, y in look.views:
            left, top = (margin + min(margin, max(-margin, step)) for step in (x, y))
            view = np.ascontiguousarray(pixels[:, top : top + height, left : left + width])
            mean += embedder(view, batch)[0] / np.float32(len(look.views))
        parts.append(mean)
        progress(i + len(pixels), look.total)
    embeddings = np.concatenate(parts)
    with atomic_write(file, private=True) as temporary:
        save_file({"embeddings": embeddings}, temporary)
    return embeddings
