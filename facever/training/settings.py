"""Training settings: one record, which also goes into checkpoints and weights files."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from torch import Tensor

from facever.datasets.augmentation import Augmentation
from facever.datasets.sources import check_sources
from facever.faces.device import Precision
from facever.losses import (
    CENTER_RATE,
    CENTER_WEIGHT,
    BranchLoss,
    CenterLoss,
    IdentityLoss,
    L2Softmax,
    Softmax,
    check_alpha,
)
from facever.networks import EmbeddingNetwork, build_network
from facever.training.setting_checks import (
    check_augmentation,
    check_fraction,
    check_keys,
    check_positive,
    check_types,
    check_weights,
    require,
)
from facever.weights.alignment import ALIGNMENTS

LossName = Literal["l2-softmax", "softmax", "center", "l2-center"]


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Everything that a training's result depends on, besides the data.

    Attributes
    ----------
    network, network_arguments
        As for `facever.networks.build_network`; the input size comes from the alignment.
    alignment : str
        A name in `facever.weights.alignment.ALIGNMENTS`.
    loss : {"l2-softmax", "softmax", "center", "l2-center"}
        The last two are softmax and L2-softmax joined with center loss.
    alpha, alpha_learned : float, bool
        The radius of L2-softmax, fixed or learned; where it starts if it is learned.
    alpha_bound : float, optional
        Keep a learned alpha at or above its lower bound for this probability.
    alpha_decay : float, optional
        Weight decay of a learned alpha; `head_weight_decay` does not apply to it. By default `weight_decay`.
    center_weight, center_rate : float
        Weight of center loss (lambda), and step size of its centers.
    label_smoothing : float
        Share of probability spread over all identities.
    epochs, minutes
        Length of the training; one of the two.
    batch_size : int
        Photographs a step (in each process).
    optimizer : {"sgd", "adamw"}
        SGD with Nesterov momentum, or AdamW.
    learning_rate, momentum, weight_decay : float
        The learning rate is the peak. Biases, normalization and PReLU are exempt from weight decay.
    head_learning_rate, head_weight_decay : float, optional
        For the loss's parameters (the classifier); by default those of the network.
    warmup : float
        Initial fraction of training in which the learning rate rises from 0; then it falls to 0 along a cosine.
    head_warmup : float
        Initial fraction of training in which only the loss's parameters learn.
    clip : float, optional
        Max gradient norm, over all parameters.
    ema : float
        Decay of the exponential moving average of the parameters, which is validated and exported; 0 turns it off.
    sampling : {"plain", "even"}
        Draw all photographs equally often; or sources, and identities within each, equally often.
    sources : str
        Pattern with a group named `source` that an identity's name must match from its start, such as
        "(?P<source>[^_]+)_"; empty for `sources.csv` in the data folder, or else one source. See
        `facever.datasets.sources`.
    init : str, optional
        Initial weights.
    anchor : dict
        From shell patterns of identities to the weight of the anchor, a penalty on the distance to the initial
        embedding; the first pattern that matches counts.
    head_start : {"random", "means"}
        Where the classifier starts: at random, or at the mean initial embedding of each identity, which spares a short
        training the time to find it.
    anchor_view : {"augmented", "clean"}
        Whether that is the initial embedding of the augmented view, which costs a forward pass, or of the crop as it
        is, averaged with its mirror image, which is computed once.
    anchor_branches : list of float
        Relative weight of the anchor on each branch of a network that has several.
    freeze : list of str
        Shell patterns of network parameters to freeze.
    teacher : str, optional
        Weights whose embeddings supervise the network, besides the labels.
    teacher_weight, similarity_weight, softmax_weight : float
        Weights of the distillation loss, of the similarities within it, and of the loss over identities beside it.
    mixup, mixup_pairs : float, int
        Fraction of each batch that is mixup of two faces, supervised only by the teacher, and how many such pairs are
        drawn for each photograph; each costs the teacher one pass, once.
    progressive_resizing : float
        Initial fraction of training on crops of half the height and width.
    export_arguments : dict
        Network arguments that differ in the exported network and leave its parameters unchanged.
    gate_on : str
        Shell pattern of training identities. The exported network then holds the initial MobileFaceNet beside the
        trained one, and a gate sends crops like those of these identities to the latter: see `facever.training.gate`.
    gate_centered : float
        The part of the trained one's mean embedding of these crops that is subtracted from its embeddings.
    keep : {"best", "last"}
        Export the epoch that validates best, or the last.
    held_out : float
        Fraction of the identities kept for validation and thresholds.
    seed : int
        Random seed: parameters, sampling, augmentation, dropout, held-out identities.
    precision : {"auto", "bf16", "fp32"}
        "auto" is bf16 autocast where the device is faster in it.
    compile : bool
        Try `torch.compile`.
    dropped : list of str
        Identities and photographs to leave out.
    calibrate_on : str
        Shell pattern of the held-out identities that determine the thresholds.
    terms, license : str
        Terms of the photographs and license of the weights, for the record.
    """

    network: str = "face_resnet_slim"
    network_arguments: dict[str, Any] = field(default_factory=dict)
    alignment: str = "tight-64x56"
    loss: LossName = "l2-softmax"
    alpha: float = 16.0
    alpha_learned: bool = False
    alpha_bound: float | None = None
    alpha_decay: float | None = None
    center_weight: float = CENTER_WEIGHT
    center_rate: float = CENTER_RATE
    label_smoothing: float = 0.0
    epochs: int | None = None
    minutes: float | None = None
    batch_size: int = 128
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    head_learning_rate: float | None = None
    head_weight_decay: float | None = None
    warmup: float = 0.03
    head_warmup: float = 0.0
    clip: float | None = None
    ema: float = 0.0
    sampling: Literal["plain", "even"] = "plain"
    sources: str = ""
    init: str | None = None
    anchor: dict[str, float] = field(default_factory=dict)
    head_start: Literal["random", "means"] = "random"
    anchor_view: Literal["augmented", "clean"] = "augmented"
    anchor_branches: list[float] = field(default_factory=lambda: [1.0])
    freeze: list[str] = field(default_factory=list)
    teacher: str | None = None
    teacher_weight: float = 4.0
    similarity_weight: float = 10.0
    softmax_weight: float = 1.0
    mixup: float = 0.0
    mixup_pairs: int = 4
    progressive_resizing: float = 0.0
    export_arguments: dict[str, Any] = field(default_factory=dict)
    gate_on: str = ""
    gate_centered: float = 0.0
    keep: Literal["best", "last"] = "best"
    held_out: float = 0.15
    seed: int = 0
    precision: Precision = "auto"
    compile: bool = True
    dropped: list[str] = field(default_factory=list)
    calibrate_on: str = "*"
    terms: str = "not stated"
    license: str = "not stated"
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        check_types(self)
        check_types(self.augmentation, "augmentation.")
        _check_ranges(self)

    @property
    def has_alpha(self) -> bool:
        return self.loss in ("l2-softmax", "l2-center")

    @property
    def has_centers(self) -> bool:
        return self.loss in ("center", "l2-center")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TrainingSettings:
        """Settings from a record or a recipe; what it lacks has its default.

        Raises
        ------
        ValueError
            For an unknown key, a value of another type, or one out of range.
        """
        check_keys(values, cls)
        augmentation = values.get("augmentation", {})
        require(isinstance(augmentation, Mapping), f"augmentation is a table of settings, not {augmentation!r}")
        check_keys(augmentation, Augmentation, "augmentation.")
        return cls(**{**values, "augmentation": Augmentation(**augmentation)})

    def all_network_arguments(self) -> dict[str, Any]:
        """Arguments for `build_network`: those given, and the alignment's crop size."""
        alignment = ALIGNMENTS[self.alignment]
        return {**self.network_arguments, "input_size": [alignment.height, alignment.width]}

    def build(self, num_classes: int) -> tuple[EmbeddingNetwork, IdentityLoss]:
        """Network and loss, their parameters drawn from torch's random generator."""
        network = build_network(self.network, **self.all_network_arguments())
        require(network.native, f"the network {self.network} can't be trained; as a teacher its weights will do")
        return network, self.build_loss(network, num_classes)

    def build_loss(
        self, network: EmbeddingNetwork, num_classes: int, gather: Callable[[Tensor], Tensor] = lambda part: part
    ) -> IdentityLoss:
        """The loss for a network, with a classifier for each of its branches; `gather` as for `CenterLoss`."""
        size = network.embedding_size // network.branches
        losses = [self._loss(size, num_classes, gather) for _ in range(network.branches)]
        return losses[0] if len(losses) == 1 else BranchLoss(losses)

    def _loss(self, size: int, num_classes: int, gather: Callable[[Tensor], Tensor]) -> Softmax | CenterLoss:
        loss = (
            Softmax(size, num_classes, self.label_smoothing)
            if not self.has_alpha
            else L2Softmax(size, num_classes, self.alpha, self.alpha_learned, self.label_smoothing, self.alpha_bound)
        )
        return CenterLoss(loss, self.center_weight, self.center_rate, gather) if self.has_centers else loss

    def learning_rate_at(self, progress: float) -> float:
        """The network's learning rate at this fraction of training, in [0, 1]; 0 during `head_warmup`."""
        if progress < self.head_warmup:
            return 0.0
        return self.learning_rate * _one_cycle(progress - self.head_warmup, 1 - self.head_warmup, self.warmup)

    def head_learning_rate_at(self, progress: float) -> float:
        """The loss's learning rate: no delay, and no rise where the network waits for it."""
        peak = self.learning_rate if self.head_learning_rate is None else self.head_learning_rate
        return peak * _one_cycle(progress, 1.0, 0.0 if self.head_warmup else self.warmup)


def _one_cycle(passed: float, whole: float, rise: float) -> float:
    """A linear rise, then half a cosine, in [0, 1].

    L. N. Smith, N. Topin, *Super-Convergence*, 2019, with the cosine of I. Loshchilov, F. Hutter, *SGDR*, 2017.
    """
    if passed < rise:
        return passed / rise
    fallen = (passed - rise) / (whole - rise)
    return (1 + math.cos(math.pi * min(1.0, fallen))) / 2


def _check_ranges(s: TrainingSettings) -> None:
    require((s.epochs is None) != (s.minutes is None), "give either epochs or minutes")
    check_positive(s, "epochs", "minutes", "mixup_pairs", "learning_rate", "head_learning_rate", "clip")
    check_weights(s, "weight_decay", "head_weight_decay", "alpha_decay", "center_weight", "teacher_weight")
    check_weights(s, "similarity_weight", "softmax_weight", "momentum")
    check_fraction(s, "label_smoothing", "ema", "warmup", "head_warmup", "mixup", "held_out")
    check_fraction(s, "progressive_resizing", "gate_centered", one=True)
    check_augmentation(s.augmentation)
    check_fraction(s, "center_rate", zero=False, one=True)
    require(
        s.warmup + s.head_warmup < 1,
        f"warmup {s.warmup} and head_warmup {s.head_warmup} leave nothing of the training",
    )
    require(s.alignment in ALIGNMENTS, f"alignment is one of {', '.join(ALIGNMENTS)}, not {s.alignment!r}")
    require(s.batch_size >= 2, f"batch normalization needs at least 2 crops a batch, not {s.batch_size}")
    require(s.init is not None or not s.anchor, "an anchor is towards initial weights, and there is no init")
    gates = s.init is not None and s.network == "mobilefacenet"
    require(gates or not s.gate_on, "a gate stands between a mobilefacenet and its initial weights; set init to those")
    require(s.init is not None or s.head_start == "random", "the means are of initial embeddings, and there is no init")
    require(all(0 <= w < math.inf for w in s.anchor.values()), f"anchor weights are at least 0, not {s.anchor}")
    require(s.teacher is not None or not s.mixup, "mixup faces are supervised by a teacher, and there is none")
    require(not (s.anchor and s.mixup), "mixup faces have no initial embedding for an anchor; use one of the two")
    check_sources(s.sources)
    if s.has_alpha:
        check_alpha(s.alpha, s.alpha_learned, s.alpha_bound)
    require(s.has_alpha or s.alpha_bound is None, f"alpha_bound is for an alpha, and the loss {s.loss!r} has none")
    learns = s.has_alpha and s.alpha_learned
    require(learns or s.alpha_decay is None, "alpha_decay is for a learned alpha, and none is learned")
    require(
        s.has_centers or (s.center_weight, s.center_rate) == (CENTER_WEIGHT, CENTER_RATE),
        f"center_weight and center_rate are for the losses center and l2-center, not {s.loss!r}",
    )
