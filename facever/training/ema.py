"""The running average of a network's parameters, which verifies better than where the last step happened to land."""

from __future__ import annotations

import copy
from typing import Any

import torch

from facever.networks import EmbeddingNetwork


class Average:
    """An exponential moving average of a network's parameters and statistics.

    B. T. Polyak, A. B. Juditsky, *Acceleration of Stochastic Approximation by Averaging*, 1992, in the form that
    forgets: average <- d average + (1 - d) value.

    Parameters
    ----------
    network : EmbeddingNetwork
        What is averaged; the average begins as a copy of it.
    decay : float in [0, 1)
        d, once the training is under way. At step n it is at most (1 + n) / (10 + n), so that the beginning is
        forgotten soon. 0 makes the average the network itself.
    """

    def __init__(self, network: EmbeddingNetwork, decay: float) -> None:
        self.network, self.decay = network, decay
        self.averaged = copy.deepcopy(network).requires_grad_(False) if decay else network

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After step number `step`, counted from 1."""
        if not self.decay:
            return
        decay = min(self.decay, (1 + step) / (10 + step))
        theirs, ours = self.network.state_dict(), self.averaged.state_dict()
        moving = [name for name, tensor in ours.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([ours[name] for name in moving], [theirs[name] for name in moving], 1 - decay)
        for name in ours.keys() - moving:  # counters
            ours[name].copy_(theirs[name])

    def state(self) -> dict[str, Any] | None:
        return self.averaged.state_dict() if self.decay else None

    def restore(self, state: dict[str, Any] | None) -> None:
        if self.decay and state is not None:
            self.averaged.load_state_dict(state)
