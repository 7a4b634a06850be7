"""Crops to embeddings, by the network and the preprocessing of one weights file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facever.errors import WeightsError
from facever.faces.device import Precision, choose_device, computes_in_bf16
from facever.networks import EmbeddingNetwork
from facever.weights.file import load_weights
from facever.weights.metadata import WeightsInfo


class Embedder:
    """A network ready for inference: normalization, mirror image, unit length.

    Parameters
    ----------
    info : WeightsInfo
    network : EmbeddingNetwork
        Put into evaluation mode, its batch normalization folded.
    device : torch.device
    precision : {"auto", "bf16", "fp32"}
        Of convolutions and dense layers; "auto" is bfloat16 where that is faster. It changes a cosine by about 3e-4.
    mirrored : bool
        Whether to average each face with its mirror image, where the weights say so.
    """

    def __init__(
        self,
        info: WeightsInfo,
        network: EmbeddingNetwork,
        device: torch.device,
        precision: Precision = "auto",
        mirrored: bool = True,
    ) -> None:
        self.info = info
        self.mirrored = info.mirrored and mirrored
        self.device = device
        self.precision = "bf16" if computes_in_bf16(precision, device, network.native) else "fp32"
        # Channels last is twice as fast for these convolutions on a CPU, and no slower elsewhere.
        self.network = network.fold().to(device).to(memory_format=torch.channels_last)
        self.dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        for module in self.network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear | nn.PReLU):  # the rest stays in float32
                module.to(self.dtype)

    @classmethod
    def load(
        cls,
        weights: str | Path,
        device: str | torch.device = "auto",
        precision: Precision = "auto",
        mirrored: bool = True,
    ) -> Embedder:
        """Load shipped weights by name, or a weights file. Raises WeightsError."""
        chosen = choose_device(device) if isinstance(device, str) else device
        info, network = load_weights(weights, chosen)
        return cls(info, network, chosen, precision, mirrored)

    @torch.inference_mode()
    def features(self, crops: NDArray[np.uint8] | Tensor) -> Tensor:
        """Unnormalized features, float32 (n, d), of RGB uint8 crops (n, H, W, 3)."""
        pixels = torch.as_tensor(crops).to(self.device).permute(0, 3, 1, 2)  # (n, 3, H, W), channels last in memory
        x = self.info.normalization(pixels).to(self.dtype)
        if not self.mirrored:
            return self.network(x).float()
        return self.network(torch.cat([x, x.flip(3)])).float().reshape(2, len(x), -1).mean(0)

    def __call__(
        self, crops: NDArray[np.uint8], batch_size: int | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Embeddings and norms of crops.

        Parameters
        ----------
        crops : uint8 ndarray of shape (n, H, W, 3), RGB, cut by `info.alignment`
        batch_size : int, optional
            By default 8 on a CPU, whose cache holds their features; 256 elsewhere.

        Returns
        -------
        embeddings : float32 ndarray of shape (n, d), of unit length
        norms : float32 ndarray of shape (n,)
            Feature norms, before normalization: higher for clearer faces where the loss leaves the norm free.

        Raises
        ------
        WeightsError
            If an embedding is not finite.
        """
        if not len(crops):
            return np.empty((0, self.network.embedding_size), np.float32), np.empty(0, np.float32)
        size = batch_size or (8 if self.device.type == "cpu" else 256)
        parts = [self.features(crops[i : i + size]) for i in range(0, len(crops), size)]
        features = torch.cat(parts)
        norms = features.norm(dim=1)
        if not torch.isfinite(norms).all():
            raise WeightsError(f"{self.info.name}: an embedding is not finite; these weights are not fit for this crop")
        embeddings = features / norms.clamp_min(1e-12)[:, None]
        return embeddings.cpu().numpy(), norms.cpu().numpy()
