"""Faces to people: facever's one setting against other methods, each at its best setting on each set.

    python benchmarks/clusters.py celeba=held.parquet:celeba_* families=held.parquet:kin_* both=held.parquet \\
        lfw=lfw.parquet

A set is a dataset of `facever embed` whose folders are people, and optionally a pattern of their names. Of several
faces in a photograph the one nearest to its center counts. Rivals are swept with the labels, by BCubed F; then each
runs once more in a process of its own, for its time and peak memory.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import csr_array
from sklearn.cluster import DBSCAN, HDBSCAN, AgglomerativeClustering

from facever.gallery.clusters import Rule, group, nearest_faces
from facever.gallery.faces import FaceTable
from facever.gallery.people import names_by_folder
from facever.metrics.clusterings import cluster_figures
from facever.weights.file import read_info

Labels = np.ndarray[Any, np.dtype[np.int64]]
CUTS = [round(float(cut), 2) for cut in np.arange(0.34, 0.72, 0.02)]


def ours(vectors: Any, weights: str = "default") -> Labels:
    info = read_info(weights)
    found = nearest_faces(vectors, info)
    return group(vectors, found, Rule.of(info, found.alike, len(vectors))).labels


def average(vectors: Any, cut: float) -> Labels:
    model = AgglomerativeClustering(None, metric="cosine", linkage="average", distance_threshold=1 - cut)
    return np.asarray(model.fit_predict(vectors))


def dbscan(vectors: Any, cut: float, samples: int) -> Labels:
    return np.asarray(DBSCAN(eps=1 - cut, min_samples=samples, metric="cosine").fit_predict(vectors))


def hdbscan(vectors: Any, size: int, samples: int, method: str) -> Labels:
    model = HDBSCAN(size, samples, cluster_selection_method=method, copy=True)
    return np.asarray(model.fit_predict(vectors))


def whispers(vectors: Any, cut: float, rounds: int = 20) -> Labels:
    """Chinese whispers (C. Biemann, 2006): each face takes the label with the greatest sum of weights around it."""
    generator = np.random.default_rng(0)
    rows = []
    for start in range(0, len(vectors), 1024):
        block = vectors[start : start + 1024] @ vectors.T
        block[np.arange(len(block)), start + np.arange(len(block))] = 0
        rows.append(csr_array(np.where(block >= cut, block, 0)))
    labels = np.arange(len(vectors))
    near = [(row.indices, row.data) for block in rows for row in (block[[i]] for i in range(block.shape[0]))]
    for _ in range(rounds):
        changed = 0
        for i in generator.permutation(len(vectors)):
            others, weights = near[i]
            if len(others):
                names, at = np.unique(labels[others], return_inverse=True)
                best = names[np.bincount(at, weights).argmax()]
                changed += int(best != labels[i])
                labels[i] = best
        if not changed:
            break
    return labels


METHODS: dict[str, Callable[..., Labels]] = {
    "facever": ours,
    "average linkage": average,
    "HDBSCAN": hdbscan,
    "DBSCAN": dbscan,
    "Chinese whispers": whispers,
}


def swept(method: str, vectors: Any) -> Iterator[tuple[dict[str, Any], Labels]]:
    """Every setting of a method, and its clusters."""
    if method == "facever":
        yield {}, ours(vectors)
    elif method == "average linkage":
        tree = linkage(vectors.astype(np.float64), "average", metric="cosine")
        yield from (({"cut": cut}, fcluster(tree, 1 - cut, "distance")) for cut in CUTS)
    elif method == "HDBSCAN":
        # Without cluster_selection_epsilon: scikit-learn's fails with NumPy 2.4 (only 0-dimensional arrays can be
        # converted to Python scalars).
        for size, samples in ((2, 1), (2, 2), (3, 1), (3, 2), (5, 1), (5, 3)):
            for way in ("eom", "leaf"):
                setting: dict[str, Any] = {"size": size, "samples": samples, "method": way}
                yield setting, hdbscan(vectors, **setting)
    elif method == "DBSCAN":
        for samples in (2, 3, 4):
            for cut in CUTS:
                yield {"cut": cut, "samples": samples}, dbscan(vectors, cut, samples)
    else:
        yield from (({"cut": cut}, whispers(vectors, cut)) for cut in CUTS)


def read(text: str) -> tuple[Any, Labels]:
    """The vectors and people of a set, DATASET or DATASET:PATTERN."""
    path, _, pattern = text.partition(":")
    faces = FaceTable.open(Path(path))
    names = names_by_folder(faces)
    wanted = np.array([fnmatch.fnmatch(name.rpartition("/")[2], pattern or "*") for name in names.people])
    rows = np.flatnonzero((names.of_row >= 0) & wanted[names.of_row])
    return faces.vectors(rows), names.of_row[rows]


def alone(method: str, vectors: Any, setting: dict[str, Any]) -> dict[str, float]:
    """Time and peak memory of one run in a process of its own, libraries and vectors included."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vectors.npy"
        np.save(file, vectors)
        command = [sys.executable, __file__, "--one", method, str(file), json.dumps(setting)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def one(method: str, file: str, setting: str) -> None:
    vectors = np.load(file)
    start = time.perf_counter()
    METHODS[method](vectors, **json.loads(setting))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": round(seconds, 2), "megabytes": round(peak / 1024, 1)}))


def main() -> None:
    from common import write

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="NAME=DATASET[:PATTERN]")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--no-time", action="store_true", help="leave out times: the machine is not idle")
    arguments = parser.parse_args()
    if arguments.one:
        one(*arguments.one)
        return
    result: dict[str, Any] = {}
    for each in arguments.sets:
        name, _, source = each.partition("=")
        vectors, people = read(source)
        methods: dict[str, Any] = {}
        for method in METHODS:
            tried = [(cluster_figures(found, people, 0, 0).bcubed.f, i, setting, found) for i, (setting, found) in
                     enumerate(swept(method, vectors))]  # fmt: skip
            _, _, setting, found = max(tried, key=lambda each: each[:2])
            figures = cluster_figures(found, people, 0)
            cost = alone(method, vectors, setting)
            if arguments.no_time:
                del cost["seconds"]
            values = {kind: vars_of(getattr(figures, kind)) for kind in ("bcubed", "pairwise")}
            methods[method] = {"setting": setting, "people": figures.clusters, **values, **cost}
            print(
                name, method, setting, f"F {figures.bcubed.f:.4f}", figures.clusters, cost, file=sys.stderr, flush=True
            )
        result[name] = {"faces": len(people), "people": len(np.unique(people)), "methods": methods}
    write("clusters", result)


def vars_of(agreement: Any) -> dict[str, Any]:
    """Its figures, to four digits."""
    from dataclasses import asdict

    return {key: np.round(value, 4).tolist() for key, value in asdict(agreement).items()}


if __name__ == "__main__":
    main()
