"""A whole evaluation: photographs and a model in; figures, and a record of how they were made, out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from facever.datasets.external import ExternalEmbeddings
from facever.datasets.identities import IdentityFolder, labels_of, read_identities
from facever.datasets.pairs import PairList, photographs
from facever.errors import DataError, SettingError
from facever.evaluation.all_pairs import AllPairsResult, evaluate_all
from facever.evaluation.embedded import EmbeddingSet, PhotoEmbedder, external_set
from facever.evaluation.look_alikes import GroupingEmbedder, grouping_weights
from facever.evaluation.pairs import PairsResult, evaluate_embedded
from facever.faces.cache import EmbeddingCache, default_cache_file
from facever.faces.detector_settings import DetectorSettings
from facever.faces.device import Precision, choose_device
from facever.faces.images import ImageArray
from facever.faces.parallel import process_files
from facever.faces.pipeline import FaceRule, Job, Through, check_rule
from facever.faces.sources import Source
from facever.files import sha256_of
from facever.metrics.clusterings import NamedFigures
from facever.metrics.identification import SearchFigures
from facever.metrics.look_alikes import LookAlikes
from facever.question import default_bounds
from facever.scoring import Bounds
from facever.verifier import Verifier
from facever.weights.file import read_info
from facever.weights.metadata import WeightsInfo, versions
from facever.weights.records import WeightsId
from facever.weights.thresholds import Threshold

CROPS_AT_ONCE = 1024

Result = TypeVar("Result", PairsResult, AllPairsResult, SearchFigures, NamedFigures)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """What is evaluated, and how its embeddings are made.

    Attributes
    ----------
    weights : str
        Name or file.
    embeddings : Path, optional
        Embeddings made elsewhere, instead.
    thresholds : Path, optional
        What `facever calibrate` wrote for these weights, in place of their own thresholds.
    faces : {"center", "largest"}
        Which face of a photograph to take.
    cache : bool
        Keep embeddings, and use those kept before.
    detector : DetectorSettings
    device, precision, workers
        As for `Verifier.load` and `process_files`.

    Raises
    ------
    SettingError
        For options that do not go together.
    """

    weights: str = "default"
    embeddings: Path | None = None
    thresholds: Path | None = None
    faces: FaceRule = "center"
    cache: bool = True
    detector: DetectorSettings = field(default_factory=DetectorSettings)
    device: str = "auto"
    precision: Precision = "auto"
    workers: int | None = None

    def __post_init__(self) -> None:
        check_rule(self.faces, ("center", "largest"))
        if self.embeddings is not None and self.thresholds is not None:
            raise SettingError("thresholds belong to weights, and embeddings made elsewhere have none; use one")


@dataclass(frozen=True, slots=True)
class EmbeddedModel:
    """A model's embeddings of the photographs.

    Attributes
    ----------
    embedded : EmbeddingSet
    weights : WeightsId
        Of the weights, or of the file of embeddings made elsewhere.
    settings : dict
        How the embeddings were made, as JSON; empty for embeddings made elsewhere.
    crops : callable
        From photographs to the crops that were embedded, as far as they were kept.
    info : WeightsInfo or None
        Of the weights; None for embeddings made elsewhere.
    """

    embedded: EmbeddingSet
    weights: WeightsId
    settings: dict[str, Any]
    crops: Callable[[Sequence[Source]], dict[Source, ImageArray]]
    info: WeightsInfo | None = None

    @property
    def thresholds(self) -> list[Threshold]:
        """Stored with the weights."""
        return [] if self.info is None else self.info.thresholds

    @property
    def bounds(self) -> Bounds | None:
        """What decides by default, if the weights hold it."""
        return None if self.info is None else default_bounds(self.info)


@dataclass(frozen=True, slots=True)
class Evaluation(Generic[Result]):
    """The result of an evaluation, and how it was made.

    `scoring` and `total` are the seconds to compute figures and intervals, and those of the whole.
    """

    title: str
    result: Result
    model: EmbeddedModel
    options: ModelOptions
    scoring: float
    total: float

    def to_json(self) -> dict[str, Any]:
        """Figures, weights, settings, seconds by stage, versions."""
        times = self.model.embedded.times
        stages = {"score": self.scoring, **(times.seconds if times is not None and times.embedded else {})}
        return {
            **self.result.to_json(),
            "weights": asdict(self.model.weights),
            "settings": self.model.settings,
            "seconds": round(self.total, 1),
            "stages": {name: round(value, 2) for name, value in stages.items()},
            "photographs_embedded": times.embedded if times is not None else 0,
            "photographs_from_cache": times.cached if times is not None else 0,
            "versions": versions(),
        }


def evaluate_pairs(
    title: str,
    listed: PairList,
    root: Path,
    options: ModelOptions,
    through: Through = lambda results, total: results,
    keep_crops: bool = False,
) -> Evaluation[PairsResult]:
    """Evaluate a model on a list of pairs.

    A photograph without a detected face counts with its center crop: leaving its pairs out would flatter the figures.

    Parameters
    ----------
    root : Path
        Names of photographs are relative to it.
    keep_crops : bool
        Keep crops for a report.

    Raises
    ------
    DataError
        If the list can't be evaluated, or a photograph can't be read.
    WeightsError
        If the weights can't be used.
    """
    check_list(listed)
    start = time.monotonic()
    model = embed_photographs(photographs(listed.pairs), root, options, through, keep_crops)
    scoring = time.monotonic()
    result = evaluate_embedded(listed.pairs, model.embedded, model.thresholds, listed.notes, model.bounds)
    end = time.monotonic()
    return Evaluation(title, result, model, options, end - scoring, end - start)


def evaluate_folder(
    folder: Path,
    options: ModelOptions,
    only: str = "*",
    suspicious: int = 10,
    through: Through = lambda results, total: results,
    keep_crops: bool = False,
    within_groups: bool = False,
) -> tuple[Evaluation[AllPairsResult], dict[str, Path]]:
    """Evaluate a model on every pair of a folder of identities; also returns the path of each photograph by name.

    Parameters
    ----------
    only : str
        Shell pattern of the identities to use.
    suspicious : int
        How many of the most similar impostor pairs to list.
    within_groups : bool
        Measure stored thresholds in groups of look-alikes, too: see `facever.metrics.look_alikes`.

    Raises
    ------
    DataError, WeightsError
        As `evaluate_pairs`.
    """
    start = time.monotonic()
    people = read_identities(folder, only=only)
    model = embed_photographs(people.paths, folder, options, through, keep_crops or within_groups, within_groups)
    look_alikes = _look_alikes(model, people, options) if within_groups else None
    scoring = time.monotonic()
    result = evaluate_all(
        model.embedded, people.identities, suspicious, model.thresholds, look_alikes=look_alikes, bounds=model.bounds
    )
    end = time.monotonic()
    evaluation = Evaluation(f"All pairs of {folder.name}", result, model, options, end - scoring, end - start)
    return evaluation, dict(zip(model.embedded.names, people.paths, strict=True))


def check_list(listed: PairList) -> None:
    """Raise DataError where a list can't be evaluated by folds, before its photographs are embedded."""
    if len({pair.fold for pair in listed.pairs}) < 2:
        raise DataError(
            f"{listed.source}: a single fold, but each fold's threshold comes from others; use a longer list"
        )
    if len({pair.same for pair in listed.pairs}) < 2:
        raise DataError(f"{listed.source}: pairs of one kind only; list pairs of the same and of different people")
    for kind, words in ((True, "the same person"), (False, "different people")):
        folds = {pair.fold for pair in listed.pairs if pair.same == kind}
        if len(folds) == 1:
            raise DataError(
                f"{listed.source}: all pairs of {words} are in fold {folds.pop()}, whose threshold comes from others; "
                "spread them over the folds"
            )


def embed_photographs(
    paths: Sequence[Source],
    root: Path,
    options: ModelOptions,
    through: Through,
    keep_crops: bool,
    every_crop: bool = False,
) -> EmbeddedModel:
    """Embeddings of photographs by weights, or as they were made elsewhere."""
    if options.embeddings is not None:
        external = external_set(ExternalEmbeddings.read(options.embeddings), paths, root)
        weights = WeightsId(options.embeddings.name, sha256_of(options.embeddings))
        return EmbeddedModel(external, weights, {}, lambda chosen: _cut(chosen, options) if keep_crops else {})
    verifier = Verifier.load(
        options.weights,
        options.device,
        detector=options.detector,
        calibration=options.thresholds,
        precision=options.precision,
    )
    cache = EmbeddingCache(default_cache_file()) if options.cache else None
    embedder = PhotoEmbedder(verifier, options.faces, options.workers, cache, keep_crops, every_crop)
    embedded = embedder(paths, root, through)
    job = embedder.job
    settings = {"faces": job.rule, "min_face": job.detector.smallest_face, "device": job.device}
    settings["precision"] = verifier.precision
    return EmbeddedModel(embedded, verifier.weights, settings, embedder.crops, verifier.info)


def _look_alikes(model: EmbeddedModel, people: IdentityFolder, options: ModelOptions) -> LookAlikes:
    """The groups of these people, by another network, from the crops that were embedded."""
    info = read_info("default" if options.embeddings is not None else options.weights)
    by = grouping_weights("" if options.embeddings is not None else info.network)
    grouping = GroupingEmbedder(by, info.alignment, options.device)
    rows: list[int] = []
    parts = []
    for start in range(0, len(people.paths), CROPS_AT_ONCE):
        paths = people.paths[start : start + CROPS_AT_ONCE]
        crops = model.crops(paths)
        rows += [start + i for i, path in enumerate(paths) if path in crops]
        parts.append(grouping(crops[path] for path in paths if path in crops))
    who = np.array(labels_of([people.identities[i] for i in rows])[0], np.int64)
    return LookAlikes(model.embedded.vectors[rows], who, np.concatenate(parts), by)


def _cut(paths: Sequence[Source], options: ModelOptions) -> dict[Source, ImageArray]:
    """Crops of photographs whose embeddings were made elsewhere, by the default weights' alignment."""
    job = Job(
        output=read_info("default").alignment,
        device=str(choose_device(options.device)),
        rule=options.faces,
        center_fallback=True,
        detector=options.detector,
    )
    crops = {}
    for path, result in zip(paths, process_files(paths, job, options.workers), strict=True):
        face = result.faces[0] if result.faces else result.center
        if face is not None and face.crop is not None:
            crops[path] = face.crop
    return crops
