"""Export as ONNX: every network, what the file says of itself, and what is not written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from facever.errors import OutputError, WeightsError
from facever.faces.embedder import Embedder
from facever.files import sha256_of
from facever.networks import NETWORKS, build_network
from facever.weights.alignment import Alignment
from facever.weights.file import load_weights, save_weights
from facever.weights.metadata import WeightsInfo, versions
from facever.weights.onnx_export import export_embedder, write_model
from facever.weights.records import Normalization
from facever.weights.thresholds import Threshold

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

SMALL: dict[str, dict[str, Any]] = {
    "face_resnet": {"embedding_size": 16, "input_size": [16, 32]},
    "face_resnet_slim": {"embedding_size": 16, "input_size": [33, 24], "widths": [8, 12], "depths": [1, 2], "stem": 4},
    "resnet29": {"embedding_size": 16, "input_size": [103, 118]},
    "resnet29_twin": {"embedding_size": 16, "input_size": [103, 118], "centered": [1.0, 0.5]},
    "mobilefacenet": {"embedding_size": 16, "input_size": [64, 48]},
    "mobilefacenet_gated": {"embedding_size": 16, "input_size": [64, 48], "centered": 0.5},
}


def weights_of(path: Path, network: str, mirrored: bool = True) -> Path:
    """Weights of a small network whose buffers are not all zero."""
    torch.manual_seed(0)
    built = build_network(network, **SMALL[network]).eval()
    for name, buffer in built.named_buffers():
        if buffer.is_floating_point():
            buffer.copy_(1 + torch.rand_like(buffer) if name.endswith("var") else 0.1 * torch.randn_like(buffer))
    height, width = built.input_size
    points = ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))
    info = WeightsInfo(
        name="tiny",
        network=network,
        network_arguments=SMALL[network],
        alignment=Alignment("tiny", height, width, tuple((x * width, y * height) for x, y in points)),
        normalization=Normalization((122.782, 117.001, 104.298), 64.0),
        mirrored=mirrored,
        loss={"name": "softmax"},
        training_data=[{"name": "zoë's pictures", "terms": "hers"}],
        license="MIT",
        credit="the facever developers",
        thresholds=[Threshold(far=0.001, cosine=0.4375, source="three people", impostor_pairs=1000, tar=0.9)],
        versions=versions(),
    )
    save_weights(path, info, built)
    return path


def test_no_network_is_forgotten() -> None:
    assert set(SMALL) == {name for name, network in NETWORKS.items() if network.native}


@pytest.mark.slow
@pytest.mark.parametrize(("network", "mirrored"), [*((name, True) for name in SMALL), ("face_resnet_slim", False)])
def test_every_network_gives_in_onnx_runtime_the_embeddings_and_norms_that_the_embedder_gives(
    network: str, mirrored: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    weights, out = weights_of(tmp_path / "tiny.safetensors", network, mirrored), tmp_path / "tiny.onnx"
    assert export_embedder(weights, out) < 1e-5
    onnx.checker.check_model(out, full_check=True)
    session = onnxruntime.InferenceSession(out)
    embedder = Embedder.load(weights, "cpu", "fp32")
    for count in (1, 5):
        shape = (count, *embedder.network.input_size, 3)
        crops = np.random.default_rng(count).integers(0, 256, shape, np.uint8)
        embeddings, norms = session.run(["embeddings", "norms"], {"crops": crops})
        expected = embedder(crops)
        np.testing.assert_allclose(embeddings, expected[0], atol=1e-5)
        np.testing.assert_allclose(norms, expected[1], rtol=1e-5)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_the_file_says_how_to_use_it_and_under_which_terms(tmp_path: Path) -> None:
    weights, out = weights_of(tmp_path / "tiny.safetensors", "face_resnet_slim"), tmp_path / "tiny.onnx"
    export_embedder(weights, out)
    model = onnx.load(out)
    (entry,) = model.graph.input
    dims = entry.type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in dims] == ["n", 33, 24, 3]
    assert entry.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    (record,) = (json.loads(each.value) for each in model.metadata_props if each.key == "facever")
    told = record["weights"]
    assert told["alignment"]["landmarks"][0] == pytest.approx([7.2, 13.2])
    assert (told["alignment"]["height"], told["alignment"]["width"]) == (33, 24)
    assert (told["thresholds"][0]["far"], told["thresholds"][0]["cosine"]) == (0.001, 0.4375)
    assert (told["name"], told["license"], told["training_data"][0]["terms"]) == ("tiny", "MIT", "hers")
    assert told["sha256"] == sha256_of(weights)
    assert "facever" in record["versions"]
    assert "License: MIT" in model.doc_string
    assert b"/" + str(tmp_path.name).encode() not in out.read_bytes()  # nothing of this machine


class _Adds(nn.Module):
    """Adds a constant that tracing keeps as it was the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> tuple[Tensor]:
        self.calls += 1
        return (x + 1e-3 * self.calls,)


@pytest.mark.slow
def test_nothing_is_written_where_onnx_runtime_computes_something_else(tmp_path: Path) -> None:
    x = torch.zeros(2, 3)
    with pytest.raises(WeightsError, match=r"bad\.onnx: not written, because .* differ from torch's by 1\.0e-03"):
        write_model(tmp_path / "bad.onnx", _Adds(), ((x,), (x,)), {"x": {0: "n"}, "y": {0: "n"}}, "", {})
    assert list(tmp_path.iterdir()) == []


class _Nan(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x + 1, x / 0


@pytest.mark.slow
def test_nothing_is_written_where_numbers_are_not_finite(tmp_path: Path) -> None:
    x = torch.zeros(2, 3)
    axes = {"x": {0: "n"}, "fine": {0: "n"}, "bad": {0: "n"}}
    with pytest.raises(WeightsError, match=r"bad\.onnx: not written, .* by nan"):
        write_model(tmp_path / "bad.onnx", _Nan(), ((x,), (x,)), axes, "", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_folder_is_not_overwritten(tmp_path: Path) -> None:
    weights = weights_of(tmp_path / "tiny.safetensors", "face_resnet_slim")
    with pytest.raises(OutputError, match="is a folder"):
        export_embedder(weights, tmp_path)


@pytest.mark.slow
def test_the_embedding_of_a_zero_feature_is_zero(tmp_path: Path) -> None:
    weights, out = weights_of(tmp_path / "tiny.safetensors", "face_resnet_slim"), tmp_path / "tiny.onnx"
    info, network = load_weights(weights)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    save_weights(weights, info, network)
    export_embedder(weights, out)
    embeddings, norms = onnxruntime.InferenceSession(out).run(None, {"crops": np.zeros((1, 33, 24, 3), np.uint8)})
    assert not embeddings.any() and not norms.any()
