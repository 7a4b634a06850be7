from __future__ import annotations

import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facever.datasets.bin_sets import read_bin
from facever.errors import DataError
from facever.faces.sources import read


def encoded(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (value, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def saved(path: Path, value: object, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", range(2, 6))
def test_pictures_come_in_pairs_with_their_answers_and_ten_folds_in_order(tmp_path: Path, protocol: int) -> None:
    pictures = [encoded(i) for i in range(40)]
    pairs = read_bin(saved(tmp_path / "set.bin", (pictures, [i % 2 == 0 for i in range(20)]), protocol))
    assert [pair.same for pair in pairs] == [True, False] * 10
    assert [pair.fold for pair in pairs] == [k // 2 for k in range(20)]
    name, image = read(pairs[3].path_b)[:2]
    assert name == "set.bin[7]"
    assert isinstance(image, np.ndarray)
    assert image[0, 0, 0] == 7


def test_the_form_that_python_2_wrote_is_read(tmp_path: Path) -> None:
    # (['x', 'y'], [True]) by protocol 2 of Python 2: SHORT_BINSTRING for bytes, NEWTRUE.
    (tmp_path / "old.bin").write_bytes(b"\x80\x02]q\x00(U\x01xq\x01U\x01yq\x02e]q\x03\x88a\x86q\x04.")
    [pair] = read_bin(tmp_path / "old.bin")
    assert (pair.path_a.data, pair.path_b.data, pair.same) == (b"x", b"y", True)


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch hacked",)


@pytest.mark.parametrize("protocol", range(6))
def test_a_hostile_pickle_is_refused_and_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    path = saved(tmp_path / "set.bin", ([b"x", Hostile()], [True]), protocol)
    with pytest.raises(DataError, match="refused"):
        read_bin(path)
    assert not (tmp_path / "hacked").exists()


def test_a_pickle_of_harmless_other_things_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="numpy"):
        read_bin(saved(tmp_path / "set.bin", ([b"x", b"y"], np.array([True]))))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (([b"x"], [True]), "1 pictures for 1 pairs"),
        (([b"x", "y"], [True]), "not bytes"),
        (([b"x", b"y"], [2]), "not a boolean"),
        (([], []), "empty"),
        ([b"x"], "not a list of pictures and a list of answers"),
        ({"a": 1}, "not a list of pictures"),
        ((b"xy", [True]), "not lists"),
    ],
)
def test_sets_that_do_not_fit_are_refused_with_the_reason(tmp_path: Path, value: object, says: str) -> None:
    with pytest.raises(DataError, match=says):
        read_bin(saved(tmp_path / "set.bin", value))


def test_a_file_cut_anywhere_is_refused_by_name(tmp_path: Path) -> None:
    whole = saved(tmp_path / "set.bin", ([encoded(1), encoded(2)], [True])).read_bytes()
    for length in range(len(whole)):
        (tmp_path / "cut.bin").write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"cut\.bin"):
            read_bin(tmp_path / "cut.bin")


def test_a_missing_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.bin"):
        read_bin(tmp_path / "none.bin")
