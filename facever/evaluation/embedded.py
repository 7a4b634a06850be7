"""Embeddings of an evaluation's photographs: by a verifier, from the cache, or made elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facever.datasets.external import ForeignEmbeddings
from facever.errors import DataError
from facever.faces.cache import Embedded, EmbeddingCache, keys_of
from facever.faces.pipeline import STAGES, FaceRule, Through
from facever.faces.sources import Source
from facever.files import sha256_of
from facever.verifier import Verifier


@dataclass(frozen=True, slots=True)
class StageTimes:
    """What the stages of the pipeline took in this run.

    Attributes
    ----------
    seconds : dict from a name of `STAGES` to float
        Summed over photographs, and so over all processes and threads: more than the time that passed, where several
        work at once.
    embedded, cached : int
        Photographs that went through the stages now, and those whose embeddings came from the cache.
    """

    seconds: dict[str, float]
    embedded: int
    cached: int


@dataclass(frozen=True, slots=True)
class Photographs:
    """Embeddings of an evaluation's photographs.

    Attributes
    ----------
    names : n str
    vectors : float32 ndarray of shape (n, d), unit length; zeros where there is no embedding
    norms : float64 ndarray of shape (n,)
        Of the features before normalisation; not a number for embeddings made elsewhere.
    without_face : list of str
        Failures to acquire: the centre crop was embedded in place of a face, or, with embeddings made elsewhere, there
        was none, and every cosine with it is 0.
    times : StageTimes or None
        What they took; None for embeddings made elsewhere.
    """

    names: list[str]
    vectors: NDArray[np.float32]
    norms: NDArray[np.float64]
    without_face: list[str]
    times: StageTimes | None = None


def embed_each(
    verifier: Verifier,
    paths: Sequence[Source],
    rule: FaceRule = "center",
    workers: int | None = None,
    through: Through = lambda photographs, total: photographs,
    cache: EmbeddingCache | None = None,
    root: Path | None = None,
) -> Photographs:
    """One embedding of each photograph, from the cache where it has it.

    Raises
    ------
    DataError
        If a photograph can't be read, or gives an embedding that is zero or not finite.
    """
    keys: list[str | None] = [None] * len(paths)
    known: dict[str, Embedded] = {}
    if cache is not None:
        job = verifier.job(rule, centre_fallback=True)
        keys = list(keys_of(paths, job, f"{sha256_of(verifier.path)} {verifier.embedder.precision}"))
        known = cache.get(keys)
    found = [known.get(key) if key is not None else None for key in keys]
    missing = [i for i, there in enumerate(found) if there is None]
    broken: list[str] = []
    new: dict[str, Embedded] = {}
    stream = verifier.embed_files([paths[i] for i in missing], rule, workers, centre_fallback=True)
    seconds = dict.fromkeys(STAGES, 0.0)
    for i, photograph in zip(missing, through(stream, len(missing)), strict=True):
        for stage, value in photograph.seconds.items():
            seconds[stage] += value
        found[i] = embedded = Embedded.of(photograph)
        key = keys[i]
        if embedded is None:
            broken.append(photograph.problems[0])
        elif key is not None:
            new[key] = embedded
    if cache is not None and new:
        cache.put(new)
    if broken:
        raise DataError(
            f"{len(broken)} photographs can't be read, the first: {broken[0]}; mend or restore them: "
            "figures without them could not be compared"
        )
    names = [name_below(path, root) for path in paths]
    _check_usable(names, found)
    there = [embedded for embedded in found if embedded is not None]
    return Photographs(
        names,
        np.array([embedded.embedding for embedded in there], np.float32),
        np.array([embedded.norm for embedded in there], np.float64),
        [name for name, embedded in zip(names, there, strict=True) if not embedded.found],
        StageTimes(seconds, len(missing), len(paths) - len(missing)),
    )


def _check_usable(names: Sequence[str], found: Sequence[Embedded | None]) -> None:
    """A vector of zeros or of no numbers has no angle to any other. Raises DataError."""
    bad = [n for n, e in zip(names, found, strict=True) if e is not None and not 0 < np.linalg.norm(e.embedding) < 2]
    if bad:
        raise DataError(
            f"{len(bad)} photographs gave embeddings that are zero or not finite, the first: {bad[0]}; the weights are "
            "not fit for these photographs"
        )


def foreign_photographs(foreign: ForeignEmbeddings, paths: Sequence[Source], root: Path) -> Photographs:
    """Embeddings made elsewhere, for these photographs. Raises DataError if no photograph has one."""
    vectors, found = foreign.of(paths, root)
    names = [name_below(path, root) for path in paths]
    missing = [name for name, there in zip(names, found, strict=True) if not there]
    return Photographs(names, vectors, np.full(len(paths), np.nan), missing)


def name_below(source: Source, root: Path | None) -> str:
    """A photograph's name: its path below the root where it lies there."""
    if root is not None and isinstance(source, Path) and source.is_relative_to(root):
        return source.relative_to(root).as_posix()
    return str(source)
