"""Two MobileFaceNets on one trunk, and a gate between them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.jit._trace import is_tracing

from facever.networks.base import require
from facever.networks.mobilefacenet import MobileFaceNet
from facever.networks.registry import register

# Layers that both halves share: the stem and the first stage.
TRUNK = 10
# A smaller share of the second half counts as none, and the half is not computed: a cosine moves by less than 0.002.
NEGLIGIBLE = 0.05


@register("mobilefacenet_gated")
class GatedMobileFaceNet(MobileFaceNet):
    """A MobileFaceNet whose layers from `TRUNK` on stand twice; a gate mixes both features.

    The second half is for the crops on which the first one fails, and the gate tells these apart (R. Jacobs et al.,
    *Adaptive Mixtures of Local Experts*, 1991). Unit features are mixed; the norm is that of the first half's feature.

    Parameters
    ----------
    embedding_size, input_size
        As for `MobileFaceNet`.
    centered : float in [0, 1]
        The part of `center`, a mean of unit embeddings, that is subtracted from the second half's unit feature.
    """

    center: Tensor  # (d,)

    def __init__(
        self, embedding_size: int = 192, input_size: Sequence[int] = (112, 112), centered: float = 0.0
    ) -> None:
        super().__init__(embedding_size, input_size)
        require(0 <= centered <= 1, f"centered is a number in [0, 1], not {centered}")
        self.centered = float(centered)
        self.second = _upper(MobileFaceNet(embedding_size, input_size))
        self.gate = nn.Linear(2 * self.STAGES[0][0], 1)
        self.register_buffer("center", torch.zeros(embedding_size))

    @torch.no_grad()
    def put_together(self, first: MobileFaceNet, second: MobileFaceNet) -> None:
        """Take both halves from networks with one trunk. Raises ValueError if their trunks differ."""
        pairs = zip(first.features[:TRUNK].parameters(), second.features[:TRUNK].parameters(), strict=True)
        if not all(torch.allclose(a, b, 1e-4, 1e-5) for a, b in pairs):
            raise ValueError(f"the halves share {TRUNK} layers, and these differ; freeze features.[0-9].*")
        self.load_state_dict(first.state_dict(), strict=False)
        self.second.load_state_dict(_upper(second).state_dict())

    def trunk(self, x: Tensor) -> Tensor:  # (N, 3, H, W) -> (N, 64, H / 4, W / 4)
        """What both halves and the gate begin with."""
        return self.features[:TRUNK](x)

    @staticmethod
    def statistics(x: Tensor) -> Tensor:  # (N, 64, H / 4, W / 4) -> (N, 128)
        """Mean and deviation of each channel of the trunk: how much of a crop is fill, and how sharp it is."""
        flat = x.float().flatten(2)
        return F.layer_norm(torch.cat([flat.mean(2), flat.std(2)], 1), (2 * MobileFaceNet.STAGES[0][0],))

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, 112, 112) -> (N, d)
        x = self.trunk(x)
        first = _upper(self)(x).float()
        norm = first.norm(dim=1, keepdim=True)
        unit = first / norm.clamp_min(1e-12)
        share = torch.sigmoid(self.gate(self.statistics(x).to(self.gate.weight.dtype)).float())  # (N, 1)
        if is_tracing():  # a graph has no branches
            unit = torch.where(share < NEGLIGIBLE, unit, torch.lerp(unit, self._second(x), share))
        else:
            mixed = (share[:, 0] >= NEGLIGIBLE).nonzero()[:, 0]
            if len(mixed):
                halves = torch.lerp(unit[mixed], self._second(x[mixed]), share[mixed])
                unit = unit.index_copy(0, mixed, halves)
        return norm * unit

    def _second(self, x: Tensor) -> Tensor:  # (n, 64, H / 4, W / 4) -> (n, d), of unit length
        second = F.normalize(self.second(x).float())
        return F.normalize(second - self.centered * self.center) if self.centered else second


def _upper(network: MobileFaceNet) -> nn.Sequential:
    """What follows the trunk: (N, 64, H / 4, W / 4) -> (N, d)."""
    return nn.Sequential(*network.features[TRUNK:], network.pool, nn.Flatten(), *network.dense)
