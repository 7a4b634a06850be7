"""The known-answer test of a weights file: a crop drawn from a seed, and its embedding where the file was written.

It tells whether this machine, with its libraries, computes what the author's did.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from facever.errors import WeightsError
from facever.networks import EmbeddingNetwork
from facever.weights.metadata import WeightsInfo
from facever.weights.records import KnownAnswer

SEED = 0
# Half precision, bfloat16 and other processors stay well above; a single wrong layer does not.
LEAST_COSINE = 0.999


@torch.no_grad()
def answer(info: WeightsInfo, network: EmbeddingNetwork, seed: int = SEED) -> KnownAnswer:
    """What a network answers to the crop of a seed: uniform noise, uint8 (H, W, 3)."""
    crop = np.random.default_rng(seed).integers(0, 256, (info.alignment.height, info.alignment.width, 3), np.uint8)
    device, was = next(iter(network.state_dict().values())).device, network.training
    x = info.normalization(torch.from_numpy(crop).to(device).permute(2, 0, 1)[None])
    network.eval()
    feature = network(x) + network(x.flip(3)) if info.mirrored else network(x)
    network.train(was)
    embedding = F.normalize(feature.double().cpu())[0]
    return KnownAnswer(seed, tuple(round(value, 6) for value in embedding.tolist()))


def check_known_answer(info: WeightsInfo, network: EmbeddingNetwork) -> float | None:
    """The cosine between the stored answer and this machine's; None where none is stored.

    Raises
    ------
    WeightsError
        If it is below `LEAST_COSINE`.
    """
    stored = info.known_answer
    if stored is None:
        return None
    found = answer(info, network, stored.seed)
    if len(found.embedding) != len(stored.embedding):
        raise WeightsError(f"the known answer of {info.name} has {len(stored.embedding)} components; train it again")
    cosine = float(np.dot(stored.embedding, found.embedding))
    if not cosine >= LEAST_COSINE:
        raise WeightsError(
            f"{info.name} answers otherwise here than where it was written (cosine {cosine:.4f} of the two answers to "
            "one input); install other versions of torch, or copy the file again"
        )
    return cosine
