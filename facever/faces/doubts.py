"""What makes a face too poor for an answer: where errors multiply, on held-out people.

The limits decline what the thresholds were not measured on. `benchmarks/answers.py` measures what they leave of false
accepts and false rejects, and whom they decline.
"""

from __future__ import annotations

from facever.faces.detection import CERTAIN
from facever.faces.looks import Looks
from facever.faces.pipeline import EmbeddedFace
from facever.weights.metadata import WeightsInfo

LEAST_SHARPNESS = 0.4  # percent
# Gray levels, and the share of what looks sharp that they make up. Both: fine skin is no noise.
MOST_NOISE, MOST_NOISE_SHARE = 2.4, 0.4
LEAST_CONTRAST = 12.0  # gray levels
LEAST_SIZE = 24.0  # pixels
LEAST_QUALITY = 1.0  # percentile: below nearly all photographs of the calibration
MOST_OUTSIDE = 1  # of five landmarks


def doubts_of(face: EmbeddedFace, size: tuple[int, int] | None, info: WeightsInfo, quality: float | None) -> list[str]:
    """Each reason why this face gives no answer, in words.

    Parameters
    ----------
    face : EmbeddedFace
    size : (int, int) or None
        Width and height of the photograph.
    info : WeightsInfo
        Of the weights that embedded it.
    quality : float or None
        The percentile of its norm; it counts where a low norm was shown to mean a poor photograph.
    """
    doubts = doubts_of_face(face, size)
    if quality is not None and poor_norm(info, quality):
        doubts.append("the face is poorer than nearly all that the thresholds were chosen on (quality percentile 0)")
    return doubts


def doubts_of_face(face: EmbeddedFace, size: tuple[int, int] | None) -> list[str]:
    """The reasons that hold for any weights."""
    doubts = []
    if face.face.score < CERTAIN:
        doubts.append(
            f"the detector is unsure of the face (score {face.face.score:.2f}, where {CERTAIN:g} is needed); if it is "
            "turned, try --try-rotations"
        )
    if face.face.size < LEAST_SIZE:
        doubts.append(f"the face is small ({face.face.size:.0f} pixels, where {LEAST_SIZE:.0f} are needed)")
    if face.looks is not None:
        doubts += _doubts_of_looks(face.looks)
    if (outside := _outside(face, size)) > MOST_OUTSIDE:
        doubts.append(f"the face is cut off ({outside} of its five landmarks lie outside the photograph)")
    return doubts


def _doubts_of_looks(looks: Looks) -> list[str]:
    doubts = []
    if looks.contrast < LEAST_CONTRAST:
        doubts.append(
            f"the face is too dark or dull (contrast {looks.contrast:.0f}, where {LEAST_CONTRAST:.0f} is needed)"
        )
    if looks.noise > MOST_NOISE and looks.noise_share > MOST_NOISE_SHARE:
        doubts.append(f"the face is noisy ({looks.noise:.1f} gray levels, where {MOST_NOISE:g} are allowed)")
    if looks.sharpness < LEAST_SHARPNESS:
        doubts.append(f"the face is blurred (sharpness {looks.sharpness:.2f} %, where {LEAST_SHARPNESS:g} % is needed)")
    if looks.upside_down:
        doubts.append("the face seems upside down; turn the photograph upright")
    return doubts


def poor_norm(info: WeightsInfo, quality: float) -> bool:
    """Whether a percentile of quality tells that a face is too poor."""
    return quality < LEAST_QUALITY and info.quality is not None and info.quality.why_useless() is None


def _outside(face: EmbeddedFace, size: tuple[int, int] | None) -> int:
    if size is None:
        return 0
    x, y = face.face.landmarks[:, 0], face.face.landmarks[:, 1]
    return int(((x < 0) | (x >= size[0]) | (y < 0) | (y >= size[1])).sum())
