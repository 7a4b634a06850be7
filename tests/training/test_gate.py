"""A gate between a network and the one that it was trained on from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from samples import noise
from torch import Tensor

from facever.errors import DataError
from facever.networks import MobileFaceNet, build_network
from facever.training import TrainingSettings
from facever.training.crops import CropSet
from facever.training.gate import gated
from facever.weights.alignment import FACE_112X112
from facever.weights.metadata import WeightsInfo, versions
from facever.weights.records import Normalization

INFO = WeightsInfo(
    name="w",
    network="mobilefacenet",
    network_arguments={"embedding_size": 8, "input_size": [112, 112]},
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


@pytest.fixture(scope="module")
def halves() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    torch.manual_seed(0)
    first, second = (MobileFaceNet(8, (112, 112)).eval() for _ in range(2))
    second.features[:10].load_state_dict(first.features[:10].state_dict())
    return first.state_dict(), second.state_dict()


def people(count: int) -> CropSet:
    """Smooth pictures: of a's whole crops, of b's the lower half black. Every crop has a margin of 8."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.uniform(40, 250, (2 * count, 3, 16, 16)).astype(np.float32))
    pixels = F.interpolate(coarse, (128, 128), mode="bilinear").permute(0, 2, 3, 1).to(torch.uint8).numpy()
    pixels[count:, 64:] = 0
    names = [f"a_{i}" for i in range(count)] + [f"b_{i}" for i in range(count)]
    return replace(
        noise(2 * count), crops=pixels, rows=np.arange(2 * count), identities=names, alignment=FACE_112X112, margin=8
    )


@pytest.mark.slow
def test_crops_like_the_chosen_ones_go_to_the_trained_half_and_others_to_the_initial_one(halves: Any) -> None:
    crops = people(24)
    info, state = gated(*halves, INFO, crops, "b_*", centered=0.0)
    assert (info.network, info.network_arguments["centered"]) == ("mobilefacenet_gated", 0.0)
    network = build_network(info.network, **info.network_arguments).eval()
    network.load_state_dict(state)
    first, second = (build_network("mobilefacenet", **INFO.network_arguments).eval() for _ in range(2))
    first.load_state_dict(halves[0])
    second.load_state_dict(halves[1])
    x = info.normalization(torch.from_numpy(crops.inner(slice(None))).permute(0, 3, 1, 2))
    with torch.no_grad():
        found, one, other = (F.normalize(each(x)) for each in (network, first, second))
    # Halves of random parameters are far apart.
    nearer_to_first = (found * one).sum(1) > (found * other).sum(1)
    assert nearer_to_first[:24].float().mean() > 0.9
    assert nearer_to_first[24:].float().mean() < 0.1


@pytest.mark.slow
def test_the_center_is_the_mean_embedding_of_the_chosen_crops_by_the_trained_half(halves: Any) -> None:
    crops = people(6)
    _, state = gated(*halves, INFO, crops, "b_*", centered=0.5)
    second = build_network("mobilefacenet", **INFO.network_arguments).eval()
    second.load_state_dict(halves[1])
    x = INFO.normalization(torch.from_numpy(crops.inner(slice(6, None))).permute(0, 3, 1, 2))
    with torch.no_grad():
        expected = F.normalize((second(x) + second(x.flip(3))) / 2).mean(0)
    torch.testing.assert_close(state["center"], expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(("pattern", "says"), [("*", "matches all identities"), ("c_*", "matches no identities")])
def test_a_pattern_that_leaves_nobody_on_one_side_is_refused(halves: Any, pattern: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        gated(*halves, INFO, people(2), pattern, centered=0.0)


def test_other_trunks_are_refused_with_what_to_freeze(halves: Any) -> None:
    other = MobileFaceNet(8, (112, 112)).state_dict()
    with pytest.raises(DataError, match=r"gate_on: the halves share 10 layers, and these differ; freeze features"):
        gated(halves[0], other, INFO, people(2), "b_*", centered=0.0)


@pytest.mark.parametrize("changes", [{"network": "mobilefacenet"}, {"network": "face_resnet_slim", "init": "scratch"}])
def test_a_gate_needs_a_mobilefacenet_and_its_initial_weights(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a gate stands between a mobilefacenet and its initial weights"):
        TrainingSettings(epochs=1, gate_on="b_*", **changes)
