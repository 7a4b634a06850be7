"""A teacher: finished weights whose embeddings of the training photographs a student learns to agree with.

A. Romero et al., *FitNets: Hints for Thin Deep Nets*, 2015 (a feature through a linear head), and F. Tung, G. Mori,
*Similarity-Preserving Knowledge Distillation*, 2019 (the batch's matrix of similarities).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn

from facever.datasets.crops import CropSet
from facever.embedder import Embedder
from facever.files import sha256_of, written_whole
from facever.weights import find_weights

# Where the teacher looks, in pixels of its crop, right and down. Each view is embedded with its mirror image, too.
VIEWS = ((0, 0), (-4, -4), (4, 4))
BATCH = 64


class Teaching(nn.Module):
    """How far a student is from its teacher.

    |h(f) - t|² + similarity_weight · mean_ij (s_i·s_j - t_i·t_j)², with s = f/|f|, t the teacher's embedding without
    its centre, and h(f) the student's feature through a linear head, of length 1; both terms are means over the batch.

    Parameters
    ----------
    student_size, teacher_size : int
        Components of the two embeddings.
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
) -> Tensor:
    """The teacher's average over several views of each crop, without the mean over all, of length 1. float32 (m, k)

    With the mean, which all photographs share, a student learns little else for long.

    Computed once for the same weights and photographs, and kept in the folder of the crop caches.

    Parameters
    ----------
    weights : str
        As for `facever.weights.find_weights`.
    crops : CropSet
        Cut by the teacher's alignment.

    Raises
    ------
    WeightsError, OutputError
    """
    path = find_weights(weights)
    key: dict[str, Any] = {"weights": sha256_of(path), "views": VIEWS, "paths": crops.paths}
    some = crops.crops[crops.rows[:: max(1, len(crops) // 64)]]
    pixels = hashlib.sha256(some.tobytes()).hexdigest()
    name = hashlib.sha256(json.dumps({**key, "pixels": pixels}).encode()).hexdigest()[:16]
    file = cache / f"teacher-{name}.safetensors"
    embeddings = _read(file)
    if embeddings is None:
        embedder = Embedder.load(path, device)
        parts = []
        for done, part in _embedded(embedder, crops):
            parts.append(part)
            progress(done, len(crops))
        embeddings = np.concatenate(parts)
        with written_whole(file) as temporary:
            save_file({"embeddings": embeddings}, temporary)
    average = torch.from_numpy(embeddings)
    return F.normalize(average - average.mean(0)).to(device)


def _read(file: Path) -> NDArray[np.float32] | None:
    try:
        return load_file(file)["embeddings"]
    except (OSError, SafetensorError, KeyError):
        return None


def _embedded(embedder: Embedder, crops: CropSet) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """(how many are done, mean embeddings of the next ones)"""
    height, width = crops.alignment.height, crops.alignment.width
    reach = [(min(crops.margin, max(-crops.margin, x)), min(crops.margin, max(-crops.margin, y))) for x, y in VIEWS]
    for i in range(0, len(crops), BATCH):
        pixels = crops.crops[crops.rows[i : i + BATCH]]
        total = np.zeros((len(pixels), embedder.network.embedding_size), np.float32)
        for x, y in reach:
            left, top = crops.margin + x, crops.margin + y
            view = np.ascontiguousarray(pixels[:, top : top + height, left : left + width])
            total += embedder(view, BATCH)[0]
        yield i + len(pixels), total / np.float32(len(reach))
