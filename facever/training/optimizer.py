"""The optimizer: which parameters it trains, with which weight decay."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from facever.networks import EmbeddingNetwork
from facever.training.settings import TrainingSettings


def make_optimizer(
    settings: TrainingSettings, network: EmbeddingNetwork, head: Sequence[tuple[str, nn.Parameter]]
) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum, or AdamW, over the network's parameters that are not frozen, and over the head's.

    Parameters
    ----------
    head : sequence of (name, parameter)
        The loss's parameters. Groups of these have "head" set, and with it a learning rate of their own.

    Raises
    ------
    ValueError
        If a pattern of `settings.freeze` matches no parameter.
    """
    s = settings
    names = [name for name, _ in network.named_parameters()]
    for pattern in s.freeze:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"no parameter of {s.network} matches {pattern!r}, so none can be frozen")
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not any(fnmatchcase(name, pattern) for pattern in s.freeze))
    trained = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    head_decay = s.weight_decay if s.head_weight_decay is None else s.head_weight_decay
    alpha_decay = s.weight_decay if s.alpha_decay is None else s.alpha_decay
    groups = _groups(trained, False, s.weight_decay, 0.0) + _groups(head, True, head_decay, alpha_decay)
    if s.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=s.learning_rate)
    return torch.optim.SGD(groups, lr=s.learning_rate, momentum=s.momentum, nesterov=s.momentum > 0)


def _groups(
    parameters: Sequence[tuple[str, nn.Parameter]], head: bool, decay: float, alpha_decay: float
) -> list[dict[str, Any]]:
    alpha = [p for name, p in parameters if name.rpartition(".")[2] == "alpha"]
    others = [p for name, p in parameters if name.rpartition(".")[2] != "alpha"]
    by_decay = [
        ([p for p in others if p.dim() > 1], decay),
        ([p for p in others if p.dim() <= 1], 0.0),  # biases, normalization, PReLU
        (alpha, alpha_decay),  # decays like the weights in the paper's code
    ]
    return [{"params": chosen, "weight_decay": d, "head": head} for chosen, d in by_decay if chosen]
