"""A network that others made, in ONNX, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facever.errors import WeightsError
from facever.networks.base import EmbeddingNetwork, checked, require
from facever.networks.onnx_graph import Input, examined, open_session, runtime_reason
from facever.networks.registry import register

ORDERS = ("rgb", "bgr")
MAX_COMPONENTS = 4096
# Crops at once: it bounds the memory of large networks.
BATCH = 16


@register("onnx")
class OnnxNetwork(EmbeddingNetwork):
    """A model in ONNX that outputs one vector per face, the feature.

    A second output of one number per face is taken for the feature's norm: AdaFace and facever's exports have it.

    Parameters
    ----------
    size : int
        Of the model in bytes, which are the buffer `model`.
    embedding_size : int
    input_size : (int, int)
    order : {"rgb", "bgr"}
        Of the model's color channels.
    single : bool
        Whether to run it on one crop at a time.
    """

    model: Tensor  # uint8 (size,)
    native = False

    def __init__(
        self,
        size: int = 0,
        embedding_size: int = 512,
        input_size: Sequence[int] = (112, 112),
        order: str = "rgb",
        single: bool = False,
    ) -> None:
        super().__init__()
        require(size >= 0, f"a model can't have {size} bytes")
        require(embedding_size <= MAX_COMPONENTS, f"an embedding has at most {MAX_COMPONENTS} components")
        require(order in ORDERS, f"the order of color channels is one of {', '.join(ORDERS)}, not {order!r}")
        self.input_size, self.embedding_size = checked(embedding_size, input_size), embedding_size
        self.order, self.single = order, single
        self.register_buffer("model", torch.zeros(size, dtype=torch.uint8))
        self._input: Input | None = None
        self._session: Any = None

    def ready(self) -> Self:
        data = self.model.cpu().numpy().tobytes()
        self._input = examined(data)
        if any(side not in (None, own) for side, own in zip(self._input.size, self.input_size, strict=True)):
            takes = "x".join(str(side or "any") for side in self._input.size)
            raise ValueError(f"its model takes crops of {takes}, not {self.input_size[0]}x{self.input_size[1]}")
        self._session = open_session(data, self.model.device)
        return self

    def arguments(self) -> dict[str, Any]:
        """The arguments that build this network."""
        return {
            "size": len(self.model),
            "embedding_size": self.embedding_size,
            "input_size": list(self.input_size),
            "order": self.order,
            "single": self.single,
        }

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, H, W) -> (N, d)
        features = torch.cat([self.run(part) for part in x.split(1 if self.single else BATCH)])
        if features.shape[1] != self.embedding_size:
            raise WeightsError(f"the network gives {features.shape[1]} components, not {self.embedding_size}")
        return features

    def run(self, x: Tensor) -> Tensor:
        """One run of the model: (n, 3, H, W) -> (n, d). Raises WeightsError."""
        if self._session is None:
            self.ready()
        assert self._input is not None
        x = x.detach().float()
        x = x.flip(1) if self.order == "bgr" else x
        x = x.permute(0, 2, 3, 1) if self._input.channels_last else x
        x = x.round().clamp(0, 255) if self._input.dtype == "uint8" else x
        crops = np.ascontiguousarray(x.cpu().numpy(), self._input.dtype)
        try:
            outputs = [torch.from_numpy(each) for each in self._session.run(None, {self._input.name: crops})]
        except Exception as error:
            raise WeightsError(f"ONNX Runtime can't run the network ({runtime_reason(error)})") from error
        return _feature(outputs, len(x)).to(x.device)


def _feature(outputs: Sequence[Tensor], count: int) -> Tensor:
    """The feature, float32 (count, d), among a model's outputs. Raises WeightsError unless there is exactly one."""
    vectors = [
        each.float()
        for each in outputs
        if each.dim() == 2 and len(each) == count and 1 < each.shape[1] <= MAX_COMPONENTS
    ]
    norms = [each.float() for each in outputs if each.shape in ((count,), (count, 1))]
    if len(vectors) != 1 or len(norms) > 1 or len(vectors) + len(norms) < len(outputs):
        shapes = ", ".join(str(tuple(each.shape)) for each in outputs)
        raise WeightsError(
            f"the network's outputs have the shapes {shapes} for {count} crops, and an embedder's is one vector per "
            "face, perhaps with its norm"
        )
    (feature,) = vectors
    for norm in norms:  # a score below zero must not turn the vector around
        feature = F.normalize(feature) * norm.view(-1, 1).clamp_min(1e-6)
    return feature
