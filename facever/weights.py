"""The weights file: parameters in safetensors, and in its metadata all that is needed to use them rightly.

Inference takes network, alignment and pixel normalisation from here and nowhere else; the thresholds say which false
accept rate they promise and on which data.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from facever.alignment import Alignment
from facever.errors import WeightsError
from facever.files import written_whole
from facever.likelihood import Likelihood
from facever.networks import EmbeddingNetwork, build_network
from facever.quality import Quality
from facever.scoring import impostors_needed, people_needed

FORMAT = 1
KEY = "facever"
# What files written by the first facever lack.
_ADDED = frozenset({"likelihood", "quality"})


@dataclass(frozen=True, slots=True)
class Normalisation:
    """From RGB pixels in [0, 255] to a network's input: (x - mean) / scale, mean per channel."""

    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    scale: float = 128.0

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in (*self.mean, self.scale)) or self.scale <= 0:
            raise ValueError(f"pixels can't be normalised by mean {self.mean} and scale {self.scale}")

    def __call__(self, pixels: Tensor) -> Tensor:  # (N, 3, H, W) uint8 or float -> float32
        mean = torch.tensor(self.mean, device=pixels.device).view(1, 3, 1, 1)
        return (pixels.float() - mean) / self.scale


@dataclass(frozen=True, slots=True)
class Threshold:
    """A cosine from which on two faces count as the same person, and what it promises.

    Attributes
    ----------
    far : float
        The false accept rate aimed at.
    cosine : float
    source : str
        The people on whose pairs it was chosen.
    impostor_pairs : int
        How many pairs of different people that were.
    tar : float
        The share of those people's genuine pairs that it accepts.
    cosine_interval, far_interval : (float, float), optional
        95 % intervals over people drawn with replacement: of the cosine, chosen on them anew, and of the false accept
        rate that this cosine has on them.
    """

    far: float
    cosine: float
    source: str
    impostor_pairs: int
    tar: float
    cosine_interval: tuple[float, float] | None = None
    far_interval: tuple[float, float] | None = None

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Threshold:
        """Raises KeyError, TypeError or ValueError where a field is missing or of another kind."""
        intervals = {}
        for name in ("cosine_interval", "far_interval"):
            ends = fields.get(name)
            if ends is not None:
                low, high = (float(end) for end in ends)
                intervals[name] = (low, high)
        return cls(**{**fields, **intervals})

    def __post_init__(self) -> None:
        if not (math.isfinite(self.far) and math.isfinite(self.cosine)):
            raise ValueError(f"a threshold of cosine {self.cosine} at FAR {self.far} decides nothing")


@dataclass(frozen=True, slots=True)
class WeightsInfo:
    """The metadata of a weights file.

    `mirrored`: the feature is the mean of the crop's and its mirror image's. `likelihood`: from a cosine to a
    likelihood ratio; None where it was not fitted, as in files written before there was one. `quality`: what the
    feature's norm says of a photograph; None alike.
    """

    name: str
    network: str
    network_arguments: dict[str, Any]
    alignment: Alignment
    normalisation: Normalisation
    mirrored: bool
    loss: dict[str, Any]
    training_data: list[dict[str, Any]]
    licence: str
    credit: str
    seed: int | None = None
    thresholds: list[Threshold] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    likelihood: Likelihood | None = None
    quality: Quality | None = None

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> WeightsInfo:
        """Raises KeyError, TypeError or ValueError where a field is missing or of another kind."""
        known = {name: fields[name] for name in cls.__dataclass_fields__ if name not in _ADDED or name in fields}
        known["alignment"] = Alignment.from_json(fields["alignment"])
        mean, scale = fields["normalisation"]["mean"], float(fields["normalisation"]["scale"])
        r, g, b = (float(m) for m in mean)
        known["normalisation"] = Normalisation((r, g, b), scale)
        known["thresholds"] = [Threshold.from_json(t) for t in fields["thresholds"]]
        if fields.get("likelihood") is not None:
            known["likelihood"] = Likelihood(**fields["likelihood"])
        if fields.get("quality") is not None:
            known["quality"] = Quality.from_json(fields["quality"])
        if not isinstance(fields["mirrored"], bool):
            raise TypeError(f"mirrored is true or false, not {fields['mirrored']!r}")
        return cls(**known)

    def threshold(self, far: float) -> Threshold:
        """The stored threshold for that false accept rate. Raises WeightsError where there is none."""
        for threshold in self.thresholds:
            if abs(threshold.far - far) <= 1e-9:
                return threshold
        stored = ", ".join(f"{t.far:g}" for t in self.thresholds) or "none"
        needed = impostors_needed(far)  # refuses what is no rate
        raise WeightsError(
            f"the weights {self.name!r} hold no threshold for FAR {far:g} (stored: {stored}); give --threshold, or "
            f"find one by facever calibrate, which takes {needed:,} pairs of different people: "
            f"{people_needed(needed):,} people with a photograph each, or fewer with several"
        )

    def quality_to_decline_by(self) -> Quality:
        """The record by which poor photographs may be declined. Raises WeightsError where there is none of use."""
        useless = "they hold no record of quality" if self.quality is None else self.quality.why_useless()
        if self.quality is None or useless:
            raise WeightsError(
                f"the weights {self.name!r} can't tell which photographs are too poor: {useless}; leave out "
                "--min-quality, or make a record of people like yours by facever calibrate"
            )
        return self.quality


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    import numpy

    from facever import __version__

    return {
        "facever": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
    }


def shipped_folder() -> Path:
    """Where the weights that come with facever lie: in the package, or at the top of the repository."""
    package = Path(__file__).resolve().parent
    inside = package / "models"
    return inside if inside.is_dir() else package.parent / "models"


def shipped_weights() -> list[str]:
    """The names that `--weights` takes."""
    return sorted(path.stem for path in shipped_folder().glob("*.safetensors"))


def find_weights(name_or_path: str | Path) -> Path:
    """The file of shipped weights by name, or of any others by path.

    Raises
    ------
    WeightsError
        If there is no such file.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    if path.name == str(name_or_path) and str(name_or_path) in shipped_weights():
        return shipped_folder() / f"{name_or_path}.safetensors"
    if str(name_or_path) and path.is_dir():
        raise WeightsError(f"{path} is a folder; name a weights file (.safetensors)")
    names = ", ".join(shipped_weights()) or "none"
    raise WeightsError(f"there are no weights {str(name_or_path)!r}: neither a file nor one of those shipped ({names})")


def save_weights(path: Path, info: WeightsInfo, network: EmbeddingNetwork, half: bool = True) -> None:
    """Write a weights file, whole or not at all.

    With `half`, kernels and matrices are stored as float16, which halves the file and costs no accuracy that shows
    (benchmarks/results/half.json); per-channel vectors, few but sensitive, stay float32.
    """
    state = {}
    for name, tensor in network.state_dict().items():
        tensor = tensor.detach().cpu().contiguous()
        state[name] = tensor.half() if half and tensor.dim() >= 2 else tensor
    with written_whole(path) as temporary:
        try:
            save_file(state, temporary, metadata={KEY: json.dumps(info.to_json())})
        except SafetensorError as error:  # a full disk, for one
            raise OSError(str(error)) from error


def read_info(path: Path) -> WeightsInfo:
    """The metadata of a weights file.

    Raises
    ------
    WeightsError
        If the file is missing, truncated, not safetensors, or not facever's.
    """
    return _read(path)[0]


def load_weights(path: Path, device: str | torch.device = "cpu") -> tuple[WeightsInfo, EmbeddingNetwork]:
    """Metadata and network, float32, in evaluation mode, on `device`.

    Raises
    ------
    WeightsError
        As `read_info`; and if the parameters are not those of the network that the file names, or not finite.
    """
    info, state = _read(path, tensors=True)
    try:
        network = build_network(info.network, **info.network_arguments)
    except (ValueError, TypeError, OverflowError) as error:
        raise WeightsError(f"{path}: its network can't be built: {error}") from error
    crop = (info.alignment.height, info.alignment.width)
    if crop != tuple(network.input_size):
        raise WeightsError(f"{path}: its crops are {crop}, but its network {info.network} takes {network.input_size}")
    expected = network.state_dict()
    _check_parameters(path, info.network, state, expected)
    network.load_state_dict({name: state[name].to(expected[name].dtype) for name in expected})
    return info, network.eval().to(device)


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
            raise WeightsError(f"{path}: {name} holds values that are not finite; the training went astray")


def _read(path: Path, tensors: bool = False) -> tuple[WeightsInfo, dict[str, Tensor]]:
    path = find_weights(path)
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise WeightsError(f"{path}: safetensors can't open a path that is not UTF-8; rename the file") from error
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()} if tensors else {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: not a whole safetensors file ({error}); copy it again") from error
    if KEY not in metadata:
        raise WeightsError(f"{path}: a safetensors file, but not one of facever's; train or convert one")
    try:
        fields = json.loads(metadata[KEY])
        if fields.get("format") != FORMAT:
            raise WeightsError(f"{path}: format {fields.get('format')} of weights file; this facever reads {FORMAT}")
        return WeightsInfo.from_json(fields), state
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise WeightsError(f"{path}: its metadata is broken ({error!r}); export it again") from error


def with_thresholds(
    info: WeightsInfo,
    thresholds: list[Threshold],
    likelihood: Likelihood | None = None,
    quality: Quality | None = None,
) -> WeightsInfo:
    """A copy of the metadata with other thresholds, and the likelihood that belongs to them, if any.

    Without another record of quality the one that is there stays, since it does not hang on the thresholds.
    """
    return replace(info, thresholds=thresholds, likelihood=likelihood, quality=quality or info.quality)
