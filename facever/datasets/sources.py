"""The source of each identity: which of several data sets in one folder it comes from.

Validation and even sampling treat sources apart. A source is what the user names: by a pattern over identity names
with a group called `source`, or by `sources.csv` in the data folder, with the columns `identity` and `source`. Without
either, all identities form one source, called "".
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from pathlib import Path

from facever.errors import DataError, reading

FILE = "sources.csv"


def check_sources(pattern: str) -> None:
    """Raise ValueError unless the pattern is empty, or a regular expression with a group named `source`.

    Examples
    --------
    >>> check_sources("(?P<source>[^_]+)_")
    """
    if not pattern:
        return
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise ValueError(f"sources is no regular expression ({error}): {pattern!r}") from error
    if "source" not in groups:
        raise ValueError(f"sources needs a group (?P<source>...), and {pattern!r} has none")


def sources_by_pattern(identities: Iterable[str], pattern: str) -> dict[str, str]:
    """From identity to source; "" for names that the pattern does not match.

    Examples
    --------
    >>> sources_by_pattern(["kin_F0001_MID1", "celeba_123"], "(?P<source>[^_]+)_")
    {'kin_F0001_MID1': 'kin', 'celeba_123': 'celeba'}
    >>> sources_by_pattern(["Ann_Smith", "Ann_Jones"], "")
    {'Ann_Smith': '', 'Ann_Jones': ''}
    """
    names = dict.fromkeys(identities)
    if not pattern:
        return dict.fromkeys(names, "")
    matches = {name: re.match(pattern, name) for name in names}
    return {name: (match["source"] or "") if match else "" for name, match in matches.items()}


def read_sources(data: Path, identities: Iterable[str], pattern: str = "") -> dict[str, str]:
    """From identity to source: by the pattern, else by `sources.csv` in the data folder, else all "".

    Raises
    ------
    DataError
        If the file can't be read, lacks a column, or names no source for an identity.
    """
    names = dict.fromkeys(identities)
    file = data / FILE
    if pattern or not file.exists():
        return sources_by_pattern(names, pattern)
    with reading(file, "list identity,source in UTF-8"), file.open(newline="", encoding="utf-8-sig") as lines:
        try:
            listed = {row["identity"]: row["source"] for row in csv.DictReader(lines)}
        except KeyError as error:
            raise DataError(f"{file}: has no column {error}; its first line must be identity,source") from error
    absent = [name for name in names if not listed.get(name)]
    if absent:
        raise DataError(f"{file}: names no source for {len(absent)} identities, the first: {absent[0]}; add them")
    return {name: listed[name] for name in names}
