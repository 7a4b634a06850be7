"""Protocols of face verification with facever's own pipeline: photographs in, figures out.

The figures themselves come from `facever.metrics`, which knows nothing of photographs or networks.
"""

from facever.evaluation.all_pairs import AllPairsResult, evaluate_all
from facever.evaluation.calibrate import calibrate_folder, calibrate_pairs
from facever.evaluation.embedded import Photographs, StageTimes, embed_each, foreign_photographs, name_below
from facever.evaluation.pairs import (
    KeptThreshold,
    PairsResult,
    evaluate_embedded,
    evaluate_foreign,
    evaluate_pairs,
    people_of,
)

__all__ = [
    "AllPairsResult",
    "KeptThreshold",
    "PairsResult",
    "Photographs",
    "StageTimes",
    "calibrate_folder",
    "calibrate_pairs",
    "embed_each",
    "evaluate_all",
    "evaluate_embedded",
    "evaluate_foreign",
    "evaluate_pairs",
    "foreign_photographs",
    "name_below",
    "people_of",
]
