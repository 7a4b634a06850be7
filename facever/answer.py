"""The answer to "are these two photographs of the same person?", and what it rests on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from facever.weights.metadata import versions
from facever.weights.records import WeightsId
from facever.weights.thresholds import WorstGroup

Decision = Literal["same", "different", "undecided"]
DECISIONS: dict[Decision, str] = {
    "same": "same person",
    "different": "different people",
    "undecided": "undecided",
}


@dataclass(frozen=True, slots=True)
class ComparedFace:
    """The face of a photograph that was compared.

    Attributes
    ----------
    source : str
        The photograph's path or name.
    box : four floats
        x0, y0, x1, y1 in pixels of the upright photograph.
    landmarks : five pairs of floats
        (x, y) of left eye, right eye, nose, left and right corner of the mouth, as seen in the image.
    score : float
        The detector's probability of a face, in [0, 1].
    size : float
        Square root of the box's area, in pixels.
    sharpness : float or None
        In percent; see `facever.faces.looks.Looks`.
    norm : float
        Of the feature: its length before normalization.
    quality : float or None
        Percentile, in [0, 100], of the norm among the identities of the calibration; None without one.
    covered : list of str
        What something covers: "lower face", "eye region".
    faces_found : int
        Number of faces in the photograph.
    """

    source: str
    box: list[float]
    landmarks: list[list[float]]
    score: float
    size: float
    sharpness: float | None
    norm: float
    quality: float | None
    covered: list[str]
    faces_found: int


@dataclass(frozen=True, slots=True)
class AllFaces:
    """Every face of one photograph with every face of the other.

    Attributes
    ----------
    boxes_a, boxes_b : lists of four floats
        The faces of each, as `ComparedFace.box`.
    cosines : lists of floats
        A row per face of the first photograph, a column per face of the second.
    """

    boxes_a: list[list[float]]
    boxes_b: list[list[float]]
    cosines: list[list[float]]


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether two photographs show the same person.

    Attributes
    ----------
    decision : {"same", "different", "undecided"}
    why : list of str
        Why it is undecided; empty where it is decided.
    notes : list of str
        What else to know of this answer, such as which of several faces was taken.
    cosine : float
        Of the two embeddings, in [-1, 1].
    threshold, lower_threshold : float
        From `threshold` up it is the same person, below `lower_threshold` they are different people. Equal where two
        answers were asked for.
    far, frr : float or None
        The false accept rate that the first promises, and the false reject rate that the second does; None for a
        threshold of the caller's.
    a, b : ComparedFace
    weights : WeightsId
        Name and hash of the weights.
    prior : float
        Probability of the same person before the photographs are seen.
    log_likelihood_ratio : float or None
        Natural logarithm of the likelihood ratio: how much likelier the cosine is for one person than for two. None
        without a calibration.
    probability : float or None
        Of the same person, from the prior and that ratio.
    worst_group : WorstGroup or None
        The group of look-alikes with the highest false accept rate at the threshold, where it was measured.
    all_faces : AllFaces or None
        If all faces were to be compared.
    """

    decision: Decision
    why: list[str]
    notes: list[str]
    cosine: float
    threshold: float
    lower_threshold: float
    far: float | None
    frr: float | None
    a: ComparedFace
    b: ComparedFace
    weights: WeightsId
    prior: float
    log_likelihood_ratio: float | None = None
    probability: float | None = None
    worst_group: WorstGroup | None = None
    all_faces: AllFaces | None = None

    @property
    def same(self) -> bool:
        """Whether the decision is "same": False where it is undecided, too."""
        return self.decision == "same"

    def to_json(self) -> dict[str, Any]:
        """All fields, and the versions of the software that computed them."""
        return {**asdict(self), "versions": versions()}
