"""Embeddings of an evaluation's photographs: by a verifier, from the cache, or made elsewhere."""

from __future__ import annotations

import atexit
import io
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facever.datasets.external import ExternalEmbeddings
from facever.errors import DataError
from facever.faces.cache import EmbeddingCache, PhotoEmbedding, keys_of
from facever.faces.doubts import poor_norm
from facever.faces.images import ImageArray
from facever.faces.parallel import process_files
from facever.faces.pipeline import STAGES, FaceRule, Through
from facever.faces.sources import Source
from facever.verifier import Verifier


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Time that the pipeline's stages took in this run.

    Attributes
    ----------
    seconds : dict from a name of `STAGES` to float
        Summed over photographs, and so over processes and threads: more than the time that passed, where several work
        at once.
    embedded, cached : int
        Photographs that went through the stages, and those whose embeddings came from the cache.
    """

    seconds: dict[str, float]
    embedded: int
    cached: int


@dataclass(frozen=True, slots=True)
class EmbeddingSet:
    """Embeddings of an evaluation's photographs.

    Attributes
    ----------
    names : n str
    vectors : float32 ndarray of shape (n, d), unit length; zeros where there is no embedding
    norms : float64 ndarray of shape (n,)
        Feature norms; NaN for embeddings made elsewhere.
    without_face : list of str
        Failures to acquire: the center crop was embedded instead of a face, or, with embeddings made elsewhere, there
        was none, and every cosine with it is 0.
    times : StageTimes or None
        None for embeddings made elsewhere.
    poor : bool ndarray of shape (n,), optional
        Photographs too poor for an answer; by default none.
    """

    names: list[str]
    vectors: NDArray[np.float32]
    norms: NDArray[np.float64]
    without_face: list[str]
    times: StageTimes | None = None
    poor: NDArray[np.bool_] | None = None


class PhotoEmbedder:
    """One embedding of each photograph of an evaluation, from the cache where it has it.

    Parameters
    ----------
    verifier : Verifier
    rule : {"center", "largest"}
    workers : int, optional
    cache : EmbeddingCache, optional
    keep_crops : bool
        Keep the crops as well, for `crops`: in the cache, or a temporary one.
    every_crop : bool
        Embed photographs again whose crops the cache lacks, since all will be asked for.
    """

    def __init__(
        self,
        verifier: Verifier,
        rule: FaceRule = "center",
        workers: int | None = None,
        cache: EmbeddingCache | None = None,
        keep_crops: bool = False,
        every_crop: bool = False,
    ) -> None:
        keep_crops = keep_crops or every_crop
        self.verifier, self.workers, self.keep_crops, self.every_crop = verifier, workers, keep_crops, every_crop
        self.cache = _temporary_cache() if keep_crops and cache is None else cache
        self.job = verifier.job(rule, center_fallback=True, keep_crops=keep_crops)
        self._keys: dict[Source, str | None] = {}

    def __call__(
        self,
        paths: Sequence[Source],
        root: Path | None = None,
        through: Through = lambda results, total: results,
    ) -> EmbeddingSet:
        """Embed photographs; `root` is what their names are relative to.

        Raises
        ------
        DataError
            If a photograph can't be read, or gives an embedding that is zero or not finite.
        """
        self._keys = dict.fromkeys(paths)
        known: dict[str, PhotoEmbedding] = {}
        if self.cache is not None:
            keys = keys_of(paths, self.job, self.verifier.weights, self.verifier.precision)
            self._keys = dict(zip(paths, keys, strict=True))
            known = self.cache.get(list(self._keys.values()), self.every_crop)
        found = [known.get(key) if (key := self._keys[path]) is not None else None for path in paths]
        missing = [i for i, there in enumerate(found) if there is None]
        broken: list[str] = []
        new: dict[str, PhotoEmbedding] = {}
        stream = process_files([paths[i] for i in missing], self.job, self.workers)
        seconds = dict.fromkeys(STAGES, 0.0)
        for i, result in zip(missing, through(stream, len(missing)), strict=True):
            for stage, value in result.seconds.items():
                seconds[stage] += value
            found[i] = embedded = PhotoEmbedding.of(result)
            key = self._keys[paths[i]]
            if embedded is None:
                broken.append(result.problems[0])
            elif key is not None:
                new[key] = embedded
        if new and self.cache is not None and not self.cache.put(new) and self.keep_crops:
            self.cache = _temporary_cache()  # the user's can't be written
            self.cache.put(new)
        if broken:
            raise DataError(
                f"{len(broken)} photographs can't be read, the first: {broken[0]}; repair or restore them: "
                "figures without them could not be compared"
            )
        names = [name_below(path, root) for path in paths]
        _check_usable(names, found)
        there = [embedded for embedded in found if embedded is not None]
        return EmbeddingSet(
            names,
            np.array([embedded.embedding for embedded in there], np.float32),
            np.array([embedded.norm for embedded in there], np.float64),
            [name for name, embedded in zip(names, there, strict=True) if not embedded.found],
            StageTimes(seconds, len(missing), len(paths) - len(missing)),
            np.array([self._poor(embedded) for embedded in there], bool),
        )

    def _poor(self, embedded: PhotoEmbedding) -> bool:
        info = self.verifier.info
        return embedded.doubtful or (
            info.quality is not None and poor_norm(info, info.quality.percentile(embedded.norm))
        )

    def crops(self, paths: Sequence[Source]) -> dict[Source, ImageArray]:
        """The crops that were embedded; those of cached embeddings that were not kept are cut again."""
        found: dict[Source, ImageArray] = {}
        for path in paths:
            key = self._keys.get(path)
            data = None if key is None or self.cache is None else self.cache.crop(key)
            if data is not None:
                found[path] = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        missing = [path for path in paths if path in self._keys and path not in found] if self.keep_crops else []
        for path, result in zip(missing, process_files(missing, self.job, self.workers), strict=True):
            face = result.faces[0] if result.faces else result.center
            if face is not None and face.crop is not None:
                found[path] = face.crop
        return found


def _temporary_cache() -> EmbeddingCache:
    folder = Path(tempfile.mkdtemp(prefix="facever-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return EmbeddingCache(folder / "embeddings.sqlite")


def _check_usable(names: Sequence[str], found: Sequence[PhotoEmbedding | None]) -> None:
    """Raise DataError where a vector is zero or not finite, and so has no angle to another."""
    bad = [n for n, e in zip(names, found, strict=True) if e is not None and not 0 < np.linalg.norm(e.embedding) < 2]
    if bad:
        raise DataError(
            f"{len(bad)} photographs gave embeddings that are zero or not finite, the first: {bad[0]}; the weights are "
            "not fit for these photographs"
        )


def external_set(external: ExternalEmbeddings, paths: Sequence[Source], root: Path) -> EmbeddingSet:
    """Embeddings made elsewhere, for these photographs. Raises DataError if no photograph has one."""
    vectors, found = external.of(paths, root)
    names = [name_below(path, root) for path in paths]
    missing = [name for name, there in zip(names, found, strict=True) if not there]
    return EmbeddingSet(names, vectors, np.full(len(paths), np.nan), missing)


def name_below(source: Source, root: Path | None) -> str:
    """A photograph's name: its path below the root where it lies there."""
    if root is not None and isinstance(source, Path) and source.is_relative_to(root):
        return source.relative_to(root).as_posix()
    return str(source)
