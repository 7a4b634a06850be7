"""Digits, a network with a feature of two components, and its training, for the study of digits.

The network is a small version of that in Y. Wen, K. Zhang, Z. Li, Y. Qiao, *A Discriminative Feature Learning Approach
for Deep Face Recognition*, 2016, section 3.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facever.losses import CenterLoss, Softmax
from facever.networks import EmbeddingNetwork
from facever.studies.idx import read_mnist
from facever.studies.runs import save_arrays
from facever.training.crops import CropSet
from facever.training.settings import TrainingSettings
from facever.training.trainer import Trainer
from facever.weights.alignment import Alignment

SIDE = 28
FRAMES = 24
DRAWN = 1500  # test digits at most in a picture


class DigitNetwork(EmbeddingNetwork):
    """Three convolutions with batch normalization, PReLU and pooling, and a dense layer of two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding_size, self.input_size = 2, (SIDE, SIDE)
        layers: list[nn.Module] = []
        channels = 3
        for width in (16, 32, 64):
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.PReLU(width)]
            layers += [nn.MaxPool2d(2)]
            channels = width
        self.features = nn.Sequential(*layers)
        self.dense = nn.Linear(channels * (SIDE // 8) ** 2, 2)

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, 28, 28) -> (N, 2)
        return self.dense(self.features(x).flatten(1))


@dataclass(frozen=True, slots=True)
class Digits:
    """Digits to train and to test on. `name` is a key of `EPOCHS`."""

    name: str
    train: CropSet
    test: CropSet


@dataclass(frozen=True, slots=True)
class Look:
    """A network's view of the test digits: the features that the classifier sees (n, 2), and its directions (10, 2)."""

    features: NDArray[np.float32]
    directions: NDArray[np.float32]


def for_sweep(digits: Digits) -> Digits:
    """The training digits alone, every third of them to test on."""
    held = np.arange(len(digits.train)) % 3 == 0
    parts = [
        replace(
            digits.train,
            rows=digits.train.rows[rows],
            identities=[digits.train.identities[i] for i in np.flatnonzero(rows)],
            paths=[digits.train.paths[i] for i in np.flatnonzero(rows)],
        )
        for rows in (~held, held)
    ]
    return Digits(f"{digits.name}, for the sweep", *parts)


def read_digits(mnist: Path | None) -> Digits:
    """scikit-learn's 1,797 digits (30 % of each kind to test on), or MNIST from its files. Raises DataError."""
    if mnist is not None:
        parts = [_crops(*read_mnist(mnist, part)) for part in ("train", "test")]
        return Digits("MNIST", *parts)
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    found = load_digits()
    pixels = np.round(found.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8), from 0 to 16
    large = np.stack([cv2.resize(each, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) for each in pixels])
    train, test = train_test_split(np.arange(len(large)), test_size=0.3, random_state=0, stratify=found.target)
    parts = [_crops(large[rows], found.target[rows].astype(np.int64)) for rows in (train, test)]
    return Digits("scikit-learn's digits", *parts)


def _crops(digits: NDArray[np.uint8], labels: NDArray[np.int64]) -> CropSet:
    """Gray digits (n, 28, 28) as a set of crops, each digit an identity."""
    nowhere = tuple((float(x), float(y)) for x, y in ((9, 9), (19, 9), (14, 14), (10, 20), (18, 20)))
    alignment = Alignment("digit-28x28", SIDE, SIDE, nowhere)  # digits have no landmarks: nothing is aligned by these
    rgb = np.repeat(digits[..., None], 3, axis=3)
    names = [str(label) for label in labels]
    return CropSet(rgb, np.arange(len(rgb)), names, names, alignment, 0, [])


def train_digits(settings: TrainingSettings, digits: Digits, folder: Path, device: torch.device) -> dict[str, Any]:
    """Train one network; returns its figures on the test digits. A diverged training counts as an accuracy of 0.

    Features during training are saved in `folder`/looks.npz.
    """
    torch.manual_seed(settings.seed)
    trainer = Trainer(settings, digits.train, device, network=DigitNetwork())
    assert settings.epochs is not None
    total = settings.epochs * trainer.steps_per_epoch
    # Most changes happen early, so frames are denser there.
    frames = np.unique(np.round(total * np.linspace(0, 1, FRAMES) ** 2).astype(int))
    drawn = np.arange(min(DRAWN, len(digits.test)))
    looks = []
    for step in range(total + 1):
        if step in frames:
            looks.append(look(trainer, digits.test.inner(drawn))[0])
        if step < total and not math.isfinite(trainer.train_step(step / total).loss):
            return {"accuracy": 0.0, "diverged": True}
    final, features = look(trainer, digits.test.inner(slice(None)))
    labels = np.array([int(name) for name in digits.test.identities])
    with torch.inference_mode():
        logits = loss_of(trainer).classifier(torch.from_numpy(final.features).to(device)).argmax(1).cpu().numpy()
    seen = {
        "features": np.array([each.features for each in looks], np.float32),  # (frames, m, 2)
        "directions": np.array([each.directions for each in looks], np.float32),  # (frames, 10, 2)
        "labels": labels[drawn],
        "steps": frames,
    }
    save_arrays(folder / "looks.npz", seen)
    return {"accuracy": float(np.mean(logits == labels)), **spread(features, labels)}


def loss_of(trainer: Trainer) -> Softmax | CenterLoss:
    """One branch, one loss."""
    assert isinstance(trainer.loss, Softmax | CenterLoss)
    return trainer.loss


@torch.inference_mode()
def look(trainer: Trainer, crops: NDArray[np.uint8]) -> tuple[Look, NDArray[np.float32]]:
    """The classifier's input for crops (n, 28, 28, 3), and the features (n, 2) before the loss scales them."""
    trainer.network.eval()
    trainer.loss.eval()
    parts = []
    for i in range(0, len(crops), 1000):
        pixels = torch.from_numpy(crops[i : i + 1000]).to(trainer.device).permute(0, 3, 1, 2)
        parts.append(trainer.network(trainer.normalization(pixels)).float())
    features = torch.cat(parts)
    loss = loss_of(trainer)
    scaled, directions = loss.scaled(features), loss.classifier.weight
    trainer.network.train()
    trainer.loss.train()
    return Look(scaled.cpu().numpy(), directions.cpu().numpy().copy()), features.cpu().numpy()


def spread(features: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, float]:
    """Angles within and between classes, and the spread of norms.

    Parameters
    ----------
    features : float ndarray of shape (n, d)
    labels : int ndarray of shape (n,)
        Of two classes or more.

    Returns
    -------
    dict
        "within": mean angle in degrees between a feature and the mean direction of its class; "between": mean over
        classes of the angle between that direction and the nearest other one; "ratio" of the two; "norm_spread":
        standard deviation of the norms over their mean.
    """
    norms = np.linalg.norm(features.astype(np.float64), axis=1)
    units = features / np.maximum(norms, 1e-12)[:, None]
    classes, index = np.unique(labels, return_inverse=True)
    means = np.stack([units[index == k].mean(axis=0) for k in range(len(classes))])
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    within = np.degrees(np.arccos(np.clip((units * means[index]).sum(axis=1), -1, 1))).mean()
    apart = np.degrees(np.arccos(np.clip(means @ means.T, -1, 1)))
    np.fill_diagonal(apart, np.inf)
    between = apart.min(axis=1).mean()
    ratio = within / max(between, 1e-12)
    named = {"within": within, "between": between, "ratio": ratio, "norm_spread": norms.std() / norms.mean()}
    return {name: float(value) for name, value in named.items()}
