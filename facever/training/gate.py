"""A trained MobileFaceNet beside the one that it started from, and a gate that chooses for each crop.

Training on for difficult photographs costs accuracy on clear ones. The gate avoids the choice: it sends to the trained
network what resembles the people that it was trained on for, and faces that are blurred or covered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facever.datasets.augmentation import Augmentation, Augmenter, coarsened
from facever.datasets.identities import matching
from facever.errors import DataError
from facever.faces.embedder import Embedder
from facever.networks import GatedMobileFaceNet, MobileFaceNet
from facever.training.crops import CropSet
from facever.weights.metadata import WeightsInfo

BATCH = 32
CENTER_CROPS = 2048
# Crops that the gate is fitted on: as they are, and varied as in training; and of each way to spoil them.
AS_THEY_ARE, VARIED, SPOILED = 2000, 1500, 800
# Side that a blurred crop is reduced to, as a share: where the published MobileFaceNet loses its promise.
BLURRED = (0.12, 0.25)


def gated(
    initial: Mapping[str, Tensor],
    trained: Mapping[str, Tensor],
    info: WeightsInfo,
    crops: CropSet,
    pattern: str,
    centered: float,
) -> tuple[WeightsInfo, dict[str, Tensor]]:
    """Put two networks together.

    Parameters
    ----------
    initial, trained : mapping of Tensor
        Parameters of two MobileFaceNets with one trunk.
    info : WeightsInfo
        Of the trained one; its seed draws the crops.
    crops : CropSet
        The training crops.
    pattern : str
        Shell pattern of the identities whose crops are for the trained one.
    centered : float in [0, 1]
        The part of the trained one's mean embedding on these that is subtracted.

    Returns
    -------
    info : WeightsInfo
    state : dict of Tensor
        Of the `mobilefacenet_gated` that it describes.

    Raises
    ------
    DataError
        If the pattern matches all identities or none, or the trunks differ.
    """
    chosen = set(matching(crops.identities, pattern))
    mine = np.array([name in chosen for name in crops.identities])
    if mine.all() or not mine.any():
        raise DataError(f"gate_on matches {'all' if mine.all() else 'no'} identities, {pattern!r}; name some of them")
    first, second, for_center = (MobileFaceNet(**info.network_arguments) for _ in range(3))
    first.load_state_dict(dict(initial))
    second.load_state_dict(dict(trained))
    for_center.load_state_dict(dict(trained))  # the embedder changes the network that it is given
    arguments = {**info.network_arguments, "centered": centered}
    network = GatedMobileFaceNet(**arguments)
    try:
        network.put_together(first, second)
    except ValueError as error:
        raise DataError(f"gate_on: {error}") from error
    some = np.flatnonzero(mine)
    some = some[np.linspace(0, len(some) - 1, min(len(some), CENTER_CROPS)).astype(np.int64)]
    embeddings, _ = Embedder(info, for_center, torch.device("cpu"), "fp32")(crops.inner(some))
    network.center.copy_(torch.from_numpy(embeddings.mean(0)))
    _fit(network.eval(), info, crops, mine)
    return replace(info, network="mobilefacenet_gated", network_arguments=arguments), network.state_dict()


def _fit(network: GatedMobileFaceNet, info: WeightsInfo, crops: CropSet, mine: NDArray[np.bool_]) -> None:
    """Logistic regression on the statistics of the trunk: crops for the second half against all others."""
    from sklearn.linear_model import LogisticRegression

    seed = info.seed or 0
    rng = np.random.default_rng(seed)
    own, others = rng.permutation(np.flatnonzero(mine)), rng.permutation(np.flatnonzero(~mine))
    none = Augmentation.none()
    # A border alone is no trouble for the first half.
    varied = replace(none, mirror=True, shift=3, scale=0.1, rotation=6, light=0.25, border_share=0.3, border=0.4)
    samples, labels = [], []
    for rows, how, label in [
        (own[:VARIED], varied, 1),
        (others[:AS_THEY_ARE], none, 0),
        (others[-VARIED:], varied, 0),
        (others[:SPOILED], None, 1),
        (others[-SPOILED:], replace(none, mask_share=1.0), 1),
        (others[:SPOILED], replace(none, glasses_share=1.0), 1),
    ]:
        for x in _altered(crops, rows, how, seed):
            with torch.inference_mode():
                samples.append(network.statistics(network.trunk(info.normalization(x))).numpy())
            labels += [label] * len(x)
    found = LogisticRegression(max_iter=2000, class_weight="balanced").fit(np.concatenate(samples), labels)
    with torch.no_grad():
        network.gate.weight.copy_(torch.from_numpy(found.coef_))
        network.gate.bias.copy_(torch.from_numpy(found.intercept_))


def _altered(crops: CropSet, rows: NDArray[np.int64], how: Augmentation | None, seed: int) -> Iterator[Tensor]:
    """Batches of crops, float32 (n, 3, H, W) in [0, 255]; blurred where `how` is None."""
    augment = Augmenter(how or Augmentation.none(), crops.alignment, crops.margin)
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, len(rows), BATCH):
        x = augment(torch.from_numpy(np.array(crops.padded(rows[start : start + BATCH]))), generator)
        yield _blurred(x, generator) if how is None else x


def _blurred(x: Tensor, generator: torch.Generator) -> Tensor:
    return coarsened(x, BLURRED[0] + (BLURRED[1] - BLURRED[0]) * float(torch.rand(1, generator=generator)))
