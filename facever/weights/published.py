"""The face networks of others that facever reads, by the file they come in."""

from __future__ import annotations

from pathlib import Path

from facever.networks import EmbeddingNetwork
from facever.weights import dlib, mobilefacenet
from facever.weights.metadata import WeightsInfo


def read_published(path: Path, name: str) -> tuple[WeightsInfo, EmbeddingNetwork]:
    """Metadata under this name, without thresholds, and network, in evaluation mode.

    A `.json` file is a MobileFaceNet of TensorFlow.js, any other dlib's face network. Raises WeightsError.
    """
    if path.suffix == ".json":
        return mobilefacenet.mobilefacenet_info(name), mobilefacenet.read_network(path)
    return dlib.dlib_info(name), dlib.read_network(path)
