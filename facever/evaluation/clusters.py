"""Clusters against people who are known: a folder of identities."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facever.datasets.identities import labels_of, read_identities
from facever.errors import WeightsError
from facever.evaluation.run import Evaluation, ModelOptions, embed_photographs
from facever.faces.pipeline import Through
from facever.gallery.clusters import Rule, group, nearest_faces
from facever.metrics.bootstrap import REPLICATES
from facever.metrics.clusterings import NamedFigures, alone, cluster_figures
from facever.weights.metadata import WeightsInfo

WORST = 10


def evaluate_clusters(
    folder: Path,
    options: ModelOptions,
    only: str = "*",
    threshold: float | None = None,
    through: Through = lambda results, total: results,
) -> Evaluation[NamedFigures]:
    """Group the photographs of a folder of identities, and compare with its people.

    A photograph without a detected face counts with its center crop.

    Parameters
    ----------
    threshold : float in [-1, 1], optional
        As for `facever.gallery.clustering.cluster_faces`.

    Raises
    ------
    DataError
        If a photograph can't be read.
    WeightsError
        If the weights can't be used, or embeddings are made elsewhere and there is no threshold.
    """
    start = time.monotonic()
    people = read_identities(folder, only=only)
    model = embed_photographs(people.paths, folder, options, through, keep_crops=False)
    scoring = time.monotonic()
    embedded = model.embedded
    result = figures_of(
        embedded.vectors, embedded.names, people.identities, model.info, threshold, embedded.without_face
    )
    end = time.monotonic()
    return Evaluation(f"Clusters of {folder.name}", result, model, options, end - scoring, end - start)


def figures_of(
    vectors: NDArray[np.float32],
    names: Sequence[str],
    identities: Sequence[str],
    info: WeightsInfo | None = None,
    threshold: float | None = None,
    without_face: Sequence[str] = (),
    replicates: int = REPLICATES,
) -> NamedFigures:
    """The same from unit vectors (n, d), the names of photographs, and who they show."""
    if threshold is not None:
        found, rule = nearest_faces(vectors, None), Rule.fixed(threshold)
    elif info is None:
        raise WeightsError("embeddings made elsewhere have no calibration; give a cosine by --threshold")
    else:
        found = nearest_faces(vectors, info)
        rule = Rule.of(info, found.alike, len(vectors))
    clusters = alone(group(vectors, found, rule).labels)
    numbers, people = labels_of(identities)
    labels = np.array(numbers, np.int64)
    figures = cluster_figures(clusters, labels, WORST, replicates)
    thresholds = {"two_faces": rule.single, "large": rule.lowest}
    return NamedFigures(figures, list(people), list(names), clusters, labels, list(without_face), thresholds)
