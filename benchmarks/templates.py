"""One template for several photographs of a person: means and the best match, on people held out of training.

Half of the held-out CelebA people are enrolled, each with up to so many photographs; one photograph of each is searched
for, and those of the other half are searched for in vain. `facever search --by person` uses the best: the direction of
the mean of the unit vectors. The promised rate is that of a tail fitted to the pairs of the other half.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from common import data_folder, write
from numpy.typing import NDArray

from facever.datasets.identities import labels_of, read_identities, split_identities
from facever.faces.parallel import process_files
from facever.gallery.rates import fmr_of
from facever.metrics.calibration import calibration_of_people
from facever.metrics.identification import Searches, search_figures
from facever.training import TrainingSettings
from facever.verifier import Verifier

ENROLLED = (2, 5, 10)
FPIRS = (0.1, 0.03, 0.01)
SPLITS = 10

Array = NDArray[np.float32]


def mean(vectors: Array, norms: Array) -> Array:
    return _unit(vectors.sum(axis=0))


def by_norm(vectors: Array, norms: Array) -> Array:
    return _unit(norms @ vectors)


def by_norm_cubed(vectors: Array, norms: Array) -> Array:
    return _unit(norms**3 @ vectors)


def _unit(vector: Array) -> Array:
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


MEANS: dict[str, Callable[[Array, Array], Array]] = {
    "mean of unit vectors": mean,
    "mean weighted by norm": by_norm,
    "mean weighted by norm cubed": by_norm_cubed,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", default="default")
    options = parser.parse_args()
    vectors, norms, who = embedded(options.weights)
    result: dict[str, Any] = {"what": "templates of enrolled people, on people held out", "weights": options.weights}
    for count in ENROLLED:
        rows: dict[str, list[dict[str, Any]]] = {}
        for seed in range(SPLITS):
            for name, figures in one_split(vectors, norms, who, count, seed).items():
                rows.setdefault(name, []).append(figures)
        result[f"{count} photographs"] = {
            name: {key: averaged([each[key] for each in found]) for key in found[0]} for name, found in rows.items()
        }
    write("templates", result)


def averaged(values: list[float]) -> float | None:
    """The mean over the splits; None where some are too small for a figure."""
    found = float(np.mean(values))
    return round(found, 4) if np.isfinite(found) else None


def embedded(weights: str) -> tuple[Array, Array, NDArray[np.int64]]:
    """The held-out people: vectors, norms, persons."""
    folder = read_identities(data_folder() / "train", least=2, only="celeba_*")
    defaults = TrainingSettings(epochs=1)
    held_out = set(split_identities(folder.identities, defaults.held_out, defaults.seed)[1])
    chosen = [(p, name) for p, name in zip(folder.paths, folder.identities, strict=True) if name in held_out]
    job = Verifier.load(weights).job("center")
    found = zip(chosen, process_files([path for path, _ in chosen], job), strict=True)
    faces = [(result.faces[0], name) for (_, name), result in found if result.faces]
    people = labels_of([name for _, name in faces])[0]
    vectors = np.array([face.embedding for face, _ in faces], np.float32)
    return vectors, np.array([face.norm for face, _ in faces], np.float32), np.array(people)


def one_split(
    vectors: Array, norms: Array, who: NDArray[np.int64], count: int, seed: int
) -> dict[str, dict[str, float]]:
    """Figures of each kind of template, by name."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(int(who.max()) + 1)
    unknown = np.flatnonzero(np.isin(who, order[: len(order) // 2]))
    photographs = [generator.permutation(np.flatnonzero(who == person)) for person in order[len(order) // 2 :]]
    photographs = [rows for rows in photographs if len(rows) > 1]
    probes = np.array([rows[0] for rows in photographs])
    enrolled = [rows[1 : 1 + count] for rows in photographs]
    names = [str(person) for person in who[unknown]]
    tail = calibration_of_people(vectors[unknown], names, "the others", (0.01,), replicates=2).tail
    assert tail is not None
    promised = [tail.cosine(fmr_of(fpir, len(enrolled))) for fpir in FPIRS]
    figures = {}
    for name in [*MEANS, "best match"]:
        if name in MEANS:
            templates = np.array([MEANS[name](vectors[rows], norms[rows]) for rows in enrolled])
            scores = [vectors[asked] @ templates.T for asked in (probes, unknown)]
        else:
            scores = [
                np.stack([(vectors[asked] @ vectors[rows].T).max(axis=1) for rows in enrolled], axis=1)
                for asked in (probes, unknown)
            ]
        own = np.diagonal(scores[0])
        ranks = (scores[0] >= own[:, None]).sum(axis=1)
        top = scores[1].max(axis=1)
        searches = Searches(len(enrolled), own, ranks, np.arange(len(own)), top, who[unknown])
        found = search_figures(searches, promised, FPIRS, replicates=2)
        row = {"first": found.cmc[0]}
        for point in found.points:
            row[f"fnir_at_fpir_{point.fpir:g}"] = np.nan if point.fnir is None else point.fnir
            row[f"fpir_at_promised_{point.fpir:g}"] = np.nan if point.promised_fpir is None else point.promised_fpir
        figures[name] = row
    return figures


if __name__ == "__main__":
    main()
