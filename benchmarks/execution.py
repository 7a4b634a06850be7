"""How far cosines move with batch size, threads and worker processes, in float32 and in bfloat16.

Photographs of LFW go through the same pipeline in each way; all their pairs are scored. bfloat16 runs on any CPU, with
AMX or emulated; `machine` names the one measured.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from common import data_folder, write
from numpy.typing import NDArray

from facever.faces import parallel
from facever.faces.pipeline import Job
from facever.weights.shipped import find_weights

PHOTOGRAPHS = 60
# Threads, photographs in a batch, processes.
WAYS = {"one by one": (1, 1, 1), "batches": (1, 16, 1), "two threads": (2, 16, 1), "two workers": (1, 16, 2)}


def main() -> None:
    paths = sorted((data_folder() / "lfw").glob("*/*.jpg"))[:: 7701 // PHOTOGRAPHS][:PHOTOGRAPHS]
    result: dict[str, Any] = {
        "what": f"cosines of all pairs of {PHOTOGRAPHS} photographs of LFW, between any two of {', '.join(WAYS)}"
    }
    for weights, precision in itertools.product(("default", "face-resnet"), ("fp32", "bf16")):
        job = Job(output=find_weights(weights), rule="center", center_fallback=True, precision=precision)
        cosines: list[NDArray[np.float64]] = []
        for threads, batch, workers in WAYS.values():
            torch.set_num_threads(threads)
            parallel.BATCH = batch
            photographs = list(parallel.process_files(paths, job, workers))
            faces = [p.faces[0] if p.faces else p.center for p in photographs]
            embeddings = np.array([face.embedding for face in faces if face], np.float64)
            cosines.append((embeddings @ embeddings.T)[np.triu_indices(len(embeddings), 1)])
        moves = [np.abs(a - b) for a, b in itertools.combinations(cosines, 2)]
        result[f"{weights}, {precision}"] = {
            "largest_move": float(max(move.max() for move in moves)),
            "mean_move": float(np.mean(moves)),
        }
    write("execution", result)


if __name__ == "__main__":
    main()
