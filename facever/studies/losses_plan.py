"""What the study of losses trains: losses, networks, learning rates, shares of hard photographs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from facever.studies.faces import FACE_SETTINGS, NETWORK_IN_WORDS
from facever.studies.outcome import in_epochs
from facever.studies.strata import FAR

SEEDS, QUICK_SEEDS = 3, 1
EPOCHS, QUICK_EPOCHS = 24, 1
SWEEP_EPOCHS, SWEEP_SEED = 6, 1000
SOFTMAX, FIXED, LEARNED = "softmax", "l2-softmax, alpha 16", "l2-softmax, learned alpha"
CENTER, JOINED = "center loss", "l2-softmax, alpha 16, with center loss"
# Center loss counts 0.003 and its centers move by 0.5, the defaults, as Wen et al. 2016 have it.
LOSSES: dict[str, dict[str, Any]] = {
    SOFTMAX: {"loss": "softmax"},
    FIXED: {"loss": "l2-softmax", "alpha": 16.0},
    LEARNED: {"loss": "l2-softmax", "alpha": 4.0, "alpha_learned": True},
    CENTER: {"loss": "center"},
    JOINED: {"loss": "l2-center", "alpha": 16.0},
}
STEP, MOST = 1.5, 6
METRICS = ("accuracy", "tar_at_far_0.01", "tar_at_far_0.001")
SWEPT = "tar_at_far_0.01"


@dataclass(frozen=True, slots=True)
class Group:
    """Losses in one network, trained equally long.

    Attributes
    ----------
    losses : dict
        From a name to a name in `LOSSES`.
    own : dict
        Settings besides those of the loss and of `FACE_SETTINGS`.
    rates, step : floats, float
        Learning rates to try; where the best is at an end, the sweep continues beyond it by this factor, up to `MOST`
        rates. Losses differ in the highest rate that they bear, so the grid is fine.
    sweep_epochs, epochs : int
    strata : bool
        Whether they are tested on strata, and their gradients looked at.
    """

    losses: dict[str, str]
    own: dict[str, Any]
    rates: tuple[float, ...]
    step: float = STEP
    sweep_epochs: int = SWEEP_EPOCHS
    epochs: int = EPOCHS
    strata: bool = True

    def settings(self, loss: str) -> dict[str, Any]:
        """All settings of a loss of this group that differ from `FACE_SETTINGS`, without rate, length and seed."""
        return {**LOSSES[self.losses[loss]], **self.own}


def small_network(feature_norm: bool) -> dict[str, Any]:
    return {"network_arguments": {**FACE_SETTINGS["network_arguments"], "feature_norm": feature_norm}}


# As in the paper, nothing but the loss keeps the norms of features together.
MAIN = Group({loss: loss for loss in LOSSES}, small_network(False), (0.067, 0.1, 0.15, 0.22))
# Once more with batch normalization behind the dense layer, which most networks have today.
NORMALIZED = Group(
    {f"{loss}, feature norm": loss for loss in (SOFTMAX, FIXED, LEARNED)},
    small_network(True),
    (0.1, 0.3, 0.9),
    step=3.0,
    strata=False,
)
# The paper's own network and crops, for a GPU.
FULL = Group(
    {f"{loss}, full network": loss for loss in (SOFTMAX, FIXED)},
    {"network": "face_resnet", "network_arguments": {}, "alignment": "face-112x96", "progressive_resizing": 0.0},
    (0.01, 0.03, 0.1),
    step=3.0,
    sweep_epochs=2,
    epochs=12,
)
QUICK_RATE = 0.05
# Which rates a loss bears: short trainings, with as many steps of warm-up as the long ones have.
BORNE_LOSSES = (SOFTMAX, FIXED, LEARNED)
BORNE_RATES, QUICK_BORNE_RATES = (0.05, 0.075, 0.11, 0.17, 0.25, 0.38, 0.57), (0.05, 0.57)
BORNE_SEEDS, BORNE_EPOCHS = 5, 2
# A training that ends with a TAR at FAR 1e-2 of at most twice what guessing gives has failed, too.
GUESSED = 0.02
# Families among the training photographs, of which there are equally many each time.
HARD_SHARES, QUICK_HARD_SHARES = (0.0, 0.25, 0.5, 0.75), (0.25, 0.75)
HARD_LOSSES = (SOFTMAX, FIXED)


@dataclass(frozen=True, slots=True)
class Trained:
    """What was trained.

    Attributes
    ----------
    rates : dict
        From a loss, or a loss and a share of hard photographs, to the learning rate of its trainings.
    sweep : dict
        From a loss to TAR at FAR 1e-2 of held-out people by learning rate; 0 where it diverged.
    failed : dict
        From a loss to the number of seeds that failed to train, by learning rate.
    shares : sequence
        Of hard photographs; empty where the data has no families.
    """

    quick: bool
    full: bool
    seeds: list[int]
    rates: dict[str, float] = field(default_factory=dict)
    sweep: dict[str, dict[float, float]] = field(default_factory=dict)
    failed: dict[str, dict[float, int]] = field(default_factory=dict)
    borne_seeds: list[int] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)

    @property
    def groups(self) -> list[Group]:
        if self.quick:
            return [MAIN]
        return [MAIN, NORMALIZED, *([FULL] if self.full else [])]

    def epochs_of(self, group: Group) -> int:
        return QUICK_EPOCHS if self.quick else group.epochs


def planned(trained: Trained) -> int:
    """How many trainings there will be at least."""
    seeds, quick = len(trained.seeds), trained.quick
    losses = sum(len(group.losses) * (seeds + (0 if quick else len(group.rates))) for group in trained.groups)
    shares = len(HARD_LOSSES) * len(QUICK_HARD_SHARES if quick else HARD_SHARES) * seeds
    rates = 2 * len(QUICK_BORNE_RATES) if quick else len(BORNE_LOSSES) * len(BORNE_RATES) * BORNE_SEEDS
    return losses + shares + rates


def shared(loss: str, share: float) -> str:
    """ "softmax, hard share 0.25" """
    return f"{loss}, hard share {share:g}"


def metric_name(test: str, metric: str) -> str:
    """ "LFW, TAR at FAR 0.001" """
    return f"{test}, {metric.replace('tar_at_far_', 'TAR at FAR ')}"


def method_of(trained: Trained) -> list[str]:
    """The procedure, a sentence or two each."""
    rates = ", ".join(f"{rate:g}" for rate in MAIN.rates)
    tuned = (
        f"The learning rate of each loss is the best of {rates}, and beyond where the best was at an end, by TAR at "
        f"FAR 1e-2 of held-out people after {SWEEP_EPOCHS} epochs. The sweep has another seed, and so other held-out "
        "people than the figures. Where a seed diverges at the best rate, all take the next best."
    )
    return [
        NETWORK_IN_WORDS,
        "As in the paper's network, no normalization follows the dense layer: only the loss keeps the norms of "
        "features together.",
        f"The same seeds, held-out people, batches, augmentation and schedule for all losses: "
        f"{in_epochs(trained.epochs_of(MAIN))} of SGD with momentum, {len(trained.seeds)} seeds.",
        f"One learning rate for all, {QUICK_RATE:g}, not tuned." if trained.quick else tuned,
        "The last network of each training counts, as the schedule ends there; LFW took no part in any choice.",
        "Accuracy is that of listed pairs at thresholds from other folds, TAR at FAR that of every pair of the test "
        "photographs.",
        "Strata: the same photographs degraded; thirds by the detector's score, sharpness, pose and size; held-out "
        f"families beside other held-out people. In each, TAR at FAR {FAR:g} at the threshold of its own strangers. "
        "Gains are compared in log odds, since a gain of a point means "
        "more where little was missing.",
        "Training sets with a share of hard photographs hold equally many photographs, of whole people; the hard ones "
        "show families.",
        "A training fails at a learning rate if its loss or its embeddings stop being finite, or if it verifies no "
        f"better than by chance (TAR at FAR 1e-2 of at most {GUESSED:g}). These are short, with as many steps of "
        "warm-up as the long ones.",
        *([] if trained.quick else [_told(NORMALIZED, "with batch normalization behind the dense layer")]),
        *([_told(FULL, "in the paper's own network, on crops of 112×96 pixels")] if FULL in trained.groups else []),
    ]


def _told(group: Group, how: str) -> str:
    rates = ", ".join(f"{rate:g}" for rate in group.rates)
    return (
        f"{', '.join(group.losses.values())} are trained once more {how}, for {in_epochs(group.epochs)} at the best of "
        f"{rates} (by {in_epochs(group.sweep_epochs)}), and beyond where the best was at an end. No check depends on "
        "these."
    )
