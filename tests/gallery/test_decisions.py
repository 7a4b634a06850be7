from __future__ import annotations

from pathlib import Path

import pytest

from facever.errors import DataError
from facever.gallery.decisions import Earlier, People


def read(tmp_path: Path, *lines: str, columns: str = "face_id,person,name,decision") -> People:
    file = tmp_path / "people.csv"
    file.write_text("\n".join([columns, *lines]) + "\n", encoding="utf-8")
    return People.read(file)


def test_each_decision(tmp_path: Path) -> None:
    found = read(tmp_path, "a,p1,Ann,name", "b,p1,Ann,same", "c,p1,Ann,not same", "d,,,not a face", "e,p1,Ann,", "f,,,")
    assert found.faces == {
        "a": Earlier("p1", fixed=True, decision="name"),
        "b": Earlier("p1", fixed=True, decision="same"),
        "c": Earlier(None, others=("p1",), decision="not same p1"),
        "d": Earlier(None, is_face=False, decision="not a face"),
        "e": Earlier("p1"),
        "f": Earlier(None),
    }
    assert found.names == {"p1": "Ann"}


def test_several_decisions_of_a_face_and_those_of_a_run_before(tmp_path: Path) -> None:
    found = read(tmp_path, "a,p3,,same; not same p1; not same p2", "b,p12,,not same p1")
    assert found.faces["a"] == Earlier("p3", True, ("p1", "p2"), decision="same; not same p1; not same p2")
    assert found.faces["b"] == Earlier("p12", False, ("p1",), decision="not same p1")
    assert found.next_id() == 13


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["a,p1,Ann,", "b,p1,Bo,"], "line 3: the person p1 is both 'Ann' and 'Bo'"),
        (["a,p1,,same", "a,p1,,not same"], "line 3: the face a is listed twice"),
        (["a,p1,,same; not same p1"], "decided to be p1, and not to be p1"),
        (["a,p1,,maybe"], "decision 'maybe' says nothing"),
        (["a,,,same"], "'same' without a person"),
        (["a,,,not same"], "'not same' without a person"),
        (["a,p1,,name"], "'name' without a name"),
        ([",p1,,"], "no face_id"),
        ([], "holds no row"),
    ],
)
def test_what_contradicts_itself_is_refused_by_its_line(tmp_path: Path, lines: list[str], says: str) -> None:
    with pytest.raises(DataError, match=says):
        read(tmp_path, *lines)


def test_another_table_and_no_table_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="by the columns face_id and person"):
        read(tmp_path, "a,b", columns="path,label")
    with pytest.raises(DataError, match="can't be read"):
        People.read(tmp_path / "none.csv")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no table")
    with pytest.raises(DataError, match=r"broken.parquet: can't be read"):
        People.read(tmp_path / "broken.parquet")


def test_names_from_elsewhere_are_decisions_and_give_way_to_those_before(tmp_path: Path) -> None:
    before = read(
        tmp_path,
        "a,p1,Ann,",
        "b,p2,,",  # nobody's name yet
        "c,p2,,",
        "d,p3,Bo,same",
        "e,,,not a face",
        "f,p1,,not same",
    )
    names = {"a": "Ann", "b": "Cleo", "d": "Ann", "e": "Ann", "f": "Ann", "g": "Dan", "h": "Dan", "i": "Bo"}
    found, contradicted = before.named(names)
    assert contradicted == ["d", "e", "f"]
    assert found.names == {"p1": "Ann", "p2": "Cleo", "p3": "Bo", "p4": "Dan"}
    assert found.faces["a"] == Earlier("p1", True, decision="name")
    assert found.faces["b"] == Earlier("p2", True, decision="name")
    assert found.faces["c"] == Earlier("p2")
    assert found.faces["g"] == found.faces["h"] == Earlier("p4", True, decision="name")
    assert found.faces["i"] == Earlier("p3", True, decision="name")
    assert {face: found.faces[face] for face in "def"} == {face: before.faces[face] for face in "def"}


def test_two_names_of_a_person_who_had_none_are_two_people(tmp_path: Path) -> None:
    found, contradicted = read(tmp_path, *(f"{face},p1,," for face in "abc")).named({"a": "Bo", "b": "Ann", "c": "Ann"})
    assert contradicted == []
    assert found.names == {"p1": "Ann", "p2": "Bo"}
    assert [found.faces[face].person for face in "abc"] == ["p2", "p1", "p1"]
