"""Networks by name. A class enters with the decorator `register`; `facever.networks` imports every one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from facever.networks.base import EmbeddingNetwork, require

NETWORKS: dict[str, type[EmbeddingNetwork]] = {}

Network = TypeVar("Network", bound=EmbeddingNetwork)


def register(name: str) -> Callable[[type[Network]], type[Network]]:
    """Class decorator: let `build_network`, weights files and recipes call this network by a name."""

    def enter(network: type[Network]) -> type[Network]:
        require(name not in NETWORKS, f"two networks are called {name!r}")
        NETWORKS[name] = network
        return network

    return enter


def build_network(name: str, **arguments: Any) -> EmbeddingNetwork:
    """Build a network with parameters drawn from torch's random generator.

    Raises
    ------
    ValueError
        For an unknown name, or an argument that the network does not take or support.

    Examples
    --------
    >>> network = build_network("face_resnet_slim", embedding_size=64, input_size=(64, 56))
    >>> network.embedding_size, network.input_size
    (64, (64, 56))
    """
    if name not in NETWORKS:
        raise ValueError(f"there is no network {name!r}; there are {', '.join(NETWORKS)}")
    known = inspect.signature(NETWORKS[name]).parameters
    for argument in arguments:
        require(argument in known, f"{name} takes no argument {argument!r}; it takes {', '.join(known)}")
    return NETWORKS[name](**arguments)
