"""Every pair of as many photographs as LFW's list has: our blocks and histograms against scikit-learn's whole matrix.

Each runs in its own process, in turn, for its own peak of memory. Both compute the TAR and the threshold at FARs down
to 1e-6, without intervals.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

PHOTOGRAPHS, PEOPLE, SIZE = 7701, 4281, 128
FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


def made_up(photographs: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Unit vectors around a center per person, with LFW's ratio of people to photographs."""
    generator = np.random.default_rng(seed)
    people = max(2, photographs * PEOPLE // PHOTOGRAPHS)
    who = np.concatenate([np.arange(people), generator.integers(0, people, photographs - people)])
    # float32 from the start, so that making the vectors is not the peak of memory
    vectors = generator.standard_normal((people, SIZE), np.float32)[who]
    vectors += generator.standard_normal((photographs, SIZE), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, who


def ours(embeddings: NDArray[np.float32], who: NDArray[np.int64]) -> list[tuple[float, float]]:
    from facever.metrics.all_pairs import all_pairs

    found = all_pairs(embeddings, who)
    return [(found.threshold_at_far(far), found.tar_at_far(far)) for far in FARS]


def naive(embeddings: NDArray[np.float32], who: NDArray[np.int64]) -> list[tuple[float, float]]:
    from sklearn.metrics.pairwise import cosine_similarity

    from facever.scoring import tar_at_threshold, threshold_at_far

    cosines = cosine_similarity(embeddings)  # (n, n)
    i, j = np.triu_indices(len(who), 1)
    same = who[i] == who[j]
    genuine, impostor = cosines[i, j][same], cosines[i, j][~same]
    thresholds = [threshold_at_far(impostor, far, min_false_accepts=0) for far in FARS]
    return [(threshold, tar_at_threshold(genuine, threshold)) for threshold in thresholds]


def in_this_process(which: str, photographs: int) -> None:
    """Run one, and print its seconds, peaks of memory in MB and points."""
    import sklearn.metrics.pairwise  # noqa: F401  neither pays for the imports of the other

    import facever.evaluation.all_pairs  # noqa: F401

    data = made_up(photographs)
    before = _peak()
    start = time.perf_counter()
    points = {"ours": ours, "naive": naive}[which](*data)
    print(json.dumps({"seconds": time.perf_counter() - start, "before": before, "peak": _peak(), "points": points}))


def _peak() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--photographs", type=int, default=PHOTOGRAPHS)
    parser.add_argument("--only", choices=("ours", "naive"))
    parser.add_argument("--dry", action="store_true", help="print, and write no result")
    arguments = parser.parse_args()
    if arguments.only:
        in_this_process(arguments.only, arguments.photographs)
        return
    runs: dict[str, list[dict[str, Any]]] = {"ours": [], "naive": []}
    for _ in range(arguments.rounds):
        for which, done in runs.items():
            command = [sys.executable, __file__, "--only", which, "--photographs", str(arguments.photographs)]
            done.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    points = {which: np.array(done[0]["points"]) for which, done in runs.items()}
    ratios = [b["seconds"] / a["seconds"] for a, b in zip(runs["ours"], runs["naive"], strict=True)]
    result: dict[str, Any] = {
        "what": "all pairs: blocks and histograms over scikit-learn's cosine_similarity with every score held",
        "photographs": arguments.photographs,
        "pairs": arguments.photographs * (arguments.photographs - 1) // 2,
        "ratio": round(statistics.median(ratios), 2),
        "ratio_least": round(min(ratios), 2),
        "ratio_most": round(max(ratios), 2),
        "rounds": arguments.rounds,
        "largest_difference_of_a_threshold": float(np.abs(points["ours"] - points["naive"])[:, 0].max()),
        "largest_difference_of_a_tar": float(np.abs(points["ours"] - points["naive"])[:, 1].max()),
    }
    for which, done in runs.items():
        result[which] = {
            "seconds": round(statistics.median(run["seconds"] for run in done), 2),
            "peak_mb": round(statistics.median(run["peak"] for run in done)),
            "peak_before_mb": round(statistics.median(run["before"] for run in done)),
        }
    if arguments.dry:
        print(json.dumps(result, indent=2))
    else:
        from common import write  # here, since it imports torch, which would hide both peaks of memory

        write("all_pairs", result)


if __name__ == "__main__":
    main()
