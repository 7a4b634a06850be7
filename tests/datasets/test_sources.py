"""The source of each identity; and that nothing is a source which the user did not name as one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facever.datasets.sources import FILE, check_sources, read_sources, sources_by_pattern
from facever.errors import DataError
from facever.training.sampler import even_shares
from facever.training.validation import validate

BEFORE_THE_FIRST_UNDERSCORE = "(?P<source>[^_]+)_"
PEOPLE = ["Ann_Smith", "Ann_Jones", "Bob_Smith"]


def write(folder: Path, *lines: str, start: bytes = b"") -> None:
    (folder / FILE).write_bytes(start + "\n".join([*lines, ""]).encode())


def test_a_pattern_names_the_source_from_the_start_of_a_name() -> None:
    names = ["kin_F0001_MID1", "celeba_123", "celeba_123", "nobody", "_x"]
    assert sources_by_pattern(names, BEFORE_THE_FIRST_UNDERSCORE) == {
        "kin_F0001_MID1": "kin",
        "celeba_123": "celeba",
        "nobody": "",
        "_x": "",
    }
    assert sources_by_pattern(["a1", "ba1"], "(?P<source>a)") == {"a1": "a", "ba1": ""}


def test_a_group_that_takes_no_part_leaves_the_source_open() -> None:
    assert sources_by_pattern(["x_1", "1"], "((?P<source>x)_)?1") == {"x_1": "x", "1": ""}


@pytest.mark.parametrize(
    ("pattern", "told"),
    [("([^_]+)_", r"needs a group \(\?P<source>"), ("(?P<sauce>a)", "needs a group"), ("(?P<source>", "no regular")],
)
def test_a_pattern_that_names_no_source_is_refused(pattern: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        check_sources(pattern)
    check_sources("")
    check_sources(BEFORE_THE_FIRST_UNDERSCORE)


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"], ids=["plain", "with a byte order mark"])
def test_a_file_names_the_source_of_each_identity(tmp_path: Path, start: bytes) -> None:
    lines = ["identity,note,source", "Ann_Smith,,one", "Bob_Smith,'',two", "Ann_Jones,x,two", "absent,,three"]
    write(tmp_path, *lines, start=start)
    assert read_sources(tmp_path, [*PEOPLE, "Ann_Smith"]) == {
        "Ann_Smith": "one",
        "Ann_Jones": "two",
        "Bob_Smith": "two",
    }


def test_a_pattern_goes_before_the_file(tmp_path: Path) -> None:
    write(tmp_path, "identity,source", "Ann_Smith,one")
    assert read_sources(tmp_path, ["Ann_Smith"], "(?P<source>.)") == {"Ann_Smith": "A"}


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["identity,from", "Ann_Smith,one"], "has no column 'source'; its first line must be identity,source"),
        (["Ann_Smith,one", "Ann_Jones,one"], "has no column 'identity'"),
        (["identity,source", "Ann_Smith,one"], "names no source for 2 identities, the first: Ann_Jones; add them"),
        (["identity,source", "Ann_Smith,one", "Ann_Jones,", "Bob_Smith,one"], "for 1 identities, the first: Ann_Jones"),
        (["identity,source", "Ann_Smith,one", "Ann_Jones,one", "Bob_Smith"], "for 1 identities, the first: Bob_Smith"),
        ([], "names no source for 3 identities"),
    ],
)
def test_a_file_that_lacks_something_is_refused_by_name(tmp_path: Path, lines: list[str], told: str) -> None:
    write(tmp_path, *lines)
    with pytest.raises(DataError, match=told) as refusal:
        read_sources(tmp_path, PEOPLE)
    assert str(refusal.value).startswith(f"{tmp_path / FILE}: ")


def test_a_file_in_another_encoding_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes("identity,source\nZoë,one\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"sources\.csv: can't be read .*; list identity,source in UTF-8"):
        read_sources(tmp_path, ["Zoë"])


def test_without_pattern_and_file_all_people_are_of_one_source(tmp_path: Path) -> None:
    assert read_sources(tmp_path, PEOPLE) == dict.fromkeys(PEOPLE, "")


def test_no_first_name_becomes_a_source_of_validation(tmp_path: Path) -> None:
    # 25 Anns, 14.4 degrees apart, and 25 Bobs, each 1 degree from an Ann. Of 4,900 pairs of strangers 14 may pass at
    # FAR 0.003, 44 at 0.009, and 75 are nearer than the genuine pairs, 2 degrees apart. Within either half,
    # strangers are far.
    people = [(first, i) for first in ("Ann", "Bob") for i in range(25)]
    names = [f"{first}_{i}" for first, i in people for _ in range(2)]
    angles = np.radians([14.4 * i + (first == "Bob") + turn for first, i in people for turn in (0, 2)])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    scores = {}
    for pattern in ("", BEFORE_THE_FIRST_UNDERSCORE):
        sources = read_sources(tmp_path, names, pattern)
        validation = validate(embeddings, names, [sources[name] for name in names], seed=0)
        assert validation is not None
        assert (validation.far, validation.tar) == (0.009 if pattern else 0.003, 0.0)
        scores[pattern] = (validation.tar_by_source, validation.score)
    assert scores[""] == ({"": 0.0}, 0.0)
    assert scores[BEFORE_THE_FIRST_UNDERSCORE] == ({"Ann": 1.0, "Bob": 1.0}, 1.0)


def test_no_first_name_becomes_a_source_of_even_sampling(tmp_path: Path) -> None:
    names = ["Ann_A"] * 3 + ["Ann_B"] + ["Bob_C"] * 2
    sources = read_sources(tmp_path, names)
    shares = even_shares(names, [sources[name] for name in names])
    assert shares.tolist() == pytest.approx([1 / 9] * 3 + [1 / 3] + [1 / 6] * 2)  # a third for each of three people
    named = sources_by_pattern(names, BEFORE_THE_FIRST_UNDERSCORE)
    by_name = even_shares(names, [named[name] for name in names])
    assert by_name.tolist() == pytest.approx([1 / 12] * 3 + [1 / 4] + [1 / 4] * 2)  # half for the only Bob
