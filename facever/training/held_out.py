"""Verification of held-out identities: each source apart, relatives apart from strangers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.datasets.identities import group_of, labels_of
from facever.metrics import tar_at_far
from facever.metrics.all_pairs import blocks
from facever.scoring import far_at_threshold, impostors_needed, tar_at_threshold

HELD_OUT_FARS = (1e-2, 1e-3, 1e-4)
TRANSFERRED_FAR = 1e-3


@dataclass(frozen=True, slots=True)
class PairCosines:
    """Cosines of all pairs of some people, float32: of the same person, of relatives, of strangers.

    Relatives are different people of one group (`facever.datasets.identities.group_of`).
    """

    genuine: NDArray[np.float32]
    relatives: NDArray[np.float32]
    strangers: NDArray[np.float32]


def pair_cosines(embeddings: NDArray[np.float32], identities: Sequence[str]) -> PairCosines:
    """All pairs i < j. `embeddings` is float32 (n, d) of unit length; holds 2 n² bytes."""
    labels, names = labels_of(identities)
    person = np.array(labels, np.int64)
    groups = np.array(labels_of([group_of(name) for name in names])[0], np.int64)[person]
    parts: tuple[list[NDArray[np.float32]], ...] = ([], [], [])
    for rows, columns, cosines, same, different in blocks(embeddings, person):
        akin = groups[rows, None] == groups[None, columns]
        for part, chosen in zip(parts, (same, different & akin, different & ~akin), strict=True):
            part.append(cosines[chosen])
    empty = [np.empty(0, np.float32)]
    return PairCosines(*(np.concatenate(part or empty) for part in parts))


def by_source(
    embeddings: NDArray[np.float32], identities: Sequence[str], sources: Sequence[str]
) -> dict[str, PairCosines]:
    """The pairs within each source that has genuine pairs and strangers.

    Parameters
    ----------
    embeddings : float32 ndarray of shape (n, d), unit length
    identities, sources : n str
        Of each embedding.
    """
    of_row = np.array(sources)
    found = {}
    for source in sorted(set(sources)):
        rows = np.flatnonzero(of_row == source).tolist()
        pairs = pair_cosines(embeddings[rows], [identities[i] for i in rows])
        if len(pairs.genuine) and len(pairs.strangers):
            found[str(source)] = pairs
    return found


def tar_by_source(pairs: Mapping[str, PairCosines], far: float = 1e-3) -> dict[str, float]:
    """TAR of each source whose strangers support this FAR, at its own threshold among them.

    Parameters
    ----------
    pairs : from `by_source`
    """
    needed = impostors_needed(far)
    return {s: tar_at_far(p.genuine, p.strangers, far) for s, p in pairs.items() if len(p.strangers) >= needed}


def held_out_figures(
    embeddings: NDArray[np.float32],
    identities: Sequence[str],
    sources: Sequence[str],
    threshold: float | None = None,
) -> dict[str, Any]:
    """TAR at FARs within each source; and what a common threshold does on each.

    Parameters
    ----------
    embeddings : float32 ndarray of shape (n, d), unit length
    identities, sources : n str
    threshold : float, optional
        A cosine, the same for all sources.

    Returns
    -------
    dict
        A record for each source: `people`, `photographs`, the numbers of `genuine`, `relatives` and `strangers` pairs,
        `tar` at each FAR that its strangers support, and, if there is a threshold, `far_at_threshold` of strangers,
        `far_of_relatives` and `tar_at_threshold`.
    """
    return {
        source: _figures([n for n, s in zip(identities, sources, strict=True) if s == source], pairs, threshold)
        for source, pairs in by_source(embeddings, identities, sources).items()
    }


def _figures(own: Sequence[str], pairs: PairCosines, threshold: float | None) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "people": len(set(own)),
        "photographs": len(own),
        **{kind: len(cosines) for kind, cosines in asdict(pairs).items()},
        "tar": {
            f"{far:g}": tar_at_far(pairs.genuine, pairs.strangers, far)
            for far in HELD_OUT_FARS
            if len(pairs.strangers) >= impostors_needed(far)
        },
    }
    if threshold is not None:
        figures["threshold"] = threshold
        figures["far_at_threshold"] = far_at_threshold(pairs.strangers, threshold)
        figures["tar_at_threshold"] = tar_at_threshold(pairs.genuine, threshold)
        if len(pairs.relatives):
            figures["far_of_relatives"] = far_at_threshold(pairs.relatives, threshold)
    return figures
