"""The anchor: a penalty on the distance to the initial embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import torch
import torch.nn.functional as F
from torch import Tensor


def anchor_weights(identities: Sequence[str], weights: Mapping[str, float]) -> Tensor:
    """Weight of the anchor on each row, (n,): that of the first pattern that matches its identity, or 0."""
    by_name = {
        name: next((weight for pattern, weight in weights.items() if fnmatchcase(name, pattern)), 0.0)
        for name in set(identities)
    }
    return torch.tensor([by_name[name] for name in identities])


def anchor_loss(features: Tensor, targets: Tensor, strengths: Tensor, of_branches: Sequence[float] = (1.0,)) -> Tensor:
    """The mean over a batch of weight · sum_b w_b |f_b/|f_b| - t|², f_b the feature's parts as long as t.

    Parameters
    ----------
    features : Tensor of shape (N, d)
    targets : Tensor of shape (N, k), unit length
    strengths : Tensor of shape (N,)
    of_branches : sequence of float
        w_b, for the first parts of k components; the others have no anchor.
    """
    parts = features.float().split(targets.shape[1], dim=1)
    distances = [w * (F.normalize(part) - targets).square().sum(1) for w, part in zip(of_branches, parts, strict=False)]
    return (strengths * torch.stack(distances).sum(0)).mean()
