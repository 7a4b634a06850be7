"""Networks in ONNX: what they compute, against NumPy; what is refused; and damage."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import onnx_models as models
import pytest
import torch
from numpy.typing import NDArray
from onnx_models import D, constant, embedder, feature, helper

from facever.errors import FaceverError, WeightsError
from facever.networks import OnnxNetwork
from facever.networks.onnx_graph import MAX_BYTES, examined, load_onnx, open_session


def network_of(model: Any, **arguments: Any) -> OnnxNetwork:
    data = model.SerializeToString()
    network = OnnxNetwork(len(data), D, **arguments).eval()
    network.model = torch.from_numpy(np.frombuffer(data, np.uint8).copy())
    return network.ready()


def crops(count: int = 3, whole: bool = False) -> NDArray[Any]:
    draw = np.random.default_rng(count)
    return (draw.integers(0, 256, (count, 3, 112, 112)) if whole else draw.normal(0, 1, (count, 3, 112, 112))).astype(
        np.float32
    )


def features(network: OnnxNetwork, x: NDArray[Any]) -> NDArray[np.float32]:
    with torch.inference_mode():
        return network(torch.from_numpy(x)).numpy()


# --- what they compute


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"channels_last": True},
        {"size": ("h", "w")},
        {"listed": True},
    ],
    ids=str,
)
def test_the_feature_is_the_models_output(options: dict[str, Any]) -> None:
    x = crops()
    np.testing.assert_allclose(features(network_of(embedder(**options)), x), feature(x), atol=1e-4)


def test_a_model_of_a_fixed_batch_gets_one_crop_at_a_time() -> None:
    x, model = crops(), embedder(batch=1, outputs=[("fc1", (1, D))])
    np.testing.assert_allclose(features(network_of(model, single=True), x), feature(x), atol=1e-4)
    with pytest.raises(WeightsError, match="can't run the network"):
        features(network_of(model), x)


def test_more_crops_than_a_batch_keep_their_order() -> None:
    x = crops(40)
    np.testing.assert_allclose(features(network_of(embedder()), x), feature(x), atol=1e-4)


def test_bgr_reverses_the_colors() -> None:
    x = crops()
    np.testing.assert_allclose(features(network_of(embedder(), order="bgr"), x), feature(x[:, ::-1]), atol=1e-4)


def test_a_model_of_bytes_gets_the_pixels_as_they_are() -> None:
    x = crops(whole=True)
    found = features(network_of(embedder(dtype=models.UINT8, channels_last=True)), x)
    np.testing.assert_allclose(found, feature(x), rtol=1e-4, atol=0.01)


def test_a_model_of_half_precision_gets_halves() -> None:
    x = crops().astype(np.float16).astype(np.float32)
    np.testing.assert_allclose(features(network_of(embedder(dtype=models.FLOAT16)), x), feature(x), atol=1e-4)


@pytest.mark.parametrize(("score", "length"), [(2.5, 2.5), (-1.0, 1e-6)])
@pytest.mark.parametrize("flat", [True, False])
def test_a_second_output_is_the_norm_and_never_turns_the_vector_around(score: float, length: float, flat: bool) -> None:
    """As AdaFace gives it: a unit vector, and its norm; here the same for all faces."""
    nodes = [
        helper.make_node("ReduceSum", ["fc1", "axis"], ["sum"], keepdims=0 if flat else 1),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "score"], ["norm"]),
    ]
    constants = [
        constant("axis", np.array([1])),
        constant("zero", np.array(0, np.float32)),
        constant("score", np.array(score, np.float32)),
    ]
    outputs = [("norm", ("n",) if flat else ("n", 1)), ("fc1", ("n", D))]
    x = crops()
    found = features(network_of(embedder(nodes=[*constants, *nodes], outputs=outputs)), x)
    unit = feature(x) / np.linalg.norm(feature(x), axis=1, keepdims=True)
    np.testing.assert_allclose(found, length * unit, rtol=1e-4, atol=1e-5 * length)


# --- what is refused


def _two_inputs() -> Any:
    return embedder(inputs=[models.value_info("mask", models.FLOAT, ["n"])])


def _custom_operator() -> Any:
    return embedder(nodes=[helper.make_node("Gelu", ["fc1"], ["y"], domain="com.microsoft")])


def _branch() -> Any:
    same = helper.make_graph([helper.make_node("Identity", ["fc1"], ["z"])], "same", [], [])
    return embedder(nodes=[helper.make_node("If", ["yes"], ["y"], then_branch=same, else_branch=same)])


def _function() -> Any:
    model = embedder()
    identity = [helper.make_node("Identity", ["a"], ["b"])]
    model.functions.append(helper.make_function("", "Mine", ["a"], ["b"], identity, model.opset_import))
    return model


def _elsewhere() -> Any:
    model = embedder()
    kernel = model.graph.initializer[0]
    kernel.ClearField("raw_data")
    kernel.data_location = models.onnx.TensorProto.EXTERNAL
    kernel.external_data.add(key="location", value="/etc/passwd")
    return model


def _elsewhere_in_a_constant() -> Any:
    node = constant("c", np.zeros(4, np.float32))
    node.attribute[0].t.external_data.add(key="location", value="kernel.bin")
    return embedder(nodes=[node])


def _sparse() -> Any:
    model = embedder()
    model.graph.sparse_initializer.add()
    return model


def _large_promise() -> Any:
    model = embedder()
    model.graph.initializer[0].dims[:] = [1 << 40]
    return model


def _counting() -> Any:
    """It would keep ONNX Runtime busy for minutes before it ran."""
    numbers = [constant(name, np.array(value)) for name, value in (("a", 0), ("b", 10**12), ("c", 1))]
    return embedder(nodes=[*numbers, helper.make_node("Range", ["a", "b", "c"], ["d"])])


def _other_operators() -> Any:
    return embedder(nodes=[helper.make_node("Blur", ["fc1"], ["y"])])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (_two_inputs(), r"takes 2 inputs \(data, mask\)"),
        (_custom_operator(), r"the operator Gelu of com\.microsoft is not ONNX's own"),
        (_branch(), "the operator If holds a graph"),
        (_function(), "defines operators of its own"),
        (_elsewhere(), "parameters lie in another file"),
        (_elsewhere_in_a_constant(), "parameters lie in another file"),
        (_sparse(), "sparse"),
        (_large_promise(), "the tensor kernel declares more numbers than it holds"),
        (_counting(), "the operator Range has no place"),
        (_other_operators(), r"ONNX Runtime can't load it \(.*Blur"),
        (embedder(batch=8), "takes 8 crops at a time"),
        (embedder(size=(160, 160)), "takes crops of 160x160, not 112x112"),
        (embedder(size=(112, "w", 4)), r"its input has the shape \(\?, 3, 112, \?, 4\)"),
        (embedder(dtype=models.onnx.TensorProto.INT64), "none of float32, uint8, float16"),
        (models.onnx.ModelProto(), "no operators"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_plain_embedder_is_refused_before_it_runs(model: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network_of(model)


def test_a_file_above_the_limit_is_refused_by_its_size() -> None:
    class Large(bytes):
        def __len__(self) -> int:
            return MAX_BYTES + 1

    with pytest.raises(ValueError, match=r"1,073,741,825 bytes, and the limit is 1,073,741,824"):
        examined(Large())


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ((), [("maps", ("n", 4, 7, 7))]),
        ((), [("fc1", ("n", D)), ("flat", ("n", 196))]),
        ((), [("fc1", ("n", D)), ("maps", ("n", 4, 7, 7))]),
        ([helper.make_node("ReduceMax", ["fc1"], ["most"], axes=[1])], [("most", ("n", 1))]),
        ([helper.make_node("ReduceMax", ["fc1"], ["all"], axes=[0])], [("all", (1, D))]),
    ],
    ids=["maps", "two vectors", "a vector and maps", "a number", "a vector for all"],
)
def test_outputs_other_than_one_vector_a_face_are_refused(nodes: Any, outputs: Any) -> None:
    with pytest.raises(WeightsError, match="an embedder's is one vector per face"):
        features(network_of(embedder(nodes=nodes, outputs=outputs)), crops())


@pytest.mark.parametrize("operator", ["ConstantOfShape", "Tile", "Expand", "MatMul"])
def test_a_model_can_not_take_all_memory(operator: str) -> None:
    """40 GB and more, by constants that are small themselves."""
    shape, long = np.array([100_000, 100_000]), np.ones((100_000, 1), np.float32)
    nodes = {
        "ConstantOfShape": [constant("s", shape), helper.make_node("ConstantOfShape", ["s"], ["b"])],
        "Tile": [constant("s", shape), helper.make_node("Tile", ["fc1", "s"], ["b"])],
        "Expand": [constant("s", np.array([100_000, 100_000, 1, D])), helper.make_node("Expand", ["fc1", "s"], ["b"])],
        "MatMul": [constant("l", long), constant("t", long.T.copy()), helper.make_node("MatMul", ["l", "t"], ["b"])],
    }[operator]
    most = helper.make_node("ReduceMax", ["b"], ["most"], keepdims=0)
    model = embedder(nodes=[*nodes, most, helper.make_node("Add", ["fc1", "most"], ["y"])], outputs=[("y", ("n", D))])
    with pytest.raises((ValueError, WeightsError), match=r"can't (load it|run the network)"):  # by its version
        features(network_of(model), crops(1))


def test_a_model_of_another_size_than_the_weights_say_is_refused() -> None:
    data = embedder().SerializeToString()
    network = OnnxNetwork(len(data), D + 1).eval()
    network.model = torch.from_numpy(np.frombuffer(data, np.uint8).copy())
    with pytest.raises(WeightsError, match="gives 6 components, not 7"):
        features(network.ready(), crops())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": -1}, "-1 bytes"),
        ({"order": "gbr"}, "one of rgb, bgr, not 'gbr'"),
        ({"embedding_size": 10**9}, "at most 4096"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OnnxNetwork(**arguments)


def test_without_cuda_in_onnx_runtime_a_cuda_device_is_refused() -> None:
    _, runtime = load_onnx()
    if "CUDAExecutionProvider" in runtime.get_available_providers():
        pytest.skip("ONNX Runtime has CUDA here")
    with pytest.raises(FaceverError, match="use --device cpu, or install onnxruntime-gpu"):
        open_session(embedder().SerializeToString(), torch.device("cuda:0"))


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_without_the_extra_it_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    load_onnx.cache_clear()
    with pytest.raises(FaceverError, match=r"pip install 'facever\[onnx\]'"):
        examined(b"")


# --- damage


@pytest.mark.slow
def test_damage_is_an_error_or_changes_numbers_only(capfd: pytest.CaptureFixture[str]) -> None:
    """Bits flipped, bytes inserted, ends cut off: never a crash, another exception, or a word of ONNX Runtime's."""
    whole = embedder(listed=True).SerializeToString()
    draw = np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(int(draw.choice([1, 2, 20]))):
            # Most bytes are parameters; the structure is at both ends.
            place = draw.choice([draw.integers(len(data)), draw.integers(900), len(data) - 1 - draw.integers(600)])
            data[int(place)] ^= 1 << int(draw.integers(8))
        if draw.random() < 0.3:
            del data[int(draw.integers(len(data))) :]
        network = OnnxNetwork(len(data), D).eval()
        network.model = torch.from_numpy(np.frombuffer(bytes(data), np.uint8).copy())
        try:
            features(network.ready(), crops(1))
        except (ValueError, WeightsError):
            refused += 1
    assert 100 < refused < 400
    assert capfd.readouterr() == ("", "")
