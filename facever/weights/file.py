"""The weights file: parameters in safetensors, and in its metadata all that is needed to use them.

Inference takes network, alignment and pixel normalization from here and nowhere else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from facever.errors import WeightsError, reading, reason_of
from facever.files import atomic_write
from facever.networks import EmbeddingNetwork, build_network
from facever.weights.known_answer import answer
from facever.weights.metadata import DIGEST, FORMAT, KEY, WeightsInfo
from facever.weights.records import WeightsId
from facever.weights.shipped import find_weights, shipped_folder, weights_sha256


def save_weights(path: Path, info: WeightsInfo, network: EmbeddingNetwork, half: bool = True) -> None:
    """Write a weights file, whole or not at all.

    With `half`, kernels and matrices are stored as float16, which halves the file at no measurable loss of
    accuracy (benchmarks/results/half.json); per-channel vectors, few but sensitive, stay float32.
    """
    state = {}
    for name, tensor in network.state_dict().items():
        tensor = tensor.detach().cpu().contiguous()
        state[name] = tensor.half() if half and tensor.dim() >= 2 else tensor
    text = json.dumps(replace(info, known_answer=answer(info, network)).to_json())
    with atomic_write(path) as temporary:
        try:
            save_file(state, temporary, metadata={KEY: text, DIGEST: digest(text, state)})
        except SafetensorError as error:  # a full disk, for one
            raise OSError(str(error)) from error


def digest(text: str, state: Mapping[str, Tensor]) -> str:
    """SHA-256, in hexadecimal, of a weights file's metadata and parameters."""
    found = hashlib.sha256(text.encode())
    for name in sorted(state):
        tensor = state[name]
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.numpy().tobytes())
    return found.hexdigest()


def read_info(weights: str | Path) -> WeightsInfo:
    """The metadata of a weights file.

    Raises
    ------
    WeightsError
        If the file is missing, truncated, damaged, not safetensors, or not facever's.
    """
    return _read(find_weights(weights))[0]


def weights_id(weights: str | Path) -> WeightsId:
    """Name and hash of a weights file. Raises WeightsError as `read_info`."""
    path = find_weights(weights)
    return WeightsId(read_info(path).name, weights_sha256(path))


def load_weights(weights: str | Path, device: str | torch.device = "cpu") -> tuple[WeightsInfo, EmbeddingNetwork]:
    """Metadata and network, float32, in evaluation mode, on `device`.

    Raises
    ------
    WeightsError
        As `read_info`; and if the parameters are not those of the network that the file names, or not finite.
    """
    path = find_weights(weights)
    info, state = _read(path)
    try:
        with torch.device("meta"):  # nothing is allocated before the shapes are known to be the file's
            network = build_network(info.network, **info.network_arguments)
    except (ValueError, TypeError, OverflowError) as error:
        raise WeightsError(f"{path}: its network can't be built: {error}") from error
    crop = (info.alignment.height, info.alignment.width)
    if crop != tuple(network.input_size):
        raise WeightsError(f"{path}: its crops are {crop}, but its network {info.network} takes {network.input_size}")
    expected = network.state_dict()
    _check_parameters(path, info.network, state, expected)
    network.load_state_dict({name: state[name].to(expected[name].dtype) for name in expected}, assign=True)
    try:
        return info, network.eval().to(device).ready()
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from error


def _check_parameters(path: Path, network: str, state: dict[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    for name in expected.keys() - state.keys():
        raise WeightsError(f"{path}: not the parameters of {network}: {name} is missing")
    for name in state.keys() - expected.keys():
        raise WeightsError(f"{path}: not the parameters of {network}: {name} is unknown to it")
    for name, tensor in state.items():
        if tensor.shape != expected[name].shape:
            shapes = f"{tuple(tensor.shape)} in place of {tuple(expected[name].shape)}"
            raise WeightsError(f"{path}: not the parameters of {network}: {name} has shape {shapes}")
        if not torch.isfinite(tensor).all():
            raise WeightsError(
                f"{path}: {name} holds values that are not finite; the training diverged or the file is damaged"
            )


def _read(path: Path) -> tuple[WeightsInfo, dict[str, Tensor]]:
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise WeightsError(f"{path}: safetensors can't open a path that is not UTF-8; rename the file") from error
    whole = reading(path, "copy it again", WeightsError, "not a whole safetensors file")
    with whole, safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if KEY not in metadata:
        raise WeightsError(f"{path}: a safetensors file, but not one of facever's; train or convert one")
    try:
        fields = msgspec.json.decode(metadata[KEY], type=dict[str, Any])
        if fields.get("format") != FORMAT:
            raise WeightsError(
                f"{path}: a weights file of format {fields.get('format')}, and this facever reads format {FORMAT}; "
                "train or import it again"
            )
        if metadata.get(DIGEST) != digest(metadata[KEY], state):
            raise WeightsError(f"{path}: damaged, its content is not what was written; copy it again")
        info = msgspec.convert(fields, WeightsInfo)
        return replace(info, file=None if path.parent == shipped_folder() else str(path)), state
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: its metadata is broken ({reason_of(error)}); export it again") from error
