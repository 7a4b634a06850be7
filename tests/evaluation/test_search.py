from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import facever
from samples import HOSTILE, Page
from samples import people as made_up

from facever.errors import DataError
from facever.evaluation.search import Split, figures_of
from facever.reports.search_page import write_search_report
from facever.weights.file import read_info
from facever.weights.tails import Tail


def test_nobody_is_both_enrolled_and_unknown_and_no_photograph_both_enrolled_and_searched_for() -> None:
    labels = np.random.default_rng(0).integers(0, 60, 200)
    labels = np.unique(labels, return_inverse=True)[1]
    split = Split(labels.tolist(), seed=3)
    kept = np.concatenate(split.enrolled)
    assert sorted([*kept, *split.mated, *split.unmated]) == list(range(200))
    assert not set(labels[kept]) & set(labels[split.unmated])
    assert [set(labels[rows]) for rows in split.enrolled] == [{labels[rows[0]]} for rows in split.enrolled]
    assert labels[split.mated].tolist() == [labels[split.enrolled[p][0]] for p in split.mated_people]
    for person in range(len(split.enrolled)):  # half, rounded down
        own = np.sum(labels == labels[split.enrolled[person][0]])
        assert np.sum(split.mated_people == person) == own // 2
    again, other = Split(labels.tolist(), seed=3), Split(labels.tolist(), seed=4)
    assert again.mated.tolist() == split.mated.tolist() != other.mated.tolist()


def test_ranks_and_scores_are_those_of_every_cosine_by_itself() -> None:
    vectors, who = made_up(200, 40)
    labels = np.unique(who, return_inverse=True)[1].tolist()
    split = Split(labels)
    templates = [vectors[rows].sum(axis=0) for rows in split.enrolled]
    templates = [each / np.linalg.norm(each) for each in templates]
    found = split.searches(vectors, np.array(templates[:10], np.float32))
    asked = [(row, p) for row, p in zip(split.mated, split.mated_people, strict=True) if p < 10]
    for i, (row, person) in enumerate(asked):
        cosines = [float(vectors[row] @ each) for each in templates[:10]]
        assert found.own[i] == pytest.approx(cosines[person], abs=1e-6)
        assert found.ranks[i] == 1 + sum(value > cosines[person] + 1e-7 for value in cosines)
    assert len(found.top) == len(split.unmated)
    assert found.top[0] == pytest.approx(
        max(float(vectors[split.unmated[0]] @ each) for each in templates[:10]), abs=1e-6
    )


def test_galleries_of_each_size_that_there_are_people_for_and_the_promise_checked() -> None:
    vectors, who = made_up(700, 90)
    tail = Tail(0.3, 0.01, -0.1, 0.05, "them", 10**6, 400, ((1e-2, 5e-3, 2e-2), (1e-8, 0.0, 1e-8)))
    info = replace(read_info("default"), tail=tail)
    result = figures_of(vectors, [str(p) for p in who], info, sizes=(10, 20, 1000), replicates=20)
    assert [gallery.people for gallery in result.galleries] == [10, 20, 45]
    assert result.galleries[0].points[0].promised_threshold == pytest.approx(tail.cosine(1 - 0.9 ** (1 / 10)))
    unpromised = figures_of(vectors, [str(p) for p in who], None, sizes=(10,), replicates=5)
    assert unpromised.galleries[0].points[0].promised_threshold is None
    assert unpromised.galleries[0].cmc == result.galleries[0].cmc


@pytest.mark.parametrize("people", [["a"], ["a", "a"], ["a", "b", "c"]])
def test_nobody_to_search_for_is_an_error(people: list[str]) -> None:
    vectors = made_up(len(people), 3)[0]
    with pytest.raises(DataError, match="searches need two people with two photographs each"):
        figures_of(vectors, people)


def test_the_page_stands_alone_and_escapes_names(tmp_path: Path) -> None:
    vectors, who = made_up(300, 60)
    result = figures_of(vectors, [str(p) for p in who], without_face=[HOSTILE], replicates=10)
    page = Page(write_search_report(tmp_path / "r", HOSTILE, "a model", result, {"seed": "0"}).read_text())
    assert "script" not in page.tags
    assert HOSTILE in page.words
    assert not [link for link in page.links if not link.startswith(("data:", "#"))]
    figures = json.loads((tmp_path / "r" / "result.json").read_text())
    assert figures["galleries"][0]["people"] == result.galleries[0].people


@pytest.mark.slow
def test_the_command_evaluates_embeddings_made_elsewhere(people: Path, tmp_path: Path) -> None:
    names = sorted(path.relative_to(people).as_posix() for path in people.rglob("*.png"))
    centers = np.repeat(np.eye(8, dtype=np.float32), 4, axis=0)
    np.save(tmp_path / "e.npy", centers + 0.01)
    (tmp_path / "e.txt").write_text("\n".join(names))
    outcome = facever("eval-search", people, "--embeddings", tmp_path / "e.npy", "--json")
    assert outcome.code == 0
    (gallery,) = outcome.json["galleries"]
    assert (gallery["people"], gallery["mated"], gallery["unmated"], gallery["cmc"][0]) == (4, 8, 16, 1.0)
    shown = facever("eval-search", people, "--embeddings", tmp_path / "e.npy", "--report", tmp_path / "r")
    assert "among 4: found\tfirst 1.0000" in shown.out
    assert (tmp_path / "r" / "index.html").exists()
