"""Crops to embeddings, by the network and the preprocessing of one weights file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facever.errors import FaceverError
from facever.networks import EmbeddingNetwork, fold_batch_norm
from facever.weights import WeightsInfo, load_weights

PRECISIONS = ("auto", "bf16", "fp32")


def choose_device(name: str) -> torch.device:
    """The device called "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N".

    Raises
    ------
    FaceverError
        If it is unknown or not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise FaceverError(f"there is no device {name!r}; use auto, cpu or cuda") from error
    if device.type == "cpu":
        return torch.device("cpu")
    if device.type != "cuda":  # torch knows many more, which this machine may lack
        raise FaceverError(f"the device {name!r} can't be used; use auto, cpu or cuda")
    if not torch.cuda.is_available():
        raise FaceverError("no CUDA device can be used here; use --device cpu or auto")
    if device.index is not None and device.index >= torch.cuda.device_count():
        raise FaceverError(f"there is no device {name!r}, but {torch.cuda.device_count()}, counted from 0; use cuda")
    return device


def computes_in_bf16(precision: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16: "bf16" and "fp32" say so, "auto" does where that is faster.

    Raises FaceverError if the precision is none of these.
    """
    if precision not in PRECISIONS:
        raise FaceverError(f"a precision is one of {', '.join(PRECISIONS)}, not {precision!r}")
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    # AVX-512's own bf16 instructions are not enough: without tiles (AMX) networks ran at two thirds of float32's speed.
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())


class Embedder:
    """A network ready for inference: normalisation, mirror image, unit length.

    Parameters
    ----------
    info : WeightsInfo
    network : EmbeddingNetwork
        Put into evaluation mode, its batch normalisation folded.
    device : torch.device
    precision : {"auto", "bf16", "fp32"}
        Of convolutions and dense layers; "auto" is bfloat16 where that is faster: a cosine moves by about
        0.001, and half of the time is saved.
    """

    def __init__(
        self, info: WeightsInfo, network: EmbeddingNetwork, device: torch.device, precision: str = "auto"
    ) -> None:
        self.info = info
        self.device = device
        self.precision = "bf16" if computes_in_bf16(precision, device) else "fp32"
        # Channels last is twice as fast for these convolutions on a processor, and no slower elsewhere.
        self.network = fold_batch_norm(network).to(device).to(memory_format=torch.channels_last)
        self.dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        for module in self.network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear | nn.PReLU):  # what is left is done in float32
                module.to(self.dtype)

    @classmethod
    def load(cls, weights: str | Path, device: str | torch.device = "auto", precision: str = "auto") -> Embedder:
        """From shipped weights by name, or from a weights file. Raises WeightsError."""
        chosen = choose_device(device) if isinstance(device, str) else device
        info, network = load_weights(Path(weights))
        return cls(info, network, chosen, precision)

    @torch.inference_mode()
    def features(self, crops: NDArray[np.uint8] | Tensor) -> Tensor:
        """Unnormalised features, float32 (n, d), of RGB uint8 crops (n, H, W, 3)."""
        pixels = torch.as_tensor(crops).to(self.device).permute(0, 3, 1, 2)  # (n, 3, H, W), channels last in memory
        x = self.info.normalisation(pixels).to(self.dtype)
        features = self.network(x).float()
        if self.info.mirrored:
            features = (features + self.network(x.flip(3)).float()) / 2
        return features

    def __call__(
        self, crops: NDArray[np.uint8], batch_size: int = 64
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Embeddings and norms of crops.

        Parameters
        ----------
        crops : uint8 ndarray of shape (n, H, W, 3), RGB, cut by `info.alignment`

        Returns
        -------
        embeddings : float32 ndarray of shape (n, d), of unit length
        norms : float32 ndarray of shape (n,)
            Lengths of the features before normalisation: higher for clearer faces if the loss left the length free.
        """
        if not len(crops):
            return np.empty((0, self.network.embedding_size), np.float32), np.empty(0, np.float32)
        parts = [self.features(crops[i : i + batch_size]) for i in range(0, len(crops), batch_size)]
        features = torch.cat(parts)
        norms = features.norm(dim=1)
        embeddings = features / norms.clamp_min(1e-12)[:, None]
        return embeddings.cpu().numpy(), norms.cpu().numpy()
