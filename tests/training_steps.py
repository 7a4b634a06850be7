"""A few steps of a small training, alone or as one of several processes: python training_steps.py NAME FOLDER."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facever.datasets.augmentation import Augmentation
from facever.networks import build_network
from facever.training.crops import CropSet
from facever.training.distributed import ProcessGroup, process_group
from facever.training.settings import TrainingSettings
from facever.training.trainer import Trainer
from facever.weights.alignment import Alignment

STILL = Augmentation(0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0)


class Settings(TrainingSettings):
    def with_batch(self, batch: int) -> Settings:
        return replace(self, batch_size=batch)


# face_resnet has no batch normalization, whose statistics are each process's own.
PLAIN = Settings(
    network="face_resnet",
    epochs=1,
    alpha=4.0,
    alpha_learned=True,
    learning_rate=0.01,
    warmup=0.0,
    precision="fp32",
    compile=False,
    augmentation=STILL,
)
CENTERS = replace(PLAIN, loss="l2-center", center_weight=0.1)


def noise() -> CropSet:
    alignment = Alignment("tiny", 16, 16, ((4, 5), (11, 5), (8, 8), (5, 11), (10, 11)))
    half = np.random.default_rng(0).integers(0, 256, (24, 16, 8, 3), np.uint8)
    pixels = np.concatenate([half, half[:, :, ::-1]], 2)  # each process mirrors other crops than one alone would
    names = [f"person_{i // 4}" for i in range(24)]
    return CropSet(pixels, np.arange(24), names, [f"{i}.png" for i in range(24)], alignment, 0, [])


def steps(settings: Settings, processes: ProcessGroup, batch: int) -> dict[str, Any]:
    """Losses of three steps, and what the last one left."""
    torch.manual_seed(0)
    network = build_network("face_resnet", embedding_size=6, input_size=(16, 16))
    trainer = Trainer(settings.with_batch(batch), noise(), torch.device("cpu"), network=network, processes=processes)
    losses = [trainer.train_step(0.0).loss for _ in range(3)]
    parameters = trainer.objective.named_parameters()
    gradients = {name: p.grad for name, p in parameters if p.grad is not None and not name.startswith("network.f")}
    return {"losses": losses, "gradients": gradients, "state": trainer.loss.state_dict()}


if __name__ == "__main__":
    with process_group() as processes:
        result = steps({"plain": PLAIN, "centers": CENTERS}[sys.argv[1]], processes, batch=4)
        torch.save(result, Path(sys.argv[2]) / f"{processes.rank}.pt")
