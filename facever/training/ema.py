"""Exponential moving average (EMA) of a network's parameters, which verifies better than the last step's."""

from __future__ import annotations

import copy
from typing import Any

import torch

from facever.networks import EmbeddingNetwork


class EMA:
    """average <- d average + (1 - d) value, over parameters and statistics.

    B. T. Polyak, A. B. Juditsky, *Acceleration of Stochastic Approximation by Averaging*, 1992, exponential form.

    Parameters
    ----------
    source : EmbeddingNetwork
        The network in training; the average starts as a copy of it.
    decay : float in [0, 1)
        d. At step n it is at most (1 + n) / (10 + n), which forgets the initial parameters soon. With 0 the average is
        the source itself.

    Attributes
    ----------
    network : EmbeddingNetwork
        The average.
    """

    def __init__(self, source: EmbeddingNetwork, decay: float) -> None:
        self.source, self.decay = source, decay
        self.network = copy.deepcopy(source).requires_grad_(False) if decay else source

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After step number `step`, counted from 1."""
        if not self.decay:
            return
        decay = min(self.decay, (1 + step) / (10 + step))
        values, averages = self.source.state_dict(), self.network.state_dict()
        moving = [name for name, tensor in averages.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([averages[name] for name in moving], [values[name] for name in moving], 1 - decay)
        for name in averages.keys() - moving:  # counters
            averages[name].copy_(values[name])

    def state(self) -> dict[str, Any] | None:
        return self.network.state_dict() if self.decay else None

    def restore(self, state: dict[str, Any] | None) -> None:
        if self.decay and state is not None:
            self.network.load_state_dict(state)
