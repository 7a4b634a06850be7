"""Batch normalization folded into the layer before it."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def fold_batch_norm(network: nn.Module) -> None:
    """Fold, in place, each batch normalization that follows a convolution in a sequence.

    The network must be in evaluation mode.
    """
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            for i in range(len(module) - 1):
                layer, norm = module[i], module[i + 1]
                if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    module[i], module[i + 1] = nn.utils.fusion.fuse_conv_bn_eval(layer, norm), nn.Identity()
