"""Shared by all pages: the template engine, pairs of crops, embedded pictures."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray

from facever.faces.cache import jpeg

NO_FACE = "No face was found in these. Their pairs count like all others."


def rendered(template: str, **values: Any) -> str:
    """The page by its template; every value is escaped, and a missing one is an error."""
    environment = Environment(
        loader=PackageLoader("facever.reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(template).render(without_face_note=NO_FACE, **values)


def shown_pair(
    cosine: float, names: tuple[str, str], keys: Sequence[Any], crops: Mapping[Any, NDArray[np.uint8]]
) -> dict[str, Any]:
    """Two crops side by side with their names; a gray square where a crop is missing."""
    blank = np.full((8, 8, 3), 128, np.uint8)
    pictures = [data_uri(jpeg(crops.get(key, blank)), "jpeg") for key in keys]
    return {"cosine": cosine, "names": names, "pictures": list(zip(pictures, names, strict=True))}


def data_uri(content: bytes, kind: str) -> str:
    """A picture as a data URL; `kind` as in image/png."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
