"""Labeled Faces in the Wild (LFW): its pair lists, and where scikit-learn keeps its photographs.

The format is that of `pairs.txt` and `pairsDevTest.txt` in G. B. Huang, M. Ramesh, T. Berg,
E. Learned-Miller, *Labeled Faces in the Wild*, University of Massachusetts, Amherst,
Technical Report 07-49, 2007:

    10    300                            folds, genuine pairs a fold (or `300` alone: one fold)
    Abel_Pacheco    1    4               300 genuine pairs: name, picture, picture
    Abdel_Madi_Shabneh  1  Dean_Barker  1    300 impostor pairs: name, picture, name, picture
    ...                                  and so on for the other folds

The same pairs circulate as a table, `name,imagenum1,imagenum2,` (Kaggle's `pairs.csv`), one a line: a genuine pair has
three fields, an impostor pair four; folds are blocks of one kind and the next.

Picture 4 of Abel_Pacheco is `Abel_Pacheco/Abel_Pacheco_0004.jpg`.
"""

from __future__ import annotations

import contextlib
import os
import re
import tarfile
import warnings
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple, NoReturn

from facever.datasets.pairs import Pair
from facever.errors import DataError, check_regular, reason_of
from facever.faces.formats import photograph_suffixes
from facever.files import path_is

# Kaggle's header.
_TABLE = re.compile(r"name,\s*imagenum1,", re.IGNORECASE)
# What copies of LFW call the folder of people, which may lie within one of the same name.
_FOLDERS = ("lfw-deepfunneled", "lfw_funneled", "lfw-funneled", "lfw")


class _Picture(NamedTuple):
    name: str
    number: int


class _Line(NamedTuple):
    """A line of the list that names a pair; `number` counts from 1."""

    number: int
    picture_a: _Picture
    picture_b: _Picture
    same: bool
    fold: int


def read_lfw_pairs(file: Path, root: Path) -> list[Pair]:
    """Read a pair list in LFW's format and find its photographs.

    Parameters
    ----------
    file : Path
        The list: UTF-8 text, fields separated by tabs (by any whitespace in a line without tabs).
    root : Path
        The folder that holds `NAME/NAME_0001.jpg`; another format is taken where there is no `.jpg`.

    Returns
    -------
    list of Pair
        In the order of the file. Every photograph existed at the time of reading.

    Raises
    ------
    DataError
        If the list can't be read or breaks the format (with the line number), if `root` is not a folder, or
        if photographs are absent (with the first of them and the number of all).
    """
    lines = _read_lines(file)
    if _TABLE.match(lines[0]):
        return _pairs_of(_parse_table(lines, file), file, root)
    folds, pairs_per_fold = _parse_header(lines[0], file)
    expected = folds * 2 * pairs_per_fold
    if len(lines) - 1 != expected:
        _fail(
            file,
            1,
            f"the header promises {expected} pairs ({folds} × 2 × {pairs_per_fold}), but {len(lines) - 1} "
            "lines follow; correct the header or fetch the whole file",
        )
    parsed = []
    for index, line in enumerate(lines[1:]):
        fold, place = divmod(index, 2 * pairs_per_fold)
        same = place < pairs_per_fold
        parsed.append(_Line(index + 2, *_parse_pair(_split(line), same, file, index + 2), same, fold))
    return _pairs_of(parsed, file, root)


def is_lfw_table(file: Path) -> bool:
    """Whether a CSV file lists pairs by name and number of picture."""
    check_regular(file, "give the path of a pair list")
    with contextlib.suppress(OSError), file.open("rb") as opened:
        return _TABLE.match(opened.read(64).decode("utf-8", "replace").lstrip("\ufeff")) is not None
    return False


def _parse_table(lines: list[str], file: Path) -> list[_Line]:
    parsed: list[_Line] = []
    fold = 0
    for number, line in enumerate(lines[1:], 2):
        fields = [field.strip() for field in line.split(",")]
        while fields and not fields[-1]:
            fields.pop()
        same = len(fields) != 4
        fold += bool(parsed) and same and not parsed[-1].same
        parsed.append(_Line(number, *_parse_pair(fields, same, file, number), same, fold))
    return parsed


def _pairs_of(parsed: list[_Line], file: Path, root: Path) -> list[Pair]:
    found = _find_photographs(parsed, file, root)
    return [
        Pair(found[a], found[b], line.same, line.fold, a.name, b.name)
        for line in parsed
        for a, b in [(line.picture_a, line.picture_b)]
    ]


def _fail(file: Path, line: int, cause: str) -> NoReturn:
    raise DataError(f"{file}, line {line}: {cause}")


def _read_lines(file: Path) -> list[str]:
    """Return the lines of a text file without the blank ones at its end; at least one."""
    check_regular(file, "give the path of a pair list")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{file}: there is no such file; give the path of a pair list") from None
    except IsADirectoryError:
        raise DataError(f"{file}: this is a folder; give the path of a pair list, a text file") from None
    except UnicodeDecodeError:
        raise DataError(f"{file}: this is not UTF-8 text; give a pair list in LFW's format") from None
    except OSError as error:
        raise DataError(f"{file}: can't be read ({error.strerror}); give a pair list that can") from error
    if "\0" in text:
        raise DataError(f"{file}: this is not text; give a pair list in LFW's format")
    # Not splitlines(): that also splits at characters that editors don't count as the end of a line.
    lines = text.rstrip().split("\n")
    if lines == [""]:
        raise DataError(f"{file}: this file is empty; give a pair list in LFW's format")
    return lines


def _split(line: str) -> list[str]:
    if "\t" in line.strip():
        return [field.strip() for field in re.split(r"\t+", line.strip())]
    return line.split()


def _positive_integer(field: str) -> int | None:
    """Return the number that a field holds, or None if that isn't one from 1 to 999,999,999."""
    return int(field) or None if re.fullmatch(r"[0-9]{1,9}", field) else None


def _parse_header(line: str, file: Path) -> tuple[int, int]:
    """Return the number of folds and of genuine pairs in each, which is that of impostor pairs too."""
    numbers = [number for field in _split(line) if (number := _positive_integer(field))]
    if len(numbers) != len(_split(line)) or len(numbers) not in (1, 2):
        _fail(
            file,
            1,
            f"{line.strip()[:80]!r} is no header; the first line of a pair list holds the number of folds "
            "and of genuine pairs in each, such as '10 300', or the latter alone",
        )
    return (1, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])


def _parse_pair(fields: list[str], same: bool, file: Path, number: int) -> tuple[_Picture, _Picture]:
    """Return the two pictures that a line names; `same` is the kind of pair expected there."""
    genuine, impostor = "a genuine pair (name i j)", "an impostor pair (name i name j)"
    wanted, other = (genuine, impostor) if same else (impostor, genuine)
    if len(fields) == (4 if same else 3):
        _fail(file, number, f"{other} where {wanted} belongs; check the header and the order of the lines")
    if len(fields) != (3 if same else 4):
        _fail(file, number, f"{len(fields)} fields where {wanted} belongs; correct the line")
    numbers = []
    for field in (fields[1], fields[-1]):
        picture = _positive_integer(field)
        if picture is None:
            _fail(file, number, f"{field[:80]!r} is no picture number; write 1, 2, 3, ...")
        numbers.append(picture)
    name_a, name_b = fields[0], fields[0] if same else fields[2]
    if not same and name_a == name_b:
        _fail(file, number, f"an impostor pair of one person, {name_a[:80]!r}; correct the line")
    return _Picture(name_a, numbers[0]), _Picture(name_b, numbers[1])


def _find_photographs(lines: list[_Line], file: Path, root: Path) -> dict[_Picture, Path]:
    """Return the file of every picture, or raise one error for all that are absent."""
    if not path_is(Path.is_dir, root):
        raise DataError(f"{root}: this is not a folder; give the one that holds NAME/NAME_0001.jpg")
    pictures = dict.fromkeys(picture for line in lines for picture in (line.picture_a, line.picture_b))
    root = _people_below(root, next(iter(pictures), None))
    found = {picture: path for picture in pictures if (path := _find(root, picture)) is not None}
    broken = [line for line in lines if line.picture_a not in found or line.picture_b not in found]
    if broken:
        first = broken[0].picture_b if broken[0].picture_a in found else broken[0].picture_a
        _fail(
            file,
            broken[0].number,
            f"there is no photograph {_stem(root, first)}.jpg (nor in another format); missing in total: "
            f"photographs {len(pictures) - len(found)} of {len(pictures)}, pairs {len(broken)} of "
            f"{len(lines)}; give the folder that holds them all",
        )
    return found


def _people_below(root: Path, picture: _Picture | None) -> Path:
    """The folder that holds the people: `root`, or one within it where an archive was unpacked."""
    levels = [[root]]
    for _ in range(2):
        levels.append([each / name for each in levels[-1] for name in _FOLDERS])
    candidates = [each for level in levels for each in level if picture and path_is(Path.is_dir, each / picture.name)]
    return candidates[0] if candidates else root


def _stem(root: Path, picture: _Picture) -> Path:
    return root / picture.name / f"{picture.name}_{picture.number:04d}"


def _find(root: Path, picture: _Picture) -> Path | None:
    stem = _stem(root, picture)
    for suffix in (".jpg", *sorted(photograph_suffixes() - {".jpg"})):
        path = stem.with_name(stem.name + suffix)  # with_suffix() would cut a name such as "J._Doe"
        if path_is(Path.is_file, path):
            return path
    return None


def find_pairs_file(lfw: Path) -> Path:
    """`pairs.txt`, or else `pairs.csv`, in LFW's folder or beside it. Raises DataError."""
    if not lfw.is_dir():
        raise DataError(f"{lfw}: no such folder; name the one that holds NAME/NAME_0001.jpg")
    outer = [lfw.parent.parent] if lfw.name == lfw.parent.name else []
    for name in ("pairs.txt", "pairs.csv"):
        for folder in (lfw, lfw.parent, *outer):
            if (folder / name).is_file():
                return folder / name
    raise DataError(f"{lfw}: no pairs.txt in it or beside it; name LFW's pair file with --pairs")


def lfw_folder() -> Path:
    """LFW's folder in scikit-learn's data home, whether it exists or not."""
    home = os.environ.get("SCIKIT_LEARN_DATA") or "~/scikit_learn_data"
    return Path(home).expanduser() / "lfw_home" / "lfw_funneled"


def found_lfw() -> Path:
    """`lfw_folder`, if it exists. Raises DataError."""
    folder = lfw_folder()
    if not folder.is_dir():
        raise DataError(f"{folder}: no LFW here; name its folder, or fetch it there with --download (about 240 MB)")
    return folder


def download_lfw() -> Path:
    """Fetch LFW (funneled) and its pair lists with scikit-learn, unless they exist; checksums are verified.

    Raises
    ------
    DataError
        If it can't be fetched or unpacked.
    """
    from sklearn.datasets import fetch_lfw_people

    folder = lfw_folder()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of each retry
            # It also decodes what it is asked for; one person at a tenth of the size is the least.
            fetch_lfw_people(data_home=str(folder.parents[1]), min_faces_per_person=500, resize=0.1)
    except (OSError, HTTPException, ValueError, tarfile.TarError, EOFError) as error:
        raise DataError(
            f"{folder}: LFW can't be fetched ({reason_of(error)}); check the network and the disk space, or copy "
            "the folder from another machine and name it"
        ) from error
    return found_lfw()
