"""Which parameters are trained, by what, and how fast."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from facever.networks import EmbeddingNetwork
from facever.training.settings import TrainingSettings


def make_optimiser(
    settings: TrainingSettings, network: EmbeddingNetwork, loss_parameters: Sequence[nn.Parameter]
) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum, or AdamW, over what is not frozen of the network, and over the loss's parameters.

    The groups' "of_loss" says which learning rate is theirs.

    Raises
    ------
    ValueError
        If a pattern of `settings.freeze` fits no parameter.
    """
    s = settings
    names = [name for name, _ in network.named_parameters()]
    for pattern in s.freeze:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"no parameter of {s.network} fits {pattern!r}, so it can't be frozen")
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not any(fnmatchcase(name, pattern) for pattern in s.freeze))
    trained = [p for p in network.parameters() if p.requires_grad]
    groups = _groups(trained, False, s.weight_decay, 0.0)
    alpha_decay = s.weight_decay if s.alpha_decay is None else s.alpha_decay
    groups += _groups(list(loss_parameters), True, s.loss_decay, alpha_decay)
    if s.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=s.learning_rate)
    return torch.optim.SGD(groups, lr=s.learning_rate, momentum=s.momentum, nesterov=s.momentum > 0)


def _groups(parameters: list[nn.Parameter], of_loss: bool, decay: float, scalar_decay: float) -> list[dict[str, Any]]:
    # Vectors are biases, normalisation and PReLU; the one scalar is a learned alpha, which decays like the weights in
    # the paper's code.
    by_decay = [
        ([p for p in parameters if p.dim() > 1], decay),
        ([p for p in parameters if p.dim() == 1], 0.0),
        ([p for p in parameters if p.dim() == 0], scalar_decay),
    ]
    return [{"params": chosen, "weight_decay": d, "of_loss": of_loss} for chosen, d in by_decay if chosen]
