"""The metadata of a weights file: all that is needed to use its parameters correctly."""

from __future__ import annotations

import math
import platform
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from facever.errors import WeightsError
from facever.scoring import impostors_needed, people_needed
from facever.weights.alignment import Alignment
from facever.weights.calibrated import Calibrated
from facever.weights.records import KnownAnswer, Likelihood, Normalization, Quality, WeightsId
from facever.weights.tails import Tail
from facever.weights.thresholds import LowerThreshold, Threshold, check_lower_thresholds, check_thresholds

FORMAT = 3
KEY, DIGEST = "facever", "facever_sha256"
DEFAULT_FAR = 1e-3
OPEN_LICENSES = frozenset({"CC0-1.0", "CC-BY-4.0", "MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "not stated"})


@dataclass(frozen=True, slots=True)
class WeightsInfo:
    """The metadata of a weights file.

    `mirrored`: the feature is the mean of the crop's and its mirror image's. `likelihood`, `quality`, `tail`: None
    without a calibration. `known_answer`: what the network answers to a drawn input. `file`: where the thresholds were
    read, None for weights that come with facever; not stored.
    """

    name: str
    network: str
    network_arguments: dict[str, Any]
    alignment: Alignment
    normalization: Normalization
    mirrored: bool
    loss: dict[str, Any]
    training_data: list[dict[str, Any]]
    license: str
    credit: str
    seed: int | None = None
    thresholds: list[Threshold] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    likelihood: Likelihood | None = None
    quality: Quality | None = None
    known_answer: KnownAnswer | None = None
    tail: Tail | None = None
    lower_thresholds: list[LowerThreshold] = field(default_factory=list)
    file: str | None = field(default=None, compare=False)

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **{name: value for name, value in asdict(self).items() if name != "file"}}

    def __post_init__(self) -> None:
        check_thresholds(self.thresholds)
        check_lower_thresholds(self.lower_thresholds)

    @property
    def restricted(self) -> bool:
        """Whether the license restricts use."""
        return self.license not in OPEN_LICENSES

    @property
    def holder(self) -> str:
        """What holds the thresholds, for messages: a file, or the name of weights that come with facever."""
        return self.file or f"the weights {self.name!r}"

    def threshold(self, far: float | None = None) -> Threshold:
        """The stored threshold for a false accept rate; without one, for `DEFAULT_FAR`, or else the rarest stored.

        Raises WeightsError where there is none.
        """
        wanted = DEFAULT_FAR if far is None else far
        for threshold in self.thresholds:
            if abs(threshold.far - wanted) <= 1e-9:
                return threshold
        if far is None and self.thresholds:
            return min(self.thresholds, key=lambda each: each.far)
        needed = impostors_needed(wanted)  # raises for what is no rate
        rates = sorted((t.far for t in self.thresholds), key=lambda stored: abs(math.log(stored / wanted)))
        remedy = "no thresholds; give --threshold"
        if rates:
            stored = ", ".join(f"{t.far:g}" for t in self.thresholds)
            remedy = f"no threshold for FAR {wanted:g}, but for {stored}; say --far {rates[0]:g}, give --threshold"
        raise WeightsError(
            f"{self.holder}: {remedy}, or choose one by facever calibrate, which needs {needed:,} pairs of different "
            f"people: {people_needed(needed):,} people with a photograph each, or fewer with several"
        )

    def lower_threshold(self, frr: float) -> LowerThreshold:
        """The stored threshold for that false reject rate. Raises WeightsError where there is none."""
        for threshold in self.lower_thresholds:
            if abs(threshold.frr - frr) <= 1e-9:
                return threshold
        stored = ", ".join(f"{t.frr:g}" for t in self.lower_thresholds) or "none"
        raise WeightsError(
            f"{self.holder}: no threshold for FRR {frr:g} (stored: {stored}); choose one of these, --decide without "
            "one, or calibrate by facever calibrate"
        )

    def default_rate_note(self) -> str | None:
        """A sentence where `threshold()` is not that for `DEFAULT_FAR`."""
        far = self.threshold().far
        if abs(far - DEFAULT_FAR) <= 1e-9:
            return None
        return f"{self.holder}: no threshold for FAR {DEFAULT_FAR:g}; the one for FAR {far:g} decides, the rarest there"

    def search_threshold(self, fmr: float) -> float:
        """The cosine with a false match rate in (0, 1), by the tail. Raises WeightsError where it is unknown."""
        why = "they hold no tail of impostor cosines" if self.tail is None else self.tail.why_unsupported(fmr)
        if self.tail is None or why:
            raise WeightsError(
                f"the weights {self.name!r} can't promise a false match rate of {fmr:.2g}: {why}; calibrate them on "
                "more people by facever calibrate, ask for a higher --fpir, or give a cosine by --threshold"
            )
        return self.tail.cosine(fmr)

    def search_log_ratio(self, cosine: float) -> float | None:
        """The natural logarithm of the likelihood ratio at a cosine that decides a search; None without a calibration.

        The line is fitted to all pairs, and understates at high cosines. There the impostors' density is the tail's,
        and that of genuine pairs what lies between the two rarest thresholds; the larger ratio counts.
        """
        if self.likelihood is None:
            return None
        line = self.likelihood.log_ratio(cosine)
        rarest = sorted(self.thresholds, key=lambda threshold: threshold.far)[:2]
        if self.tail is None or cosine < self.tail.start or len(rarest) < 2:
            return line
        upper, lower = rarest
        if not (upper.cosine > lower.cosine and lower.tar > upper.tar):
            return line
        genuine = (lower.tar - upper.tar) / (upper.cosine - lower.cosine)
        return max(line, math.log(genuine / self.tail.density(cosine)))

    def likelihood_for_prior(self) -> Likelihood:
        """The line that turns a prior into a probability. Raises WeightsError where there is none."""
        if self.likelihood is None:
            raise WeightsError(
                f"the weights {self.name!r} hold no likelihood ratio, so a prior gives no probability; fit one by "
                "facever calibrate"
            )
        return self.likelihood

    def quality_to_decline_by(self) -> Quality:
        """The record by which poor photographs may be declined. Raises WeightsError without a useful one."""
        useless = "they hold no quality record" if self.quality is None else self.quality.why_useless()
        if self.quality is None or useless:
            raise WeightsError(
                f"the weights {self.name!r} can't tell which photographs are too poor: {useless}; drop "
                "--min-quality, or calibrate on people like yours by facever calibrate"
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


def made_with(info: WeightsInfo, weights: WeightsId) -> dict[str, Any]:
    """What a reader should know of embeddings, or of a network in another format: weights and versions of software."""
    return {"weights": {**info.to_json(), "sha256": weights.sha256}, "versions": versions()}


def with_thresholds(info: WeightsInfo, calibrated: Calibrated) -> WeightsInfo:
    """A copy of the metadata with another calibration.

    The quality record stays unless another is given: it does not depend on the thresholds.
    """
    return replace(
        info,
        thresholds=calibrated.thresholds,
        likelihood=calibrated.likelihood,
        quality=calibrated.quality or info.quality,
        tail=calibrated.tail,
        lower_thresholds=calibrated.lower_thresholds,
    )
