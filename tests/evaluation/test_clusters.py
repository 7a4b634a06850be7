from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import facever
from gallery_samples import crowd

from facever.errors import WeightsError
from facever.evaluation.clusters import figures_of
from facever.weights.file import read_info


def test_people_far_apart_are_found_and_mistakes_have_names() -> None:
    vectors, who = crowd([8, 6, 4])
    names = [f"{i}.jpg" for i in range(18)]
    people = ["Ann" if person == 0 else "Bo" if person == 1 else "Cy" for person in who]
    right = figures_of(vectors, names, people, read_info("default"), replicates=10)
    assert (right.figures.clusters, right.figures.bcubed.f, right.figures.merges) == (3, 1.0, [])
    people[0] = "Bo"  # mislabeled
    wrong = figures_of(vectors, names, people, threshold=0.5, replicates=10)
    told = wrong.to_json()
    assert told["merges"] == [{"pairs": 7, "people": {"Ann": 7, "Bo": 1}, "photographs": names[:8]}]
    assert told["splits"] == [{"pairs": 6, "person": "Bo", "faces": [6, 1]}]
    assert wrong.merged(wrong.figures.merges[0]) == "Ann 7, Bo 1"
    assert wrong.split(wrong.figures.splits[0]) == "Bo: 6 + 1 faces"
    assert told["thresholds"] == {"two_faces": 0.5, "large": 0.5}


def test_embeddings_without_a_calibration_need_a_threshold() -> None:
    vectors, who = crowd([2, 2])
    with pytest.raises(WeightsError, match="give a cosine by --threshold"):
        figures_of(vectors, list("abcd"), [str(person) for person in who])


def test_the_command_on_embeddings_made_elsewhere(tmp_path: Path) -> None:
    vectors, who = crowd([5, 4, 3])
    names = [f"person {person}/{i}.jpg" for i, person in enumerate(who)]
    for name in names:
        (tmp_path / "people" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "people" / name).write_bytes(b"\xff\xd8\xff")
    np.save(tmp_path / "found.npy", vectors)
    (tmp_path / "found.txt").write_text("\n".join(names) + "\n")
    options = ["eval-clusters", tmp_path / "people", "--embeddings", tmp_path / "found.npy", "--threshold", "0.5"]
    outcome = facever(*options)
    assert outcome.code == 0, outcome.err
    assert "BCubed F" in outcome.out
    assert "3; clusters 3, 0 of one face" in outcome.out
    told = facever(*options, "--json").json
    assert told["bcubed"]["f"] == told["pairwise"]["f"] == 1
    assert json.dumps(told)
    assert facever(*options[:-2]).code == 2
    assert "is a cosine" in facever(*options[:-1], "3").err
    assert facever("eval-clusters", tmp_path / "nowhere").code == 2
