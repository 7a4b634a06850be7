"""Networks written as ONNX models; each is compared with torch in ONNX Runtime before it is written."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facever.errors import WeightsError
from facever.files import write_bytes
from facever.networks import EmbeddingNetwork
from facever.networks.onnx_graph import load_onnx, open_session
from facever.weights.file import load_weights
from facever.weights.metadata import KEY, WeightsInfo, made_with
from facever.weights.records import WeightsId
from facever.weights.shipped import find_weights, weights_sha256

TOLERANCE = 1e-4
OPSET = 17  # the first with layer normalization; ONNX Runtime runs it since 1.12


class _Embedder(nn.Module):
    """RGB uint8 crops (n, H, W, 3) -> unit embeddings (n, d) and norms (n,), as `facever.faces.embedder.Embedder`."""

    def __init__(self, info: WeightsInfo, network: EmbeddingNetwork) -> None:
        super().__init__()
        self.normalization, self.mirrored, self.network = info.normalization, info.mirrored, network.fold()

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        x = self.normalization(crops.permute(0, 3, 1, 2))
        if self.mirrored:  # inside, because the thresholds are for the mean of both views
            features = self.network(torch.cat([x, x.flip(3)])).unflatten(0, (2, -1)).mean(0)
        else:
            features = self.network(x)
        norms = features.norm(dim=1)
        return features / norms.clamp_min(1e-12)[:, None], norms


def export_embedder(weights: str | Path, path: Path) -> float:
    """Write weights as an ONNX model: `crops`, RGB uint8 (n, H, W, 3) -> `embeddings` (n, d), `norms` (n,).

    Normalization, mirror image and scaling to unit length are inside. The metadata holds, under the key "facever", what
    the metadata of the weights file does, such as alignment, thresholds and license, and the hash of that file.

    Returns
    -------
    float
        The greatest difference from torch, as for `write_model`.

    Raises
    ------
    WeightsError, OutputError
    FaceverError
        Where the extra `onnx` is not installed.
    """
    source = find_weights(weights)
    info, network = load_weights(source)
    if not network.native:
        raise WeightsError(f"{source}: its network came from ONNX; use that file")
    a = info.alignment
    crops = torch.randint(
        0, 256, (3, a.height, a.width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    about = (
        f"facever's weights {info.name!r}. crops: RGB, uint8, aligned by {a.name} (see the metadata). embeddings: of "
        f"unit length. norms: of the features before. License: {info.license}. {info.credit}."
    )
    record = made_with(info, WeightsId(info.name, weights_sha256(source)))
    axes = {"crops": {0: "n"}, "embeddings": {0: "n"}, "norms": {0: "n"}}
    return write_model(path, _Embedder(info, network), ((crops[:2],), (crops,)), axes, about, record)


@torch.no_grad()
def write_model(
    path: Path,
    module: nn.Module,
    inputs: tuple[tuple[Tensor, ...], tuple[Tensor, ...]],
    axes: Mapping[str, Mapping[int, str]],
    about: str,
    record: Mapping[str, Any],
) -> float:
    """Write a module as an ONNX model, whole or not at all.

    Parameters
    ----------
    module : nn.Module
    inputs : two tuples of Tensors
        To trace it with, and to compare it on, different in each axis that may.
    axes : dict
        Inputs, then outputs, by name; of each the axes that may differ, by number and name.
    about : str
        For human readers of the file.
    record : dict
        Written as JSON into the metadata, under the key "facever".

    Returns
    -------
    float
        The greatest difference of ONNX Runtime's numbers from torch's; relative, where those are above 1.

    Raises
    ------
    WeightsError
        If it is above `TOLERANCE`; nothing is written then.
    OutputError
    FaceverError
        Where the extra `onnx` is not installed.
    """
    onnx, _ = load_onnx()
    traced, other = inputs
    names = list(axes)
    given, results = names[: len(traced)], names[len(traced) :]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = Path(folder) / "model.onnx"
        # By TorchScript: the other exporter, torch's default since 2.9, needs the package onnxscript.
        torch.onnx.export(
            module.eval(),
            traced,
            file,
            input_names=given,
            output_names=results,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
        model = onnx.load_model(file)
    model.doc_string = about
    onnx.helper.set_model_props(model, {KEY: json.dumps(record)})
    data = model.SerializeToString()
    difference = _difference(data, module, dict(zip(given, other, strict=True)))
    if not difference <= TOLERANCE:
        raise WeightsError(
            f"{path}: not written, because ONNX Runtime's numbers differ from torch's by {difference:.1e}; try other "
            "versions of torch or onnxruntime"
        )
    write_bytes(path, data)
    return difference


def _difference(data: bytes, module: nn.Module, inputs: Mapping[str, Tensor]) -> float:
    found = open_session(data, torch.device("cpu")).run(None, {name: x.numpy() for name, x in inputs.items()})
    pairs = zip(found, module(*inputs.values()), strict=True)
    greatest = [((torch.from_numpy(a) - b).abs() / b.abs().clamp_min(1)).max() for a, b in pairs]
    return float(torch.stack(greatest).max())  # nan if one is, unlike Python's max
