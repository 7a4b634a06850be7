"""dlib's serialized face network -> `resnet29`.

dlib writes an integer as a control byte (low four bits: how many bytes follow; bit 7: sign) and little-endian bytes, a
string as its length and its bytes, a tensor as a version (2), four dimensions and raw float32. Layers follow
from input to output, each after its name; what else dlib stores of a layer is not needed here.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from facever.errors import WeightsError, check_regular
from facever.networks import ResNet29
from facever.weights.alignment import DLIB_150
from facever.weights.metadata import WeightsInfo, versions
from facever.weights.records import Normalization

NORMALIZATION = Normalization((122.782, 117.001, 104.298), 256.0)
_LAYER = re.compile(rb"(?:con|affine|fc)_[a-z0-9_]{0,12}")


class _Reader:
    """dlib's integers and tensors from a position in the file's bytes."""

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position

    def integer(self) -> int:
        control = self.data[self.position]
        size = control & 0x0F
        if not 1 <= size <= 8:
            raise ValueError(f"no integer at byte {self.position}")
        start = self.position + 1
        self.position = start + size
        value = int.from_bytes(self.data[start : self.position], "little")
        return -value if control & 0x80 else value

    def tensor(self) -> NDArray[np.float32]:
        version, *shape = (self.integer() for _ in range(5))
        count = int(np.prod(shape))
        if version != 2 or not 0 < count < 1 << 28:
            raise ValueError(f"no tensor at byte {self.position}")
        values = np.frombuffer(self.data, "<f4", count, self.position)
        self.position += 4 * count
        return values.reshape(shape)


def read_layers(data: bytes) -> list[tuple[str, NDArray[np.float32]]]:
    """The layers with parameters, in order: ("con" | "affine" | "fc", parameters).

    A convolution's are its filters, then its biases; an affine map's its scales, then its offsets; a dense layer's its
    matrix, (inputs, outputs).

    Raises
    ------
    ValueError
        Where a tensor is cut short.
    """
    layers = []
    position = 0
    while match := _LAYER.search(data, position):
        name = match.group().decode()
        position = match.end()
        if data[match.start() - 2 : match.start()] != bytes([1, len(name)]):
            continue  # not a string of that length: chance, or the name of something else
        reader = _Reader(data, position)
        kind = name.split("_")[0]
        if kind == "fc":
            outputs, inputs = reader.integer(), reader.integer()
            parameters = reader.tensor()
            if parameters.size != inputs * outputs:
                raise ValueError(f"a dense layer {inputs} -> {outputs} of {parameters.size} parameters")
        else:
            parameters = reader.tensor()
        layers.append((kind, parameters.reshape(-1)))
        position = reader.position  # behind the raw floats, where a name can't occur by chance
    return layers


def read_network(path: Path) -> ResNet29:
    """dlib's `dlib_face_recognition_resnet_model_v1.dat` as a network, in evaluation mode.

    Raises
    ------
    WeightsError
        If the file can't be read, or holds another network than dlib's face network.
    """
    check_regular(path, "name dlib's .dat file", WeightsError)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: can't be read ({error.strerror}); name dlib's .dat file") from error
    network = ResNet29()
    try:
        layers = read_layers(data)
        _fill(network, layers)
    except (ValueError, IndexError) as error:
        raise WeightsError(
            f"{path}: not dlib's face network ({error}); facever reads dlib_face_recognition_resnet_model_v1.dat"
        ) from error
    return network.eval()


@torch.no_grad()
def _fill(network: ResNet29, layers: list[tuple[str, NDArray[np.float32]]]) -> None:
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    expected = ["con", "affine"] * len(convolutions) + ["fc"]
    if [kind for kind, _ in layers] != expected:
        raise ValueError(f"{len(layers)} layers with parameters, where {len(expected)} are expected")
    *maps, dense = (torch.tensor(parameters) for _, parameters in layers)
    for i, convolution in enumerate(convolutions):
        weight, bias = convolution.weight, convolution.bias
        assert bias is not None
        if len(maps[2 * i]) != weight.numel() + len(bias) or len(maps[2 * i + 1]) != 2 * len(bias):
            raise ValueError(f"convolution {i + 1} has another shape")
        filters, biases = maps[2 * i].split([weight.numel(), len(bias)])
        gain, shift = maps[2 * i + 1].chunk(2)
        # gain (w x + b) + shift = (gain w) x + (gain b + shift)
        weight.copy_(filters.view_as(weight) * gain.view(-1, 1, 1, 1))
        bias.copy_(biases * gain + shift)
    outputs, inputs = network.dense.weight.shape
    if len(dense) != outputs * inputs:
        raise ValueError("the dense layer has another shape")
    network.dense.weight.copy_(dense.view(inputs, outputs).T)


def dlib_info(name: str) -> WeightsInfo:
    """Metadata for dlib's weights, without thresholds: dlib's own 0.6 is a distance for its own alignment."""
    return WeightsInfo(
        name=name,
        network="resnet29",
        network_arguments={},
        alignment=DLIB_150,
        normalization=NORMALIZATION,
        mirrored=True,
        loss={"name": "metric loss of dlib", "margin": 0.04, "distance": 0.6},
        training_data=[
            {
                "name": "as stated by its author: face scrub, VGG-Face and pictures from the web",
                "identities": 7485,
                "photographs": 3_000_000,
                "terms": "not part of this file",
            }
        ],
        license="CC0-1.0",
        credit="Davis E. King, dlib (dlib_face_recognition_resnet_model_v1), released into the public domain",
        versions=versions(),
    )
