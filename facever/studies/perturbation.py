"""Adversarial patterns: small changes of a crop that move its embedding towards another one.

A. Madry, A. Makelov, L. Schmidt, D. Tsipras, A. Vladu, *Towards deep learning models resistant to adversarial attacks*,
2018: projected gradient steps within a bound on each pixel.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facever.errors import WeightsError
from facever.faces.embedder import Embedder

STEPS = 10
BATCH = 16
Crops = NDArray[np.uint8]


def perturbed(
    embedder: Embedder, crops: Crops, targets: NDArray[np.float32], bound: int, steps: int = STEPS, seed: int = 0
) -> Crops:
    """Crops whose embeddings are moved towards others, by gradients of the embedder's own network.

    Parameters
    ----------
    embedder : Embedder
        In float32.
    crops : uint8 ndarray of shape (n, H, W, 3), RGB
    targets : float32 ndarray of shape (n, d)
        The embedding to approach, for each crop.
    bound : int
        The most that a channel of a pixel may change, in gray levels.

    Returns
    -------
    uint8 ndarray of shape (n, H, W, 3)

    Raises
    ------
    WeightsError
        If the network is not torch's, so that it has no gradients.
    """
    if not embedder.network.native:
        raise WeightsError(f"{embedder.info.name}: a network in ONNX has no gradients; take other weights")
    embedder.network.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    found = []
    for start in range(0, len(crops), BATCH):
        part = slice(start, start + BATCH)
        pixels = torch.from_numpy(crops[part]).permute(0, 3, 1, 2).float()  # (n, 3, H, W)
        change = (torch.rand(pixels.shape, generator=generator) * 2 - 1) * bound
        pixels, change = pixels.to(embedder.device), change.to(embedder.device)
        target = torch.from_numpy(targets[part]).to(embedder.device)
        for _ in range(steps):
            change = change.requires_grad_(True)
            similarity = (_embeddings(embedder, pixels + change) * target).sum()
            (gradient,) = torch.autograd.grad(similarity, change)
            # Steps that together reach the bound 2.5 times, so that a wrong way can be made good.
            change = (change.detach() + 2.5 * bound / steps * gradient.sign()).clamp(-bound, bound)
            change = (pixels + change).clamp(0, 255) - pixels
        # Rounded, as a picture is stored; a whole bound is kept.
        found.append((pixels + change).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(found) if found else crops


def _embeddings(embedder: Embedder, pixels: Tensor) -> Tensor:
    """Unit embeddings (n, d) of pixels (n, 3, H, W) in [0, 255], as `Embedder` makes them, but with gradients."""
    x = embedder.info.normalization(pixels).contiguous(memory_format=torch.channels_last)
    both = [x, x.flip(3)] if embedder.mirrored else [x]
    features = torch.stack([embedder.network(each).float() for each in both]).mean(0)
    return torch.nn.functional.normalize(features, dim=1, eps=1e-12)
