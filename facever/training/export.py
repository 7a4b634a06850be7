"""From a trained network to a weights file with all that its users need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facever.calibration import thresholds_from
from facever.datasets.crops import CropSet
from facever.datasets.identities import matching
from facever.embedder import Embedder
from facever.networks import build_network
from facever.training.settings import TrainingSettings
from facever.training.trainer import NORMALISATION
from facever.weights import Threshold, WeightsInfo, save_weights, versions


def weights_info(name: str, settings: TrainingSettings, training: CropSet, alpha: float, data_name: str) -> WeightsInfo:
    """The metadata of a training's weights, without thresholds. `alpha` is where it ended, if it was learned."""
    loss: dict[str, Any] = {"name": settings.loss}
    if settings.has_alpha:
        loss |= {"alpha": alpha, "learned": settings.alpha_learned}
    if settings.alpha_bound is not None:
        loss |= {"alpha_bound": settings.alpha_bound}
    if settings.has_centers:
        loss |= {"center_weight": settings.center_weight, "center_rate": settings.center_rate}
    data = {
        "name": data_name,
        "identities": len(set(training.identities)),
        "photographs": len(training),
        "terms": settings.terms,
    }
    return WeightsInfo(
        name=name,
        network=settings.network,
        network_arguments=settings.all_network_arguments(),
        alignment=training.alignment,
        normalisation=NORMALISATION,
        mirrored=True,
        loss=loss,
        training_data=[data],
        licence=settings.licence,
        credit="trained with facever",
        seed=settings.seed,
        settings=settings.to_json(),
        versions=versions(),
    )


def export_weights(path: Path, info: WeightsInfo, state: Mapping[str, Tensor]) -> None:
    """Write a network's parameters as a weights file. Raises OutputError."""
    network = build_network(info.network, **info.network_arguments)
    network.load_state_dict(dict(state))
    save_weights(path, info, network)


def held_out_thresholds(
    weights: Path,
    held_out: CropSet,
    pattern: str,
    data_name: str,
    fars: Sequence[float],
    device: torch.device,
) -> list[Threshold]:
    """Thresholds from the held-out people whose names fit the pattern, embedded as every command will embed them."""
    people = held_out.of(matching(held_out.identities, pattern))
    if not len(people):
        return []
    embeddings, _ = Embedder.load(weights, device)(people.inner(slice(None)))
    source = f"{len(set(people.identities))} held-out people of {data_name} ({pattern})"
    return thresholds_from(embeddings, people.identities, source, fars)
