"""Export: from a trained network to a weights file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facever.datasets.identities import matching
from facever.faces.embedder import Embedder
from facever.metrics.calibration import Calibration, calibration_of_people
from facever.networks import build_network
from facever.training.data import TrainingData
from facever.training.held_out import TRANSFERRED_FAR, held_out_figures
from facever.training.settings import TrainingSettings
from facever.weights.file import read_info, save_weights
from facever.weights.metadata import WeightsInfo, versions
from facever.weights.records import Normalization

WITH_US = "with facever"


def weights_info(
    name: str, settings: TrainingSettings, data: TrainingData, alpha: float, normalization: Normalization
) -> WeightsInfo:
    """The metadata of a training's weights, without thresholds. `alpha` is its final value."""
    loss: dict[str, Any] = {"name": settings.loss}
    if settings.has_alpha:
        loss |= {"alpha": alpha, "learned": settings.alpha_learned}
    if settings.alpha_bound is not None:
        loss |= {"alpha_bound": settings.alpha_bound}
    if settings.has_centers:
        loss |= {"center_weight": settings.center_weight, "center_rate": settings.center_rate}
    people = data.people()
    record = {
        "name": data.name,
        "identities": people["training_identities"],
        "photographs": people["training_photographs"],
        "terms": settings.terms,
    }
    seen, credit = [record], f"trained {WITH_US}"
    if settings.init:
        began_from = read_info(settings.init)
        # A training in two parts on the same photographs counts as one.
        seen = began_from.training_data + [each for each in seen if each not in began_from.training_data]
        credit = began_from.credit
        if not credit.endswith(WITH_US):
            credit += f"; trained on {WITH_US}"
    return WeightsInfo(
        name=name,
        network=settings.network,
        network_arguments={**settings.all_network_arguments(), **settings.export_arguments},
        alignment=data.training.alignment,
        normalization=normalization,
        mirrored=True,
        loss=loss,
        training_data=seen,
        license=settings.license,
        credit=credit,
        seed=settings.seed,
        settings=settings.to_json(),
        versions=versions(),
    )


def export_weights(path: Path, info: WeightsInfo, state: Mapping[str, Tensor]) -> None:
    """Write a network's parameters as a weights file. Raises OutputError."""
    network = build_network(info.network, **info.network_arguments)
    network.load_state_dict(dict(state))
    save_weights(path, info, network)


def evaluate_held_out(
    weights: Path, data: TrainingData, pattern: str, device: torch.device
) -> tuple[Calibration, dict[str, Any]]:
    """Calibrate exported weights on held-out identities, and measure them, embedded as every command embeds.

    Parameters
    ----------
    pattern : str
        Shell pattern of the identities for the calibration.

    Returns
    -------
    calibration : Calibration
        Empty if nobody matches.
    figures : dict
        As `facever.training.held_out.held_out_figures`, with the threshold for FAR 1e-3.
    """
    held_out = data.held_out
    embeddings, norms = Embedder.load(weights, device)(held_out.inner(slice(None)))
    fitting = set(matching(held_out.identities, pattern))
    rows = [i for i, name in enumerate(held_out.identities) if name in fitting]
    calibration = Calibration([], None, {})
    if rows:
        source = f"{len(fitting)} held-out people of {data.name} ({pattern})"
        names = [held_out.identities[i] for i in rows]
        calibration = calibration_of_people(embeddings[rows], names, source, norms=norms[rows])
    cosine = next((t.cosine for t in calibration.thresholds if t.far == TRANSFERRED_FAR), None)
    return calibration, held_out_figures(embeddings, held_out.identities, held_out.row_sources(), cosine)
