"""The three networks of the detector's cascade: proposal, refinement, output.

K. Zhang, Z. Zhang, Z. Li, Y. Qiao, *Joint Face Detection and Alignment using Multi-task Cascaded Convolutional
Networks*, 2016, figure 2. Layers are named as in facenet-pytorch, whose parameters they take; importing its own modules
would import torchvision, which takes as long as torch.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from facever.errors import FaceverError

N = TypeVar("N", bound=nn.Module)


class PNet(nn.Module):
    """Proposes: for each 12x12 window, two pixels apart, whether it holds a face, and where."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.pool1 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # (N, 3, H, W) -> offsets (N, 4, h, w), scores (N, 2, h, w)
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return self.conv4_2(x), self.conv4_1(x).softmax(1)


class RNet(nn.Module):
    """Refines windows of 24x24 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1, self.dense5_2 = nn.Linear(128, 2), nn.Linear(128, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # (n, 3, 24, 24) -> offsets (n, 4), scores (n, 2)
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.prelu4(self.dense4(_flat(self.prelu3(self.conv3(x)))))
        return self.dense5_2(x), self.dense5_1(x).softmax(1)


class ONet(nn.Module):
    """Decides on windows of 48x48 pixels, and finds the landmarks in them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.pool3 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1, self.dense6_2, self.dense6_3 = nn.Linear(256, 2), nn.Linear(256, 4), nn.Linear(256, 10)

    def forward(
        self, x: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:  # (n, 3, 48, 48) -> offsets (n, 4), landmarks (n, 10), scores (n, 2)
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.pool3(self.prelu3(self.conv3(x)))
        x = self.prelu5(self.dense5(_flat(self.prelu4(self.conv4(x)))))
        return self.dense6_2(x), self.dense6_3(x), self.dense6_1(x).softmax(1)


def normalized(pixels: Tensor) -> Tensor:
    """(n, h, w, 3) uint8 -> (n, 3, h, w) float32 in [-1, 1), as the three networks were trained."""
    return (pixels.permute(0, 3, 1, 2).float() - 127.5) * 0.0078125


def cascade_networks() -> tuple[PNet, RNet, ONet]:
    """The three, with facenet-pytorch's parameters, in evaluation mode. Raises FaceverError if those are missing."""
    return pretrained(PNet), pretrained(RNet), pretrained(ONet)


def _flat(x: Tensor) -> Tensor:  # (n, c, h, w) -> (n, w * h * c), as the original's column-major framework had it
    return x.permute(0, 3, 2, 1).flatten(1)


def pretrained(network: type[N]) -> N:
    """A network with facenet-pytorch's parameters, in evaluation mode. Raises FaceverError if they are missing."""
    package = importlib.util.find_spec("facenet_pytorch")
    folders = [] if package is None else list(package.submodule_search_locations or [])
    for folder in folders:
        path = Path(folder, "data", f"{network.__name__.lower()}.pt")
        if path.is_file():
            made = network()
            made.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
            return made.eval()
    raise FaceverError("the detector's parameters are missing; install facenet-pytorch again")
