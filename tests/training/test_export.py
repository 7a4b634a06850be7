"""What is done to a trained network before it is exported."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from samples import noise

from facever.errors import DataError, WeightsError
from facever.networks import build_network
from facever.training import TrainingSettings
from facever.training.export import with_center, with_initial_share
from facever.weights.alignment import FACE_112X112, TIGHT_64X56
from facever.weights.metadata import WeightsInfo, versions
from facever.weights.records import Normalization


def test_the_share_mixes_trained_and_initial_parameters() -> None:
    trained, initial = {"w": torch.tensor([1.0, 5.0])}, {"w": torch.tensor([3.0, 1.0])}
    np.testing.assert_allclose(with_initial_share(trained, initial, 0.25)["w"], [1.5, 4.0])
    for other in ({"v": torch.zeros(2)}, {"w": torch.zeros(3)}):
        with pytest.raises(WeightsError, match="parameters of the same network only"):
            with_initial_share(trained, other, 0.25)


def test_the_center_is_the_mean_of_unit_embeddings_of_the_crops_and_their_mirror_images() -> None:
    torch.manual_seed(0)
    arguments = {"embedding_size": 8, "input_size": [112, 112]}
    network = build_network("mobilefacenet", **arguments).eval()
    info = WeightsInfo(
        name="w",
        network="mobilefacenet",
        network_arguments={**arguments, "centered": 0.5},
        alignment=FACE_112X112,
        normalization=Normalization(),
        mirrored=True,
        loss={},
        training_data=[],
        license="",
        credit="",
        seed=0,
        settings={},
        versions=versions(),
    )
    pixels = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), np.uint8)
    crops = replace(noise(3), crops=pixels, alignment=FACE_112X112, margin=0)
    x = (torch.from_numpy(pixels).permute(0, 3, 1, 2) - 127.5) / 128
    with torch.no_grad():
        expected = F.normalize((network(x) + network(x.flip(3))) / 2).mean(0)
    found = with_center(network.state_dict(), info, crops, torch.device("cpu"))["center"]
    np.testing.assert_allclose(found, expected, atol=2e-3)  # bfloat16 on some CPUs

    with pytest.raises(DataError, match="training identities that match"):
        with_center(network.state_dict(), info, crops.of([]), torch.device("cpu"))
    slim = build_network("face_resnet_slim", input_size=[64, 56])
    other = replace(info, network="face_resnet_slim", network_arguments={"input_size": [64, 56]}, alignment=TIGHT_64X56)
    with pytest.raises(DataError, match="a network with a center"):
        with_center(slim.state_dict(), other, noise(3), torch.device("cpu"))


def test_an_initial_share_needs_initial_weights() -> None:
    with pytest.raises(ValueError, match="an initial share is of initial weights"):
        TrainingSettings(epochs=1, initial_share=0.2)
