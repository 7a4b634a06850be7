"""Training steps, and the state between two of them.

All randomness in a step follows from the seed and the step's number. So the state is parameters, optimizer and a
number, and a resumed run equals an uninterrupted one, bit for bit in float32 on a CPU.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from facever.datasets.augmentation import Augmenter
from facever.datasets.identities import labels_of
from facever.faces.device import computes_in_bf16
from facever.networks import EmbeddingNetwork, build_network
from facever.training.crops import CropSet
from facever.training.distillation.anchor import anchor_weights
from facever.training.distillation.mixup import MixupPairs
from facever.training.distillation.teacher import DistillationLoss
from facever.training.distributed import ProcessGroup
from facever.training.ema import EMA
from facever.training.initial import Initial
from facever.training.objective import Objective
from facever.training.optimizer import make_optimizer
from facever.training.sampler import Sampler, even_shares
from facever.training.settings import TrainingSettings
from facever.weights.records import Normalization


@dataclass(frozen=True, slots=True)
class StepResult:
    """Mean loss of a batch, and the classifier's accuracy on it."""

    loss: float
    accuracy: float


class Trainer:
    """Network, loss and optimizer over a set of crops.

    Parameters
    ----------
    settings : TrainingSettings
    crops : CropSet
        Of the training identities only.
    device : torch.device
    say : callable
        Receives messages for the user.
    network : EmbeddingNetwork, optional
        A network to train instead of the settings'.
    targets : Tensor of shape (m, k), optional
        A teacher's unit embedding of each crop and mixup pair.
    initial : Tensor of shape (m, k), optional
        The initial unit embedding of each crop, for `anchor_view` "clean" and `head_start` "means".
    mixup_pairs : MixupPairs, optional
        Pairs of these crops, for the settings' fraction of a batch.
    processes : ProcessGroup, optional
        The processes that train together; by default this one alone.

    Raises
    ------
    WeightsError
        If the settings' initial weights can't be used.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        crops: CropSet,
        device: torch.device,
        say: Callable[[str], None] = lambda message: None,
        network: EmbeddingNetwork | None = None,
        targets: Tensor | None = None,
        initial: Tensor | None = None,
        mixup_pairs: MixupPairs | None = None,
        processes: ProcessGroup | None = None,
    ) -> None:
        self.settings, self.crops, self.device, self.say = settings, crops, device, say
        labels, self.identities = labels_of(crops.identities)
        self.labels = np.array(labels, np.int64)
        self.processes = processes or ProcessGroup()
        torch.manual_seed(settings.seed)
        if network is None:
            network = build_network(settings.network, **settings.all_network_arguments())
        loss = settings.build_loss(network, len(self.identities), self.processes.gather)
        self.initial = Initial(settings.init, crops, device, initial) if settings.init else None
        self.normalization = self.initial.info.normalization if self.initial else Normalization()
        self.network = network.to(device).to(memory_format=torch.channels_last).train()
        if self.initial:
            self.initial.start(self.network)
        self.loss = loss.to(device).train()
        if self.initial and settings.head_start == "means":
            self.initial.start_classifier(self.loss, torch.from_numpy(self.labels).to(device))
        self.mixup_pairs = mixup_pairs
        self.distillation: DistillationLoss | None = None
        if targets is not None:
            size = self.network.embedding_size
            self.distillation = DistillationLoss(size, targets.shape[1], settings.similarity_weight).to(device)
        anchor = anchor_weights(crops.identities, settings.anchor).to(device)
        self.objective = Objective(settings, self.network, self.loss, self.distillation, targets, self.initial, anchor)
        self.ema = EMA(self.network, settings.ema)
        self.augment = Augmenter(settings.augmentation, crops.alignment, crops.margin)
        self.optimizer = make_optimizer(settings, self.network, self._head_parameters())
        together = settings.batch_size * self.processes.size
        shares = even_shares(crops.identities, crops.row_sources()) if settings.sampling == "even" else None
        self.sampler = Sampler(len(crops), together, settings.seed, shares)
        self.batch_size, self.steps_per_epoch = self.sampler.batch_size // self.processes.size, self.sampler.batches
        self.step = 0
        self._small = False  # whether the last step saw halved crops
        self.half = computes_in_bf16(settings.precision, device)
        if settings.compile:
            self.objective.run_by(self._compiled())
        self._step = self.processes.together(self.objective)

    @property
    def epoch(self) -> int:
        """Whole epochs done."""
        return self.step // self.steps_per_epoch

    def train_step(self, progress: float) -> StepResult:
        """One batch; `progress` in [0, 1] sets the learning rate."""
        rank, size = self.processes.rank, self.processes.size
        rows = self.sampler.rows(self.step)[: self.batch_size * size][rank::size]
        seed = _seed_of(self.settings.seed, self.step, rank)
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed + 1)  # dropout
        rows, pixels, mixup_rows = self._with_mixup(rows, seed)
        labels = torch.from_numpy(self.labels[rows]).to(self.device)
        rows = np.concatenate([rows, mixup_rows])
        x = self.normalization(self.augment(torch.from_numpy(pixels).to(self.device), generator))
        self._small = progress < self.settings.progressive_resizing
        if self._small:
            x = _halved(x)

        rates = (self.settings.learning_rate_at(progress), self.settings.head_learning_rate_at(progress))
        for group in self.optimizer.param_groups:
            group["lr"] = rates[group["head"]]
        with self._autocast():
            output = self._step(x, labels, torch.from_numpy(rows).to(self.device))
        self.optimizer.zero_grad(set_to_none=True)
        output.loss.backward()
        if self.settings.clip is not None:
            trained = [p for group in self.optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(trained, self.settings.clip)
        self.optimizer.step()
        self.loss.constrain()
        self.step += 1
        self.ema.update(self.step)
        correct = (output.logits.argmax(1) == labels).float().mean()
        return StepResult(*self.processes.mean([output.loss.item(), correct.item()]))

    def _with_mixup(
        self, rows: NDArray[np.int64], seed: int
    ) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]:
        """The rows kept as they are, crops with mixup in place of the others, and the rows of the mixup's targets."""
        if self.mixup_pairs is None:
            return rows, self.crops.padded(rows), np.empty(0, np.int64)
        draw = np.random.default_rng(seed)
        count = int(self.settings.mixup * len(rows))  # rounded down, so that some rows stay
        stay = rows[np.sort(draw.permutation(len(rows))[count:])]
        chosen = draw.integers(len(self.mixup_pairs), size=count)
        pixels = np.concatenate([self.crops.padded(stay), self.mixup_pairs.of(self.crops, chosen)])
        return stay, pixels, len(self.labels) + chosen

    def state(self) -> dict[str, Any]:
        """All that `restore` needs, tensors and plain values only."""
        return {
            "network": self.network.state_dict(),
            "loss": self.loss.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.state(),
            "distillation": self.distillation.state_dict() if self.distillation else None,
            "step": self.step,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.loss.load_state_dict(state["loss"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.ema.restore(state["ema"])
        if self.distillation:
            self.distillation.load_state_dict(state["distillation"])
        self.step = int(state["step"])

    @torch.inference_mode()
    def embed(self, crops: CropSet, batch_size: int = 256) -> NDArray[np.float32]:
        """Unit embeddings, float32 (m, d), of crops as inference cuts them, without the mirror image.

        By the EMA, if there is one; at half size as long as training is.
        """
        network = self.ema.network.eval()
        parts = []
        for i in range(0, len(crops), batch_size):
            with self._autocast():
                features = network(self.seen(crops, slice(i, i + batch_size)))
            parts.append(nn.functional.normalize(features.float(), dim=1).cpu())
        network.train()
        return torch.cat(parts).numpy()

    def seen(self, crops: CropSet, positions: NDArray[np.int64] | slice) -> Tensor:
        """Crops as inference cuts them, as the network's input (k, 3, H, W); at half size as long as training is."""
        pixels = torch.from_numpy(crops.inner(positions)).to(self.device)
        x = self.normalization(pixels.permute(0, 3, 1, 2))
        return _halved(x) if self._small else x

    def _head_parameters(self) -> list[tuple[str, nn.Parameter]]:
        return [*self.loss.named_parameters(), *(self.distillation.named_parameters() if self.distillation else ())]

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.half)

    def _compiled(self) -> Callable[[Tensor], Tensor]:
        """The compiled network, or the network itself where there is no compiler or compilation fails."""
        if self.device.type == "cpu" and not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
            self.say("no C++ compiler here: training is not compiled (slower, same result)")
            return self.network
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # a note on CUDA
        before = {name: buffer.clone() for name, buffer in self.network.named_buffers()}
        compiled = torch.compile(self.network, dynamic=False)
        alignment = self.crops.alignment
        trial = torch.zeros(self.batch_size, 3, alignment.height, alignment.width, device=self.device)
        trial = trial.contiguous(memory_format=torch.channels_last)
        try:
            for x in (trial, _halved(trial)) if self.settings.progressive_resizing else (trial,):
                with self._autocast():
                    features = compiled(x)
                features.float().sum().backward()
        except Exception as error:  # a compiler may raise anything; training works without it
            self.say(f"torch.compile failed ({type(error).__name__}): training is not compiled")
            return self.network
        finally:
            # The trial must leave no trace in batch normalization's statistics and in gradients.
            for name, buffer in self.network.named_buffers():
                buffer.copy_(before[name])
            self.network.zero_grad(set_to_none=True)
        return compiled


def _halved(x: Tensor) -> Tensor:  # (N, C, H, W) -> (N, C, H / 2, W / 2)
    return F.interpolate(x, scale_factor=0.5, mode="area").contiguous(memory_format=torch.channels_last)


def _seed_of(seed: int, step: int, rank: int) -> int:
    """A distinct seed for every step of every process."""
    return int(
        np.random.SeedSequence([seed, step, rank] if rank else [seed, step]).generate_state(1, np.uint64)[0] >> 2
    )
