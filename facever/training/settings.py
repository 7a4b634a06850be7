"""What a training is told, in one record that travels into checkpoints and weights files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from facever.alignment import ALIGNMENTS
from facever.datasets.augmentation import Augmentation
from facever.losses import ALPHA_START, CENTER_RATE, CENTER_WEIGHT, CenterLoss, L2Softmax, Softmax
from facever.networks import EmbeddingNetwork, build_network

LOSSES = ("l2-softmax", "softmax", "center", "l2-center")
PRECISIONS = ("auto", "bf16", "fp32")


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Everything that a training's result depends on, beside the data.

    Attributes
    ----------
    network, network_arguments
        As for `facever.networks.build_network`; the size of the input comes from the alignment.
    alignment : str
        A name in `facever.alignment.ALIGNMENTS`.
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
    learning_rate, momentum, weight_decay, batch_size
        Of SGD with Nesterov momentum. Weight decay spares biases, normalisation and PReLU; alpha has its own.
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
    warmup: float = 0.03
    held_out: float = 0.15
    seed: int = 0
    precision: str = "auto"
    compile: bool = True
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
        require(0 <= self.warmup < 1, f"warmup is a share in [0, 1), not {self.warmup}")
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

    def build(self, num_classes: int) -> tuple[EmbeddingNetwork, Softmax | CenterLoss]:
        """Network and loss, their parameters drawn from torch's random generator."""
        network = build_network(self.network, **self.all_network_arguments())
        loss = self._softmax(network.embedding_size, num_classes)
        return network, CenterLoss(loss, self.center_weight, self.center_rate) if self.has_centers else loss

    def _softmax(self, size: int, num_classes: int) -> Softmax:
        if not self.has_alpha:
            return Softmax(size, num_classes, self.label_smoothing)
        return L2Softmax(size, num_classes, self.alpha, self.alpha_learned, self.label_smoothing, self.alpha_bound)

    def learning_rate_at(self, progress: float) -> float:
        """The learning rate after that share of the training, in [0, 1]: a linear rise, then half a cosine."""
        if progress < self.warmup:
            return self.learning_rate * progress / self.warmup
        fallen = (progress - self.warmup) / (1 - self.warmup)
        return self.learning_rate * (1 + math.cos(math.pi * min(1.0, fallen))) / 2


def parse_alpha(text: str) -> tuple[float, bool]:
    """(alpha, learned) from "16" or "learned". Raises ValueError for anything else."""
    if text == "learned":
        return ALPHA_START, True
    alpha = float(text)
    if not (alpha > 0 and math.isfinite(alpha)):
        raise ValueError(f"alpha must be positive, not {text}")
    return alpha, False
