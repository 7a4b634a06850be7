from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facever.datasets.identities import (
    group_of,
    labels_of,
    matching,
    read_dropped,
    read_identities,
    split_identities,
)
from facever.errors import DataError

NAMES = [f"kin_F{family:04}_MID{member}" for family in range(200) for member in range(1, 4)]


def photographs(root: Path, **counts: int) -> Path:
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            (root / name / f"{i}.jpg").touch()
    return root


def test_a_folder_of_identities_is_read_in_order_with_a_name_for_each_photograph(tmp_path: Path) -> None:
    folder = read_identities(photographs(tmp_path, bob=2, ann=1))
    assert folder.identities == ["ann", "bob", "bob"]
    assert [path.relative_to(tmp_path).as_posix() for path in folder.paths] == ["ann/0.jpg", "bob/0.jpg", "bob/1.jpg"]


def test_only_photographs_count_and_hidden_folders_do_not(tmp_path: Path) -> None:
    photographs(tmp_path, ann=1)
    (tmp_path / "ann" / "notes.txt").touch()
    (tmp_path / ".trash").mkdir()
    (tmp_path / ".trash" / "0.jpg").touch()
    assert len(read_identities(tmp_path).paths) == 1


def test_identities_with_too_few_photographs_are_left_out_and_counted(tmp_path: Path) -> None:
    folder = read_identities(photographs(tmp_path, ann=1, bob=2, cid=1), least=2)
    assert set(folder.identities) == {"bob"}
    assert folder.singletons == 2


def test_a_pattern_chooses_identities(tmp_path: Path) -> None:
    assert set(read_identities(photographs(tmp_path, celeba_1=1, kin_1=1), only="celeba_*").identities) == {"celeba_1"}


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda root: root / "nowhere", "no such folder"),
        (lambda root: photographs(root, ann=1) / "ann" / "0.jpg", "a file"),
        (lambda root: root, "no folders of photographs"),
        (lambda root: photographs(root, ann=0), "no folders of photographs"),
    ],
)
def test_what_is_no_folder_of_identities_is_refused_by_name(tmp_path: Path, make, says: str) -> None:
    path = make(tmp_path)
    with pytest.raises(DataError, match=says) as error:
        read_identities(path)
    assert str(path) in str(error.value)


def test_relatives_form_a_group_and_others_stand_alone() -> None:
    assert group_of("kin_F0001_MID2") == group_of("kin_F0001_MID7") != group_of("kin_F0002_MID2")
    assert group_of("celeba_17") == "celeba_17"


@given(st.integers(0, 1000), st.floats(0.05, 0.95))
def test_a_split_covers_everybody_once_and_parts_no_family(seed: int, share: float) -> None:
    training, held_out = split_identities(NAMES, share, seed)
    assert sorted(training + held_out) == sorted(NAMES)
    assert not {group_of(name) for name in training} & {group_of(name) for name in held_out}


def test_about_the_asked_share_is_held_out() -> None:
    held_out = split_identities(NAMES, 0.15)[1]
    # 200 families: 30 expected, standard deviation 5.
    assert 15 <= len(held_out) / 3 <= 45


def test_another_seed_holds_out_other_people_and_the_same_seed_the_same() -> None:
    assert split_identities(NAMES, 0.15, 1) == split_identities(reversed(NAMES), 0.15, 1)
    assert split_identities(NAMES, 0.15, 1)[1] != split_identities(NAMES, 0.15, 2)[1]


def test_new_people_move_nobody_to_the_other_side() -> None:
    before = set(split_identities(NAMES, 0.15)[1])
    after = set(split_identities([*NAMES, *(f"new_{i}" for i in range(50))], 0.15)[1])
    assert before <= after


def test_few_people_still_give_two_to_validate_on_and_a_share_of_zero_none() -> None:
    assert len(split_identities("abcd", 0.01)[1]) == 2
    assert split_identities("abcd", 0.0)[1] == []


def test_labels_follow_the_order_of_the_names() -> None:
    assert labels_of(["bob", "ann", "bob"]) == ([1, 0, 1], ["ann", "bob"])


def test_matching_gives_each_name_once() -> None:
    assert matching(["b1", "a1", "b1", "b2"], "b*") == ["b1", "b2"]


def test_what_a_list_names_is_passed_over(tmp_path: Path) -> None:
    for name in ("a/1.jpg", "a/2.jpg", "b/1.jpg", "c/1.jpg"):
        (tmp_path / "people" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "people" / name).touch()
    (tmp_path / "drop.txt").write_text("# wrong people\nb/  # two people\na/2.jpg\n\nnobody\n")
    dropped = read_dropped(tmp_path / "drop.txt")
    assert dropped == ["a/2.jpg", "b", "nobody"]
    folder = read_identities(tmp_path / "people", dropped=dropped)
    assert [f"{path.parent.name}/{path.name}" for path in folder.paths] == ["a/1.jpg", "c/1.jpg"]
    for bad in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(DataError, match="can't be read as a list of names"):
            read_dropped(bad)


def test_what_else_is_in_the_folder_is_counted_by_reason(tmp_path: Path) -> None:
    for name in ("ann/1.jpg", "ann/notes.txt", "ann/.2.jpg", "ann/more/3.jpg", "loose.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = read_identities(tmp_path)
    assert found.paths == [tmp_path / "ann/1.jpg"]
    assert found.notes() == [
        "passed over: photographs outside a person's folder 1, hidden 1, folders within a person's 1, "
        "with another suffix 1"
    ]
