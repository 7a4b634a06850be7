"""Photographs in, figures out: the protocols, with facever's pipeline or embeddings made elsewhere.

The figures themselves come from `facever.metrics`, which knows nothing of photographs or networks.
"""

from facever.evaluation.all_pairs import AllPairsResult, evaluate_all
from facever.evaluation.calibrate import calibrate_folder, calibrate_pairs
from facever.evaluation.clusters import evaluate_clusters
from facever.evaluation.embedded import EmbeddingSet, PhotoEmbedder, StageTimes, external_set, name_below
from facever.evaluation.pairs import PairsResult, ThresholdCheck, evaluate_embedded, people_of
from facever.evaluation.run import Evaluation, ModelOptions, evaluate_folder, evaluate_pairs
from facever.evaluation.search import evaluate_search

__all__ = [
    "AllPairsResult",
    "EmbeddingSet",
    "Evaluation",
    "ModelOptions",
    "PairsResult",
    "PhotoEmbedder",
    "StageTimes",
    "ThresholdCheck",
    "calibrate_folder",
    "calibrate_pairs",
    "evaluate_all",
    "evaluate_clusters",
    "evaluate_embedded",
    "evaluate_folder",
    "evaluate_pairs",
    "evaluate_search",
    "external_set",
    "name_below",
    "people_of",
]
