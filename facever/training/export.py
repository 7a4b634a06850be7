"""Export: from a trained network to a weights file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facever.datasets.identities import matching
from facever.errors import DataError, WeightsError
from facever.faces.embedder import Embedder
from facever.metrics.calibration import Calibration, calibration_of_people
from facever.networks import build_network
from facever.training.crops import CropSet
from facever.training.data import TrainingData
from facever.training.held_out import TRANSFERRED_FAR, held_out_figures
from facever.training.settings import TrainingSettings
from facever.weights.file import read_info, save_weights
from facever.weights.metadata import WeightsInfo, versions
from facever.weights.records import Normalization

CENTER_CROPS = 2048
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


def with_initial_share(state: Mapping[str, Tensor], initial: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """A network's parameters mixed with those it started from. Raises WeightsError if they are another network's."""
    if {name: t.shape for name, t in state.items()} != {name: t.shape for name, t in initial.items()}:
        raise WeightsError(
            "initial_share mixes parameters of the same network only; set it to 0, or init to such weights"
        )
    return {name: (1 - share) * tensor + share * initial[name].to(tensor) for name, tensor in state.items()}


def with_center(
    state: Mapping[str, Tensor], info: WeightsInfo, crops: CropSet, device: torch.device
) -> dict[str, Tensor]:
    """A network's state with the mean unit embedding of at most `CENTER_CROPS` crops as its `center`.

    Raises
    ------
    DataError
        If the network has no center, or there are no crops.
    """
    if "center" not in state or not len(crops):
        raise DataError("center_on needs a network with a center, and training identities that match it")
    network = build_network(info.network, **{**info.network_arguments, "centered": 0.0})
    network.load_state_dict(dict(state))
    some = np.linspace(0, len(crops) - 1, min(len(crops), CENTER_CROPS)).astype(np.int64)
    embeddings, _ = Embedder(info, network.eval().to(device), device)(crops.inner(some))
    return {**state, "center": torch.from_numpy(embeddings.mean(0)).to(state["center"])}


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
