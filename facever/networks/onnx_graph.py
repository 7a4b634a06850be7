"""Models in ONNX: the checks before one runs, its input, and its session.

A model is data, not code, if it is one plain graph: ONNX's own operators, no subgraphs (loops, branches), no parameters
in other files. The packages onnx and onnxruntime are the extra `onnx`.
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from facever.errors import FaceverError, reason_of

MAX_BYTES = 1 << 30
# Of all runs of a process together.
MAX_MEMORY = 4 << 30
# Output without bound, or another one each time.
_REFUSED = re.compile(r"Range|Random\w+|Bernoulli|Multinomial")
_INPUT_TYPES = {1: "float32", 2: "uint8", 10: "float16"}  # onnx.TensorProto.DataType


@dataclass(frozen=True, slots=True)
class Input:
    """What a model takes.

    Attributes
    ----------
    name : str
    dtype : {"float32", "float16", "uint8"}
    channels_last : bool
        NHWC, not NCHW.
    size : (int or None, int or None)
        Height and width of the crops; None where any will do.
    metadata : dict of str
        What its maker wrote into the file.
    """

    name: str
    dtype: str
    channels_last: bool
    size: tuple[int | None, int | None]
    metadata: dict[str, str]


@functools.cache
def load_onnx() -> tuple[Any, Any]:
    """The packages onnx and onnxruntime, the latter silenced and its memory limited.

    Raises FaceverError where the extra is not installed.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise FaceverError(f"ONNX needs packages that are not here ({error}); pip install 'facever[onnx]'") from error
    onnxruntime.set_default_logger_severity(4)
    onnxruntime.disable_telemetry_events()
    arena = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    memory = onnxruntime.OrtMemoryInfo("Cpu", arena, 0, onnxruntime.OrtMemType.DEFAULT)
    with contextlib.suppress(Exception):  # a program that uses facever may have registered one
        onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg({"max_mem": MAX_MEMORY}))
    return onnx, onnxruntime


def examined(data: bytes) -> Input:
    """What the model takes, if it is one that may run here.

    Raises
    ------
    ValueError
        If it is damaged or too large, is more than a plain graph, or does not take crops alone.
    """
    onnx, _ = load_onnx()
    if len(data) > MAX_BYTES:
        raise ValueError(f"a model of {len(data):,} bytes, and the limit is {MAX_BYTES:,}")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # protobuf's own, whose class depends on its implementation
        raise ValueError(f"not a whole ONNX model ({reason_of(error)})") from error
    if not model.graph.node:
        raise ValueError("not an ONNX model: it has no operators")
    _check_plain(model)
    return _input(model)


def open_session(data: bytes, device: torch.device) -> Any:
    """An ONNX Runtime session on a device, with as many threads as torch uses.

    Raises
    ------
    ValueError
        If ONNX Runtime refuses the model.
    FaceverError
        If it can't use CUDA here, and the device is one.
    """
    _, runtime = load_onnx()
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.type == "cuda":
        if "CUDAExecutionProvider" not in runtime.get_available_providers():
            raise FaceverError(
                "weights that came from ONNX run on ONNX Runtime, which can't use CUDA here; use --device cpu, or "
                "install onnxruntime-gpu instead of onnxruntime"
            )
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.add_session_config_entry("session.load_model_format", "ONNX")  # not its own format, which was not checked
    try:
        return runtime.InferenceSession(data, options, providers=providers, enable_fallback=0)  # which prints
    except Exception as error:
        raise ValueError(f"ONNX Runtime can't load it ({runtime_reason(error)})") from error


def runtime_reason(error: Exception) -> str:
    """ONNX Runtime's message without its codes, in one short line."""
    return reason_of(Exception(re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error))))


def _check_plain(model: Any) -> None:
    if model.functions:
        raise ValueError("it defines operators of its own; export it as a plain graph")
    if model.graph.sparse_initializer:
        raise ValueError("it holds sparse tensors; export it with dense ones")
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise ValueError(
                f"the operator {node.op_type} of {node.domain} is not ONNX's own; export without custom ones"
            )
        if _REFUSED.fullmatch(str(node.op_type)):
            raise ValueError(
                f"the operator {node.op_type} has no place in an embedder; export it for crops of fixed size"
            )
        for attribute in node.attribute:
            if attribute.HasField("g") or attribute.graphs:
                raise ValueError(
                    f"the operator {node.op_type} holds a graph (a loop or a branch); export a plain graph"
                )
            if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
                raise ValueError("it holds sparse tensors; export it with dense ones")
    for tensor in _tensors(model.graph):
        if tensor.data_location or tensor.external_data:
            raise ValueError("its parameters lie in another file; save it as one file, without external data")
        # The least that a number takes is half a byte.
        if min(tensor.dims, default=1) < 0 or math.prod(tensor.dims) > 2 * tensor.ByteSize():
            raise ValueError(f"damaged: the tensor {tensor.name} declares more numbers than it holds")


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from [attribute.t] * attribute.HasField("t")
            yield from attribute.tensors


def _input(model: Any) -> Input:
    stored = {tensor.name for tensor in model.graph.initializer}  # older files list parameters among the inputs
    inputs = [each for each in model.graph.input if each.name not in stored]
    if len(inputs) != 1:
        names = ", ".join(str(each.name) for each in inputs) or "none"
        raise ValueError(f"it takes {len(inputs)} inputs ({names}), and an embedder takes crops alone")
    kind = inputs[0].type.tensor_type
    dims = [each.dim_value if each.dim_value > 0 else None for each in kind.shape.dim]
    if len(dims) != 4 or 3 not in (dims[1], dims[3]):
        shape = ", ".join(str(each or "?") for each in dims)
        raise ValueError(f"its input has the shape ({shape}), and crops have (N, 3, H, W) or (N, H, W, 3)")
    if kind.elem_type not in _INPUT_TYPES:
        raise ValueError(f"its input is none of {', '.join(_INPUT_TYPES.values())}")
    if dims[0] not in (None, 1):
        raise ValueError(f"it takes {dims[0]} crops at a time; export it with a batch of 1, or a dynamic one")
    last = dims[1] != 3
    size = (dims[1], dims[2]) if last else (dims[2], dims[3])
    metadata = {str(each.key): str(each.value) for each in model.metadata_props}
    return Input(str(inputs[0].name), _INPUT_TYPES[kind.elem_type], last, size, metadata)
