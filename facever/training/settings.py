"""What a training is told, in one record that travels into checkpoints and weights files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from facever.datasets.augmentation import Augmentation
from facever.faces.device import PRECISIONS
from facever.losses import ALPHA_START, CENTER_RATE, CENTER_WEIGHT, BranchLoss, CenterLoss, L2Softmax, Softmax
from facever.networks import EmbeddingNetwork, build_network
from facever.weights.alignment import ALIGNMENTS

LOSSES = ("l2-softmax", "softmax", "center", "l2-center")
OPTIMISERS = ("sgd", "adamw")
SAMPLINGS = ("plain", "even")
KEPT = ("best", "last")


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Everything that a training's result depends on, beside the data.

    Attributes
    ----------
    network, network_arguments
        As for `facever.networks.build_network`; the size of the input comes from the alignment.
    alignment : str
        A name in `facever.weights.file.alignment.ALIGNMENTS`.
    loss : {"l2-softmax", "softmax", "center", "l2-center"}
        The last two are softmax and L2-softmax joined with center loss.
    alpha : float
        The radius of L2-softmax; where it starts if `alpha_learned`.
    alpha_bound : float, optional
        A learned alpha stays at or above its lower bound for this probability.
    alpha_decay : float, optional
        Weight decay of a learned alpha; that of all others if not given.
    center_weight, center_rate : float
        Of center loss: what it counts beside softmax (lambda), and how fast centres move.
    epochs, minutes
        How long: one of the two is given.
    optimiser : {"sgd", "adamw"}
    learning_rate, momentum, weight_decay, batch_size
        Of the optimiser; SGD's momentum is Nesterov's. Weight decay spares biases, normalisation and PReLU; alpha has
        its own.
    loss_rate, loss_decay : float, optional
        Learning rate and weight decay of the loss's parameters (the classifier); those of the network if not given.
    head_start : float
        Share of the training in which only the loss's parameters learn, before the network's rate begins to rise.
    clip : float, optional
        Longest gradient, of all parameters together.
    ema : float
        Decay of the running average of the parameters that is validated and exported; 0 exports the parameters.
    sampling : {"plain", "even"}
        Whether photographs are drawn equally often, or sources, and identities within each.
    init : str, optional
        Weights to begin from (`facever.training.initial`).
    pull : dict
        From shell patterns of identities to the weight of the pull towards the initial embedding; the first that fits.
    pull_branches : list of float
        How strong the pull is on each branch of a network that has several, relative to that weight.
    freeze : list of str
        Shell patterns of the network's parameters that stay as they are.
    teacher : str, optional
        Weights whose embeddings the network learns to agree with (`facever.training.distillation.teacher`).
    teacher_weight, similarity_weight, softmax_weight : float
        Of the agreement, of the similarities within it, and of the loss over identities beside it.
    mixed : float
        Share of each batch that are faces mixed from two people, on whom only the teacher has a word
        (`facever.training.distillation.mixup`).
    export_arguments : dict
        Arguments of the exported network that differ from those in training, and leave its parameters as they are.
    keep : {"best", "last"}
        Which network is exported: the best by validation of those after each epoch, or the last.
    half_size : float
        Share of the training, from its beginning, in which crops are halved in height and width.
    warmup : float
        Share of the training in which the learning rate rises from 0; then it falls to 0 as a cosine.
    held_out : float
        Share of the identities kept for validation and thresholds.
    seed : int
        Of the parameters, the order of the data, augmentation and dropout, and the held-out people.
    precision : {"auto", "bf16", "fp32"}
        "auto" is bf16 autocast where the device computes in bf16.
    compile : bool
        Whether to try `torch.compile`.
    dropped : list of str
        Identities and photographs of the data that are passed over.
    calibrate_on : str
        Shell pattern of the held-out identities from which the thresholds come.
    terms, licence : str
        Of the photographs and of the weights, for the record in the weights file.
    """

    network: str = "face_resnet_slim"
    network_arguments: dict[str, Any] = field(default_factory=dict)
    alignment: str = "tight-64x56"
    loss: str = "l2-softmax"
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
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    optimiser: str = "sgd"
    loss_rate: float | None = None
    loss_weight_decay: float | None = None
    head_start: float = 0.0
    clip: float | None = None
    ema: float = 0.0
    sampling: str = "plain"
    init: str | None = None
    pull: dict[str, float] = field(default_factory=dict)
    pull_branches: list[float] = field(default_factory=lambda: [1.0])
    freeze: list[str] = field(default_factory=list)
    teacher: str | None = None
    teacher_weight: float = 4.0
    similarity_weight: float = 10.0
    softmax_weight: float = 1.0
    mixed: float = 0.0
    half_size: float = 0.0
    export_arguments: dict[str, Any] = field(default_factory=dict)
    keep: str = "best"
    warmup: float = 0.03
    held_out: float = 0.15
    seed: int = 0
    precision: str = "auto"
    compile: bool = True
    dropped: list[str] = field(default_factory=list)
    calibrate_on: str = "*"
    terms: str = "not stated"
    licence: str = "not stated"
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        def require(condition: bool, message: str) -> None:
            if not condition:
                raise ValueError(message)

        require((self.epochs is None) != (self.minutes is None), "give either epochs or minutes")
        require(self.epochs is None or self.epochs >= 1, f"at least 1 epoch, not {self.epochs}")
        require(self.minutes is None or self.minutes > 0, f"more than 0 minutes, not {self.minutes}")
        require(self.loss in LOSSES, f"the loss is one of {', '.join(LOSSES)}, not {self.loss!r}")
        require(
            self.precision in PRECISIONS,
            f"precision is one of {', '.join(PRECISIONS)}, not {self.precision!r}",
        )
        require(self.alignment in ALIGNMENTS, f"the alignment is one of {', '.join(ALIGNMENTS)}")
        require(self.batch_size >= 2, f"batch normalisation needs at least 2 crops a batch, not {self.batch_size}")
        require(self.learning_rate > 0, f"a learning rate above 0, not {self.learning_rate}")
        require(self.optimiser in OPTIMISERS, f"the optimiser is sgd or adamw, not {self.optimiser!r}")
        require(self.sampling in SAMPLINGS, f"sampling is plain or even, not {self.sampling!r}")
        require(self.keep in KEPT, f"what is kept is best or last, not {self.keep!r}")
        require(0 <= self.ema < 1, f"ema is a decay in [0, 1), not {self.ema}")
        require(self.clip is None or self.clip > 0, f"clip is a length above 0, not {self.clip}")
        require(self.init is not None or not self.pull, "pull is towards initial weights, and there is no init")
        require(all(0 <= w < math.inf for w in self.pull.values()), f"pulls are numbers from 0 on, not {self.pull}")
        teaching = (self.teacher_weight, self.similarity_weight, self.softmax_weight)
        require(all(0 <= w < math.inf for w in teaching), f"weights are numbers from 0 on, not {teaching}")
        require(0 <= self.mixed < 1, f"mixed is a share in [0, 1), not {self.mixed}")
        require(self.teacher is not None or not self.mixed, "mixed faces are for a teacher, and there is none")
        require(not (self.pull and self.mixed), "mixed faces are for a teacher, and not for a pull")
        require(0 <= self.half_size <= 1, f"half_size is a share in [0, 1], not {self.half_size}")
        require(self.loss_rate is None or self.loss_rate > 0, f"a learning rate above 0, not {self.loss_rate}")
        require(
            min(self.warmup, self.head_start) >= 0 and self.warmup + self.head_start < 1,
            f"warmup and head_start are shares in [0, 1), not {self.warmup} and {self.head_start}",
        )
        require(0 <= self.held_out < 1, f"held_out is a share in [0, 1), not {self.held_out}")
        require(self.alpha > 0, f"alpha is the radius of a sphere and must be positive, not {self.alpha}")
        learns = self.has_alpha and self.alpha_learned
        for name, value in (("alpha_bound", self.alpha_bound), ("alpha_decay", self.alpha_decay)):
            what = f"is fixed at {self.alpha:g}" if self.has_alpha else f"is not in the loss {self.loss!r}"
            require(value is None or learns, f"{name} is for a learned alpha, and alpha {what}")
        bound, decay = self.alpha_bound, self.alpha_decay
        require(bound is None or 0 < bound < 1, f"alpha_bound is a probability between 0 and 1, not {bound}")
        require(decay is None or 0 <= decay < math.inf, f"alpha_decay is a number from 0 on, not {decay}")
        weight, rate = self.center_weight, self.center_rate
        require(0 <= weight < math.inf, f"center_weight is a number from 0 on, not {weight}")
        require(0 < rate <= 1, f"center_rate is above 0 and at most 1, not {rate}")
        require(
            self.has_centers or (weight, rate) == (CENTER_WEIGHT, CENTER_RATE),
            f"center_weight and center_rate are for the losses center and l2-center, not {self.loss!r}",
        )

    @property
    def has_alpha(self) -> bool:
        return self.loss in ("l2-softmax", "l2-center")

    @property
    def has_centers(self) -> bool:
        return self.loss in ("center", "l2-center")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> TrainingSettings:
        """From `to_json`; what a record lacks has its default."""
        return cls(**{**fields, "augmentation": Augmentation(**fields["augmentation"])})

    def all_network_arguments(self) -> dict[str, Any]:
        """What the network is built with: the given arguments, and the size of the alignment's crops."""
        alignment = ALIGNMENTS[self.alignment]
        return {**self.network_arguments, "input_size": [alignment.height, alignment.width]}

    @property
    def loss_decay(self) -> float:
        return self.weight_decay if self.loss_weight_decay is None else self.loss_weight_decay

    def build(self, num_classes: int) -> tuple[EmbeddingNetwork, Softmax | CenterLoss | BranchLoss]:
        """Network and loss, their parameters drawn from torch's random generator."""
        network = build_network(self.network, **self.all_network_arguments())
        return network, self.build_loss(network, num_classes)

    def build_loss(self, network: EmbeddingNetwork, num_classes: int) -> Softmax | CenterLoss | BranchLoss:
        """The loss for a network, with a classifier for each of its branches."""
        size = network.embedding_size // network.branches
        losses = [self._loss(size, num_classes) for _ in range(network.branches)]
        return losses[0] if len(losses) == 1 else BranchLoss(losses)

    def _loss(self, size: int, num_classes: int) -> Softmax | CenterLoss:
        loss = self._softmax(size, num_classes)
        return CenterLoss(loss, self.center_weight, self.center_rate) if self.has_centers else loss

    def _softmax(self, size: int, num_classes: int) -> Softmax:
        if not self.has_alpha:
            return Softmax(size, num_classes, self.label_smoothing)
        return L2Softmax(size, num_classes, self.alpha, self.alpha_learned, self.label_smoothing, self.alpha_bound)

    def learning_rate_at(self, progress: float) -> float:
        """The network's rate after that share of the training, in [0, 1]: a linear rise, then half a cosine.

        Before the rise it is 0 for the `head_start`.
        """
        if progress < self.head_start:
            return 0.0
        return self.learning_rate * _one_cycle(progress - self.head_start, 1 - self.head_start, self.warmup)

    def loss_rate_at(self, progress: float) -> float:
        """The same for the loss's parameters: without a head start, and without a rise if there is one."""
        top = self.learning_rate if self.loss_rate is None else self.loss_rate
        return top * _one_cycle(progress, 1.0, 0.0 if self.head_start else self.warmup)


def _one_cycle(passed: float, whole: float, rise: float) -> float:
    """In [0, 1]: L. N. Smith, N. Topin, *Super-Convergence*, 2019, with the cosine of Loshchilov, Hutter 2017."""
    if passed < rise:
        return passed / rise
    fallen = (passed - rise) / (whole - rise)
    return (1 + math.cos(math.pi * min(1.0, fallen))) / 2


def parse_alpha(text: str) -> tuple[float, bool]:
    """(alpha, learned) from "16" or "learned". Raises ValueError for anything else."""
    if text == "learned":
        return ALPHA_START, True
    alpha = float(text)
    if not (alpha > 0 and math.isfinite(alpha)):
        raise ValueError(f"alpha must be positive, not {text}")
    return alpha, False


def parse_pull(texts: Sequence[str]) -> dict[str, float]:
    """{"kin_*": 1.2} from "kin_*=1.2". Raises ValueError for anything else."""
    pulls = {}
    for text in texts:
        pattern, mark, weight = text.rpartition("=")
        if not (mark and pattern):
            raise ValueError(f"a pull is PATTERN=WEIGHT, such as 'kin_*=1.2', not {text!r}")
        pulls[pattern] = float(weight)
    return pulls
