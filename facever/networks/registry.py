"""Networks by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from facever.networks.base import EmbeddingNetwork, require
from facever.networks.dlib_resnet import ResNet29
from facever.networks.face_resnet import FaceResNet, FaceResNetSlim
from facever.networks.twin import ResNet29Twin

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
        require(argument in known, f"{name} takes no argument {argument!r}; it takes {', '.join(known)}")
    return NETWORKS[name](**arguments)
