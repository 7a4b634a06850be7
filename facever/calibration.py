"""Thresholds that keep a stated false accept rate, from the embeddings of people who were not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facever.datasets.identities import labels_of, read_identities, split_identities
from facever.errors import DataError
from facever.evaluation import pairwise_cosines
from facever.pipeline import Through
from facever.scoring import impostors_needed, tar_at_threshold, threshold_at_far
from facever.verifier import Verifier
from facever.weights import Threshold

FARS = (1e-2, 1e-3)


def thresholds_of_folder(
    verifier: Verifier,
    data: Path,
    only: str = "*",
    held_out: float = 1.0,
    seed: int = 0,
    workers: int | None = None,
    through: Through = lambda photographs, total: photographs,
) -> list[Threshold]:
    """Thresholds from the people in a folder of identities, with photographs detected and aligned as always.

    Photographs without a face take no part: a threshold is for faces.

    Parameters
    ----------
    only : str
        Shell pattern of the people's names.
    held_out : float in (0, 1]
        Only the share of people that a training with this share and seed holds out; 1 takes all.

    Raises
    ------
    DataError
        If there are no such people.
    """
    folder = read_identities(data, only=only)
    names = set(folder.identities)
    if held_out < 1:
        names = set(split_identities(names, held_out, seed)[1])
    chosen = [(path, name) for path, name in zip(folder.paths, folder.identities, strict=True) if name in names]
    if not chosen:
        raise DataError(f"{data}: nobody is held out with a share of {held_out:g}; choose a larger one")
    stream = verifier.embed_files([path for path, _ in chosen], "center", workers)
    embeddings, identities = [], []
    for photograph, (_, name) in zip(through(stream, len(chosen)), chosen, strict=True):
        if photograph.faces:
            embeddings.append(photograph.faces[0].embedding)
            identities.append(name)
    if not embeddings:
        raise DataError(f"{data}: no face was found in its photographs; use larger, sharper ones")
    kind = "held-out people" if held_out < 1 else "people"
    source = f"{len(set(identities))} {kind} of {data.name} ({only})"
    return thresholds_from(np.array(embeddings, np.float32), identities, source)


def thresholds_from(
    embeddings: NDArray[np.float32], identities: Sequence[str], source: str, fars: Sequence[float] = FARS
) -> list[Threshold]:
    """The thresholds for these false accept rates over all pairs of the people given.

    Rates that their impostor pairs can't support (fewer than ten false accepts expected) are left out.

    Parameters
    ----------
    embeddings : float32 ndarray of shape (n, d), unit length
    identities : n str
    source : str
        Who these people are, for the record.
    """
    labels, _ = labels_of(identities)
    genuine, impostor = pairwise_cosines(embeddings, np.array(labels, np.int64))
    thresholds = []
    for far in fars:
        if len(impostor) < impostors_needed(far) or not len(genuine):
            continue
        cosine = threshold_at_far(impostor, far)
        tar = tar_at_threshold(genuine, cosine)
        thresholds.append(Threshold(far, float(cosine), source, len(impostor), float(tar)))
    return thresholds
