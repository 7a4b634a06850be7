"""What the detector looks for; a module of its own, so that a command checks its options before it imports torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from facever.errors import SettingError


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """What the detector looks for.

    Attributes
    ----------
    min_face : int
        The smallest face, in pixels of the (possibly enlarged) picture; at least 12.
    min_share : float in [0, 1)
        The smallest face as a share of the picture's shorter side; the larger of both counts.
    thresholds : three floats in [0, 1]
        The probability of a face that a box must have after PNet, RNet and ONet.
    rotations : bool
        Look for faces turned by 90, 180 and 270 degrees, too, where no face is certain.

    Raises
    ------
    SettingError
        For values out of range.
    """

    min_face: int = 40
    min_share: float = 0.03
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)
    rotations: bool = False

    def __post_init__(self) -> None:
        if self.min_face < 12:
            raise SettingError(f"is at least 12, which the first network sees, not {self.min_face}", "min_face")
        if not 0 <= self.min_share < 1:
            raise SettingError(f"is a share in [0, 1), not {self.min_share}", "min_share")
        if len(self.thresholds) != 3 or not all(0 <= t <= 1 for t in self.thresholds):
            raise SettingError(f"the detector's thresholds are three probabilities in [0, 1], not {self.thresholds}")

    @classmethod
    def parse(cls, text: str, rotations: bool = False) -> DetectorSettings:
        """Settings from a smallest face in pixels, such as "60", or as a share, such as "5%".

        >>> DetectorSettings.parse("5%").smallest(2000, 3000)
        100.0
        """
        try:
            share, pixels = (float(text[:-1]) / 100, None) if text.endswith("%") else (0.0, int(text))
        except ValueError:
            raise SettingError(f"is a number of pixels or a share such as 5%, not {text!r}", "min_face") from None
        if pixels is None:
            return cls(min_share=share, rotations=rotations)
        return cls(min_face=pixels, min_share=0.0, rotations=rotations)

    def smallest(self, height: int, width: int) -> float:
        """The smallest face in a picture of some size, in its pixels."""
        return max(float(self.min_face), self.min_share * min(height, width))

    @property
    def needed(self) -> int | None:
        """Pixels of a photograph's shorter side that suffice to find the smallest face; None where all are needed."""
        return math.ceil(self.min_face / self.min_share) if self.min_share else None

    @property
    def smallest_face(self) -> str:
        """In words, for reports."""
        share = f", or {self.min_share:.3g} of the shorter side" if self.min_share else ""
        return f"{self.min_face} pixels{share}"
