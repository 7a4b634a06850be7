"""Photographs per second of a training step against a plain loop of the same network, in one run; and its peak memory.

The plain loop is a first version: float32, eager, channels first, the same batches, augmentation and
optimizer. Each network is measured in its own process, ours once more alone for its memory.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from common import paired, write

from facever.training import TrainingSettings
from facever.training.crops import CropSet
from facever.training.data import MARGIN
from facever.training.trainer import Trainer
from facever.weights.alignment import ALIGNMENTS

PEOPLE = 3219  # as for the shipped weights
CASES: dict[str, dict[str, Any]] = {
    "face_resnet_slim": {"alignment": "tight-64x56", "batch_size": 128},
    "face_resnet": {"alignment": "face-112x96", "batch_size": 32},
    "resnet29_twin": {"alignment": "close-150x150", "batch_size": 96, "compile": False},
}


def crops_for(settings: TrainingSettings) -> CropSet:
    """Noise, at the cost of faces; one crop per person."""
    padded = ALIGNMENTS[settings.alignment].padded(MARGIN)
    some = np.random.default_rng(0).integers(0, 256, (256, padded.height, padded.width, 3), np.uint8)
    names = [f"noise_{i}" for i in range(PEOPLE)]
    rows = np.arange(PEOPLE) % len(some)
    return CropSet(some, rows, names, names, ALIGNMENTS[settings.alignment], MARGIN, [])


def plain_trainer(settings: TrainingSettings, crops: CropSet) -> Trainer:
    trainer = Trainer(replace(settings, precision="fp32", compile=False), crops, torch.device("cpu"))
    trainer.network.to(memory_format=torch.contiguous_format)
    trainer.augment.memory_format = torch.contiguous_format
    return trainer


def measure(name: str, rounds: int) -> dict[str, Any]:
    settings = TrainingSettings(network=name, epochs=1, **CASES[name])
    crops = crops_for(settings)
    ours = Trainer(settings, crops, torch.device("cpu"))
    if not rounds:
        for _ in range(3):
            ours.train_step(0.5)
        return {"peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}
    rival = plain_trainer(settings, crops)
    result = paired(lambda: ours.train_step(0.5), lambda: rival.train_step(0.5), ours.batch_size, rounds)
    return {"batch": ours.batch_size, "crops": settings.alignment, "bf16": ours.half, **result}


def main() -> None:
    if len(sys.argv) > 2:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
        return
    rounds = sys.argv[1] if len(sys.argv) > 1 else "5"
    found = {}
    for name in CASES:
        for count in (rounds, "0"):
            done = subprocess.run([sys.executable, __file__, name, count], check=True, capture_output=True, text=True)
            found[name] = {**found.get(name, {}), **json.loads(done.stdout.splitlines()[-1])}
    write("training", {"what": "a training step over the same in plain float32 eager, photographs a second", **found})


if __name__ == "__main__":
    main()
