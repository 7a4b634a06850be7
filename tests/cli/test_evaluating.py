"""What all commands that evaluate share, as a user meets it: reports, thresholds, times, the ROC on a terminal."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
from command_line import facever, tinted_people
from PIL import Image

from facever.weights.calibrated import Calibrated
from facever.weights.shipped import find_weights
from facever.weights.thresholds import Threshold
from facever.weights.thresholds_json import write_thresholds


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, portrait: Path) -> Path:
    """Eight "people" of three photographs and one of a single one, a wall; LFW's list of their pairs in two folds."""
    root = tmp_path_factory.mktemp("evaluating")
    lfw = root / "lfw_home" / "lfw_funneled"
    tinted_people(root / "people", portrait, 8, 3)
    for person in range(8):
        for shot in range(3):
            target = lfw / f"p{person:02d}" / f"p{person:02d}_{shot + 1:04d}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / "people" / f"p{person:02d}" / f"{shot}.png", target)
    (lfw / "wall").mkdir()
    Image.new("RGB", (137, 160), "teal").save(lfw / "wall" / "wall_0001.png")
    rows = ["2\t4"]
    for fold in (range(4), range(4, 8)):
        rows += [f"p{i:02d}\t1\t2" for i in fold]
        rows += [f"p{i:02d}\t1\tp{fold[0] + (i + 1) % 4:02d}\t2" for i in fold]
    (root / "lfw_home" / "pairs.txt").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="module")
def lfw(place: Path) -> Path:
    return place / "lfw_home" / "lfw_funneled"


@pytest.fixture(scope="module")
def filled(place: Path, lfw: Path) -> tuple[Path, dict[str, Any]]:
    """The cache after a first evaluation of all pairs, and what that told."""
    done = facever("eval-all", lfw, "--json", cache=place / "cache")
    assert done.code == 0, done.err
    return place / "cache", done.json


@pytest.mark.slow
def test_times_are_those_of_stages_that_were_run(filled: tuple[Path, dict[str, Any]], lfw: Path) -> None:
    cache, first = filled
    assert set(first["stages"]) == {"decode", "detect", "align", "embed", "score"}
    assert first["stages"]["detect"] > 0
    assert first["stages"]["embed"] > 0
    assert (first["photographs_embedded"], first["photographs_from_cache"]) == (25, 0)
    again = facever("eval-all", lfw, "--json", cache=cache).json
    assert set(again["stages"]) == {"score"}
    assert (again["photographs_embedded"], again["photographs_from_cache"]) == (0, 25)
    timing = ("seconds", "stages", "photographs_embedded", "photographs_from_cache")
    assert {k: v for k, v in again.items() if k not in timing} == {k: v for k, v in first.items() if k not in timing}


@pytest.mark.slow
def test_figures_say_what_they_were_computed_in_and_can_be_asked_for_in_either(lfw: Path, tmp_path: Path) -> None:
    """Embeddings kept in one precision are not those of the other."""
    found = {
        name: facever("eval-all", lfw, "--precision", name, "--json", cache=tmp_path).json for name in ("fp32", "bf16")
    }
    assert [told["settings"]["precision"] for told in found.values()] == ["fp32", "bf16"]
    assert found["bf16"]["photographs_embedded"] == 25
    cosines = [told["least_alike"][0][2] for told in found.values()]
    assert cosines[0] != cosines[1]
    assert cosines[0] == pytest.approx(cosines[1], abs=5e-3)


def test_eval_all_counts_who_takes_part(filled: tuple[Path, dict[str, Any]]) -> None:
    told = filled[1]
    assert (told["photographs"], told["people"], told["people_with_one_photograph"]) == (25, 9, 1)
    assert (told["genuine_pairs"], told["impostor_pairs"]) == (24, 25 * 24 // 2 - 24)
    assert told["without_face"] == ["wall/wall_0001.png"]
    assert told["tar_intervals"].keys() == {"0.1"}  # 276 impostor pairs


@pytest.mark.slow
def test_eval_all_writes_a_report_with_the_crops_of_the_worst_pairs(
    filled: tuple[Path, dict[str, Any]], lfw: Path, tmp_path: Path
) -> None:
    done = facever("eval-all", lfw, "--report", tmp_path / "report", cache=filled[0])
    assert done.code == 0
    page = tmp_path / "report" / "index.html"
    assert f"report: {page}" in done.err
    text = page.read_text()
    assert "All pairs of lfw_funneled" in text
    assert "all 25 from the cache" in text  # only the crops of the page are cut again
    assert text.count("data:image/jpeg") == 2 * (20 + 20)
    again = facever("eval-all", lfw, "--report", tmp_path / "again", cache=filled[0])
    assert again.code == 0
    second = (tmp_path / "again" / "index.html").read_text()
    assert "all 25 from the cache; decode, detect, align and embed did not run" in second
    pictures = [re.findall(r"data:image/jpeg;base64,([^\"]+)", page) for page in (text, second)]
    assert pictures[0] == pictures[1]
    assert json.loads((page.parent / "result.json").read_text())["impostor_pairs"] == 276


@pytest.mark.slow
@pytest.mark.parametrize("command", ["eval-all", "eval-lfw"])
def test_the_roc_is_drawn_on_a_terminal_and_nowhere_else(
    command: str, filled: tuple[Path, dict[str, Any]], lfw: Path
) -> None:
    in_pipe = facever(command, lfw, cache=filled[0])
    on_terminal = facever(command, lfw, cache=filled[0], terminal=True)
    assert "ROC: TAR over FAR" in on_terminal.out
    assert "┤" in on_terminal.out
    assert "ROC" not in in_pipe.out
    assert not set("┤│▄▘") & set(in_pipe.out)
    assert "ROC" not in facever(command, lfw, "--json", cache=filled[0], terminal=True).out


@pytest.mark.parametrize("command", ["eval-all", "eval-lfw"])
def test_thresholds_of_a_file_are_measured_in_place_of_the_weights_own(
    command: str, filled: tuple[Path, dict[str, Any]], lfw: Path, tmp_path: Path
) -> None:
    file = tmp_path / "t.json"
    write_thresholds(
        file, find_weights("default"), "default", Calibrated([Threshold(0.02, -1.0, "all", 500, 1.0)], None)
    )
    told = facever(command, lfw, "--thresholds", file, "--json", cache=filled[0]).json
    # Every cosine is at least -1.
    whole = {"far": 0.02, "cosine": -1.0, "measured_far": 1.0, "measured_tar": 1.0}
    assert told["stored_thresholds"] == [{**whole, "worst_group": None}]


@pytest.mark.slow
def test_within_groups_of_look_alikes_a_threshold_is_measured_as_well(
    filled: tuple[Path, dict[str, Any]], lfw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facever.metrics.look_alikes.NUMBERS_OF_GROUPS", (1,))
    monkeypatch.setattr("facever.metrics.look_alikes.MIN_PEOPLE", 9)
    file = tmp_path / "t.json"
    write_thresholds(
        file, find_weights("default"), "default", Calibrated([Threshold(0.1, -1.0, "all", 500, 1.0)], None)
    )
    options = ["--thresholds", file, "--within-groups"]
    done = facever("eval-all", lfw, *options, "--json", cache=filled[0])
    assert done.code == 0, done.err
    worst = done.json["stored_thresholds"][0]["worst_group"]
    # Every cosine is at least -1. All are in the one group; another network than the weights' own makes it.
    assert worst == {
        "by": "dlib",
        "groups": 1,
        "people": 9,
        "photographs": 25,
        "impostor_pairs": 276,
        "far": 1.0,
        "far_interval": [1.0, 1.0],
    }
    shown = facever("eval-all", lfw, *options, cache=filled[0]).out
    assert "in its worst group\tFAR 1 (1 to 1); 9 people, 276 impostor pairs, one of 1 groups by dlib" in shown


def test_thresholds_do_not_go_with_embeddings_made_elsewhere(lfw: Path, tmp_path: Path) -> None:
    done = facever("eval-lfw", lfw, "--thresholds", tmp_path / "t.json", "--embeddings", tmp_path / "e.npy")
    assert (done.code, done.out) == (2, "")
    assert "thresholds belong to weights" in done.err


@pytest.mark.slow
def test_eval_lfw_finds_lfw_where_scikit_learn_keeps_it(
    place: Path, lfw: Path, filled: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(place))
    found = facever("eval-lfw", "--json", cache=filled[0])
    named = facever("eval-lfw", lfw, "--json", cache=filled[0])
    assert found.code == 0, found.err
    assert found.json["pairs"] == 16
    assert found.json["fold_accuracies"] == named.json["fold_accuracies"]


def test_without_lfw_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    done = facever("eval-lfw")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"facever: {tmp_path / 'lfw_home' / 'lfw_funneled'}: no LFW here")
    assert "--download" in done.err


def test_a_download_without_a_network_ends_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: Any, **__: Any) -> Iterator[None]:
        raise URLError("Name or service not known")

    # Below scikit-learn's own code, so that its retries and warnings are part of the test.
    monkeypatch.setattr("sklearn.datasets._base.urlretrieve", no_network)
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    done = facever("eval-lfw", "--download")
    assert (done.code, done.out) == (2, "")
    announced, told = done.err.splitlines()
    assert announced.startswith("fetching LFW")
    assert "LFW can't be fetched" in told
    assert "check the network" in told


def test_a_folder_and_a_download_are_one_too_many(lfw: Path) -> None:
    done = facever("eval-lfw", lfw, "--download")
    assert (done.code, done.out) == (2, "")
    assert "drop the folder" in done.err


def test_embeddings_made_elsewhere_take_no_part_in_the_times(lfw: Path, tmp_path: Path) -> None:
    names = sorted(path.relative_to(lfw).as_posix() for path in lfw.glob("*/*.png"))
    np.save(tmp_path / "e.npy", np.random.default_rng(0).normal(size=(len(names), 4)))
    (tmp_path / "e.txt").write_text("\n".join(names) + "\n")
    told = facever("eval-all", lfw, "--embeddings", tmp_path / "e.npy", "--json").json
    assert set(told["stages"]) == {"score"}
    assert (told["photographs_embedded"], told["photographs_from_cache"]) == (0, 0)
