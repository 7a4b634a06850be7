"""Recipes: TOML files of training settings, shipped by name or the user's own.

A recipe may hold any field of `TrainingSettings`, and `drop_list`: a file of identities and photographs to leave out,
one a line, found beside the recipe.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facever.datasets.identities import read_dropped
from facever.errors import DataError, SettingError, reading, reason_of
from facever.training.settings import TrainingSettings

DROP_LIST = "drop_list"
MINUTES = 30.0


def recipes_folder() -> Path:
    """Where the shipped recipes lie: in the package, or at the top of the repository."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def shipped_recipes() -> list[str]:
    """The names that `--recipe` takes."""
    return sorted(path.stem for path in recipes_folder().glob("*.toml"))


def find_recipe(name_or_path: str) -> Path:
    """The file of a shipped recipe by name, or of any other by path. Raises DataError."""
    if name_or_path in shipped_recipes():
        return recipes_folder() / f"{name_or_path}.toml"
    path = Path(name_or_path)
    if path.is_file():
        return path
    raise DataError(
        f"there is no recipe {name_or_path!r}: neither a file nor one of those shipped ({', '.join(shipped_recipes())})"
    )


def read_recipe(path: Path) -> dict[str, Any]:
    """The settings in a recipe, by field of `TrainingSettings`.

    Raises
    ------
    DataError
        If the recipe or its drop list can't be read.
    """
    with reading(path, "write settings as TOML", what="no recipe"):
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    return _with_drop_list(values, path.parent)


def parse_assignments(texts: Sequence[str]) -> dict[str, Any]:
    """Nested settings from "KEY=VALUE" texts: dotted keys, values as in TOML, anything else taken as text.

    Raises
    ------
    SettingError
        For a text without "=", or a key that TOML does not allow.

    Examples
    --------
    >>> parse_assignments(["ema=0.998", "augmentation.shift=6", "optimizer=adamw", 'anchor."celeba_*"=12'])
    {'ema': 0.998, 'augmentation': {'shift': 6}, 'optimizer': 'adamw', 'anchor': {'celeba_*': 12}}
    """
    values: dict[str, Any] = {}
    for text in texts:
        key, mark, value = text.partition("=")
        if not mark:
            raise SettingError(f"--set takes KEY=VALUE, such as ema=0.998, not {text!r}")
        for written in (value, json.dumps(value, ensure_ascii=False)):
            try:
                parsed = tomllib.loads(f"{key} = {written}")
                break
            except tomllib.TOMLDecodeError as error:
                problem = error
        else:
            raise SettingError(f'--set {text}: not KEY=VALUE ({problem}); quote special keys, as in anchor."a_*"=2')
        values = merged(values, parsed)
    return values


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with changes over them; tables are merged key by key."""
    result = dict(values)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def make_settings(recipe: str | None = None, *changes: Mapping[str, Any]) -> TrainingSettings:
    """Settings from a recipe, with changes over it, later ones over earlier ones.

    A change of `epochs` or `minutes` replaces the recipe's length; without either, a training takes 30 minutes.

    Raises
    ------
    DataError
        If there is no such recipe, or it can't be read.
    SettingError
        For a setting that is unknown, of another type or out of range, or that the network refuses.
    """
    values = read_recipe(find_recipe(recipe)) if recipe else {}
    for change in changes:
        if {"epochs", "minutes"} & change.keys():
            values = {key: value for key, value in values.items() if key not in ("epochs", "minutes")}
        values = merged(values, _with_drop_list(change, Path()))
    if not {"epochs", "minutes"} & values.keys():
        values["minutes"] = MINUTES
    try:
        settings = TrainingSettings.from_json(values)
        settings.build(3)  # what the network refuses is better known now than after the crops are cut
    except (ValueError, TypeError, RuntimeError) as error:  # RuntimeError: a layer that memory does not hold
        raise SettingError(f"these settings don't work: {reason_of(error)}") from error
    return settings


def _with_drop_list(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    rest = {key: value for key, value in values.items() if key != DROP_LIST}
    if DROP_LIST not in values:
        return rest
    return {**rest, "dropped": read_dropped(folder / str(values[DROP_LIST]))}
