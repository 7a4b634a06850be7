"""Three answers, counted: errors among the decided pairs beside the share left undecided."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from facever.metrics.all_pairs import AllPairs
from facever.metrics.rates import Bools
from facever.scoring import Bounds, decide

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Decisions:
    """Pairs by decision.

    Attributes
    ----------
    bounds : Bounds
    genuine, impostor : int
        Pairs asked about.
    genuine_same, genuine_different, impostor_same, impostor_different : int
        The decided ones.
    """

    bounds: Bounds
    genuine: int
    impostor: int
    genuine_same: int
    genuine_different: int
    impostor_same: int
    impostor_different: int

    @property
    def far_of_decided(self) -> float:
        """The share of decided impostor pairs that count as the same person; 0 where none is decided."""
        return self.impostor_same / max(self.impostor_same + self.impostor_different, 1)

    @property
    def frr_of_decided(self) -> float:
        """The share of decided genuine pairs that count as different people; 0 where none is decided."""
        return self.genuine_different / max(self.genuine_same + self.genuine_different, 1)

    @property
    def undecided_genuine(self) -> float:
        return 1 - (self.genuine_same + self.genuine_different) / max(self.genuine, 1)

    @property
    def undecided_impostor(self) -> float:
        return 1 - (self.impostor_same + self.impostor_different) / max(self.impostor, 1)

    def to_json(self) -> dict[str, Any]:
        """Counts and rates."""
        names = ("far_of_decided", "frr_of_decided", "undecided_genuine", "undecided_impostor")
        return asdict(self) | {name: getattr(self, name) for name in names}


def decisions_of(cosines: Floats, same: Bools, answerable: Bools, bounds: Bounds) -> Decisions:
    """Count the decisions of listed pairs.

    Parameters
    ----------
    cosines, same : ndarrays of shape (n,), float64 and bool
    answerable : bool ndarray of shape (n,)
        False where a photograph is too poor, so that the pair is undecided.
    bounds : Bounds

    Examples
    --------
    Of two genuine pairs one is the same person, one undecided; of two impostors one is too poor to decide:

    >>> found = decisions_of(np.array([0.6, 0.4, 0.7, 0.1]), np.array([True, True, False, False]),
    ...                      np.array([True, True, False, True]), Bounds(0.5, 0.3, 1e-3, 0.02))
    >>> found.genuine_same, found.undecided_genuine, found.impostor_different, found.far_of_decided
    (1, 0.5, 1, 0.0)
    """
    accepted = decide(cosines, bounds.threshold) & answerable
    rejected = ~decide(cosines, bounds.lower_threshold) & answerable
    counts = [int(np.count_nonzero(kind & of)) for kind in (same, ~same) for of in (accepted, rejected)]
    return Decisions(bounds, int(np.count_nonzero(same)), int(np.count_nonzero(~same)), *counts)


def decisions_of_all(every: AllPairs, answerable: AllPairs, bounds: Bounds) -> Decisions:
    """Count the decisions of all pairs, to the resolution of a bin; `answerable` lack a poor photograph."""
    genuine, impostor = answerable.genuine_pairs, answerable.impostor_pairs
    upper, lower = bounds.threshold, bounds.lower_threshold
    counts = [
        round(answerable.tar_at(upper) * genuine),
        round((1 - answerable.tar_at(lower)) * genuine),
        round(answerable.far_at(upper) * impostor),
        round((1 - answerable.far_at(lower)) * impostor),
    ]
    return Decisions(bounds, every.genuine_pairs, every.impostor_pairs, *counts)


def undecided_curve(
    cosines: Floats, same: Bools, weights: Floats, middle: float, points: int = 60
) -> tuple[Floats, Floats]:
    """How errors fall as a band of undecided cosines widens on both sides of a threshold.

    Parameters
    ----------
    cosines, same, weights : ndarrays of shape (n,), float64, bool, float64
        The weights are numbers of pairs.
    middle : float
        The threshold.
    points : int

    Returns
    -------
    undecided, error : float64 ndarrays of shape (points,)
        The share of pairs within the band, and the share of wrong decisions among the others, each the mean of that of
        genuine and that of impostor pairs. It ends where a kind of pair is wholly undecided.
    """
    distance = np.abs(cosines - middle)
    wrong = decide(cosines, middle) != same
    kinds = [weights * kind / weights[kind].sum() for kind in (same, ~same)]
    widest = min(float(distance[kind].max()) for kind in (same, ~same))
    undecided, error = [], []
    for width in np.linspace(0, widest, points):
        outside = distance >= width
        decided = np.array([share[outside].sum() for share in kinds])
        wrongly = np.array([share[outside & wrong].sum() for share in kinds])
        undecided.append(1 - decided.mean())
        error.append((wrongly / decided).mean())
    return np.array(undecided), np.array(error)
