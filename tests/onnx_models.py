"""Small embedders in ONNX, built node by node, and what they compute, by NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

onnx = pytest.importorskip("onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper
FLOAT, FLOAT16, UINT8 = (getattr(onnx.TensorProto, name) for name in ("FLOAT", "FLOAT16", "UINT8"))

D = 6
_draw = np.random.default_rng(5)
KERNEL = _draw.normal(0, 0.05, (4, 3, 16, 16)).astype(np.float32)
SLOPE = _draw.uniform(0, 0.5, (4, 1, 1)).astype(np.float32)
DENSE = _draw.normal(0, 0.1, (4 * 49, D)).astype(np.float32)


def feature(x: NDArray[Any]) -> NDArray[np.float64]:
    """(n, 3, 112, 112) -> (n, D): a convolution of 16x16 patches, PReLU, a dense layer."""
    patches = x.astype(np.float64).reshape(-1, 3, 7, 16, 7, 16)
    y = np.einsum("ncihjw,kchw->nkij", patches, KERNEL)
    y = np.where(y > 0, y, SLOPE * y)
    return y.reshape(len(x), -1) @ DENSE


def embedder(
    *,
    batch: str | int = "n",
    size: Sequence[str | int] = (112, 112),
    channels_last: bool = False,
    dtype: int = FLOAT,
    nodes: Sequence[Any] = (),
    outputs: Sequence[tuple[str, Sequence[str | int]]] = (("fc1", ("n", D)),),
    inputs: Sequence[Any] = (),
    listed: bool = False,
) -> Any:
    """A model `data` -> `fc1`, as the field's are. `nodes` follow on `fc1`.

    `listed`: its parameters are among the inputs, too, as in older files.
    """
    shape = [batch, *size, 3] if channels_last else [batch, 3, *size]
    first = helper.make_node("Cast", ["data"], ["cast"], to=FLOAT)
    second = helper.make_node("Identity", ["cast"], ["pixels"])
    if channels_last:
        second = helper.make_node("Transpose", ["cast"], ["pixels"], perm=[0, 3, 1, 2])
    body = [
        helper.make_node("Conv", ["pixels", "kernel"], ["maps"], strides=[16, 16]),
        helper.make_node("PRelu", ["maps", "slope"], ["bent"]),
        helper.make_node("Flatten", ["bent"], ["flat"]),
        helper.make_node("MatMul", ["flat", "dense"], ["fc1"]),
    ]
    stored = {"kernel": KERNEL, "slope": SLOPE, "dense": DENSE}
    also = [value_info(name, FLOAT, value.shape) for name, value in stored.items()] if listed else []
    graph = helper.make_graph(
        [first, second, *body, *nodes],
        "embedder",
        [value_info("data", dtype, shape), *also, *inputs],
        [value_info(name, FLOAT, dims) for name, dims in outputs],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def value_info(name: str, dtype: int, shape: Sequence[str | int]) -> Any:
    return helper.make_tensor_value_info(name, dtype, shape)


def constant(name: str, value: NDArray[Any]) -> Any:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value, name))
