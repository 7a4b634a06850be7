"""Checks of settings: known keys, types as annotated, numbers in range. Each raises ValueError."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def check_keys(values: Mapping[str, Any], record: type, prefix: str = "") -> None:
    """Raise ValueError for a key that the dataclass lacks; it names the nearest known one."""
    known = [each.name for each in fields(record)]
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1, 0.5)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"known are {', '.join(known)}"
            raise ValueError(f"there is no setting {prefix}{key}; {hint}")


def check_types(record: Any, prefix: str = "") -> None:
    """Raise ValueError where a field of a dataclass holds a value of another type than it is annotated with."""
    for name, kind in get_type_hints(type(record)).items():
        value = getattr(record, name)
        if not _fits(value, kind):
            choices = f"one of {', '.join(map(str, get_args(kind)))}" if get_origin(kind) is Literal else _name(kind)
            raise ValueError(f"{prefix}{name} is {choices}, not {value!r}")


def _fits(value: Any, kind: Any) -> bool:
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin is Literal:
        return value in inner
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in inner)
    if origin is list:
        return isinstance(value, list) and all(_fits(each, inner[0]) for each in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(k, inner[0]) and _fits(v, inner[1]) for k, v in value.items())
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def _name(kind: Any) -> str:
    words = {float: "a number", int: "an integer", bool: "true or false", str: "text", NoneType: "nothing"}
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_name(each) for each in get_args(kind) if each is not NoneType)
    if get_origin(kind) is list:
        return f"a list, each {_name(get_args(kind)[0])}"
    if get_origin(kind) is dict:
        return "a table" if get_args(kind)[1] is Any else f"a table, each value {_name(get_args(kind)[1])}"
    return words.get(kind, str(getattr(kind, "__name__", kind)))


def require(condition: bool, message: str) -> None:
    """Raise ValueError with this message unless the condition holds."""
    if not condition:
        raise ValueError(message)


def check_fraction(record: Any, *names: str, zero: bool = True, one: bool = False) -> None:
    """Each of these fields lies between 0 and 1; `zero` and `one` say whether the ends count."""
    for name in names:
        value = getattr(record, name)
        inside = (value >= 0 if zero else value > 0) and (value <= 1 if one else value < 1)
        require(inside, f"{name} is in {'[' if zero else '('}0, 1{']' if one else ')'}, not {value}")


def check_positive(record: Any, *names: str) -> None:
    """Each of these fields is None, or above 0 and finite."""
    for name in names:
        value = getattr(record, name)
        require(value is None or 0 < value < math.inf, f"{name} is above 0, not {value}")


def check_weights(record: Any, *names: str) -> None:
    """Each of these fields is None, or at least 0 and finite."""
    for name in names:
        value = getattr(record, name)
        require(value is None or 0 <= value < math.inf, f"{name} is at least 0, not {value}")


def check_augmentation(record: Any) -> None:
    """Shares lie in [0, 1], distances are at least 0, and relative changes leave something of the crop."""
    check_fraction(record, "gray_share", "small_share", "border_share", "cut_share", one=True)
    check_fraction(record, "mask_share", "glasses_share", one=True)
    check_fraction(record, "smallest", zero=False, one=True)
    check_fraction(record, "scale", "border", "cut")
    check_weights(record, "shift", "rotation", "light")
