"""Training on: the network that a training begins from, and the pull back towards it."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facever.errors import WeightsError
from facever.faces.embedder import Embedder
from facever.networks import EmbeddingNetwork, ResNet29, ResNet29Twin
from facever.training.crops import CropSet
from facever.weights.file import load_weights
from facever.weights.shipped import find_weights

CENTRE_CROPS = 4096


class Initial:
    """A network as it was before the training, frozen.

    Parameters
    ----------
    weights : str
        As for `facever.weights.shipped.find_weights`.
    crops : CropSet
        Of the training; the initial embeddings' centre is taken from a part of them.
    device : torch.device

    Raises
    ------
    WeightsError
        If there are no such weights, or they take crops of another size.
    """

    def __init__(self, weights: str, crops: CropSet, device: torch.device) -> None:
        self.info, self.network = load_weights(find_weights(weights), device)
        size = (crops.alignment.height, crops.alignment.width)
        if tuple(self.network.input_size) != size:
            raise WeightsError(
                f"{weights}: takes crops of {self.network.input_size}, not {size}; "
                f"train with --alignment {self.info.alignment.name}, or another of its size"
            )
        self.weights, self.device, self._crops = weights, device, crops
        self.network = self.network.to(memory_format=torch.channels_last).requires_grad_(False)
        self.centre = torch.zeros(self.network.embedding_size, device=device)

    def start(self, network: EmbeddingNetwork) -> None:
        """Give `network` the initial parameters.

        Raises
        ------
        WeightsError
            If it is neither the same network nor one that grows out of it.
        """
        if isinstance(network, ResNet29Twin) and isinstance(self.network, ResNet29):
            network.grow_from(self.network, self._mean_embedding())
            self.centre = network.centred[0] * network.centres[0]
            return
        try:
            network.load_state_dict(self.network.state_dict())
        except RuntimeError as error:
            raise WeightsError(
                f"{self.weights}: parameters of {self.info.network} {self.info.network_arguments}, with which a "
                "training of another network can't begin; give the same --network and --network-args"
            ) from error

    def targets(self, x: Tensor) -> Tensor:
        """What the initial network says of a batch: features without what a twin takes out, of length 1. (N, d)"""
        with torch.no_grad():
            return F.normalize(F.normalize(self.network(x).float()) - self.centre)

    def _mean_embedding(self) -> Tensor:
        some = np.linspace(0, len(self._crops) - 1, min(len(self._crops), CENTRE_CROPS)).astype(np.int64)
        embeddings, _ = Embedder.load(find_weights(self.weights), self.device, "fp32")(self._crops.inner(some))
        return torch.from_numpy(embeddings).to(self.device).mean(0)
