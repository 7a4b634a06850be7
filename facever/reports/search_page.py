"""The report of searches: `index.html`, self-contained, and `result.json` with the figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from facever.files import write_bytes, write_json
from facever.metrics.identification import RANKS, GalleryFigures, SearchFigures, SearchPoint
from facever.reports.html import rendered
from facever.reports.plots import SERIES, Plot, new_axes, svg_text


def search_rows(result: SearchFigures, weights: str) -> list[tuple[str, str]]:
    """The figures, a row each."""
    rows = [
        ("weights", weights),
        ("photographs", f"{result.photographs:,}, {len(result.without_face)} without a detected face"),
    ]
    for gallery in result.galleries:
        among = f"among {gallery.people:,}"
        searched = f"{gallery.mated:,} searches for people in the gallery, {gallery.unmated:,} for others"
        rows.append((f"{among} people", searched))
        ranks = f"first {_rate(gallery.cmc[0], gallery.rank_1_interval)}, among the first {RANKS} {gallery.cmc[-1]:.4f}"
        rows.append((f"{among}: found", ranks))
        rows += [(f"{among}: at FPIR {point.fpir:g}", point_text(point)) for point in gallery.points]
    return rows


def point_text(point: SearchPoint) -> str:
    """FNIR at a rate, and what the calibration's promise is worth."""
    text = "too few searches for others"
    if point.threshold is not None and point.fnir is not None:
        text = f"FNIR {_rate(point.fnir, point.fnir_interval)}, threshold {point.threshold:.4f}"
    return f"{text}; {promise_text(point)}"


def promise_text(point: SearchPoint) -> str:
    """FPIR and FNIR at the threshold that the calibration promises for the rate."""
    if point.promised_threshold is None or point.promised_fpir is None:
        return "no promised threshold"
    measured = f"FPIR {_rate(point.promised_fpir, point.promised_fpir_interval)}, FNIR {point.promised_fnir:.4f}"
    return f"promised by {point.promised_threshold:.4f}: {measured}"


def write_search_report(folder: Path, title: str, model: str, result: SearchFigures, made: Mapping[str, str]) -> Path:
    """Write the page and the figures; the path of the page. Raises OutputError if the folder can't be written."""
    write_json(folder / "result.json", {"title": title, "model": model, **result.to_json(), "made": dict(made)})
    largest = result.galleries[-1]
    low, high = largest.rank_1_interval
    html = rendered(
        "eval_search.html",
        title=title,
        model=model,
        headline=f"The right person first in {100 * largest.cmc[0]:.2f} % of searches among {largest.people:,}",
        headline_note=f"95 % interval {100 * low:.2f} to {100 * high:.2f} %, bootstrap over identities",
        rows=search_rows(result, model)[1:2],
        galleries=[_gallery(each) for each in result.galleries],
        plots=[_cmc(result), _open_set(result)],
        worst=[],
        without_face=result.without_face,
        made=list(made.items()),
    )
    page = folder / "index.html"
    write_bytes(page, html.encode("utf-8", errors="replace"), private=True)
    return page


def _gallery(gallery: GalleryFigures) -> dict[str, object]:
    rows = []
    for point in gallery.points:
        threshold = "" if point.threshold is None else f"{point.threshold:.4f}"
        rate = "too few searches" if point.fnir is None else _rate(point.fnir, point.fnir_interval)
        rows.append((f"{point.fpir:g}", rate, threshold, promise_text(point)))
    found = f"first {_rate(gallery.cmc[0], gallery.rank_1_interval)}, among the first {RANKS} {gallery.cmc[-1]:.4f}"
    searched = f"{gallery.mated:,} searches for people in the gallery, {gallery.unmated:,} for others"
    return {
        "title": f"Among {gallery.people:,} people",
        "text": f"{searched}. The right person: {found}.",
        "rows": rows,
    }


def _rate(value: float, ends: tuple[float, float] | None) -> str:
    return f"{value:.4f}" + (f" ({ends[0]:.4f} to {ends[1]:.4f})" if ends else "")


def _cmc(result: SearchFigures) -> Plot:
    figure, axes = new_axes("rank", "share of searches")
    words = []
    for gallery, color in zip(result.galleries, SERIES, strict=False):
        axes.plot(range(1, RANKS + 1), gallery.cmc, "o-", markersize=3, color=color, label=f"{gallery.people:,} people")
        words.append(f"{100 * gallery.cmc[0]:.2f} % first among {gallery.people:,}")
    axes.legend(frameon=False)
    return Plot("CMC", svg_text(figure), f"Share of searches whose person is among the first: {'; '.join(words)}.")


def _open_set(result: SearchFigures) -> Plot:
    figure, axes = new_axes("FPIR", "FNIR")
    for found, color in zip(result.searches, SERIES, strict=False):
        thresholds = np.sort(found.top)[::-1]
        fpir = np.arange(1, len(thresholds) + 1) / len(thresholds)
        fnir = np.searchsorted(np.sort(found.own), thresholds, side="left") / len(found.own)
        floor = 0.5 / len(found.own)
        axes.step(fpir, np.maximum(fnir, floor), where="post", color=color, label=f"{found.entries:,} people")
    axes.set(xscale="log", yscale="log")
    axes.legend(frameon=False)
    text = "False negative over false positive identification rate, for each size of the gallery."
    return Plot("Open-set search", svg_text(figure), text)
