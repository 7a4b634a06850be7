"""Folding batch normalization into the layers before it."""

from __future__ import annotations

import torch
from torch import nn

from facever.networks.base import EmbeddingNetwork
from facever.networks.face_resnet import FaceResNetSlim


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
