"""Folders of photographs per person, whatever people and photographs are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from facever.errors import OutputError
from facever.gallery.clustering import ClusteredFace, Clustering
from facever.gallery.clusters import Rule
from facever.reports.people_folders import write_folders


def clustering(*faces: tuple[str, str, str | None]) -> Clustering:
    """Of path, person and name."""
    return Clustering(
        [ClusteredFace(f"{i}", path, 0, None, person, name) for i, (path, person, name) in enumerate(faces)],
        Rule.fixed(0.5),
    )


def test_names_that_become_one_get_numbers(tmp_path: Path) -> None:
    people = {
        "Ann": "Ann",
        "ann": "ann 2",
        "Ann\n": "Ann 3",
        "Zo\u00eb": "Zo\u00eb",
        "Zoe\u0308": "Zoe\u0308 2",
        "../..": "_",
        "\u200b": "_ 2",
        "a/b": "a_b",
        "a\\b": "a_b 2",
        "x" * 300: "x" * 200,
        "x" * 301: "x" * 200 + " 2",
        "\U0001f600" * 300: "\U0001f600" * 50,
    }
    faces = [(f"{i}/a.jpg", f"p{i}", name) for i, name in enumerate(people)]
    assert write_folders(tmp_path / "by", clustering(*faces), tmp_path) == (12, [])
    assert sorted(each.name for each in (tmp_path / "by").iterdir()) == sorted(people.values())
    assert [each.name for each in tmp_path.iterdir()] == ["by"]


@pytest.mark.parametrize("copy", [False, True])
def test_photographs_of_one_name_both_appear(tmp_path: Path, copy: bool) -> None:
    for folder in ("one", "two", "three"):
        (tmp_path / folder).mkdir()
    names = {"one": "a.jpg", "two": "A.jpg", "three": "y" * 251 + ".jpg"}
    for folder, name in names.items():
        (tmp_path / folder / name).write_text(folder)
    faces = [(f"{folder}/{name}", "p1", "Ann") for folder, name in names.items()]
    assert write_folders(tmp_path / "by", clustering(*faces, faces[0]), tmp_path, copy) == (3, [])
    there = {each.name: each.read_text() for each in (tmp_path / "by" / "Ann").iterdir()}
    assert there == {"a.jpg": "one", "A 2.jpg": "two", "y" * 251 + ".jpg": "three"}


def test_nothing_is_left_where_a_copy_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jpg").write_text("a")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copy2", full)
    with pytest.raises(OutputError, match=r"by: can't be written \(No space left"):
        write_folders(tmp_path / "by", clustering(("a.jpg", "p1", "Ann")), tmp_path, copy=True)
    assert [each.name for each in tmp_path.iterdir()] == ["a.jpg"]
