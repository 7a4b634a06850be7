from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from facever.datasets.pair_tables import dealt, read_pairs
from facever.datasets.pairs import Pair, noted
from facever.errors import DataError

ROWS = [
    {"path_a": "ann/1.jpg", "path_b": "ann/2.jpg", "same": "1", "fold": "0", "group": "f"},
    {"path_a": "ann/1.jpg", "path_b": "bob/1.jpg", "same": "0", "fold": "1", "group": "m"},
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("ann/1.jpg", "ann/2.jpg", "bob/1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path)
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_a_table_gives_its_pairs_with_people_folds_and_groups(root: Path, suffix: str) -> None:
    assert read_pairs(write(root / f"pairs{suffix}", ROWS)).pairs == [
        Pair(root / "ann/1.jpg", root / "ann/2.jpg", True, 0, "ann", "ann", "f"),
        Pair(root / "ann/1.jpg", root / "bob/1.jpg", False, 1, "ann", "bob", "m"),
    ]


def test_numbers_and_booleans_of_a_parquet_file_count_as_their_words(root: Path) -> None:
    rows = [{**row, "same": row["same"] == "1", "fold": int(row["fold"])} for row in ROWS]
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), root / "pairs.parquet")
    assert [(pair.same, pair.fold) for pair in read_pairs(root / "pairs.parquet").pairs] == [(True, 0), (False, 1)]


def test_paths_start_from_the_named_root_and_stated_people_beat_folders(root: Path, tmp_path_factory) -> None:
    rows = [{**ROWS[0], "identity_a": "A", "identity_b": "B"}]
    elsewhere = write(tmp_path_factory.mktemp("lists") / "pairs.csv", rows)
    [pair] = read_pairs(elsewhere, root).pairs
    assert (pair.path_a, pair.identity_a, pair.identity_b) == (root / "ann/1.jpg", "A", "B")


@pytest.mark.parametrize("folders", ["", "probe gallery"])
def test_where_folders_are_no_people_genuine_pairs_tell_who_is_the_same(folders: str, tmp_path: Path) -> None:
    # 1, 2 and 3 are one person, by two pairs; 4 has no genuine pair; 5 and 6 are one.
    left, right = (f"{each}/" for each in folders.split()) if folders else ("", "")
    rows = [
        {"path_a": f"{left}{a}.jpg", "path_b": f"{right}{b}.jpg", "same": same}
        for a, b, same in [(1, 2, 1), (3, 2, 1), (5, 6, 1), (1, 4, 0), (3, 6, 0), (5, 4, 0)]
    ]
    for name in {row[side] for row in rows for side in ("path_a", "path_b")}:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    listed = read_pairs(write(tmp_path / "pairs.csv", rows))
    people = {side: {} for side in ("a", "b")}
    for pair in listed.pairs:
        people["a"][pair.path_a.stem], people["b"][pair.path_b.stem] = pair.identity_a, pair.identity_b
    who = people["a"] | people["b"]
    assert who["1"] == who["2"] == who["3"]
    assert who["5"] == who["6"]
    assert len(set(who.values())) == 3
    assert not any("contradict" in note for note in listed.notes)


def test_without_folds_pairs_are_dealt_so_that_each_fold_has_both_kinds(root: Path) -> None:
    pairs = dealt([Pair(Path("a"), Path("b"), i % 3 == 0, 0) for i in range(90)])
    for fold in range(10):
        of_fold = [pair.same for pair in pairs if pair.fold == fold]
        assert (of_fold.count(True), of_fold.count(False)) == (3, 6)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"same": "maybe"}, "line 3: same is 'maybe'"),
        ({"fold": "x"}, "line 3: fold is 'x'"),
        ({"path_b": ""}, "line 3: a path is empty"),
        ({"path_b": "cid/1.jpg"}, "line 3: there is no photograph .*cid/1.jpg; missing in total: 1 of 3"),
        ({"path_b": "x" * 300}, "line 3: there is no photograph .*xxx; missing in total: 1 of 3"),
    ],
)
def test_a_broken_line_is_named_by_its_number(root: Path, row: dict[str, str], says: str) -> None:
    with pytest.raises(DataError, match=says):
        read_pairs(write(root / "pairs.csv", [ROWS[0], {**ROWS[1], **row}]))


def test_a_layout_in_circulation_is_read(root: Path) -> None:
    rows = [
        {"file_x": row["path_a"], "file_y": row["path_b"], "Decision": "Yes" if row["same"] == "1" else "No"}
        for row in ROWS
    ]
    listed = read_pairs(write(root / "pairs.csv", rows)).pairs
    assert [(pair.path_a, pair.path_b, pair.same) for pair in listed] == [
        (root / "ann/1.jpg", root / "ann/2.jpg", True),
        (root / "ann/1.jpg", root / "bob/1.jpg", False),
    ]
    other = write(root / "other.csv", [{"left": "ann/1.jpg", "right": "ann/2.jpg", "same": "1"}])
    with pytest.raises(DataError, match=r"rename its columns \(here: left, right, same\)"):
        read_pairs(other)


def test_a_table_without_a_column_says_which_and_what_it_has(root: Path) -> None:
    path = write(root / "pairs.csv", [{"left": "a", "right": "b", "same": "1"}])
    with pytest.raises(DataError, match=r"no column path_a, path_b.*here: left, right, same"):
        read_pairs(path)


@pytest.mark.parametrize("content", [b"", b"path_a,path_b,same\n", b"\x00\xff\xfe"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_without_pairs_is_refused_by_name(root: Path, content: bytes, suffix: str) -> None:
    path = root / f"pairs{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"pairs{suffix}"):
        read_pairs(path)


def test_a_list_of_another_suffix_is_lfws(data_folder: Path) -> None:
    assert len(read_pairs(data_folder / "pairs.txt", data_folder / "lfw").pairs) == 6000


def notes(*pairs: Pair) -> str:
    return " ".join(noted(list(pairs)).notes)


def test_what_a_reader_should_know_is_counted_and_named_and_nothing_dropped() -> None:
    a, b, c = Path("a"), Path("b"), Path("c")
    clean = Pair(a, b, True, 0, "x", "x")
    assert noted([clean, Pair(a, c, False, 0, "x", "y")]).notes == []
    assert "1 pairs are listed more than once" in notes(clean, Pair(b, a, True, 0, "x", "x"))
    assert "1 pairs are listed as the same and as different" in notes(clean, Pair(b, a, False, 0))
    assert "1 pairs are of a photograph with itself" in notes(Pair(a, a, True, 0))
    assert "1 pairs contradict the names" in notes(Pair(a, b, True, 0, "x", "y"))
    assert "1 people are in more than one fold" in notes(clean, Pair(a, c, False, 1, "x", "y"))
    assert len(noted([clean, clean]).pairs) == 2
    assert notes(clean, Pair(b, a, True, 0, "x", "x")).split("; ")[1].startswith("the first: b and a")
    assert "the first: x" in notes(clean, Pair(a, c, False, 1, "x", "y"))


def test_folds_of_one_kind_are_counted_and_the_first_is_named() -> None:
    pairs = [Pair(Path(f"{i}a"), Path(f"{i}b"), same, fold) for i, (same, fold) in enumerate(FOLDED)]
    (note,) = noted(pairs).notes
    assert note == "2 folds hold pairs of one kind only; the first: fold 1, of the same person"


# Fold 0 has both kinds, 1 genuine pairs, 2 an impostor pair.
FOLDED = [(True, 0), (False, 0), (True, 1), (True, 1), (False, 2)]


def test_a_pair_that_is_listed_both_ways_many_times_counts_once() -> None:
    a, b = Path("a"), Path("b")
    told = notes(*(Pair(a, b, same, 0) for same in (True, False, True, False)))
    assert "1 pairs are listed as the same and as different people" in told
    assert "3 pairs are listed more than once" in told


def test_pairs_without_a_group_are_counted_where_others_have_one() -> None:
    a, b, c = Path("a"), Path("b"), Path("c")
    assert "1 pairs have no group and count for none; the first: a and c" in notes(
        Pair(a, b, True, 0, group="g"), Pair(a, c, False, 0)
    )
    assert "group" not in notes(Pair(a, b, True, 0), Pair(a, c, False, 0))


def test_lfws_official_folds_share_nobody(data_folder: Path) -> None:
    assert json.dumps(read_pairs(data_folder / "pairs.txt", data_folder / "lfw").notes) == "[]"


def test_a_column_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_bytes(b"pa\xffth_a,path_b,same\na.jpg,b.jpg,1\n")
    with pytest.raises(DataError, match=r"pairs\.csv: can't be read .*; give a table with path_a, path_b, same"):
        read_pairs(tmp_path / "pairs.csv")


def test_a_column_that_comes_twice_is_named(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("path_a,path_b,same,same\na.jpg,b.jpg,1,0\n")
    with pytest.raises(DataError, match=r"pairs\.csv: has the column same more than once"):
        read_pairs(tmp_path / "pairs.csv")


@pytest.mark.parametrize("values", [[[1]], [{"x": 1}], [b"\xff\xfe"]])
def test_columns_that_are_no_text_are_refused(tmp_path: Path, values: list[object]) -> None:
    table = pa.table({"path_a": values, "path_b": ["b.jpg"], "same": [True]})
    pyarrow.parquet.write_table(table, tmp_path / "pairs.parquet")
    with pytest.raises(DataError, match=r"pairs\.parquet: can't be read"):
        read_pairs(tmp_path / "pairs.parquet")
