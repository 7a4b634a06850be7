from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from facever.datasets.identities import read_identities
from facever.datasets.lfw import find_pairs_file, read_lfw_pairs
from facever.datasets.pair_tables import read_pairs
from facever.datasets.pairs import Pair, photographs
from facever.errors import DataError

TWO_FOLDS = "2\t1\nAnn\t1\t2\nAnn\t1\tBob\t1\nCy\t1\t3\nCy\t3\tDan\t12\n"
TWO_FOLDS_PHOTOGRAPHS = ["Ann/Ann_0001", "Ann/Ann_0002", "Bob/Bob_0001"]
TWO_FOLDS_PHOTOGRAPHS += ["Cy/Cy_0001", "Cy/Cy_0003", "Dan/Dan_0012"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with every photograph of TWO_FOLDS, as .jpg."""
    folder = tmp_path / "photographs"
    for name in TWO_FOLDS_PHOTOGRAPHS:
        path = folder / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "pairs.txt"
    file.write_text(text, encoding="utf-8")
    return file


def error(file: Path, root: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_lfw_pairs(file, root)
    return str(caught.value)


def test_two_folds_by_hand(tmp_path: Path, root: Path) -> None:
    pairs = read_lfw_pairs(write(tmp_path, TWO_FOLDS), root)
    assert pairs == [
        Pair(root / "Ann/Ann_0001.jpg", root / "Ann/Ann_0002.jpg", True, 0, "Ann", "Ann"),
        Pair(root / "Ann/Ann_0001.jpg", root / "Bob/Bob_0001.jpg", False, 0, "Ann", "Bob"),
        Pair(root / "Cy/Cy_0001.jpg", root / "Cy/Cy_0003.jpg", True, 1, "Cy", "Cy"),
        Pair(root / "Cy/Cy_0003.jpg", root / "Dan/Dan_0012.jpg", False, 1, "Cy", "Dan"),
    ]


def test_header_of_one_number_is_one_fold(tmp_path: Path, root: Path) -> None:
    pairs = read_lfw_pairs(write(tmp_path, "2\nAnn\t1\t2\nCy\t1\t3\nAnn\t1\tBob\t1\nCy\t3\tDan\t12\n"), root)
    assert [pair.same for pair in pairs] == [True, True, False, False]
    assert [pair.fold for pair in pairs] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "text",
    [
        TWO_FOLDS.replace("\t", "\t\t"),
        TWO_FOLDS.replace("\t", "  "),
        TWO_FOLDS.replace("\n", "\t \r\n"),
        TWO_FOLDS.replace("\n", "\r\n"),
        TWO_FOLDS.rstrip("\n"),
        TWO_FOLDS + "\n \n\t\n",
        "\ufeff" + TWO_FOLDS,
    ],
    ids=[
        "runs of tabs",
        "spaces",
        "trailing tabs",
        "CRLF",
        "no last newline",
        "blank lines at the end",
        "BOM",
    ],
)
def test_variants_of_the_text_read_the_same(tmp_path: Path, root: Path, text: str) -> None:
    expected = read_lfw_pairs(write(tmp_path, TWO_FOLDS), root)
    file = tmp_path / "variant.txt"
    file.write_bytes(text.encode())
    assert read_lfw_pairs(file, root) == expected


def test_names_may_hold_spaces_dots_and_line_separators_between_tabs(tmp_path: Path) -> None:
    names = ["J. Doe", "Zoë\u2028X"]
    for name in names:
        (tmp_path / name).mkdir()
        for number in (1, 2):
            (tmp_path / name / f"{name}_000{number}.jpg").touch()
    text = f"1\n{names[0]}\t1\t2\n{names[0]}\t2\t{names[1]}\t1\n"
    genuine, impostor = read_lfw_pairs(write(tmp_path, text), tmp_path)
    assert genuine.path_b == tmp_path / "J. Doe/J. Doe_0002.jpg"
    assert impostor.path_b == tmp_path / names[1] / f"{names[1]}_0001.jpg"


def test_numbers_above_9999_are_written_in_full(tmp_path: Path, root: Path) -> None:
    (root / "Ann/Ann_12345.jpg").touch()
    text = TWO_FOLDS.replace("Ann\t1\t2", "Ann\t1\t12345")
    assert read_lfw_pairs(write(tmp_path, text), root)[0].path_b == root / "Ann/Ann_12345.jpg"


def test_jpg_comes_before_jpeg_and_png(tmp_path: Path, root: Path) -> None:
    (root / "Ann/Ann_0001.png").touch()  # beside the .jpg
    (root / "Ann/Ann_0002.jpg").rename(root / "Ann/Ann_0002.png")
    (root / "Bob/Bob_0001.jpg").rename(root / "Bob/Bob_0001.jpeg")
    genuine, impostor = read_lfw_pairs(write(tmp_path, TWO_FOLDS), root)[:2]
    assert [genuine.path_a.name, genuine.path_b.name] == ["Ann_0001.jpg", "Ann_0002.png"]
    assert impostor.path_b.name == "Bob_0001.jpeg"


def test_pair_is_frozen_and_without_a_dict() -> None:
    pair = Pair(Path("a"), Path("b"), True, 0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        pair.fold = 1  # type: ignore[misc]
    assert not hasattr(pair, "__dict__")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("zehn\t300\n", 1, "'zehn\\t300' is no header"),
        ("10\t300\t7\n", 1, "is no header"),
        ("10\tx\n", 1, "is no header"),
        ("0\t300\n", 1, "is no header"),
        ("-1\n", 1, "is no header"),
        ("9" * 5000 + "\n", 1, "is no header"),
        ("\n" + TWO_FOLDS, 1, "is no header"),
        (TWO_FOLDS.replace("2\t1\n", "3\t1\n"), 1, "promises 6 pairs (3 × 2 × 1), but 4 lines follow"),
        (TWO_FOLDS + "Cy\t1\t3\n", 1, "promises 4 pairs (2 × 2 × 1), but 5 lines follow"),
        ("10\t300\n", 1, "but 0 lines follow"),
        (TWO_FOLDS.replace("Cy\t1\t3", "Cy\t1"), 4, "2 fields where a genuine pair"),
        (TWO_FOLDS.replace("Cy\t1\t3", ""), 4, "0 fields where a genuine pair"),
        (TWO_FOLDS.replace("Bob\t1", "Bob\t1\t1"), 3, "5 fields where an impostor pair"),
        (TWO_FOLDS.replace("Ann\t1\tBob\t1", "Ann\t1\t2"), 3, "a genuine pair (name i j) where an impostor"),
        (
            TWO_FOLDS.replace("Cy\t1\t3", "Cy\t1\tDan\t12"),
            4,
            "an impostor pair (name i name j) where a genuine",
        ),
        (TWO_FOLDS.replace("Cy\t1\t3", "Cy\t0\t3"), 4, "'0' is no picture number"),
        (TWO_FOLDS.replace("Cy\t1\t3", "Cy\t1\t-3"), 4, "'-3' is no picture number"),
        (TWO_FOLDS.replace("Cy\t1\t3", "Cy\t1.0\t3"), 4, "'1.0' is no picture number"),
        (TWO_FOLDS.replace("Cy\t1\t3", "Cy\t²\t3"), 4, "'²' is no picture number"),
        (TWO_FOLDS.replace("Dan\t12", "Dan\ttwelve"), 5, "'twelve' is no picture number"),
        (TWO_FOLDS.replace("Ann\t1\tBob\t1", "Ann\t1\tAnn\t2"), 3, "an impostor pair of one person, 'Ann'"),
    ],
)
def test_broken_list_names_file_and_line(tmp_path: Path, root: Path, text: str, line: int, words: str) -> None:
    file = write(tmp_path, text)
    message = error(file, root)
    assert message.startswith(f"{file}, line {line}: ")
    assert words in message


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"], ids=["empty", "blank", "BOM alone"])
def test_empty_file(tmp_path: Path, root: Path, content: bytes) -> None:
    file = tmp_path / "pairs.txt"
    file.write_bytes(content)
    assert error(file, root).startswith(f"{file}: this file is empty")


@pytest.mark.parametrize("content", [b"\xff\xd8\xff\xe0 JPEG", b"1\t1\n\x00\x00"], ids=["not UTF-8", "NUL"])
def test_file_that_is_not_text(tmp_path: Path, root: Path, content: bytes) -> None:
    file = tmp_path / "pairs.txt"
    file.write_bytes(content)
    message = error(file, root)
    assert message.startswith(f"{file}: this is not ")
    assert "text; give a pair list" in message


def test_missing_file(tmp_path: Path, root: Path) -> None:
    assert error(tmp_path / "none.txt", root).startswith(f"{tmp_path / 'none.txt'}: there is no such file")


def test_folder_in_place_of_the_list(tmp_path: Path, root: Path) -> None:
    assert error(tmp_path, root).startswith(f"{tmp_path}: this is a folder")


def test_path_that_the_system_refuses(tmp_path: Path, root: Path) -> None:
    assert "can't be read" in error(tmp_path / ("x" * 5000), root)


@pytest.mark.parametrize("name", ["none", "pairs.txt", "x" * 5000])
def test_root_that_is_no_folder(tmp_path: Path, name: str) -> None:
    file = write(tmp_path, TWO_FOLDS)
    assert error(file, tmp_path / name).startswith(f"{tmp_path / name}: this is not a folder")


def test_missing_photographs_are_summed_up(tmp_path: Path, root: Path) -> None:
    # Cy_0003 is in both pairs of the second fold, Bob_0001 in the second pair of the first.
    (root / "Cy/Cy_0003.jpg").unlink()
    (root / "Bob/Bob_0001.jpg").unlink()
    (root / "Bob/Bob_0001.jpg").mkdir()  # a folder is no photograph
    file = write(tmp_path, TWO_FOLDS)
    message = error(file, root)
    assert message.startswith(f"{file}, line 3: there is no photograph {root / 'Bob/Bob_0001.jpg'} ")
    assert "photographs 2 of 6, pairs 3 of 4" in message


def test_first_of_two_missing_photographs_in_a_line_is_named(tmp_path: Path, root: Path) -> None:
    (root / "Ann/Ann_0001.jpg").unlink()
    (root / "Ann/Ann_0002.jpg").unlink()
    assert f"line 2: there is no photograph {root / 'Ann/Ann_0001.jpg'}" in error(write(tmp_path, TWO_FOLDS), root)


def test_name_too_long_for_the_file_system_counts_as_missing(tmp_path: Path, root: Path) -> None:
    text = TWO_FOLDS.replace("Cy\t1\t3", "C" * 5000 + "\t1\t3")
    assert "line 4: there is no photograph" in error(write(tmp_path, text), root)


def test_photographs_in_order_of_first_use() -> None:
    a, b, c = Path("a"), Path("b"), Path("c")
    pairs = [Pair(c, a, True, 0), Pair(a, c, True, 0), Pair(b, a, False, 0)]
    assert photographs(pairs) == [c, a, b]
    assert photographs([]) == []


@pytest.mark.slow
@pytest.mark.data
def test_official_list_of_lfw(data_folder: Path) -> None:
    root = data_folder / "lfw"
    pairs = read_lfw_pairs(data_folder / "pairs.txt", root)
    assert len(pairs) == 6000
    abel = root / "Abel_Pacheco"
    assert pairs[0] == Pair(
        abel / "Abel_Pacheco_0001.jpg", abel / "Abel_Pacheco_0004.jpg", True, 0, "Abel_Pacheco", "Abel_Pacheco"
    )
    last = pairs[-1]
    assert (last.path_a.name, last.path_b.name) == ("Slobodan_Milosevic_0002.jpg", "Sok_An_0001.jpg")
    for fold in range(10):
        of_fold = [pair.same for pair in pairs if pair.fold == fold]
        assert (of_fold.count(True), of_fold.count(False)) == (300, 300)
    assert all((pair.path_a.parent == pair.path_b.parent) == pair.same for pair in pairs)
    assert len(photographs(pairs)) == 7701


@pytest.mark.data
def test_no_person_of_lfw_is_in_two_folds(data_folder: Path) -> None:
    pairs = read_lfw_pairs(data_folder / "pairs.txt", data_folder / "lfw")
    people = [{path.parent for path in photographs(p for p in pairs if p.fold == fold)} for fold in range(10)]
    assert sum(map(len, people)) == len(set().union(*people)) == 4281


def test_the_table_of_lfws_pairs_reads_as_the_list_does_also_from_nested_folders(tmp_path: Path, root: Path) -> None:
    expected = read_lfw_pairs(write(tmp_path, TWO_FOLDS), root)
    fields = [line.split("\t") for line in TWO_FOLDS.strip().split("\n")[1:]]
    table = tmp_path / "pairs.csv"
    table.write_text("\n".join(["name,imagenum1,imagenum2,", *(",".join([*f, ""][:4]) for f in fields)]) + "\n")
    assert read_lfw_pairs(table, root) == expected
    assert read_pairs(table, root).pairs == expected
    nested = tmp_path / "archive" / "lfw-deepfunneled" / "lfw-deepfunneled"
    shutil.copytree(root, nested)
    shutil.copy(table, tmp_path / "archive" / "pairs.csv")
    found = read_lfw_pairs(find_pairs_file(nested), tmp_path / "archive")
    assert [(p.path_a, p.same, p.fold) for p in found] == [
        (nested / p.path_a.relative_to(root), p.same, p.fold) for p in expected
    ]
    assert read_identities(nested.parent).root == nested


def test_a_broken_line_of_the_table_is_named_by_its_number(tmp_path: Path, root: Path) -> None:
    table = tmp_path / "pairs.csv"
    table.write_text("name,imagenum1,imagenum2,\nAnn,1,two,\n")
    with pytest.raises(DataError, match=r"line 2: 'two' is no picture number"):
        read_lfw_pairs(table, root)
