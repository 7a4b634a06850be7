"""The embedding networks: crops in, one unnormalised feature each out.

- `face_resnet`: Y. Wen, K. Zhang, Z. Li, Y. Qiao, *A Discriminative Feature Learning Approach for Deep Face
  Recognition*, 2016 (figure of the network for LFW), as R. Ranjan, C. D. Castillo, R. Chellappa use it in
  *L2-constrained Softmax Loss for Discriminative Face Verification*, 2017.
- `face_resnet_slim`: the same plan for processors: fewer channels, strided convolutions, batch normalisation.
- `resnet29`: the layout of dlib's `dlib_face_recognition_resnet_model_v1` (D. E. King, 2017).
- `resnet29_twin`: grown out of it, its last two stages doubled, so that one may keep what the other unlearns.

Shapes: N crops, C channels, H and W pixels, d components of the feature.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


class EmbeddingNetwork(nn.Module):
    """What all networks here have in common.

    Attributes
    ----------
    embedding_size : int
        d, the number of components of the feature.
    input_size : (int, int)
        Height and width of the crops.
    branches : int
        Of how many features of equal size, each with a classifier of its own in training, the feature is joined.
    """

    embedding_size: int
    input_size: tuple[int, int]
    branches: int = 1

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, H, W) -> (N, d)
        raise NotImplementedError


class ResidualBlock(nn.Module):
    """x + two 3x3 convolutions of as many channels, each followed by (batch normalisation and) PReLU."""

    def __init__(self, channels: int, batch_norm: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(channels, channels, batch_norm=batch_norm),
            *_convolution(channels, channels, batch_norm=batch_norm),
        )

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W) -> the same
        return x + self.body(x)


def _convolution(channels_in: int, channels: int, *, stride: int = 1, batch_norm: bool = False) -> list[nn.Module]:
    convolution = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=not batch_norm)
    norm = [nn.BatchNorm2d(channels)] if batch_norm else []
    return [convolution, *norm, nn.PReLU(channels)]


class FaceResNet(EmbeddingNetwork):
    """The paper's network: 27 convolutions and a dense layer; the classifier of the loss is the second dense one.

    Every convolution is 3x3 with padding 1 and a PReLU behind it; every pool is 2x2 with stride 2.

    Parameters
    ----------
    embedding_size : int
        512 in the paper.
    input_size : (int, int)
        Height and width, both divisible by 16; 112x96 in the paper.
    """

    STAGES = ((64, 1), (128, 2), (256, 5), (512, 3))  # channels, residual blocks

    def __init__(self, embedding_size: int = 512, input_size: Sequence[int] = (112, 96)) -> None:
        super().__init__()
        height, width = _checked(embedding_size, input_size)
        _require(height % 16 == 0 and width % 16 == 0, f"four pools need sides divisible by 16, not {input_size}")
        self.embedding_size, self.input_size = embedding_size, (height, width)
        layers = _convolution(3, 32)
        channels = 32
        for width_of_stage, blocks in self.STAGES:
            layers += _convolution(channels, width_of_stage)
            layers += [nn.MaxPool2d(2)]
            layers += [ResidualBlock(width_of_stage) for _ in range(blocks)]
            channels = width_of_stage
        self.features = nn.Sequential(*layers)
        self.dense = nn.Linear(channels * (height // 16) * (width // 16), embedding_size)
        self._initialise()

    def _initialise(self) -> None:
        """As the authors' own code: Xavier, but near zero inside the residual blocks, which thus begin as identity."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_normal_(module.weight, gain=2**0.5 if isinstance(module, nn.Conv2d) else 1.0)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for block in self.modules():
            if isinstance(block, ResidualBlock):
                for module in block.body:
                    if isinstance(module, nn.Conv2d):
                        nn.init.normal_(module.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, 112, 96)
        x = self.features(x)  # (N, 512, 7, 6)
        return self.dense(x.flatten(1))  # (N, 512)


class FaceResNetSlim(EmbeddingNetwork):
    """The Face-ResNet plan for processors.

    A strided convolution stands in place of each convolution and pool, channels are fewer, batch normalisation follows
    each convolution and, if wanted, the dense layer.

    Parameters
    ----------
    widths, depths : sequences of as many int
        Channels and residual blocks of each stage; a stage halves the resolution.
    stem : int
        Channels of the first convolution, at full resolution.
    dropout : float in [0, 1)
        Share of the dense layer's inputs dropped in training.
    feature_norm : bool
        Whether batch normalisation follows the dense layer: it holds the lengths of features together whatever the
        loss. The paper's network has none.
    """

    def __init__(
        self,
        embedding_size: int = 256,
        input_size: Sequence[int] = (112, 96),
        widths: Sequence[int] = (32, 64, 128, 256),
        depths: Sequence[int] = (1, 2, 5, 3),
        stem: int = 32,
        dropout: float = 0.0,
        feature_norm: bool = True,
    ) -> None:
        super().__init__()
        height, width = _checked(embedding_size, input_size)
        _require(len(widths) == len(depths) > 0, f"as many widths as depths, not {widths} and {depths}")
        _require(min(widths) > 0 and stem > 0, "a stage needs at least one channel")
        _require(min(depths) >= 0, "a stage can't have a negative number of blocks")
        _require(0 <= dropout < 1, f"dropout is a share in [0, 1), not {dropout}")
        self.embedding_size, self.input_size = embedding_size, (height, width)
        layers = _convolution(3, stem, batch_norm=True)
        channels = stem
        for channels_of_stage, blocks in zip(widths, depths, strict=True):
            layers += _convolution(channels, channels_of_stage, stride=2, batch_norm=True)
            layers += [ResidualBlock(channels_of_stage, batch_norm=True) for _ in range(blocks)]
            channels = channels_of_stage
            height, width = (height + 1) // 2, (width + 1) // 2
        self.map_size = (height, width)
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(channels * height * width, embedding_size, bias=not feature_norm)
        self.norm = nn.BatchNorm1d(embedding_size) if feature_norm else nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.25, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, H, W)
        x = self.features(x)  # (N, widths[-1], H / 2^stages, W / 2^stages)
        if x.shape[2:] != self.map_size:  # crops of another size, as the first part of a training may take them
            x = F.interpolate(x, self.map_size, mode="nearest")
        return self.norm(self.dense(self.dropout(x.flatten(1))))  # (N, d)


class DlibBlock(nn.Module):
    """relu(shortcut + two 3x3 convolutions); a `down` block halves the resolution."""

    def __init__(self, channels_in: int, channels: int, down: bool) -> None:
        super().__init__()
        self.down = down
        self.first = nn.Conv2d(channels_in, channels, 3, 2 if down else 1, padding=0 if down else 1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:  # (N, C_in, H, W)
        y = self.second(F.relu(self.first(x), inplace=True))
        if not self.down:
            return F.relu(x + y, inplace=True)
        x = F.avg_pool2d(x, 2)
        # dlib adds tensors of unequal size as if the smaller had zeros at its end: channels of x, pixels of y.
        height, width = max(x.shape[2], y.shape[2]), max(x.shape[3], y.shape[3])
        x = F.pad(x, (0, width - x.shape[3], 0, height - x.shape[2], 0, y.shape[1] - x.shape[1]))
        y = F.pad(y, (0, width - y.shape[3], 0, height - y.shape[2]))
        return F.relu(x + y, inplace=True)


class ResNet29(EmbeddingNetwork):
    """dlib's face network, each affine map folded into the convolution before it: 5,607,488 parameters."""

    STAGES = (
        (32, 3),
        (64, 4),
        (128, 3),
        (256, 3),
        (256, 1),
    )  # channels, blocks; all but the first stage begin with down

    def __init__(self, embedding_size: int = 128, input_size: Sequence[int] = (150, 150)) -> None:
        super().__init__()
        height, width = _checked(embedding_size, input_size)
        # 103 -> 49 (stem) -> 24 (pool) -> 12 -> 6 -> 3 (blocks), the least that a 3x3 kernel without padding takes.
        _require(min(height, width) >= 103, f"six halvings without padding need 103 pixels, not {input_size}")
        self.embedding_size, self.input_size = embedding_size, (height, width)
        self.stem = nn.Conv2d(3, 32, 7, 2)
        blocks, channels = [], 32
        for i, (channels_of_stage, count) in enumerate(self.STAGES):
            for j in range(count):
                blocks.append(DlibBlock(channels, channels_of_stage, down=i > 0 and j == 0))
                channels = channels_of_stage
        self.blocks = nn.Sequential(*blocks)
        self.dense = nn.Linear(channels, embedding_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, 150, 150)
        x = F.max_pool2d(F.relu(self.stem(x), inplace=True), 3, 2)  # (N, 32, 35, 35)
        x = self.blocks(x)  # (N, 256, 2, 2)
        return self.dense(x.mean((2, 3)))  # (N, 128)


class ResNet29Twin(EmbeddingNetwork):
    """`resnet29` with its last two stages twice, each with a dense layer: two features that are joined.

    Each branch's feature is scaled to length 1, and the centre of its initial features, which lie in a narrow cone, is
    taken out, wholly or in part. Both are again scaled to length 1 and joined, so that the cosine of two joined
    features is the weighted mean of the branches' cosines. (All of the centre taken out makes much of the little that
    unclear photographs say; none leaves strangers on unclear photographs too alike. See models/default.md.)

    Parameters
    ----------
    embedding_size : int
        Of both branches together.
    second_share : float in (0, 1)
        The weight of the second branch in the cosine.
    centred : two floats in [0, 1]
        The part of the centre that is taken out of each branch.
    """

    centres: Tensor  # (branches, d / branches)

    TRUNK = sum(blocks for _, blocks in ResNet29.STAGES[:3])  # how many blocks both branches share
    branches = 2

    def __init__(
        self,
        embedding_size: int = 256,
        input_size: Sequence[int] = (150, 150),
        second_share: float = 0.5,
        centred: Sequence[float] = (1.0, 1.0),
    ) -> None:
        super().__init__()
        _require(embedding_size % self.branches == 0, f"two branches share an embedding of {embedding_size} unevenly")
        _require(0 < second_share < 1, f"the second branch's share is in (0, 1), not {second_share}")
        parts = tuple(float(part) for part in centred)
        _require(
            len(parts) == self.branches and all(0 <= part <= 1 for part in parts),
            f"the parts of the centre that are taken out are two numbers in [0, 1], not {centred}",
        )
        half = embedding_size // self.branches
        single = ResNet29(half, input_size)
        self.embedding_size, self.input_size = embedding_size, single.input_size
        self.lengths = (math.sqrt(1 - second_share), math.sqrt(second_share))
        self.centred = parts
        self.stem, self.trunk = single.stem, single.blocks[: self.TRUNK]
        rest = single.blocks[self.TRUNK :]
        self.tails = nn.ModuleList(copy.deepcopy(rest) for _ in range(self.branches))
        self.dense = nn.ModuleList(copy.deepcopy(single.dense) for _ in range(self.branches))
        self.register_buffer("centres", torch.zeros(self.branches, half))

    @torch.no_grad()
    def grow_from(self, single: ResNet29, centre: Tensor) -> None:
        """Begin with the parameters of a single network, and of the mean (d,) of its unit features."""
        self.stem.load_state_dict(single.stem.state_dict())
        self.trunk.load_state_dict(single.blocks[: self.TRUNK].state_dict())
        for tail, dense in zip(self.tails, self.dense, strict=True):
            tail.load_state_dict(single.blocks[self.TRUNK :].state_dict())
            dense.load_state_dict(single.dense.state_dict())
        self.centres.copy_(centre.expand_as(self.centres))

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, 150, 150) -> (N, d), of length 1
        x = self.trunk(F.max_pool2d(F.relu(self.stem(x), inplace=True), 3, 2))  # (N, 128, 8, 8)
        joined = []
        branches = zip(self.tails, self.dense, self.centres, self.centred, self.lengths, strict=True)
        for tail, dense, centre, part, length in branches:
            feature = F.normalize(dense(tail(x).mean((2, 3))).float())
            joined.append(length * F.normalize(feature - part * centre))
        return torch.cat(joined, 1)


def _checked(embedding_size: int, input_size: Sequence[int]) -> tuple[int, int]:
    _require(embedding_size >= 1, f"an embedding needs at least one component, not {embedding_size}")
    _require(len(input_size) == 2, f"input_size is (height, width), not {tuple(input_size)}")
    height, width = (int(side) for side in input_size)
    _require(min(height, width) >= 16, f"crops of at least 16x16 pixels are needed, not {height}x{width}")
    return height, width


NETWORKS: dict[str, Callable[..., EmbeddingNetwork]] = {
    "face_resnet": FaceResNet,
    "face_resnet_slim": FaceResNetSlim,
    "resnet29": ResNet29,
    "resnet29_twin": ResNet29Twin,
}


def build_network(name: str, **arguments: Any) -> EmbeddingNetwork:
    """The network of that name, its parameters freshly drawn from torch's random generator.

    Raises
    ------
    ValueError
        For a name that is not in `NETWORKS`, or an argument that the network does not take or support.
    """
    if name not in NETWORKS:
        raise ValueError(f"there is no network {name!r}; there are {', '.join(NETWORKS)}")
    known = inspect.signature(NETWORKS[name]).parameters
    for argument in arguments:
        _require(argument in known, f"{name} takes no argument {argument!r}; it takes {', '.join(known)}")
    return NETWORKS[name](**arguments)


@torch.no_grad()
def fold_batch_norm(network: EmbeddingNetwork) -> EmbeddingNetwork:
    """Fold each batch normalisation into the layer before it, in place: same features, less work.

    Only for inference: the network is put into evaluation mode.
    """
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            _fold_sequence(module)
    if isinstance(network, FaceResNetSlim) and isinstance(network.norm, nn.BatchNorm1d):
        network.dense = nn.utils.fusion.fuse_linear_bn_eval(network.dense, network.norm)
        network.norm = nn.Identity()
    return network


def _fold_sequence(sequence: nn.Sequential) -> None:
    for i in range(len(sequence) - 1):
        convolution, norm = sequence[i], sequence[i + 1]
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            sequence[i] = nn.utils.fusion.fuse_conv_bn_eval(convolution, norm)
            sequence[i + 1] = nn.Identity()
