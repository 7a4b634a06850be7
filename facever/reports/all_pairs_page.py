"""The report of all pairs of a folder: `index.html`, self-contained, and `result.json` with the figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.evaluation import AllPairsResult
from facever.files import write_bytes, write_json
from facever.reports.html import rendered, shown_pair
from facever.reports.plots import ScoredPairs, calibration, det, histograms, roc, undecided
from facever.reports.tables import all_pairs_rows

# The rate of the headline where it is supported: that of verify's threshold.
HEADLINE = 1e-3


def wanted_names(result: AllPairsResult) -> list[str]:
    """The photographs whose crops `write_all_pairs_report` shows, by name."""
    pairs = [*result.most_alike, *result.least_alike]
    return list(dict.fromkeys(name for a, b, _ in pairs for name in (a, b)))


def write_all_pairs_report(
    folder: Path,
    title: str,
    model: str,
    result: AllPairsResult,
    crops: Mapping[str, NDArray[np.uint8]],
    made: Mapping[str, str],
) -> Path:
    """Write the page and the figures.

    Parameters
    ----------
    title, model : str
        Names of the folder and of the model.
    crops : mapping from name to uint8 ndarray (H, W, 3)
        At least those of `wanted_names(result)`; others are blank.
    made : mapping
        Settings, versions and times, as printed.

    Returns
    -------
    Path
        Of `index.html`.

    Raises
    ------
    OutputError
        If the folder can't be written.
    """
    write_json(folder / "result.json", {"title": title, "model": model, **result.to_json(), "made": dict(made)})
    page = folder / "index.html"
    write_bytes(page, _page(title, model, result, crops, made).encode("utf-8", errors="replace"), private=True)
    return page


def _page(
    title: str,
    model: str,
    result: AllPairsResult,
    crops: Mapping[str, NDArray[np.uint8]],
    made: Mapping[str, str],
) -> str:
    cosines, counts, same = result.scores.scores()
    scored = ScoredPairs(model, cosines, same, counts)
    far = _headline_far(result)
    plots = [roc([scored]), det([scored])]
    plots += [histograms(scored, result.threshold_at_far[far] if far is not None else None)]
    plots += [undecided(scored, result.threshold_at_far[far] or 0.0)] if far is not None else []
    plots += [calibration(scored, result.likelihood)] if result.likelihood else []
    headline, note = "No rate is supported", "too few pairs of different people; add people and photographs"
    if far is not None:
        low, high = result.tar_intervals[far]
        headline = f"TAR {100 * (result.tar_at_far[far] or 0.0):.2f} % at FAR {far:g}"
        note = f"95 % interval {100 * low:.2f} to {100 * high:.2f} %, bootstrap over {result.people:,} identities"
    rows = [row for row in all_pairs_rows(result, model)[1:] if not row[0].startswith(("TAR", "alike"))]
    return rendered(
        "all_pairs.html",
        title=title,
        model=model,
        headline=headline,
        headline_note=note,
        rows=rows,
        plots=plots,
        points=_points(result),
        worst=[
            ("Pairs of different people: the most similar", _shown(result.most_alike, crops)),
            ("Pairs of one person: the least similar", _shown(result.least_alike, crops)),
        ],
        without_face=result.without_face,
        made=list(made.items()),
    )


def _headline_far(result: AllPairsResult) -> float | None:
    supported = [far for far, tar in result.tar_at_far.items() if tar is not None]
    return HEADLINE if HEADLINE in supported else min(supported, default=None)


def _points(result: AllPairsResult) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for far, tar in result.tar_at_far.items():
        if tar is None:
            rows.append((f"{far:g}", "too few impostor pairs", ""))
            continue
        (low, high), (least, most) = result.tar_intervals[far], result.threshold_intervals[far]
        threshold = f"{result.threshold_at_far[far]:.4f} ({least:.4f} to {most:.4f})"
        rows.append((f"{far:g}", f"{tar:.4f} ({low:.4f} to {high:.4f})", threshold))
    return rows


def _shown(pairs: list[tuple[str, str, float]], crops: Mapping[str, NDArray[np.uint8]]) -> list[dict[str, Any]]:
    return [shown_pair(cosine, (a, b), (a, b), crops) for a, b, cosine in pairs]
