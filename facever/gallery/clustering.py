"""A dataset of faces as people: clusters with ids that last, names, decisions, and what is doubtful."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facever.errors import SettingError, WeightsError
from facever.gallery.clusters import Groups, Rule, group, nearest_faces
from facever.gallery.decisions import Earlier, People
from facever.gallery.faces import FaceTable, RowNumbers, Vectors
from facever.gallery.linkage import Known
from facever.gallery.poor import column_of, poor_faces
from facever.gallery.rates import fmr_of
from facever.weights.metadata import WeightsInfo

_BOX = ("x0", "y0", "x1", "y1")


@dataclass(slots=True)
class ClusteredFace:
    """A face, and who it is.

    Attributes
    ----------
    face_id, path, face, box
        As in `facever.faces.parquet`; of embeddings made elsewhere the id is made from path and number.
    person : str or None
        The id of the person; None for what is no face, and for a poor one that is like nobody.
    name : str or None
        Of the person.
    decision : str
        As it was read; "" without one.
    cosine : float
        The mean to the other faces of the person; 1 for a face alone.
    rival : str or None
        The id of the most alike other person among the nearest faces, and the mean cosine to them, `rival_cosine`.
    poor : bool
        Too small, blurred, cut off or uncertain to found a person.
    size : (int, int) or None
        Width and height of the upright photograph.
    """

    face_id: str
    path: str
    face: int
    box: list[float] | None
    person: str | None = None
    name: str | None = None
    decision: str = ""
    cosine: float = 1.0
    rival: str | None = None
    rival_cosine: float = -1.0
    poor: bool = False
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Clustering:
    """Faces as people.

    Attributes
    ----------
    faces : list of ClusteredFace
        In the order of the dataset.
    rule : Rule
        The thresholds that were used.
    conflicts : list of (ClusteredFace, ClusteredFace)
        Two faces of one photograph that are one person: a collage, a mirror, or a mistake.
    moves : list of str
        In words: whose earlier faces are someone else's now.
    notes : list of str
        What a file of people lists in vain.
    """

    faces: list[ClusteredFace]
    rule: Rule
    conflicts: list[tuple[ClusteredFace, ClusteredFace]] = field(default_factory=list)
    moves: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def people(self) -> dict[str, list[ClusteredFace]]:
        """The faces of each person, the person with the most faces first."""
        found: dict[str, list[ClusteredFace]] = {}
        for face in self.faces:
            if face.person is not None:
                found.setdefault(face.person, []).append(face)
        return dict(sorted(found.items(), key=lambda each: -len(each[1])))


def cluster_faces(
    faces: FaceTable,
    info: WeightsInfo | None = None,
    before: People = People(),
    fpir: float | None = None,
    threshold: float | None = None,
) -> Clustering:
    """Group the faces of a dataset into people.

    Parameters
    ----------
    faces : FaceTable
    info : WeightsInfo, optional
        Of the weights that made them; without it a threshold is needed.
    before : People
        Earlier people and decisions. Their ids last, by the faces they share.
    fpir : float in (0, 1), optional
        Link two faces where a face of a stranger is linked to anybody with this rate; by default the data decide: see
        `Rule.of`.
    threshold : float in [-1, 1], optional
        Merge clusters at this mean cosine, whatever their sizes.

    Raises
    ------
    DataError
        If there is no face, or a damaged embedding.
    WeightsError
        If the weights are unknown, and no threshold is given, or they don't support the rate.
    SettingError
        For a number out of range.
    """
    check_settings(fpir, threshold)
    if info is None and threshold is None:
        raise WeightsError(
            f"{faces.source}: embeddings made elsewhere; name the weights that made them by --weights, or give a "
            "cosine by --threshold"
        )
    rows, vectors = _all(faces)
    listed = listed_faces(faces, rows)
    poor = poor_faces(faces, rows)
    earlier = [before.faces.get(face.face_id) for face in listed]
    used = np.array([each is None or each.is_face for each in earlier], bool)
    chosen = np.flatnonzero(used)
    if threshold is not None:
        found, rule = nearest_faces(vectors[chosen], None), Rule.fixed(threshold)
    else:
        assert info is not None
        found = nearest_faces(vectors[chosen], info)
        single = None if fpir is None else info.search_threshold(fmr_of(fpir, len(chosen)))
        rule = Rule.of(info, found.alike, len(chosen), single)
    photographs = np.unique([face.path for face in listed], return_inverse=True)[1]
    kept = [earlier[i] for i in chosen.tolist()]
    numbers, fixed, known = _constraints(kept, before)
    groups = (
        group(vectors[chosen], found, rule, poor[chosen], photographs[chosen], numbers, fixed, known)
        if len(chosen)
        else Groups(*(np.empty(0, kind) for kind in (np.int64, float, np.int64, float)))
    )
    ids = _ids(groups.labels, kept, before)
    for place, i in enumerate(chosen.tolist()):
        face, label, rival = listed[i], int(groups.labels[place]), int(groups.rivals[place])
        face.person = ids.get(label)
        face.cosine, face.rival_cosine = float(groups.cosines[place]), float(groups.rival_cosines[place])
        face.rival = ids.get(rival) if rival >= 0 else None
    _name(listed, earlier, before)
    for i, face in enumerate(listed):
        was = earlier[i]
        face.decision, face.poor = "" if was is None else was.decision, bool(poor[i])
    unknown = before.faces.keys() - {face.face_id for face in listed}
    notes = []
    if unknown:
        notes = [
            f"{before.source}: {len(unknown)} of {len(before.faces)} are no faces of {faces.source}, the first: "
            f"{min(unknown)}"
        ]
    return Clustering(listed, rule, _conflicts(listed), _moves(listed, earlier), notes)


def check_settings(fpir: float | None, threshold: float | None) -> None:
    """Raise SettingError for a value out of range."""
    if fpir is not None and not 0 < fpir < 1:
        raise SettingError(f"is a rate between 0 and 1, not {fpir}", "fpir")
    if threshold is not None and not -1 <= threshold <= 1:
        raise SettingError(f"is a cosine in [-1, 1], not {threshold}", "threshold")
    if fpir is not None and threshold is not None:
        raise SettingError("takes the place of --fpir; give one of the two", "threshold")


def _all(faces: FaceTable) -> tuple[RowNumbers, Vectors]:
    blocks = list(faces.blocks())
    return np.concatenate([rows for rows, _ in blocks]), np.concatenate([vectors for _, vectors in blocks])


def listed_faces(faces: FaceTable, rows: RowNumbers | None = None) -> list[ClusteredFace]:
    """The faces of a dataset, or of some of its rows, with nothing said of who they are. Raises DataError."""
    rows = np.concatenate([rows for rows, _ in faces.blocks()]) if rows is None else rows
    paths = faces.column("path").take(rows).to_pylist()
    numbers = column_of(faces, "face", rows)
    if np.isnan(numbers).any():  # in the order of the file
        seen: Counter[str] = Counter()
        for i, path in enumerate(paths):
            numbers[i] = seen[path]
            seen[path] += 1
    names = faces.column("face_id").take(rows).to_pylist() if "face_id" in faces.columns else [None] * len(rows)
    boxes = np.stack([column_of(faces, side, rows) for side in _BOX], axis=1)
    sizes = np.stack([column_of(faces, side, rows) for side in ("width", "height")], axis=1)
    return [
        ClusteredFace(
            name or hashlib.sha256(f"{path}\n{int(number)}".encode()).hexdigest()[:16],
            path,
            int(number),
            None if np.isnan(box).any() else [round(float(x), 1) for x in box],
            size=None if np.isnan(size).any() else (int(size[0]), int(size[1])),
        )
        for name, path, number, box, size in zip(names, paths, numbers, boxes, sizes, strict=True)
    ]


def _constraints(earlier: list[Earlier | None], before: People) -> tuple[RowNumbers, NDArray[np.bool_], list[Known]]:
    """Who each face was, by number; whether that is fixed; and what else is known. People of one name are one."""
    numbers: dict[str, int] = {}
    found = np.full(len(earlier), -1, np.int64)
    fixed = np.zeros(len(earlier), bool)
    known = []
    for i, was in enumerate(earlier):
        person = None if was is None else was.person
        name = before.names.get(person) if person is not None else None
        if person is not None:
            key = f"name {name}" if name is not None else f"id {person}"
            found[i] = numbers.setdefault(key, len(numbers))
        fixed[i] = was is not None and was.fixed
        known.append(
            Known(set(), set() if person is None else {person}, set() if was is None else set(was.others), name)
        )
    return found, fixed, known


def _ids(labels: RowNumbers, earlier: list[Earlier | None], before: People) -> dict[int, str]:
    """The id of each cluster: that of the earlier person with the most faces in common, else a new one."""
    common: Counter[tuple[int, str]] = Counter()
    for label, was in zip(labels.tolist(), earlier, strict=True):
        if was is not None and was.person is not None and label >= 0:
            common[label, was.person] += len(earlier) if was.fixed else 1
    ids: dict[int, str] = {}
    taken: set[str] = set()
    for label, person in sorted(common, key=lambda key: (-common[key], key[1])):
        if label not in ids and person not in taken:
            ids[label] = person
            taken.add(person)
    sizes = Counter(label for label in labels.tolist() if label >= 0)
    number = before.next_id()
    for label, _ in sorted(sizes.items(), key=lambda each: (-each[1], each[0])):
        if label not in ids:
            ids[label] = f"p{number}"
            number += 1
    return ids


def _name(listed: list[ClusteredFace], earlier: list[Earlier | None], before: People) -> None:
    """Names of people: that of the id, or the one most of whose faces this person has."""
    names = dict(before.names)
    went: dict[str, Counter[str | None]] = {}
    for face, was in zip(listed, earlier, strict=True):
        if was is not None and was.person in before.names:
            went.setdefault(was.person, Counter())[face.person] += len(listed) if was.fixed else 1
    for person, where in went.items():
        to = where.most_common(1)[0][0]
        if to is not None:
            names.setdefault(to, before.names[person])
    for face in listed:
        face.name = None if face.person is None else names.get(face.person)


def _conflicts(listed: list[ClusteredFace]) -> list[tuple[ClusteredFace, ClusteredFace]]:
    seen: dict[tuple[str, str], ClusteredFace] = {}
    found = []
    for face in listed:
        if face.person is not None:
            first = seen.setdefault((face.path, face.person), face)
            if first is not face:
                found.append((first, face))
    return found


def _moves(listed: list[ClusteredFace], earlier: list[Earlier | None]) -> list[str]:
    moved: dict[tuple[str, str | None], list[ClusteredFace]] = {}
    for face, was in zip(listed, earlier, strict=True):
        if was is not None and was.person is not None and was.person != face.person:
            moved.setdefault((was.person, face.person), []).append(face)
    return [
        f"{old} -> {new or 'nobody'}: {len(faces)} face{'s' * (len(faces) > 1)}, the first: {faces[0].path}, face "
        f"{faces[0].face}"
        for (old, new), faces in moved.items()
    ]
