"""The trained network that a training starts from."""

from __future__ import annotations

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facever.errors import WeightsError
from facever.faces.embedder import Embedder
from facever.losses import Softmax
from facever.networks import EmbeddingNetwork
from facever.training.crops import CropSet
from facever.weights.file import load_weights
from facever.weights.shipped import find_weights

MEAN_CROPS = 4096


class Initial:
    """A frozen copy of the network as it was before the training.

    Parameters
    ----------
    weights : str
        A name or path, as for `facever.weights.shipped.find_weights`.
    crops : CropSet
        The training crops; the mean embedding is taken over at most `MEAN_CROPS` of them.
    device : torch.device
    embeddings : Tensor of shape (m, k), optional
        Its unit embedding of each crop, where they are needed: see `facever.training.distillation.teacher`.

    Raises
    ------
    WeightsError
        If there are no such weights, or they take crops of another size.
    """

    def __init__(self, weights: str, crops: CropSet, device: torch.device, embeddings: Tensor | None = None) -> None:
        self.info, self.network = load_weights(find_weights(weights), device)
        if not self.network.native:
            raise WeightsError(f"{weights}: came from ONNX, and can't be trained on; as a teacher it will do")
        size = (crops.alignment.height, crops.alignment.width)
        if tuple(self.network.input_size) != size:
            raise WeightsError(
                f"{weights}: takes crops of {self.network.input_size}, not {size}; "
                f"train with --alignment {self.info.alignment.name}, or another of its size"
            )
        self.weights, self.device, self._crops, self._embeddings = weights, device, crops, embeddings
        self._embedder = Embedder(self.info, copy.deepcopy(self.network), device, "fp32")
        self.network = self.network.to(memory_format=torch.channels_last).requires_grad_(False)
        self.center = torch.zeros(self.network.embedding_size, device=device)

    def start(self, network: EmbeddingNetwork) -> None:
        """Give `network` the initial parameters.

        Raises
        ------
        WeightsError
            If it is neither the same network nor one that can grow out of it.
        """
        try:
            self.center = network.start_from(self.network, self._mean_embedding)
        except ValueError as error:
            raise WeightsError(
                f"{self.weights}: weights of {self.info.network} {self.info.network_arguments} can't initialize "
                "another network; use the same --network and network_arguments"
            ) from error

    @torch.no_grad()
    def start_classifier(self, loss: nn.Module, labels: Tensor) -> None:
        """Put each class of the loss at the mean initial embedding of its crops, as a unit vector; (m,) labels."""
        assert self._embeddings is not None
        embeddings = F.normalize(self._embeddings - self.center)
        for module in loss.modules():
            if isinstance(module, Softmax):
                weight = module.classifier.weight  # (classes, d)
                weight.copy_(F.normalize(torch.zeros_like(weight).index_add_(0, labels, embeddings)))
                module.classifier.bias.zero_()

    def targets(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        """Initial unit embeddings (N, d), less the mean that the new network subtracts.

        Of a batch (N, 3, H, W); or, given the rows (N,) of its crops, those stored of them.
        """
        with torch.no_grad():
            if rows is not None and self._embeddings is not None:
                found = self._embeddings[rows]
            else:
                found = F.normalize(self.network(x).float())
            return F.normalize(found - self.center)

    def _mean_embedding(self) -> Tensor:
        some = np.linspace(0, len(self._crops) - 1, min(len(self._crops), MEAN_CROPS)).astype(np.int64)
        embeddings, _ = self._embedder(self._crops.inner(some))
        return torch.from_numpy(embeddings).to(self.device).mean(0)
