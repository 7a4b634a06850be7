"""`Gallery`: faces that can be searched, kept and named."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from facever.errors import DataError, SettingError
from facever.faces.dataset import EmbeddingDataset, Update, open_dataset
from facever.faces.detector_settings import DetectorSettings
from facever.faces.folders import Folder, find_photographs
from facever.faces.images import ImageInput
from facever.faces.names import name_below
from facever.faces.parallel import left_out, process_files
from facever.faces.parquet import schema
from facever.faces.pipeline import PhotoResult, Through
from facever.gallery.faces import REMEDY, FaceTable, is_dataset
from facever.gallery.index import FaceIndex, open_index
from facever.gallery.people import Names, names_by_folder, names_by_list
from facever.gallery.queries import Query, embedding_queries, queries_of
from facever.gallery.rates import check_settings, deciding
from facever.gallery.results import By, SearchResult
from facever.gallery.search import Search
from facever.verifier import Verifier
from facever.weights.metadata import made_with
from facever.weights.shipped import find_weights, shipped_weights, weights_sha256


class Gallery:
    """Faces to search among. Open it with `Gallery.open` and keep it: small ones stay in memory between searches.

    Parameters
    ----------
    faces : FaceTable
    verifier : Verifier, optional
        With the weights that made the faces; without it, only embeddings can be searched for, and nothing is decided.
    people : Path, optional
        CSV file that names faces; by default the folder of a photograph is its person.
    index : bool
        Search by face in an approximate index beside the dataset; it is built, or brought up to date, here.

    Attributes
    ----------
    index_note : str or None
        What was done to the index; None where it was up to date, or is not used.
    """

    def __init__(
        self, faces: FaceTable, verifier: Verifier | None = None, people: Path | None = None, index: bool = False
    ) -> None:
        self.faces, self.verifier, self._people = faces, verifier, people
        self._index: FaceIndex | None = None
        self.index_note: str | None = None
        if index:
            self._index, self.index_note = open_index(faces)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        weights: str | Path | None = None,
        people: str | Path | None = None,
        index: bool = False,
        calibration: str | Path | None = None,
        device: str = "auto",
        detector: DetectorSettings = DetectorSettings(),
        workers: int | None = None,
        through: Through = lambda results, total: results,
    ) -> Gallery:
        """Open what `facever embed` wrote, a folder of photographs, or embeddings made elsewhere.

        Parameters
        ----------
        path : str or Path
            A folder of photographs is embedded on the spot.
        weights : str or Path, optional
            By default those that made the faces, if they come with facever; "default" for a folder of photographs.
            With embeddings made elsewhere it is the caller who says that these weights made them.
        people : str or Path, optional
            CSV file with the columns `face_id` or `path`, and `person` or `name`.
        index : bool
            Use an approximate index, a folder beside the dataset: see `facever.gallery.index`. Needs usearch.
        calibration, device, detector
            As for `Verifier.load`.
        workers, through
            As for `Verifier.embed_folder`.

        Raises
        ------
        DataError
            If it can't be read, or was made with other weights.
        WeightsError
            If the weights can't be found, or used.
        """
        path, named = Path(path), None if people is None else Path(people)
        if not path.exists():
            raise DataError(f"{path}: no such file or folder; {REMEDY}")

        def load(which: str | Path) -> Verifier:
            return Verifier.load(which, device, detector=detector, calibration=calibration)

        if path.is_dir() and not is_dataset(path):
            verifier = load("default" if weights is None else weights)
            found = find_photographs(path)
            stream = process_files(found.paths, verifier.job(hashes=True), workers)
            results = chain(left_out(found), through(stream, len(found.paths)))
            return cls(FaceTable.of_results(path, results, path, verifier), verifier, named, index)
        faces = FaceTable.open(path)
        made = faces.made.weights
        if weights is None and made is not None:
            if made.name not in shipped_weights() or weights_sha256(find_weights(made.name)) != made.sha256:
                raise DataError(
                    f"{path}: made with the weights {made.name!r} (sha256 {made.sha256[:12]}…), which do not come with "
                    "this facever; name their file by --weights, or embed again"
                )
            weights = made.name
        if weights is None:
            return cls(faces, None, named, index)
        verifier = load(weights)
        if made is not None and made.sha256 != verifier.weights.sha256:
            raise DataError(
                f"{path}: made with the weights {made.name}, and these are {verifier.weights.name}; choose the same "
                "--weights, or embed again"
            )
        return cls(faces, verifier, named, index)

    @cached_property
    def names(self) -> Names:
        """Who the faces are. Raises DataError if nobody is named."""
        return names_by_folder(self.faces) if self._people is None else names_by_list(self.faces, self._people)

    def people(self) -> dict[str, int]:
        """The number of faces of each person, by name. Raises DataError if nobody is named."""
        counts = np.bincount(self.names.of_row[self.names.of_row >= 0], minlength=len(self.names.people))
        return dict(zip(self.names.people, counts.tolist(), strict=True))

    def search(
        self,
        query: ImageInput | np.ndarray[Any, Any],
        k: int = 5,
        by: By = "face",
        fpir: float | None = None,
        threshold: float | None = None,
        exclude_self: bool = False,
    ) -> SearchResult:
        """The faces or people most alike to each face of a photograph, or to embeddings.

        Parameters
        ----------
        query : path, bytes or uint8 ndarray (H, W, 3) as for `Verifier.faces`; or float ndarray (d,) or (n, d)
        k : int
            How many for each face.
        by : {"face", "person"}
            Among faces, or among people, each with one template: the mean of their unit vectors.
        fpir : float in (0, 1), optional
            False positive identification rate: the chance that a face of nobody in the gallery finds somebody there.
            The threshold keeps it; by default 0.01, or no threshold where the calibration does not support it.
        threshold : float in [-1, 1], optional
            In place of the one for `fpir`.
        exclude_self : bool
            Leave out the query's own photograph, by its path or its content.

        Raises
        ------
        ImageError
            If the photograph can't be read.
        DataError
            If the gallery holds no face, or embeddings of another length.
        SettingError, WeightsError
            For a number out of range, and a rate that the calibration does not support.
        """
        problems: list[str] = []
        if isinstance(query, np.ndarray) and query.ndim < 3:
            queries = embedding_queries(query)
        else:
            if isinstance(query, str | Path):
                result = next(self._embed([Path(query)], 1))
                if not result.readable:
                    raise DataError(result.problems[0])
            else:
                result = PhotoResult("the photograph", self._known_verifier().faces(query))
            queries, problems = queries_of([result], self.root)
        return self._search(queries, problems, k, by, fpir, threshold, exclude_self)

    def search_photographs(
        self,
        paths: Sequence[Path],
        k: int = 5,
        by: By = "face",
        fpir: float | None = None,
        threshold: float | None = None,
        exclude_self: bool = False,
        workers: int | None = None,
        through: Through = lambda results, total: results,
    ) -> SearchResult:
        """As `search`, for many photographs in one pass; those that can't be read are among the problems."""
        check_settings(k, by, fpir, threshold)
        results = through(self._embed(paths, workers), len(paths))
        queries, problems = queries_of(results, self.root)
        return self._search(queries, problems, k, by, fpir, threshold, exclude_self)

    def _search(
        self,
        queries: list[Query],
        problems: list[str],
        k: int,
        by: By,
        fpir: float | None,
        threshold: float | None,
        exclude_self: bool,
    ) -> SearchResult:
        check_settings(k, by, fpir, threshold)
        if by == "person" and self._index is not None:
            raise SettingError("is for a search by face; templates of people are searched exactly", "index")
        named = self.names if by == "person" or self._people is not None else None
        if by == "person":
            entries = len(self.names.people)
        else:
            entries = self.faces.faces if self._index is None else len(self._index)
        info = None if self.verifier is None else self.verifier.info
        promised, threshold, why = deciding(info, entries, fpir, threshold)
        notes = [*([] if named is None else named.notes), *([] if why is None else [why])]
        search = Search(self.faces, named, info, entries, threshold, self._index)
        found = search(queries, k, by, exclude_self) if queries else []
        weights = None if self.verifier is None else self.verifier.weights
        return SearchResult(by, entries, promised, threshold, 1 / (entries + 1), weights, found, problems, notes)

    def add(self, photographs: Iterable[str | Path]) -> Update:
        """Embed photographs into the dataset: new ones, and those that changed.

        Raises
        ------
        OutputError
            If it can't be written, or another process writes to it.
        DataError
            If it is no dataset of `facever embed`, or one whose paths are hashed.
        """
        if (self.faces.made.settings or {}).get("path_key"):
            raise DataError(f"{self.faces.source}: its paths are hashed; add to it by facever embed --no-path")
        paths = [Path(os.path.abspath(path)) for path in photographs]  # noqa: PTH100  (links stay)
        with self._writing() as (dataset, job):
            return dataset.update(Folder(sorted(set(paths)), [], []), lambda wanted: process_files(wanted, job, 1))

    def remove(self, photograph: str | Path) -> None:
        """Remove a photograph's faces from the dataset: a path as the dataset names it, or of the file.

        Raises
        ------
        OutputError, DataError
            As `add`; and if the dataset holds no such photograph.
        """
        with self._writing() as (dataset, _):
            here = name_below(os.path.abspath(photograph), dataset.root)  # noqa: PTH100  (links stay)
            name = next((each for each in (str(photograph), here) if each in dataset.entries), None)
            if name is None:
                raise DataError(f"{self.faces.source}: holds no photograph {photograph}")
            dataset.remove([name])

    @contextmanager
    def _writing(self) -> Iterator[tuple[EmbeddingDataset, Any]]:
        source, made = self.faces.source, self.faces.made.settings
        if made is None or not is_dataset(source):
            raise DataError(f"{source}: can't be changed; only a dataset, the folder that facever embed writes, can")
        verifier = self._known_verifier()
        columns = schema(verifier.size, made_with(verifier.info, verifier.weights))
        detector = DetectorSettings.parse(made["min_face"], made["try_rotations"])
        job = replace(verifier.job(made["faces"], hashes=True), mirrored=made["mirror"], detector=detector)
        with open_dataset(source, Path(made["folder"]), columns, verifier.info.quality, made) as dataset:
            yield dataset, job
        self.faces = FaceTable(source, sorted(source.glob("part-*.parquet")), self.faces.made)
        self.__dict__.pop("names", None)
        if self._index is not None:
            self._index, self.index_note = open_index(self.faces)

    def _embed(self, paths: Sequence[Path], workers: int | None) -> Iterator[PhotoResult]:
        mirrored = (self.faces.made.settings or {}).get("mirror", True)
        job = replace(self._known_verifier().job(hashes=True), mirrored=mirrored)
        return process_files(paths, job, workers)

    def _known_verifier(self) -> Verifier:
        if self.verifier is None:
            raise DataError(
                f"{self.faces.source}: embeddings made elsewhere; name the weights that made them by --weights"
            )
        return self.verifier

    @property
    def root(self) -> Path:
        """What the paths of its photographs are relative to."""
        return Path((self.faces.made.settings or {}).get("folder", Path.cwd()))
