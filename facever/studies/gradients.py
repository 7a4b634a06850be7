"""Who gets the gradient: the share of hard photographs in what moves the embedding layer, over a training.

Ranjan et al. 2017, section 3: softmax can lower its loss by longer features of photographs that it classifies already,
and so neglects the hard ones; with one length for all it can't.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facever.errors import reading
from facever.files import write_json
from facever.studies.strata import family_rows
from facever.training.callbacks import Callback
from facever.training.trainer import Trainer

SAMPLE = 1024  # photographs of each kind
BATCH = 256


class GradientShares(Callback):
    """Passes everything on, and after each epoch writes the families' share of the gradient to a file.

    Of as many photographs of families as of others, so that 0.5 is the share of equals. A photograph's part is the
    length of the gradient of its loss with respect to the weights of the dense layer that makes the feature: the
    product of the lengths of dL/df and of the layer's input. Measured on the training photographs without
    augmentation, by the network as it is in evaluation.
    """

    def __init__(self, file: Path, inner: Callback) -> None:
        self.file, self.inner = file, inner

    def say(self, message: str) -> None:
        self.inner.say(message)

    def cropping(self, done: int, total: int) -> None:
        self.inner.cropping(done, total)

    def progress(self, progress: Any) -> None:
        self.inner.progress(progress)

    def validated(self, epoch: int, validation: Any, best: bool) -> None:
        self.inner.validated(epoch, validation, best)

    def epoch_ended(self, trainer: Trainer) -> None:
        family = family_rows(trainer.crops.identities)
        draw = np.random.default_rng(0)
        count = min(SAMPLE, int(family.sum()), int((~family).sum()))
        if not count:
            return
        families, others = (
            float(parts_of(trainer, np.sort(draw.choice(np.flatnonzero(rows), count, replace=False))).sum())
            for rows in (family, ~family)
        )
        found = {**read_shares(self.file), trainer.epoch: families / (families + others)}
        write_json(self.file, {str(epoch): share for epoch, share in found.items()})


def read_shares(file: Path) -> dict[int, float]:
    """From epoch to share; empty without a file. Raises DataError."""
    if not file.exists():
        return {}
    with reading(file, "delete it"):
        return {int(epoch): float(share) for epoch, share in json.loads(file.read_text(encoding="utf-8")).items()}


def parts_of(trainer: Trainer, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """The length of each photograph's gradient with respect to the dense layer's weights, (n,)."""
    network, loss = trainer.network, trainer.loss
    modes = network.training, loss.training
    network.eval(), loss.eval()
    dense = network.get_submodule("dense")
    inputs: list[Tensor] = []
    hook = dense.register_forward_hook(lambda module, given, made: inputs.append(given[0].detach()))
    parts = []
    try:
        for i in range(0, len(rows), BATCH):
            own = rows[i : i + BATCH]
            inputs.clear()
            with torch.no_grad():
                features = network(trainer.seen(trainer.crops, own)).float()
            features.requires_grad_()
            labels = torch.from_numpy(trainer.labels[own]).to(trainer.device)
            # The mean of a batch: every example's gradient is divided by the same number.
            (gradient,) = torch.autograd.grad(loss(features, labels).loss * len(own), features)
            parts.append((gradient.norm(dim=1) * inputs[0].float().norm(dim=1)).cpu().double().numpy())
    finally:
        hook.remove()
        network.train(modes[0]), loss.train(modes[1])
    return np.concatenate(parts)
