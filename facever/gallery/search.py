"""Queries against a gallery: among faces, or among people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from facever.gallery.faces import FaceTable, RowNumbers
from facever.gallery.index import FaceIndex
from facever.gallery.nearest import nearest
from facever.gallery.people import Names, templates, unit
from facever.gallery.queries import Query, matrix, own_rows
from facever.gallery.results import RESIZED, By, FaceMatches, Match
from facever.scoring import decide
from facever.weights.metadata import WeightsInfo
from facever.weights.records import posterior

_COLUMNS = ["path", "face", "face_id", "box", "file_sha256"]

# For a query: a row of the gallery, the cosine that counts, that of this face, the photographs in its template.
Hit = tuple[int, float, float, int | None]


class Search:
    """What decides about matches, and where they are sought.

    Parameters
    ----------
    faces : FaceTable
    names : Names, optional
        Needed to search by person.
    info : WeightsInfo, optional
        Of the weights, for likelihood ratios and quality.
    entries : int
        N: the prior of each entry is 1 / (N + 1).
    threshold : float, optional
    index : FaceIndex, optional
        For searches by face.
    """

    def __init__(
        self,
        faces: FaceTable,
        names: Names | None,
        info: WeightsInfo | None,
        entries: int,
        threshold: float | None,
        index: FaceIndex | None = None,
    ) -> None:
        self.faces, self.names, self.info, self.index = faces, names, info, index
        self.prior, self.threshold = 1 / (entries + 1), threshold

    def __call__(self, queries: Sequence[Query], k: int, by: By, exclude_self: bool) -> list[FaceMatches]:
        """The k best matches of each query, by descending cosine."""
        own = own_rows(queries, self.faces) if exclude_self else {}
        hits = self._people(queries, k, own) if by == "person" else self._faces(queries, k, own)
        rows = np.array([row for found in hits for row, *_ in found], np.int64)
        there = iter(self.faces.take(rows, _COLUMNS))
        quality = None if self.info is None else self.info.quality
        return [
            FaceMatches(
                query.source,
                query.face,
                query.box,
                query.norm,
                None if quality is None or query.norm is None else quality.percentile(query.norm),
                [self._match(query, hit, next(there)) for hit in found],
            )
            for query, found in zip(queries, hits, strict=True)
        ]

    def _faces(self, queries: Sequence[Query], k: int, own: dict[int, RowNumbers]) -> list[list[Hit]]:
        vectors = matrix(queries, self.faces)
        if self.index is None:
            rows, cosines = nearest(vectors, self.faces.blocks(), k, own)
        else:
            rows, cosines = self.index.nearest(vectors, k, own)
        return [
            [(int(row), float(cosine), float(cosine), None) for row, cosine in zip(*found, strict=True) if row >= 0]
            for found in zip(rows, cosines, strict=True)
        ]

    def _people(self, queries: Sequence[Query], k: int, own: dict[int, RowNumbers]) -> list[list[Hit]]:
        """The best people; each by the row of its most alike face."""
        assert self.names is not None
        vectors = matrix(queries, self.faces)
        sums, counts = templates(self.faces, self.names)
        touched = {i: np.setdiff1d(self.names.of_row[rows], [-1]) for i, rows in own.items()}
        found = nearest(vectors, [(np.arange(len(sums)), unit(sums))], k, touched)
        best: list[list[tuple[int, float, int]]] = [
            [
                (int(person), float(cosine), int(counts[person]))
                for person, cosine in zip(*each, strict=True)
                if person >= 0
            ]
            for each in zip(*found, strict=True)
        ]
        for i, people in touched.items():  # their templates without the query's own photograph
            for person in people.tolist():
                without = own[i][self.names.of_row[own[i]] == person]
                left = int(counts[person]) - len(without)
                if left:
                    rest = unit(sums[person] - self.faces.vectors(without).sum(axis=0, keepdims=True))[0]
                    best[i].append((person, float(np.clip(vectors[i] @ rest, -1, 1)), left))
            best[i] = sorted(best[i], key=lambda each: -each[1])[:k]
        return self._most_alike(vectors, best, own)

    def _most_alike(
        self, vectors: Any, best: list[list[tuple[int, float, int]]], own: dict[int, RowNumbers]
    ) -> list[list[Hit]]:
        assert self.names is not None
        rows_of = self.names.rows_of(sorted({person for found in best for person, _, _ in found}))
        wanted = np.unique(np.concatenate([*rows_of.values(), np.empty(0, np.int64)]))
        there = self.faces.vectors(wanted) if len(wanted) else np.empty((0, vectors.shape[1]), np.float32)
        hits: list[list[Hit]] = []
        for i, found in enumerate(best):
            hits.append([])
            for person, cosine, count in found:
                rows = np.setdiff1d(rows_of[person], own.get(i, []))
                alike = there[np.searchsorted(wanted, rows)] @ vectors[i]
                hits[-1].append((int(rows[alike.argmax()]), cosine, float(alike.max()), count))
        return hits

    def _match(self, query: Query, hit: Hit, there: dict[str, Any]) -> Match:
        row, cosine, alike, photographs = hit
        ratio = None if self.info is None else self.info.search_log_ratio(cosine)
        person = None if self.names is None else int(self.names.of_row[row])
        return Match(
            cosine=cosine,
            same=None if self.threshold is None else bool(decide(np.array([cosine]), self.threshold)[0]),
            log_likelihood_ratio=ratio,
            probability=None if ratio is None else posterior(ratio, self.prior),
            path=there["path"],
            face=there["face"],
            face_id=there["face_id"],
            box=None if there["box"] is None else [round(float(x), 1) for x in there["box"]],
            person=None if self.names is None or person is None or person < 0 else self.names.people[person],
            photographs=photographs,
            duplicate=_duplicate(query, there, alike),
        )


def _duplicate(query: Query, there: dict[str, Any], alike: float) -> Literal["file", "copy", "resized"] | None:
    if there["path"] in query.names:
        return "file"
    if query.sha256 is not None and query.sha256 == there["file_sha256"]:
        return "copy"
    return "resized" if query.names and alike >= RESIZED else None
