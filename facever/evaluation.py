"""How well cosines tell genuine from impostor pairs: LFW's protocol, ROC, EER and TAR at FAR.

The protocol (folds, mean accuracy, standard error of the mean) is that of G. B. Huang, M. Ramesh, T. Berg,
E. Learned-Miller, *Labeled Faces in the Wild*, University of Massachusetts, Amherst,
Technical Report 07-49, 2007.
The decision rule is that of `facever.scoring`: same person if cosine >= threshold.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from facever.errors import DataError
from facever.scoring import (
    MIN_FALSE_ACCEPTS,
    Scores,
    checked_scores,
    decide,
    impostors_needed,
    tar_at_threshold,
    threshold_at_far,
)

FARS = (1e-1, 1e-2, 1e-3, 1e-4)

Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class VerificationResult:
    """What a set of scored pairs says about a model.

    `accuracy` is the mean over the folds, `accuracy_standard_error` the standard error of that mean.
    Accuracies, rates and the AUC are shares in [0, 1]. `tar_at_far` maps each of `FARS` to a TAR, or to None
    where the impostor pairs are too few for that FAR.
    """

    accuracy: float
    accuracy_standard_error: float
    auc: float
    eer: float
    tar_at_far: dict[float, float | None]
    fold_accuracies: tuple[float, ...]
    fold_thresholds: tuple[float, ...]
    pairs: int
    genuine_pairs: int
    impostor_pairs: int

    def to_json(self) -> dict[str, Any]:
        """Return the fields as what `json.dumps` takes; the FARs become keys such as "0.001"."""
        tar_at_far = {f"{far:g}": tar for far, tar in self.tar_at_far.items()}
        lists = {"fold_accuracies": list(self.fold_accuracies), "fold_thresholds": list(self.fold_thresholds)}
        return asdict(self) | lists | {"tar_at_far": tar_at_far}


def verification_result(
    cosines: Scores, same: Bools, folds: Integers, *, min_false_accepts: int = MIN_FALSE_ACCEPTS
) -> VerificationResult:
    """Return every figure that LFW's protocol and the ROC give for scored pairs.

    Parameters
    ----------
    cosines : ndarray of shape (n,), float
        One score a pair, higher for more alike.
    same : ndarray of shape (n,), bool
        True for genuine pairs.
    folds : ndarray of shape (n,), int
        The fold of each pair; two or more folds.
    min_false_accepts : int
        TAR is given at the FARs at which so many false accepts are expected, and is None at the others.

    Returns
    -------
    VerificationResult

    Raises
    ------
    ValueError
        If the shapes differ.
    DataError
        If a score is not finite, a kind of pair is missing (also from the other folds of one), or there is a
        single fold.
    """
    from sklearn.metrics import roc_auc_score

    cosines, same = _checked_pairs(cosines, same)
    genuine, impostor = cosines[same], cosines[~same]
    fold_accuracies, fold_thresholds = cross_validated_accuracy(cosines, same, folds)
    return VerificationResult(
        accuracy=float(fold_accuracies.mean()),
        accuracy_standard_error=standard_error(fold_accuracies),
        auc=float(roc_auc_score(same, cosines)),
        eer=equal_error_rate(cosines, same),
        tar_at_far={
            far: tar_at_far(genuine, impostor, far)
            if impostor.size >= impostors_needed(far, min_false_accepts)
            else None
            for far in FARS
        },
        fold_accuracies=tuple(fold_accuracies.tolist()),
        fold_thresholds=tuple(fold_thresholds.tolist()),
        pairs=cosines.size,
        genuine_pairs=genuine.size,
        impostor_pairs=impostor.size,
    )


def best_threshold(cosines: Scores, same: Bools) -> float:
    """Return the threshold with the highest accuracy.

    Tried are, from low to high: the lowest score (all pairs are accepted), the midpoints between neighbouring
    distinct scores, and the next float above the highest score (none is accepted). Where several are best, it
    is the middle one of the first uninterrupted run of them, the lower one if two stand in the middle.

    Parameters
    ----------
    cosines : ndarray of shape (n,), float
    same : ndarray of shape (n,), bool
        True for genuine pairs.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the shapes differ.
    DataError
        If a score is not finite or a kind of pair is missing.
    """
    cosines, same = _checked_pairs(cosines, same)
    values, inverse = np.unique(cosines.astype(np.float64), return_inverse=True)  # (m,) ascending, (n,)
    midpoints = (values[:-1] + values[1:]) / 2
    # Between two neighbouring floats the midpoint rounds to one of them; the lower one would accept itself.
    midpoints = np.where(midpoints > values[:-1], midpoints, values[1:])
    thresholds = np.concatenate([values[:1], midpoints, np.nextafter(values[-1:], np.inf)])  # (m + 1,)
    # A threshold raised above a score gains the impostors and loses the genuine pairs that have this score.
    gains = np.bincount(inverse, weights=np.where(same, -1, 1))  # (m,) whole numbers
    correct = np.count_nonzero(same) + np.concatenate([[0], np.cumsum(gains)])  # (m + 1,)
    first = int(np.argmax(correct))
    worse = np.flatnonzero(correct[first:] < correct[first])
    run = int(worse[0]) if worse.size else correct.size - first
    return float(thresholds[first + (run - 1) // 2])


def cross_validated_accuracy(
    cosines: Scores, same: Bools, folds: Integers
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the accuracy of each fold at the best threshold of all the other folds.

    Parameters
    ----------
    cosines : ndarray of shape (n,), float
    same : ndarray of shape (n,), bool
        True for genuine pairs.
    folds : ndarray of shape (n,), int
        The fold of each pair.

    Returns
    -------
    fold_accuracies, fold_thresholds : ndarray of shape (k,), float64
        In ascending order of the k fold numbers.

    Raises
    ------
    ValueError
        If the shapes differ.
    DataError
        If a score is not finite, the other folds of one lack a kind of pair, or there is a single fold.
    """
    cosines, same = _checked_pairs(cosines, same)
    folds = np.asarray(folds)
    if folds.shape != cosines.shape:
        raise ValueError(f"a fold for each pair is needed: {folds.shape} is not {cosines.shape}")
    names = np.unique(folds)
    if names.size < 2:
        raise DataError("cross-validation takes two or more folds, and there is one; use a list with more")
    accuracies, thresholds = [], []
    for name in names:
        held_out = folds == name
        threshold = best_threshold(cosines[~held_out], same[~held_out])
        accuracies.append(np.mean(decide(cosines[held_out], threshold) == same[held_out]))
        thresholds.append(threshold)
    return np.array(accuracies), np.array(thresholds)


def standard_error(values: npt.NDArray[np.float64]) -> float:
    """Return the standard error of a mean: the sample standard deviation (ddof 1) over sqrt(k).

    Parameters
    ----------
    values : ndarray of shape (k,), float
        k > 1.

    Returns
    -------
    float
    """
    return float(np.std(values, ddof=1) / math.sqrt(values.size))


def equal_error_rate(cosines: Scores, same: Bools) -> float:
    """Return the error rate where false accepts are as frequent as false rejects.

    The rates jump from score to score; between the two points of the ROC where they cross, both are taken as
    straight lines.

    Parameters
    ----------
    cosines : ndarray of shape (n,), float
    same : ndarray of shape (n,), bool
        True for genuine pairs.

    Returns
    -------
    float
        In [0, 1]; 0.5 for scores that say nothing.

    Raises
    ------
    ValueError
        If the shapes differ.
    DataError
        If a score is not finite or a kind of pair is missing.
    """
    from sklearn.metrics import roc_curve

    cosines, same = _checked_pairs(cosines, same)
    far, tar, _ = roc_curve(same, cosines)  # from (0, 0) to (1, 1)
    excess = (1 - tar) - far  # FRR - FAR, falling from 1 to -1
    after = int(np.argmax(excess <= 0))
    before = after - 1
    weight = excess[before] / (excess[before] - excess[after])
    return float(far[before] + weight * (far[after] - far[before]))


def tar_at_far(genuine_cosines: Scores, impostor_cosines: Scores, far: float) -> float:
    """Return the TAR at the smallest threshold whose FAR is at most the given one.

    Parameters
    ----------
    genuine_cosines : ndarray of shape (g,), float
    impostor_cosines : ndarray of shape (i,), float
        However few; below 10 / `far` of them the result is mostly chance.
    far : float
        Between 0 and 1, both excluded.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    DataError
        If `far` is out of range, or there is no score of a kind or one that is not finite.
    """
    return tar_at_threshold(genuine_cosines, threshold_at_far(impostor_cosines, far, min_false_accepts=0))


def pairwise_cosines(
    embeddings: npt.NDArray[np.float32], identities: Integers
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the cosines of all pairs of a modest set, genuine and impostor ones apart.

    All n (n - 1) / 2 cosines are held: about 4 bytes * n² / 2, which is 72 MB for 6,000 embeddings.

    Parameters
    ----------
    embeddings : ndarray of shape (n, d), float32
        Unit vectors.
    identities : ndarray of shape (n,), int
        The person of each embedding.

    Returns
    -------
    genuine, impostor : ndarray of shape (g,) and (i,), float32
        In [-1, 1]; each pair i < j once, in ascending order of (i, j).

    Raises
    ------
    ValueError
        If the shapes don't fit.
    """
    identities = np.asarray(identities)
    if embeddings.ndim != 2 or identities.shape != embeddings.shape[:1]:
        raise ValueError(f"shapes (n, d) and (n,) are needed, not {embeddings.shape} and {identities.shape}")
    n = len(embeddings)
    counts = np.unique(identities, return_counts=True)[1]
    genuine = np.empty(int(np.sum(counts * (counts - 1) // 2)), np.float32)
    impostor = np.empty(n * (n - 1) // 2 - genuine.size, np.float32)
    filled_genuine = filled_impostor = 0
    block = 256  # rows; the product of a block with all others stays small beside the result
    for start in range(0, n, block):
        rows = slice(start, start + block)
        cosines = np.clip(embeddings[rows] @ embeddings[start:].T, -1.0, 1.0)  # (rows, n - start)
        later = np.triu(np.ones(cosines.shape, dtype=bool), k=1)
        same = identities[rows, None] == identities[None, start:]
        of_block = cosines[later & same]
        genuine[filled_genuine : filled_genuine + of_block.size] = of_block
        filled_genuine += of_block.size
        of_block = cosines[later & ~same]
        impostor[filled_impostor : filled_impostor + of_block.size] = of_block
        filled_impostor += of_block.size
    return genuine, impostor


def _checked_pairs(cosines: Scores, same: Bools) -> tuple[Scores, Bools]:
    """Return scores and labels as arrays if they fit each other and both kinds of pair are there."""
    cosines, same = checked_scores(cosines), np.asarray(same, dtype=bool)
    if same.shape != cosines.shape:
        raise ValueError(f"a label for each score is needed: {same.shape} is not {cosines.shape}")
    genuine = int(np.count_nonzero(same))
    if genuine in (0, same.size):
        kind = "impostor" if genuine else "genuine"
        raise DataError(f"there is no {kind} pair among {same.size:,}; both kinds are needed")
    return cosines, same
