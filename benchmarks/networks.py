"""Faces per second of `face_resnet_slim` against `face_resnet`, same crops, same machine, one run."""

from __future__ import annotations

import torch
from common import paired, rounds, write

from facever.networks import EmbeddingNetwork, build_network

BATCH = 32


@torch.inference_mode()
def main() -> None:
    torch.manual_seed(0)
    crops = torch.randn(BATCH, 3, 112, 96).contiguous(memory_format=torch.channels_last)

    def prepared(name: str) -> EmbeddingNetwork:
        return build_network(name).fold().to(memory_format=torch.channels_last)

    slim, full = prepared("face_resnet_slim"), prepared("face_resnet")
    result = paired(lambda: slim(crops), lambda: full(crops), BATCH, rounds(10))
    write("networks", {"what": "face_resnet_slim over face_resnet, 112x96, batch 32, float32", **result})


if __name__ == "__main__":
    main()
