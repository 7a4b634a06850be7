"""Pair lists as tables: CSV, TSV or Parquet with the columns `path_a, path_b, same`.

Optional columns: `fold`, `group`, `identity_a`, `identity_b`. Without identities, the folder of a photograph names its
person, or, where folders contradict all pairs of a kind, genuine pairs tell who is the same; without folds, pairs are
dealt into ten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from facever.datasets.lfw import is_lfw_table, read_lfw_pairs
from facever.datasets.pairs import Pair, PairList, noted, with_people_of_genuine_pairs
from facever.errors import DataError, reading
from facever.files import path_is

FOLDS = 10
DELIMITERS = {".csv": ",", ".tsv": "\t"}
_TRUE, _FALSE = {"1", "true", "yes", "same", "genuine"}, {"0", "false", "no", "different", "impostor"}


def read_pairs(file: Path, root: Path | None = None) -> PairList:
    """Read a pair list: a table (.csv, .tsv, .parquet), insightface's `.bin`, or anything else as LFW's format.

    Parameters
    ----------
    root : Path, optional
        The folder that relative paths start from; by default that of the list.

    Raises
    ------
    DataError
        If the list can't be read, a line can't be understood (with its number), or photographs are absent.
    """
    suffix = file.suffix.lower()
    if suffix == ".bin":
        from facever.datasets.bin_sets import read_bin

        return noted(read_bin(file), file)
    if suffix == ".parquet" or (suffix in DELIMITERS and not is_lfw_table(file)):
        return noted(_table_pairs(_read_table(file, suffix), file, root or file.parent), file)
    return noted(read_lfw_pairs(file, root or file.parent), file)


def read_questions(file: Path, root: Path | None = None) -> list[tuple[Path, Path]]:
    """The pairs of photographs that a table lists (.csv, .tsv, .parquet), with or without the answer `same`.

    Raises
    ------
    DataError
        If the table can't be read, has no pairs, or an empty path.
    """
    suffix = file.suffix.lower()
    if suffix not in DELIMITERS and suffix != ".parquet":
        raise DataError(f"{file}: no table; give a .csv, .tsv or .parquet file with the columns path_a, path_b")
    rows = _read_table(file, suffix, needed=("path_a", "path_b"))
    if not rows:
        raise DataError(f"{file}: holds no pairs; list at least one")
    base = root or file.parent
    return [
        (_path(base, row["path_a"], f"{file}, line {i}"), _path(base, row["path_b"], f"{file}, line {i}"))
        for i, row in enumerate(rows, 2)
    ]


def _read_table(file: Path, suffix: str, needed: Sequence[str] = ("path_a", "path_b", "same")) -> list[dict[str, Any]]:
    with reading(file, f"give a table with {', '.join(needed)}"):
        if suffix == ".parquet":
            table = pyarrow.parquet.read_table(file)
        else:
            options = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys((*_COLUMNS, *_AS_TEXT), pa.string()))
            parse = pyarrow.csv.ParseOptions(delimiter=DELIMITERS[suffix])
            table = pyarrow.csv.read_csv(file, parse_options=parse, convert_options=options)
        # In here, since names may be no text, which shows when they are asked for.
        table = table.rename_columns([_OTHER_NAMES.get(name.strip().lower(), name) for name in table.column_names])
    repeated = [name for name in _COLUMNS if table.column_names.count(name) > 1]
    if repeated:
        raise DataError(f"{file}: has the column {repeated[0]} more than once; leave out all but one")
    absent = [name for name in needed if name not in table.column_names]
    if absent:
        raise DataError(
            f"{file}: has no column {', '.join(absent)}; a pair list has {', '.join(needed[:-1])} and {needed[-1]}: "
            f"rename its columns (here: {', '.join(table.column_names)[:200]})"
        )
    known = table.select([name for name in _COLUMNS if name in table.column_names])
    with reading(file, "give paths and names as text, same as 1 or 0"):
        columns = [pc.cast(column, pa.string()) for column in known.columns]
        return pa.table(columns, names=known.column_names).to_pylist()


_COLUMNS = ("path_a", "path_b", "same", "fold", "group", "identity_a", "identity_b")
# A layout in circulation, in lower case.
_OTHER_NAMES = {"file_x": "path_a", "file_y": "path_b", "decision": "same"}
_AS_TEXT = [each for name in _OTHER_NAMES for each in (name, name.capitalize())]


def _table_pairs(rows: Sequence[dict[str, Any]], file: Path, root: Path) -> list[Pair]:
    if not rows:
        raise DataError(f"{file}: holds no pairs; list at least one of the same and one of different people")
    pairs = []
    with_folds = rows[0].get("fold") not in (None, "")
    for number, row in enumerate(rows, 2):  # the header is line 1
        where = f"{file}, line {number}"
        a, b = (_path(root, row[name], where) for name in ("path_a", "path_b"))
        fold = _fold(row.get("fold"), where) if with_folds else 0
        person_a, person_b = row.get("identity_a") or a.parent.name, row.get("identity_b") or b.parent.name
        pairs.append(Pair(a, b, _same(row["same"], where), fold, person_a, person_b, row.get("group")))
    _check_present(pairs, file)
    stated = any(row.get(name) for row in rows for name in ("identity_a", "identity_b"))
    if not stated and _folders_are_no_people(pairs):
        pairs = with_people_of_genuine_pairs(pairs)
    return pairs if with_folds else dealt(pairs)


def _folders_are_no_people(pairs: Sequence[Pair]) -> bool:
    """Whether all pairs of a kind contradict their folders: one folder of all photographs, or one of all probes."""
    return any(
        len(kind) > 0 and all((pair.identity_a == pair.identity_b) != same for pair in kind)
        for same in (True, False)
        for kind in [[pair for pair in pairs if pair.same == same]]
    )


def _path(root: Path, text: str | None, where: str) -> Path:
    if not text:
        raise DataError(f"{where}: a path is empty; name two photographs")
    return root / text


def _same(text: str | None, where: str) -> bool:
    word = (text or "").strip().lower()
    if word not in _TRUE | _FALSE:
        raise DataError(f"{where}: same is {text!r}; write 1 or 0, true or false")
    return word in _TRUE


def _fold(text: str | None, where: str) -> int:
    try:
        return int(text or "")
    except ValueError:
        raise DataError(
            f"{where}: fold is {text!r}; write a whole number in every line, or leave the column out"
        ) from None


def _check_present(pairs: Sequence[Pair], file: Path) -> None:
    paths = dict.fromkeys(path for pair in pairs for path in (pair.path_a, pair.path_b) if isinstance(path, Path))
    absent = [path for path in paths if not path_is(Path.is_file, path)]
    if absent:
        lines = [i for i, pair in enumerate(pairs, 2) if absent[0] in (pair.path_a, pair.path_b)]
        raise DataError(
            f"{file}, line {lines[0]}: there is no photograph {absent[0]}; missing in total: {len(absent)} of "
            f"{len(paths)}; name their folder with --root"
        )


def dealt(pairs: Sequence[Pair], folds: int = FOLDS) -> list[Pair]:
    """The pairs with folds dealt in turn, separately for genuine and impostor pairs, so that every fold has both."""
    counts: Counter[bool] = Counter()
    result = []
    for pair in pairs:
        result.append(replace(pair, fold=counts[pair.same] % folds))
        counts[pair.same] += 1
    return result
