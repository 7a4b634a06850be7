"""What a calibration leaves in a weights file, or in a file of thresholds."""

from __future__ import annotations

from dataclasses import dataclass, field

from facever.weights.records import Likelihood, Quality
from facever.weights.tails import Tail
from facever.weights.thresholds import LowerThreshold, Threshold, check_lower_thresholds, check_thresholds


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Thresholds, and the likelihood, quality and tail from the same people. See `facever.metrics.calibration`.

    Raises
    ------
    ValueError
        If the thresholds are out of order.
    """

    thresholds: list[Threshold]
    likelihood: Likelihood | None = None
    quality: Quality | None = None
    tail: Tail | None = None
    lower_thresholds: list[LowerThreshold] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_thresholds(self.thresholds)
        check_lower_thresholds(self.lower_thresholds)
