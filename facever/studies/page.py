"""A study's page: results.json, plots as files, and a self-contained index.html."""

from __future__ import annotations

import importlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from facever.faces.cache import jpeg
from facever.files import write_bytes, write_json
from facever.reports.html import data_uri, rendered
from facever.studies.outcome import RULE, Interval, Outcome
from facever.studies.plots import Drawing


def write_study(folder: Path, outcome: Outcome) -> Path:
    """Write results.json, the plots (PNG and SVG), an animation where the study has one, and the page.

    Returns
    -------
    Path
        Of `index.html`.

    Raises
    ------
    OutputError
        If the folder can't be written.
    """
    pictures = importlib.import_module(f"facever.studies.{outcome.study}_plots")
    drawings: list[Drawing] = pictures.drawings(outcome)
    animation: bytes | None = pictures.animation(outcome) if hasattr(pictures, "animation") else None
    write_json(folder / "results.json", outcome.to_json())
    for drawing in drawings:
        write_bytes(folder / f"{drawing.name}.svg", drawing.svg.encode())
        write_bytes(folder / f"{drawing.name}.png", drawing.png)
    if animation is not None:
        write_bytes(folder / "training.gif", animation)
    page = folder / "index.html"
    write_bytes(page, _page(outcome, drawings, animation).encode("utf-8", errors="replace"), private=True)
    return page


def _page(outcome: Outcome, drawings: list[Drawing], animation: bytes | None) -> str:
    record = outcome.to_json()
    return rendered(
        "study.html",
        outcome=outcome,
        rule=RULE,
        drawings=drawings,
        animation=data_uri(animation, "gif") if animation else None,
        still=data_uri(_last_frame(animation), "png") if animation else None,
        photographs=_photographs(outcome.arrays),
        interval=interval_text,
        made=[
            ("seeds", ", ".join(map(str, outcome.seeds))),
            ("minutes of all runs", f"{outcome.minutes:.1f}"),
            *((key, _settings_text(value)) for key, value in outcome.settings.items()),
            *record["versions"].items(),
        ],
    )


def interval_text(interval: Interval | None) -> str:
    """ "0.98 to 0.99", or a dash where there is none."""
    return "–" if interval is None else f"{interval[0]:.4g} to {interval[1]:.4g}"


def _settings_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_settings_text(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_settings_text(each) for each in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _photographs(arrays: Mapping[str, NDArray[Any]]) -> list[tuple[str, list[str]]]:
    """(caption, pictures) of each set of photographs in the study: arrays named "photographs: …"."""
    prefix = "photographs: "
    return [
        (name.removeprefix(prefix), [data_uri(jpeg(crop), "jpeg") for crop in crops])
        for name, crops in arrays.items()
        if name.startswith(prefix)
    ]


def _last_frame(animation: bytes) -> bytes:
    picture = Image.open(io.BytesIO(animation))
    picture.seek(getattr(picture, "n_frames", 1) - 1)
    buffer = io.BytesIO()
    picture.convert("RGB").quantize(64).save(buffer, "PNG")
    return buffer.getvalue()
