"""Everything that a list of scored pairs says about a model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from facever.metrics.folds import cross_validated_accuracy, standard_error
from facever.metrics.rates import Bools, Integers, checked_pairs, equal_error_rate, tar_at_far
from facever.scoring import MIN_FALSE_ACCEPTS, Scores, impostors_needed

REPORTED_FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)


@dataclass(frozen=True, slots=True)
class VerificationResult:
    """What a set of scored pairs says about a model.

    `accuracy` is the mean over the folds, `accuracy_standard_error` the standard error of that mean.
    Accuracies, rates and the AUC are shares in [0, 1]. `tar_at_far` maps each of `REPORTED_FARS` to a TAR, or to None
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
        One score a pair, higher for more similar.
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

    cosines, same = checked_pairs(cosines, same)
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
            for far in REPORTED_FARS
        },
        fold_accuracies=tuple(fold_accuracies.tolist()),
        fold_thresholds=tuple(fold_thresholds.tolist()),
        pairs=cosines.size,
        genuine_pairs=genuine.size,
        impostor_pairs=impostor.size,
    )
