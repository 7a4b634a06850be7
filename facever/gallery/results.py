"""What a search found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from facever.weights.records import WeightsId

if TYPE_CHECKING:
    import pandas

By = Literal["face", "person"]
# No pair of different photographs in LFW reaches it by the default weights; of copies at half the size, or at a low
# quality, about half do.
RESIZED = 0.99


@dataclass(frozen=True, slots=True)
class Match:
    """A face or person of the gallery.

    Attributes
    ----------
    cosine : float
        In [-1, 1]; with a person, that of the template.
    same : bool or None
        cosine >= threshold; None without a threshold.
    log_likelihood_ratio, probability : float or None
        Natural logarithm; and the probability of the same person at the search's prior. None without a calibration.
    path : str
        Of the photograph in the gallery; of a person, the most alike one.
    face, face_id, box
        Of that face, as in `facever.faces.parquet`; None where they are unknown.
    person : str or None
        Where faces have names.
    photographs : int or None
        In the person's template; None in a search by face.
    duplicate : {"file", "copy", "resized"} or None
        The photograph is the query's file, has the same content, or almost the same face: a cosine of at least
        `RESIZED`.
    """

    cosine: float
    same: bool | None
    log_likelihood_ratio: float | None
    probability: float | None
    path: str
    face: int | None
    face_id: str | None
    box: list[float] | None
    person: str | None = None
    photographs: int | None = None
    duplicate: Literal["file", "copy", "resized"] | None = None


@dataclass(frozen=True, slots=True)
class FaceMatches:
    """A face of a query, and its matches by descending cosine. `box`, `norm`, `quality`: None for a bare embedding."""

    source: str
    face: int
    box: list[float] | None
    norm: float | None
    quality: float | None
    matches: list[Match]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The matches of every face of the queries.

    Attributes
    ----------
    by : {"face", "person"}
    entries : int
        N, the faces or people searched among.
    fpir : float or None
        The false positive identification rate that the threshold promises; None for the caller's own, or none.
    threshold : float or None
    prior : float
        1 / (N + 1): each entry, and nobody, equally likely.
    weights : WeightsId or None
    faces : list of FaceMatches
    problems : list of str
        Why queries, or faces in them, gave nothing.
    notes : list of str
        Why there is no threshold, and what a list of people names in vain.
    """

    by: By
    entries: int
    fpir: float | None
    threshold: float | None
    prior: float
    weights: WeightsId | None
    faces: list[FaceMatches]
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON."""
        return asdict(self)

    def rows(self) -> list[dict[str, Any]]:
        """A row per match."""
        return [
            {"query": face.source, "query_face": face.face, "query_box": face.box, "rank": rank, **asdict(match)}
            for face in self.faces
            for rank, match in enumerate(face.matches, 1)
        ]

    def to_pandas(self) -> pandas.DataFrame:
        """A row per match; needs pandas."""
        import pandas

        return pandas.DataFrame(self.rows())
