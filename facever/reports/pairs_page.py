"""The report of an evaluation: `index.html`, self-contained, and `result.json`, for comparison with other models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.errors import DataError, reading
from facever.evaluation import PairsResult, name_below, people_of
from facever.files import write_bytes, write_json
from facever.metrics.comparison import mcnemar, tar_differences
from facever.reports.html import rendered, shown_pair
from facever.reports.plots import ScoredPairs, calibration, det, histograms, quality, roc, undecided
from facever.reports.tables import accuracy_interval, pairs_rows

WORST = 20


@dataclass(frozen=True, slots=True)
class SavedScores:
    """The scores of an evaluation, as `result.json` keeps them."""

    model: str
    names: list[tuple[str, str]]
    cosines: NDArray[np.float64]
    same: NDArray[np.bool_]
    correct: NDArray[np.bool_]

    @classmethod
    def read(cls, path: Path) -> SavedScores:
        """From a `result.json` or its folder. Raises DataError."""
        path = path / "result.json" if path.is_dir() else path
        with reading(path, "give the result.json that --report wrote"):
            scores = json.loads(path.read_text(encoding="utf-8"))["scores"]
            names = [(str(a), str(b)) for a, b in scores["names"]]
            same, correct = np.array(scores["same"], bool), np.array(scores["correct"], bool)
            return cls(str(scores["model"]), names, np.array(scores["cosines"], float), same, correct)


def wanted_crops(result: PairsResult) -> list[Any]:
    """The photographs whose crops `write_pairs_report` shows: those of the worst errors."""
    pairs = [result.pairs[i] for indices in _worst(result).values() for i in indices]
    return list(dict.fromkeys(photograph for pair in pairs for photograph in (pair.path_a, pair.path_b)))


def write_pairs_report(
    folder: Path,
    title: str,
    model: str,
    result: PairsResult,
    root: Path,
    crops: Mapping[Any, NDArray[np.uint8]],
    made: Mapping[str, str],
    others: Sequence[SavedScores] = (),
) -> Path:
    """Write the page and the scores.

    Parameters
    ----------
    title, model : str
        Names of the protocol and of the model.
    root : Path
        Photographs are named by their paths below it.
    crops : mapping from photograph to uint8 ndarray (H, W, 3)
        At least those of `wanted_crops(result)`; others are blank.
    made : mapping
        Settings, versions and times, as printed.
    others : sequence of SavedScores
        Models to compare with, on the same pairs and axes.

    Returns
    -------
    Path
        Of `index.html`.

    Raises
    ------
    DataError
        If another model was evaluated on other pairs.
    OutputError
        If the folder can't be written.
    """
    names = [(name_below(pair.path_a, root), name_below(pair.path_b, root)) for pair in result.pairs]
    same = np.array([pair.same for pair in result.pairs])
    own = SavedScores(model, names, result.cosines, same, result.correct)
    for other in others:
        if other.names != names or not np.array_equal(other.same, same):
            raise DataError(f"{other.model} was evaluated on other pairs, so it can't be compared")
    scores = {
        "model": model,
        "names": names,
        "cosines": result.cosines.round(7).tolist(),
        "same": same.astype(int).tolist(),
        "correct": result.correct.astype(int).tolist(),
    }
    write_json(folder / "result.json", {"title": title, **result.to_json(), "made": dict(made), "scores": scores})
    page = folder / "index.html"
    write_bytes(
        page, _page(title, own, result, names, crops, made, others).encode("utf-8", errors="replace"), private=True
    )
    return page


def _page(
    title: str,
    own: SavedScores,
    result: PairsResult,
    names: Sequence[tuple[str, str]],
    crops: Mapping[Any, NDArray[np.uint8]],
    made: Mapping[str, str],
    others: Sequence[SavedScores],
) -> str:
    figures = result.figures
    models = [ScoredPairs(each.model, each.cosines, each.same) for each in (own, *others)]
    threshold = float(np.mean(figures.fold_thresholds))
    plots = [roc(models), det(models), histograms(models[0], threshold)]
    plots += [undecided(models[0], threshold)]
    plots += [calibration(models[0], result.likelihood)] if result.likelihood else []
    plots += [found] if (found := quality(result.norms, result.correct)) else []
    return rendered(
        "evaluation.html",
        title=title,
        model=own.model,
        headline=f"{100 * figures.accuracy:.2f} ± {100 * figures.accuracy_standard_error:.2f} %",
        headline_note=(
            f"mean accuracy over {len(figures.fold_accuracies)} folds ± standard error; 95 % interval "
            f"{accuracy_interval(result)}"
        ),
        rows=pairs_rows(result, own.model)[1:],
        plots=plots,
        comparisons=[row for other in others for row in _comparison(own, other, result)],
        folds=list(zip(figures.fold_accuracies, figures.fold_thresholds, strict=True)),
        worst=[
            (kind, [_shown(result, i, names[i], crops) for i in indices]) for kind, indices in _worst(result).items()
        ],
        without_face=result.images_without_face,
        made=[*made.items(), *(("note", note) for note in result.notes)],
    )


def _worst(result: PairsResult) -> dict[str, list[int]]:
    """The wrong decisions farthest from the threshold."""
    same = np.array([pair.same for pair in result.pairs])
    accepts = np.flatnonzero(~same & ~result.correct)
    rejects = np.flatnonzero(same & ~result.correct)
    return {
        f"False accepts: the most similar of {len(accepts)}": _first(accepts, -result.cosines),
        f"False rejects: the least similar of {len(rejects)}": _first(rejects, result.cosines),
    }


def _first(indices: NDArray[np.intp], by: NDArray[np.float64]) -> list[int]:
    return [int(i) for i in indices[np.argsort(by[indices], kind="stable")][:WORST]]


def _shown(
    result: PairsResult, index: int, names: tuple[str, str], crops: Mapping[Any, NDArray[np.uint8]]
) -> dict[str, Any]:
    pair = result.pairs[index]
    return shown_pair(result.cosines[index], names, (pair.path_a, pair.path_b), crops)


def _comparison(own: SavedScores, other: SavedScores, result: PairsResult) -> list[dict[str, Any]]:
    """This model minus the other: accuracy by McNemar's test, TAR by a bootstrap over identities."""
    test = mcnemar(other.correct, own.correct)
    gain = 100 * (own.correct.mean() - other.correct.mean())
    rows = [
        {
            "model": other.model,
            "what": "accuracy",
            "difference": f"{gain:+.2f} %: {test.only_second} pairs right only here, {test.only_first} only there",
            "real": test.p_value < 0.05,
            "verdict": f"{'' if test.p_value < 0.05 else 'not '}significant (McNemar, p = {test.p_value:.2g})",
        }
    ]
    fars = tuple(far for far, tar in result.figures.tar_at_far.items() if tar is not None)
    for found in tar_differences(other.cosines, own.cosines, own.same, people_of(result.pairs), fars):
        low, high = found.interval
        rows.append(
            {
                "model": other.model,
                "what": found.figure,
                "difference": f"{found.difference:+.4f} ({low:+.4f} to {high:+.4f})",
                "real": found.real,
                "verdict": "significant (interval without zero)" if found.real else "not significant",
            }
        )
    return rows
