"""The data of a training: crops to train on, crops held out, and a teacher's embeddings."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facever.datasets.identities import IdentityFolder, read_identities, split_identities
from facever.datasets.sources import read_sources
from facever.errors import DataError
from facever.training.callbacks import Callback
from facever.training.crops import CropSet, cut_crops
from facever.training.distillation.mixup import MixupPairs, draw_mixup_pairs
from facever.training.distillation.teacher import initial_embeddings, teacher_embeddings
from facever.training.settings import TrainingSettings
from facever.weights.alignment import ALIGNMENTS
from facever.weights.file import read_info

MARGIN = 8


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Crops and what is computed of them before the training.

    `name` is the folder's. `targets` (m + q, k): the teacher's embeddings of m training crops and q mixup pairs.
    `initial` (m, k): the initial embeddings of the training crops.
    """

    name: str
    training: CropSet
    held_out: CropSet
    targets: Tensor | None = None
    initial: Tensor | None = None
    mixup_pairs: MixupPairs | None = None

    def people(self) -> dict[str, Any]:
        """Counts by which a resumed run notices that the data changed."""
        people = set(self.training.identities)
        return {
            "training_photographs": len(self.training),
            "training_identities": len(people),
            "held_out_photographs": len(self.held_out),
            "held_out_identities": len(set(self.held_out.identities)),
            "identities_by_source": dict(sorted(Counter(self.training.sources.get(n, "") for n in people).items())),
        }


def prepare(
    settings: TrainingSettings, data: Path, cache: Path, device: torch.device, workers: int | None, callback: Callback
) -> TrainingData:
    """Detect and align what the cache does not hold yet, and split the people.

    Raises
    ------
    DataError, OutputError, WeightsError
    """
    folder = read_identities(data, least=2, dropped=frozenset(settings.dropped))
    if folder.singletons:
        callback.say(f"{folder.singletons} identities with a single photograph were left out")
    for note in folder.notes():
        callback.say(note)
    if settings.minutes is not None:
        around = "besides what detection takes before and calibration after"
        callback.say(f"{settings.minutes:g} minutes of training steps, {around}")
    alignment = ALIGNMENTS[settings.alignment]
    crops = cut_crops(folder, alignment, MARGIN, cache, str(device), workers, callback.cropping)
    if crops.problems:
        callback.say(f"{len(crops.problems)} photographs left out, the first: {crops.problems[0]}")
    crops = replace(crops, sources=read_sources(data, crops.identities, settings.sources))
    names, others = split_identities(crops.identities, settings.held_out, settings.seed)
    if len(names) < 3:
        raise DataError(
            f"{len(names)} identities to train on (and {len(others)} held out); a classifier needs at least 3"
        )
    training = crops.of(names)
    mixup_pairs = None
    if settings.mixup:
        mixup_pairs = draw_mixup_pairs(training.identities, training.row_sources(), settings.seed, settings.mixup_pairs)
    targets = _targets(settings.teacher, folder, training, mixup_pairs, cache, device, workers, callback)
    initial = None
    if settings.init and (settings.anchor_view == "clean" or settings.head_start == "means"):
        initial = initial_embeddings(settings.init, training, cache, device, callback.distillation)
    return TrainingData(data.name, training, crops.of(others), targets, initial, mixup_pairs)


def _targets(
    teacher: str | None,
    folder: IdentityFolder,
    training: CropSet,
    mixup_pairs: MixupPairs | None,
    cache: Path,
    device: torch.device,
    workers: int | None,
    callback: Callback,
) -> Tensor | None:
    if teacher is None:
        return None
    alignment = read_info(teacher).alignment  # the teacher has its own alignment
    crops = cut_crops(folder, alignment, MARGIN, cache, str(device), workers, callback.cropping)
    crops = crops.of(sorted(set(training.identities)))
    if crops.paths != training.paths:  # detection does not depend on the alignment
        raise DataError(f"{cache}: the crops of {alignment.name} show other photographs; clear this cache")
    return teacher_embeddings(teacher, crops, cache, device, callback.distillation, mixup_pairs)
