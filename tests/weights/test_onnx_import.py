"""Import of embedders in ONNX: those of the field's kind, facever's own exports, and hostile files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_models as models
import pytest
import torch
from onnx_models import D, constant, embedder, feature, helper
from safetensors.torch import load_file, save_file

from facever.errors import FaceverError, SettingError, WeightsError
from facever.faces.embedder import Embedder
from facever.weights.alignment import FACE_112X112
from facever.weights.file import digest, load_weights, save_weights
from facever.weights.known_answer import check_known_answer
from facever.weights.metadata import DIGEST, KEY, OPEN_LICENSES
from facever.weights.onnx_export import export_embedder
from facever.weights.onnx_import import Preparation, read_onnx
from facever.weights.records import Normalization
from facever.weights.shipped import find_weights

ARCFACE = Preparation("face-112x112", Normalization((127.5, 127.5, 127.5), 128.0))


def saved(model: Any, folder: Path) -> Path:
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "model.onnx"


def imported(model: Any, folder: Path, preparation: Preparation = ARCFACE) -> Path:
    """The weights file of a model."""
    info, network = read_onnx(saved(model, folder), "mine", preparation)
    save_weights(folder / "mine.safetensors", info, network)
    return folder / "mine.safetensors"


def crops(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 112, 112, 3), np.uint8)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


# --- embedders of the field's kind


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"channels_last": True},
        {"size": ("h", "w")},
        {"batch": 1, "outputs": [("fc1", (1, D))]},
        {"listed": True, "batch": 1, "outputs": [("fc1", (1, D))]},
    ],
    ids=str,
)
@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_weights_embed_as_the_model_does_after_the_preparation(
    options: dict[str, Any], order: str, tmp_path: Path
) -> None:
    means = (120.0, 117.0, 104.0)
    weights = imported(
        embedder(**options), tmp_path, Preparation("face-112x112", Normalization(means, 64.0), order, False)
    )
    embeddings, norms = Embedder.load(weights, "cpu")(crops())
    x = ((crops() - np.array(means)) / 64).transpose(0, 3, 1, 2)
    expected = feature(x if order == "rgb" else x[:, ::-1])
    np.testing.assert_allclose(embeddings, unit(expected), atol=1e-5)
    np.testing.assert_allclose(norms, np.linalg.norm(expected, axis=1), rtol=1e-5)


def test_by_default_features_are_averaged_with_the_mirror_images(tmp_path: Path) -> None:
    embeddings, _ = Embedder.load(imported(embedder(), tmp_path), "cpu")(crops())
    x = ((crops() - 127.5) / 128).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(embeddings, unit(feature(x) + feature(x[..., ::-1])), atol=1e-5)


def test_a_model_that_takes_bytes_needs_no_normalization(tmp_path: Path) -> None:
    model = embedder(dtype=models.UINT8, channels_last=True)
    weights = imported(model, tmp_path, Preparation("face-112x112", mirrored=False))
    embeddings, _ = Embedder.load(weights, "cpu")(crops())
    np.testing.assert_allclose(embeddings, unit(feature(crops().transpose(0, 3, 1, 2))), atol=1e-5)
    with pytest.raises(SettingError, match=r"^normalization is 0,1 for a network whose input is uint8"):
        imported(model, tmp_path, ARCFACE)


def test_a_batch_of_one_that_is_hidden_in_the_graph_is_found(tmp_path: Path) -> None:
    """Its input says any batch, but the graph reshapes to one vector."""
    nodes = [constant("one", np.array([1, -1])), helper.make_node("Reshape", ["fc1", "one"], ["y"])]
    outputs = [("y", (1, D))]
    info, _ = load_weights(imported(embedder(nodes=nodes, outputs=outputs), tmp_path))
    assert info.network_arguments["single"] is True
    embeddings, _ = Embedder.load(tmp_path / "mine.safetensors", "cpu")(crops())
    x = ((crops() - 127.5) / 128).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(embeddings, unit(feature(x) + feature(x[..., ::-1])), atol=1e-5)


def test_the_record_says_what_is_known(tmp_path: Path) -> None:
    given = Preparation("face-112x112", Normalization(), license="CC-BY-NC-4.0", terms="research only")
    info, network = load_weights(imported(embedder(), tmp_path, given))
    assert (info.name, info.network, info.alignment) == ("mine", "onnx", FACE_112X112)
    assert (network.embedding_size, network.input_size) == (D, (112, 112))
    assert (info.license, info.training_data[0]["terms"]) == ("CC-BY-NC-4.0", "research only")
    assert info.license not in OPEN_LICENSES
    assert info.credit.startswith("imported from model.onnx, sha256 ")
    assert (info.thresholds, info.likelihood, info.quality) == ([], None, None)
    assert check_known_answer(info, network) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("preparation", "message"),
    [
        (Preparation(), "alignment is needed: an ONNX file does not say how its input is prepared"),
        (Preparation("face-112x112"), "normalization is needed"),
        (Preparation("arcface", Normalization()), "alignment is one of .*face-112x112.*, not 'arcface'"),
        (Preparation("face-112x112", Normalization(), "gbr"), "order is one of rgb, bgr, not 'gbr'"),
    ],
)
def test_a_preparation_that_says_too_little_is_refused(preparation: Preparation, message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=f"^{message}"):
        read_onnx(saved(embedder(), tmp_path), "mine", preparation)


def test_crops_of_another_size_than_the_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"model\.onnx: its model takes crops of 112x112, not 112x96"):
        read_onnx(saved(embedder(), tmp_path), "mine", Preparation("face-112x96", Normalization()))


# --- facever's own exports


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilefacenet", "default"])
def test_a_round_trip_keeps_embeddings_norms_thresholds_and_terms(name: str, tmp_path: Path) -> None:
    export_embedder(name, tmp_path / "out.onnx")
    info, network = read_onnx(tmp_path / "out.onnx", "again")
    save_weights(tmp_path / "again.safetensors", info, network)
    before, after = (
        Embedder.load(each, "cpu", "fp32") for each in (find_weights(name), tmp_path / "again.safetensors")
    )
    (embeddings, norms), (again, norms_again) = (embedder(crops(5)) for embedder in (before, after))
    assert np.abs((embeddings * again).sum(1) - 1).max() < 1e-5
    assert np.abs(embeddings @ embeddings.T - again @ again.T).max() < 1e-5
    np.testing.assert_allclose(norms_again, norms, rtol=1e-5)
    for field in ("alignment", "thresholds", "likelihood", "quality", "license", "credit", "training_data"):
        assert getattr(after.info, field) == getattr(before.info, field)
    with pytest.raises(SettingError, match="says how its input is prepared"):
        read_onnx(tmp_path / "out.onnx", "again", ARCFACE)
    with pytest.raises(WeightsError, match=r"again\.safetensors: its network came from ONNX"):
        export_embedder(tmp_path / "again.safetensors", tmp_path / "twice.onnx")


@pytest.mark.parametrize("record", ["{", "[]", "null", "{}", '{"weights": {}}', '{"weights": 3}', "[" * 100_000])
def test_a_broken_record_in_the_metadata_is_named(record: str, tmp_path: Path) -> None:
    model = embedder()
    helper.set_model_props(model, {"facever": record})
    with pytest.raises(WeightsError, match=r"model\.onnx: its metadata holds no record of weights"):
        read_onnx(saved(model, tmp_path), "mine")


# --- files that can't be used


def _nan() -> Any:
    nodes = [constant("c", np.array(np.nan, np.float32)), helper.make_node("Mul", ["fc1", "c"], ["y"])]
    return embedder(nodes=nodes, outputs=[("y", ("n", D))])


def _zero() -> Any:
    nodes = [constant("c", np.array(0, np.float32)), helper.make_node("Mul", ["fc1", "c"], ["y"])]
    return embedder(nodes=nodes, outputs=[("y", ("n", D))])


def _classes() -> Any:
    """The classifier that it was trained with is still there."""
    nodes = [constant("c", np.ones((D, 10_000), np.float32)), helper.make_node("MatMul", ["fc1", "c"], ["y"])]
    return embedder(nodes=nodes, outputs=[("y", ("n", 10_000))])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_nan, "its embedding of a crop is zero or not finite"),
        (_zero, "its embedding of a crop is zero or not finite"),
        (_classes, r"outputs have the shapes \(1, 10000\) for 1 crops, and an embedder's is one vector per face"),
        (lambda: embedder(outputs=[("maps", ("n", 4, 7, 7))]), r"outputs have the shapes \(1, 4, 7, 7\)"),
        (lambda: embedder(nodes=[helper.make_node("Mish2", ["fc1"], ["y"], domain="mine")]), "not ONNX's own"),
    ],
)
def test_a_network_that_is_no_embedder_is_refused_by_name(
    make: Callable[[], Any], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(WeightsError, match=rf"model\.onnx: .*{message}"):
        read_onnx(saved(make(), tmp_path), "mine", ARCFACE)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("content", [b"", b"\x08", b"ONNX", b"\x80\x04K\x01.", b"PK\x03\x04", bytes(1000)], ids=repr)
def test_another_kind_of_file_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "some.onnx").write_bytes(content)
    with pytest.raises(WeightsError, match=r"some\.onnx: not (a whole|an) ONNX model"):
        read_onnx(tmp_path / "some.onnx", "mine", ARCFACE)


def test_a_file_that_is_missing_or_larger_than_the_limit_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.onnx: can't be read \(No such file"):
        read_onnx(tmp_path / "none.onnx", "mine", ARCFACE)
    with (tmp_path / "large.onnx").open("wb") as file:
        file.truncate((1 << 30) + 1)
    with pytest.raises(WeightsError, match=r"large\.onnx: larger than 1,073,741,824 bytes"):
        read_onnx(tmp_path / "large.onnx", "mine", ARCFACE)


@pytest.mark.slow
def test_a_file_cut_anywhere_is_an_error_that_names_it(tmp_path: Path) -> None:
    whole = saved(embedder(), tmp_path).read_bytes()
    places = np.random.default_rng(0).integers(1, len(whole), 150)
    for place in [*map(int, places), len(whole) - 1]:
        (tmp_path / "model.onnx").write_bytes(whole[:place])
        with pytest.raises(FaceverError, match=r"model\.onnx: "):
            read_onnx(tmp_path / "model.onnx", "mine", ARCFACE)


# --- weights files that hold such a network


def changed(weights: Path, model: bytes, **arguments: Any) -> None:
    """Exchange the model in a weights file and make its digest anew, as somebody hostile would."""
    info = load_weights(weights)[0]
    state = {"model": torch.from_numpy(np.frombuffer(model, np.uint8).copy())}
    assert load_file(weights).keys() == state.keys()
    fields = {**info.to_json(), "network_arguments": {**info.network_arguments, "size": len(model), **arguments}}
    text = json.dumps(fields)
    save_file(state, weights, metadata={KEY: text, DIGEST: digest(text, state)})


def test_a_weights_file_is_checked_as_the_model_was(tmp_path: Path) -> None:
    weights = imported(embedder(), tmp_path)
    custom = embedder(nodes=[helper.make_node("Gelu", ["fc1"], ["y"], domain="com.microsoft")])
    changed(weights, custom.SerializeToString())
    with pytest.raises(WeightsError, match=r"mine\.safetensors: the operator Gelu of com\.microsoft"):
        load_weights(weights)


@pytest.mark.parametrize("size", [10**15, 3, -3])
def test_a_size_that_is_not_the_models_is_refused(size: int, tmp_path: Path) -> None:
    weights = imported(embedder(), tmp_path)
    changed(weights, embedder().SerializeToString(), size=size)
    with pytest.raises(WeightsError, match=r"mine\.safetensors: "):
        load_weights(weights)


def test_bfloat16_is_refused_and_auto_means_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = imported(embedder(), tmp_path)
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: True, raising=False)
    assert Embedder.load(weights, "cpu").precision == "fp32"
    with pytest.raises(SettingError, match="bf16 is not for weights that came from ONNX"):
        Embedder.load(weights, "cpu", "bf16")
