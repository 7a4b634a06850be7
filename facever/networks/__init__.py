"""The embedding networks: crops in, one unnormalised feature each out.

- `face_resnet`: Y. Wen, K. Zhang, Z. Li, Y. Qiao, *A Discriminative Feature Learning Approach for Deep Face
  Recognition*, 2016 (figure of the network for LFW), as R. Ranjan, C. D. Castillo, R. Chellappa use it in
  *L2-constrained Softmax Loss for Discriminative Face Verification*, 2017.
- `face_resnet_slim`: the same plan for processors: fewer channels, strided convolutions, batch normalisation.
- `resnet29`: the layout of dlib's `dlib_face_recognition_resnet_model_v1` (D. E. King, 2017).
- `resnet29_twin`: grown out of it, its last two stages doubled, so that one may keep what the other unlearns.

Shapes: N crops, C channels, H and W pixels, d components of the feature.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from facever.networks.base import EmbeddingNetwork, require
from facever.networks.face_resnet import FaceResNet, FaceResNetSlim, ResidualBlock
from facever.networks.resnet29 import DlibBlock, ResNet29, ResNet29Twin

__all__ = [
    "NETWORKS",
    "DlibBlock",
    "EmbeddingNetwork",
    "FaceResNet",
    "FaceResNetSlim",
    "ResNet29",
    "ResNet29Twin",
    "ResidualBlock",
    "build_network",
    "fold_batch_norm",
]

NETWORKS: dict[str, Callable[..., EmbeddingNetwork]] = {
    "face_resnet": FaceResNet,
    "face_resnet_slim": FaceResNetSlim,
    "resnet29": ResNet29,
    "resnet29_twin": ResNet29Twin,
}


def build_network(name: str, **arguments: Any) -> EmbeddingNetwork:
    """The network of that name, its parameters freshly drawn from torch's random generator.

    Raises
    ------
    ValueError
        For a name that is not in `NETWORKS`, or an argument that the network does not take or support.
    """
    if name not in NETWORKS:
        raise ValueError(f"there is no network {name!r}; there are {', '.join(NETWORKS)}")
    known = inspect.signature(NETWORKS[name]).parameters
    for argument in arguments:
        require(argument in known, f"{name} takes no argument {argument!r}; it takes {', '.join(known)}")
    return NETWORKS[name](**arguments)


@torch.no_grad()
def fold_batch_norm(network: EmbeddingNetwork) -> EmbeddingNetwork:
    """Fold each batch normalisation into the layer before it, in place: same features, less work.

    Only for inference: the network is put into evaluation mode.
    """
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            _fold_sequence(module)
    if isinstance(network, FaceResNetSlim) and isinstance(network.norm, nn.BatchNorm1d):
        network.dense = nn.utils.fusion.fuse_linear_bn_eval(network.dense, network.norm)
        network.norm = nn.Identity()
    return network


def _fold_sequence(sequence: nn.Sequential) -> None:
    for i in range(len(sequence) - 1):
        convolution, norm = sequence[i], sequence[i + 1]
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            sequence[i] = nn.utils.fusion.fuse_conv_bn_eval(convolution, norm)
            sequence[i + 1] = nn.Identity()
