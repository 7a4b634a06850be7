"""Every genuine and impostor pair of a folder of identities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from facever.datasets.identities import labels_of
from facever.errors import DataError
from facever.evaluation.all_pairs import all_pairs
from facever.protocols.embedded import Photographs
from facever.scoring import impostors_needed

FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


@dataclass(frozen=True, slots=True)
class AllPairsResult:
    """Every pair of a set of photographs.

    Attributes
    ----------
    tar_at_far, threshold_at_far : dict from FAR to float or None
        None where the impostor pairs are too few for that FAR.
    suspicious : list of (name, name, cosine)
        The most alike pairs of different people, the most alike first.
    """

    photographs: int
    people: int
    without_face: list[str]
    genuine_pairs: int
    impostor_pairs: int
    tar_at_far: dict[float, float | None]
    threshold_at_far: dict[float, float | None]
    suspicious: list[tuple[str, str, float]]

    def to_json(self) -> dict[str, Any]:
        rates = {
            name: {f"{far:g}": value for far, value in getattr(self, name).items()}
            for name in ("tar_at_far", "threshold_at_far")
        }
        return asdict(self) | rates


def evaluate_all(embedded: Photographs, identities: Sequence[str], suspicious: int = 10) -> AllPairsResult:
    """Score every pair of the photographs, `identities[i]` being the person in photograph i.

    Raises
    ------
    DataError
        If there is no pair of a kind.
    """
    labels, names = labels_of(identities)
    found = all_pairs(embedded.vectors, np.array(labels, np.int64), closest=suspicious)
    if not (found.genuine_pairs and found.impostor_pairs):
        raise DataError("all pairs take two people, and two photographs of one of them; add photographs")
    supported = {far: found.impostor_pairs >= impostors_needed(far) for far in FARS}
    return AllPairsResult(
        photographs=len(labels),
        people=len(names),
        without_face=embedded.without_face,
        genuine_pairs=found.genuine_pairs,
        impostor_pairs=found.impostor_pairs,
        tar_at_far={far: found.tar_at_far(far) if there else None for far, there in supported.items()},
        threshold_at_far={far: found.threshold_at_far(far) if there else None for far, there in supported.items()},
        suspicious=[(embedded.names[i], embedded.names[j], value) for i, j, value in found.closest],
    )
