"""Embedders that others made, in ONNX -> `onnx`: ArcFace, AdaFace, SFace, MobileFaceNet, EdgeFace and their like."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facever.errors import SettingError, WeightsError, reading, reason_of
from facever.networks import OnnxNetwork
from facever.networks.onnx_graph import MAX_BYTES, Input, examined
from facever.networks.onnx_network import ORDERS
from facever.weights.alignment import ALIGNMENTS
from facever.weights.metadata import KEY, WeightsInfo, versions
from facever.weights.records import Normalization

NONE = Normalization((0.0, 0.0, 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class Preparation:
    """What an ONNX file does not say: how its input is prepared, and its terms.

    Attributes
    ----------
    alignment : str, optional
        A name in `facever.weights.alignment.ALIGNMENTS`; InsightFace's template is "face-112x112".
    normalization : Normalization, optional
        Its mean is in RGB order, whatever the model's order.
    order : {"rgb", "bgr"}, optional
        Of the model's color channels; RGB by default.
    mirrored : bool, optional
        Whether to average the feature with the mirror image's; by default it is.
    license, terms : str, optional
        Of the weights, and of the photographs they were trained on.
    """

    alignment: str | None = None
    normalization: Normalization | None = None
    order: str | None = None
    mirrored: bool | None = None
    license: str | None = None
    terms: str | None = None


def read_onnx(path: Path, name: str, preparation: Preparation = Preparation()) -> tuple[WeightsInfo, OnnxNetwork]:
    """Metadata under this name, and network, in evaluation mode. Only facever's own exports have thresholds.

    Raises
    ------
    WeightsError
        If the file can't be read, or is refused; see `facever.networks.onnx_graph`.
    SettingError
        If the preparation is incomplete or does not fit, or is given for a file that facever exported.
    FaceverError
        Where the extra `onnx` is not installed.
    """
    with reading(path, "name an ONNX file", WeightsError):
        if path.stat().st_size > MAX_BYTES:
            raise WeightsError(f"{path}: larger than {MAX_BYTES:,} bytes, the limit for a network")
        data = path.read_bytes()
    try:
        entry = examined(data)
        info = _own(entry.metadata[KEY], preparation) if KEY in entry.metadata else _foreign(entry, preparation)
        credit = info.credit or f"imported from {path.name}, sha256 {hashlib.sha256(data).hexdigest()}"
        size = (info.alignment.height, info.alignment.width)
        network = OnnxNetwork(len(data), 2, size, preparation.order or "rgb").eval()
        network.model = torch.from_numpy(np.frombuffer(data, np.uint8).copy())
        _measure(network.ready(), info.normalization)
    except SettingError:
        raise
    except (ValueError, WeightsError) as error:
        raise WeightsError(f"{path}: {error}") from error
    return replace(info, name=name, network="onnx", network_arguments=network.arguments(), credit=credit), network


def _foreign(entry: Input, given: Preparation) -> WeightsInfo:
    inside = entry.dtype == "uint8"
    normalization = NONE if inside and given.normalization is None else given.normalization
    if given.alignment is None or normalization is None:
        missing = "alignment" if given.alignment is None else "normalization"
        raise SettingError(
            "is needed: an ONNX file does not say how its input is prepared; for most networks it is "
            "--alignment face-112x112 --normalization 127.5,127.5",
            missing,
        )
    if given.alignment not in ALIGNMENTS:
        raise SettingError(f"is one of {', '.join(ALIGNMENTS)}, not {given.alignment!r}", "alignment")
    if given.order not in (None, *ORDERS):
        raise SettingError(f"is one of {', '.join(ORDERS)}, not {given.order!r}", "order")
    if inside and normalization != NONE:
        raise SettingError("is 0,1 for a network whose input is uint8: it normalizes pixels itself", "normalization")
    return WeightsInfo(
        name="",
        network="onnx",
        network_arguments={},
        alignment=ALIGNMENTS[given.alignment],
        normalization=normalization,
        mirrored=given.mirrored is not False,
        loss={"name": "not stated"},
        training_data=[{"name": "not stated", "terms": given.terms or "not stated"}],
        license=given.license or "not stated",
        credit="",
        versions=versions(),
    )


def _own(text: str, given: Preparation) -> WeightsInfo:
    """The record in a file that facever exported, whose network normalizes and mirrors by itself."""
    if given != Preparation():
        raise SettingError("facever exported this file, which says how its input is prepared; drop these options")
    try:
        info = msgspec.convert(json.loads(text)["weights"], WeightsInfo)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"its metadata holds no record of weights ({reason_of(error)}); export them again") from error
    return replace(info, normalization=NONE, mirrored=False, known_answer=None)


@torch.no_grad()
def _measure(network: OnnxNetwork, normalization: Normalization) -> None:
    """Run the network to learn its embedding's size, and whether it takes several crops at once."""
    shape = (2, 3, *network.input_size)
    x = normalization(torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, np.uint8)))
    alone = torch.cat([network.run(crop) for crop in x.split(1)])
    lengths = alone.norm(dim=1)
    if not (torch.isfinite(lengths).all() and lengths.min() > 0):
        raise WeightsError("its embedding of a crop is zero or not finite; check --normalization")
    network.embedding_size, network.single = alone.shape[1], not _same(network, x, alone)


def _same(network: OnnxNetwork, x: Tensor, alone: Tensor) -> bool:
    """Whether two crops at once give what each gives alone; some graphs have a batch of one built in."""
    try:
        return torch.allclose(F.normalize(network.run(x)), F.normalize(alone), atol=1e-3)
    except WeightsError:
        return False
