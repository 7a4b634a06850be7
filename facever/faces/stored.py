"""Faces that `facever embed` stored, as results of photographs again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from facever.errors import DataError, reading
from facever.faces.face import Face
from facever.faces.looks import Looks
from facever.faces.names import name_below
from facever.faces.pipeline import EmbeddedFace, PhotoResult
from facever.weights.records import WeightsId

_LOOKS = [field.name for field in fields(Looks)]
_COLUMNS = [
    "path",
    "box",
    "landmarks",
    "score",
    "norm",
    *_LOOKS,
    "embedding",
    "error",
    "warning",
    "width",
    "height",
]


class StoredFaces:
    """A dataset or a Parquet file of `facever embed`.

    Parameters
    ----------
    path : Path
    weights : WeightsId
        Those that its faces must have been embedded with.

    Raises
    ------
    DataError
        If it can't be read, is no such file, or was made with other weights, or with one face of each photograph.
    """

    def __init__(self, path: Path, weights: WeightsId) -> None:
        self.path = path
        self._folder = Path.cwd()
        with reading(path, "name what facever embed wrote"):
            parts = sorted(path.glob("part-*.parquet")) if path.is_dir() else [path]
            if not parts:
                raise DataError(f"{path}: no dataset of facever embed; name the folder that it wrote")
            made = json.loads((pq.read_schema(parts[0]).metadata or {}).get(b"facever", b"{}"))
            if path.is_dir():
                settings = json.loads((path / ".facever.json").read_text(encoding="utf-8"))
                self._folder = Path(settings["folder"])
                if settings["faces"] != "all":
                    raise DataError(f"{path}: holds the {settings['faces']} face of each photograph; embed with all")
        found = made.get("weights", {})
        if found.get("sha256") != weights.sha256:
            raise DataError(
                f"{path}: made with the weights {found.get('name', 'unknown')}, and these are {weights.name}; choose "
                "the same --weights, or embed again"
            )
        self._parts = parts

    def of(self, photographs: Iterable[Path]) -> dict[Path, PhotoResult]:
        """The results of those photographs that are there: looked up by their path, or as it was given."""
        names: dict[str, Path] = {}
        for photograph in photographs:
            names[photograph.as_posix()] = photograph
            names[name_below(os.path.abspath(photograph), self._folder)] = photograph  # noqa: PTH100 (links stay)
        wanted = pa.array(list(names), pa.string())
        rows: dict[Path, list[dict[str, Any]]] = {}
        with reading(self.path, "--repair of facever embed makes damaged parts anew"):
            for part in self._parts:
                table = pq.read_table(part, columns=_COLUMNS, filters=pc.field("path").isin(wanted))
                for row in table.to_pylist():
                    rows.setdefault(names[row["path"]], []).append(row)
            return {photograph: _result(photograph, of_one) for photograph, of_one in rows.items()}


def _result(photograph: Path, rows: list[dict[str, Any]]) -> PhotoResult:
    errors = [row["error"] for row in rows if row["error"] is not None]
    faces = [_face(row) for row in rows if row["embedding"] is not None]
    width, height = rows[0]["width"], rows[0]["height"]
    size = None if width is None else (width, height)
    warnings = [rows[0]["warning"]] if rows[0]["warning"] else []
    return PhotoResult(str(photograph), faces, len(faces), errors, warnings, readable=size is not None, size=size)


def _face(row: dict[str, Any]) -> EmbeddedFace:
    landmarks = np.array(row["landmarks"], np.float32).reshape(5, 2)
    face = Face(np.array(row["box"], np.float32), landmarks, row["score"])
    seen = {name: row[name] for name in _LOOKS}
    looks = None if None in seen.values() else Looks(**seen | {"covered": tuple(row["covered"])})
    return EmbeddedFace(face, None, np.array(row["embedding"], np.float32), row["norm"], looks)
