"""One training step after another, and the state between two of them.

Everything random in a step follows from the seed and the step's number, so a state is parameters, optimiser and a
number: a run that was interrupted and goes on equals one that was not (bit for bit in float32 on a processor).
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facever.datasets.augmentation import Augmenter
from facever.datasets.crops import CropSet
from facever.datasets.identities import labels_of
from facever.training.settings import TrainingSettings
from facever.weights import Normalisation

NORMALISATION = Normalisation()


@dataclass(frozen=True, slots=True)
class StepResult:
    """Mean loss of a batch, and the share of it whose identity the classifier named rightly."""

    loss: float
    accuracy: float


class Trainer:
    """Network, loss and optimiser on their way through a set of crops.

    Parameters
    ----------
    settings : TrainingSettings
    crops : CropSet
        Of the training identities only.
    device : torch.device
    say : callable
        Told in a line what the user should know.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        crops: CropSet,
        device: torch.device,
        say: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.settings, self.crops, self.device, self.say = settings, crops, device, say
        labels, self.identities = labels_of(crops.identities)
        self.labels = np.array(labels, np.int64)
        torch.manual_seed(settings.seed)
        network, loss = settings.build(len(self.identities))
        self.network = network.to(device).to(memory_format=torch.channels_last).train()
        self.loss = loss.to(device).train()
        alignment = crops.alignment
        self.augment = Augmenter(settings.augmentation, alignment.height, alignment.width, crops.margin)
        self.optimiser = self._make_optimiser()
        self.batch_size = min(settings.batch_size, len(crops))
        self.steps_per_epoch = max(1, len(crops) // self.batch_size)
        self.step = 0
        self.half = _computes_in_bf16(settings.precision, device)
        self._forward = self._compiled() if settings.compile else self.network
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    @property
    def epoch(self) -> int:
        """Whole epochs done."""
        return self.step // self.steps_per_epoch

    def train_step(self, progress: float) -> StepResult:
        """One batch; `progress` in [0, 1] sets the learning rate."""
        rows = self._rows()
        generator = torch.Generator().manual_seed(_mixed(self.settings.seed, self.step))
        torch.manual_seed(_mixed(self.settings.seed, self.step) + 1)  # dropout
        labels = torch.from_numpy(self.labels[rows]).to(self.device)
        crops = torch.from_numpy(self.crops.crops[self.crops.rows[rows]]).to(self.device)
        x = NORMALISATION(self.augment(crops, generator))

        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate_at(progress)
        with self._autocast():
            output = self.loss(self._forward(x), labels)
        self.optimiser.zero_grad(set_to_none=True)
        output.loss.backward()
        self.optimiser.step()
        self.loss.constrain()
        self.step += 1
        correct = (output.logits.argmax(1) == labels).float().mean()
        return StepResult(output.loss.item(), correct.item())

    def state(self) -> dict[str, Any]:
        """All that `restore` needs, tensors and plain values only."""
        return {
            "network": self.network.state_dict(),
            "loss": self.loss.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.loss.load_state_dict(state["loss"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = int(state["step"])

    @torch.inference_mode()
    def embed(self, crops: CropSet, batch_size: int = 256) -> NDArray[np.float32]:
        """Unit embeddings, float32 (m, d), of crops as inference cuts them, without the mirror image."""
        self.network.eval()
        parts = []
        for i in range(0, len(crops), batch_size):
            pixels = torch.from_numpy(crops.inner(slice(i, i + batch_size))).to(self.device)
            with self._autocast():
                features = self.network(NORMALISATION(pixels.permute(0, 3, 1, 2)))
            parts.append(nn.functional.normalize(features.float(), dim=1).cpu())
        self.network.train()
        return torch.cat(parts).numpy()

    def _make_optimiser(self) -> torch.optim.SGD:
        s = self.settings
        parameters = [*self.network.parameters(), *self.loss.parameters()]
        # Vectors are biases, normalisation and PReLU; the one scalar is a learned alpha, which decays like the
        # weights in the paper's code.
        weights = [p for p in parameters if p.dim() > 1]
        vectors = [p for p in parameters if p.dim() == 1]
        alpha = [p for p in parameters if p.dim() == 0]
        groups = [
            {"params": weights, "weight_decay": s.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        if alpha:
            decay = s.weight_decay if s.alpha_decay is None else s.alpha_decay
            groups.append({"params": alpha, "weight_decay": decay})
        return torch.optim.SGD(groups, lr=s.learning_rate, momentum=s.momentum, nesterov=s.momentum > 0)

    def _rows(self) -> NDArray[np.int64]:
        """Positions in the crop set of the next batch: a fresh permutation each epoch, the odd rest left out."""
        epoch, batch = divmod(self.step, self.steps_per_epoch)
        if self._order[0] != epoch:
            generator = np.random.default_rng([self.settings.seed, epoch])
            self._order = (epoch, generator.permutation(len(self.crops)))
        # Sorted, so that the crops are read from the disk's cache in one direction.
        return np.sort(self._order[1][batch * self.batch_size : (batch + 1) * self.batch_size])

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.half)

    def _compiled(self) -> Callable[[Tensor], Tensor]:
        """The network compiled, or as it is where no compiler is at hand or compiling fails."""
        if self.device.type == "cpu" and not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
            self.say("no C++ compiler here, so training goes uncompiled (slower, the same result)")
            return self.network
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # a remark on CUDA, of no use here
        before = {name: buffer.clone() for name, buffer in self.network.named_buffers()}
        compiled = torch.compile(self.network)
        alignment = self.crops.alignment
        trial = torch.zeros(self.batch_size, 3, alignment.height, alignment.width, device=self.device)
        try:
            with self._autocast():
                features = compiled(trial.contiguous(memory_format=torch.channels_last))
            features.float().sum().backward()
        except Exception as error:  # whatever a compiler throws, training goes on without it
            self.say(f"torch.compile failed ({type(error).__name__}), so training goes uncompiled")
            return self.network
        finally:
            # The trial must leave no trace: statistics of batch normalisation and gradients are as they were.
            for name, buffer in self.network.named_buffers():
                buffer.copy_(before[name])
            self.network.zero_grad(set_to_none=True)
        return compiled


def _mixed(seed: int, step: int) -> int:
    """A seed of its own for every step."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 2)


def _computes_in_bf16(precision: str, device: torch.device) -> bool:
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    # Without such instructions bf16 is emulated, and slower than float32.
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())
