"""Protocols: pairs of photographs to figures, with embeddings that were chosen so that every cosine is known."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from facever.datasets.pairs import Pair, photographs
from facever.errors import DataError
from facever.evaluation import PairsResult, PhotoEmbedder, evaluate_embedded
from facever.faces.cache import EmbeddingCache
from facever.faces.face import Face
from facever.faces.pipeline import EmbeddedFace, Job, PhotoResult
from facever.reports.tables import pairs_rows
from facever.weights.alignment import TIGHT_64X56
from facever.weights.records import WeightsId
from facever.weights.thresholds import Threshold


def embedded(degrees: float, keep_crop: bool = False) -> EmbeddedFace:
    """A face whose embedding is the unit vector at that angle."""
    angle = math.radians(degrees)
    face = Face(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 1.0)
    vector = np.array([math.cos(angle), math.sin(angle)], np.float32)
    return EmbeddedFace(face, np.zeros((2, 2, 3), np.uint8) if keep_crop else None, vector, 1.0)


class Angles:
    """Stands in for a verifier: the name of a photograph is the angle of its embedding."""

    weights, precision = WeightsId("angles", "0" * 64), "fp32"

    def __init__(self, thresholds: Iterable[Threshold] = ()) -> None:
        self.info = SimpleNamespace(thresholds=list(thresholds))

    def job(self, rule: Any, *, center_fallback: bool, keep_crops: bool) -> Job:
        return Job(output=TIGHT_64X56, rule=rule, center_fallback=center_fallback, keep_crops=keep_crops)


def result_of(path: Path, keep_crop: bool = False) -> PhotoResult:
    if path.stem == "broken":
        return PhotoResult(str(path), problems=[f"{path}: cut off"], readable=False)
    if path.suffix == ".faceless":
        return PhotoResult(str(path), problems=["no face found"], center=embedded(float(path.stem), keep_crop))
    return PhotoResult(str(path), [embedded(float(path.stem), keep_crop), embedded(77)], found=2)


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was embedded: photographs, job and workers of each time."""
    asked: list[Any] = []

    def process(paths: list[Path], job: Job, workers: int | None) -> Iterator[PhotoResult]:
        asked.append((list(paths), job, workers))
        return (result_of(path, job.keep_crops) for path in paths)

    monkeypatch.setattr("facever.evaluation.embedded.process_files", process)
    return asked


def evaluated(verifier: Angles, pairs: list[Pair], *options: Any, **named: Any) -> PairsResult:
    """As an evaluation of a list does it: photographs embedded, then figures with the weights' own thresholds."""
    embedder = PhotoEmbedder(verifier, *options, **named)  # type: ignore[arg-type]
    return evaluate_embedded(pairs, embedder(photographs(pairs)), verifier.info.thresholds)


def pair(a: str, b: str, same: bool, fold: int) -> Pair:
    return Pair(Path(a), Path(b), same, fold)


# Angles between the two, in the order of the pairs: 10, 60; 20, 90, 100, 60.
PAIRS = [
    pair("0.jpg", "10.jpg", True, 0),
    pair("0.jpg", "60.jpg", False, 0),
    pair("10.jpg", "30.jpg", True, 1),
    pair("0.jpg", "90.jpg", False, 1),
    pair("60.jpg", "160.jpg", True, 1),
    pair("30.jpg", "90.faceless", False, 1),
]


def test_every_cosine_is_that_of_its_pair() -> None:
    result = evaluated(Angles(), PAIRS)
    expected = [math.cos(math.radians(angle)) for angle in (10, 60, 20, 90, 100, 60)]
    np.testing.assert_allclose(result.cosines, expected, atol=1e-6)


def test_each_photograph_is_embedded_once_with_its_center_crop_as_the_last_resort(asked: list[Any]) -> None:
    result = evaluated(Angles(), PAIRS, "largest", workers=3)
    names = ["0.jpg", "10.jpg", "60.jpg", "30.jpg", "90.jpg", "160.jpg", "90.faceless"]
    ((paths, job, workers),) = asked
    assert (paths, workers) == ([Path(name) for name in names], 3)
    assert (job.rule, job.center_fallback, job.keep_crops) == ("largest", True, False)
    assert result.images == 7
    assert result.images_without_face == ["90.faceless"]


def test_the_figures_follow_from_the_cosines() -> None:
    figures = evaluated(Angles(), PAIRS).figures
    # Fold 0 by fold 1's best threshold, which lies between 20 and 60 degrees: both right. Fold 1 by fold 0's, halfway
    # between the cosines of 10 and 60, which is 42 degrees: the genuine pair at 100 is wrong.
    assert figures.fold_accuracies == (1.0, 0.75)
    assert figures.accuracy == 0.875
    assert figures.accuracy_standard_error == pytest.approx(0.125)  # deviation 0.25 / sqrt 2, over sqrt 2
    # Genuine 10, 20, 100 against impostors 60, 60, 90 degrees: 6 of 9 comparisons are right.
    assert figures.auc == pytest.approx(6 / 9)
    assert (figures.pairs, figures.genuine_pairs, figures.impostor_pairs) == (6, 3, 3)


def test_stored_thresholds_are_measured_on_the_pairs() -> None:
    stored = [Threshold(0.01, 0.4, "others", 5000, 0.9), Threshold(0.001, 0.95, "others", 50_000, 0.8)]
    result = evaluated(Angles(stored), PAIRS)
    lenient, strict = result.thresholds
    # From 0.4 on are 60, 60 of three impostors and 10, 20 of three genuine; from 0.95 on only 10 degrees.
    assert (lenient.far, lenient.cosine) == (0.01, 0.4)
    assert lenient.measured_far == pytest.approx(2 / 3)
    assert lenient.measured_tar == pytest.approx(2 / 3)
    assert strict.measured_far == 0
    assert strict.measured_tar == pytest.approx(1 / 3)


def test_the_json_is_complete_and_can_be_dumped() -> None:
    stored = [Threshold(0.01, 0.4, "others", 5000, 0.9)]
    told = json.loads(json.dumps(evaluated(Angles(stored), PAIRS).to_json()))
    assert told["accuracy"] == 0.875
    assert told["images"] == 7
    assert told["images_without_face"] == 1
    assert told["names_without_face"] == ["90.faceless"]
    assert told["stored_thresholds"][0]["measured_far"] == pytest.approx(2 / 3)
    assert told["tar_at_far"]["0.001"] is None  # three impostor pairs can't tell


def test_broken_photographs_end_the_evaluation_with_their_number_and_the_first() -> None:
    pairs = [*PAIRS, pair("broken.jpg", "0.jpg", True, 0), pair("b/broken.jpg", "0.jpg", True, 0)]
    with pytest.raises(DataError, match=r"^2 photographs can't be read, the first: broken\.jpg: cut off; repair"):
        evaluated(Angles(), pairs)


def test_pairs_of_one_person_have_no_interval() -> None:
    one = [replace(pair, identity_a="ann", identity_b="ann") for pair in PAIRS]
    result = evaluated(Angles(), one)
    assert (result.people, result.to_json()["intervals"]["accuracy"]) == (1, [None, None])
    text = dict(pairs_rows(result, "angles"))
    assert text["95 % interval"] == "none: it takes pairs of more than one person"
    assert "nan" not in str(text)


def test_a_group_without_a_kind_of_pair_leaves_valid_json() -> None:
    pairs = [replace(each, group="genuine" if each.same else "mixup") for each in PAIRS]
    told = json.loads(json.dumps(evaluated(Angles(), pairs).to_json(), allow_nan=False))
    genuine, mixup = told["groups"]
    assert (genuine["name"], genuine["far"], genuine["far_interval"]) == ("genuine", None, [None, None])
    assert (mixup["tar"], mixup["tar_interval"]) == (None, [None, None])
    assert genuine["few"] and mixup["few"]


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_embeddings_that_have_no_angle_are_counted_and_named(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    def process(paths: list[Path], *_: Any) -> Iterator[PhotoResult]:
        for path in paths:
            photograph = result_of(path)
            if photograph.source in ("10.jpg", "60.jpg"):
                photograph.faces[0].embedding[:] = value  # type: ignore[index]
            yield photograph

    monkeypatch.setattr("facever.evaluation.embedded.process_files", process)
    with pytest.raises(
        DataError, match=r"2 photographs gave embeddings that are zero or not finite, the first: 10\.jpg"
    ):
        evaluated(Angles(), PAIRS)


def test_the_stream_passes_through_what_watches_it() -> None:
    seen: list[str] = []
    totals: list[int] = []

    def watch(photographs: Iterable[PhotoResult], total: int) -> Iterator[PhotoResult]:
        totals.append(total)
        for photograph in photographs:
            seen.append(photograph.source)
            yield photograph

    paths = [Path("0.jpg"), Path("90.faceless")]
    embedded = PhotoEmbedder(Angles())(paths, through=watch)  # type: ignore[arg-type]
    np.testing.assert_allclose(embedded.vectors, [[1, 0], [0, 1]], atol=1e-6)
    assert embedded.without_face == ["90.faceless"]
    assert totals == [2]
    assert seen == ["0.jpg", "90.faceless"]


@pytest.mark.parametrize("cached", [True, False])
def test_crops_are_kept_for_those_who_ask_and_cut_again_for_a_row_without_one(
    asked: list[Any], tmp_path: Path, cached: bool
) -> None:
    paths = [tmp_path / "0.jpg", tmp_path / "90.faceless"]
    for path in paths:
        path.write_bytes(path.name.encode())
    cache = EmbeddingCache(tmp_path / "cache.sqlite") if cached else None
    plain = PhotoEmbedder(Angles(), cache=cache)  # type: ignore[arg-type]
    keeping = PhotoEmbedder(Angles(), cache=cache, keep_crops=True)  # type: ignore[arg-type]
    first, second, third = plain(paths, tmp_path), keeping(paths, tmp_path), keeping(paths, tmp_path)
    assert [each.times and each.times.embedded for each in (first, second, third)] == [2, 0 if cached else 2, 0]
    assert first.names == third.names == ["0.jpg", "90.faceless"]
    np.testing.assert_array_equal(third.vectors, first.vectors)
    assert third.without_face == ["90.faceless"]
    crops = keeping.crops([*paths, tmp_path / "never.jpg"])
    assert [(path, crop.shape) for path, crop in crops.items()] == [(path, (2, 2, 3)) for path in paths]
    cut = [[], paths] if cached else [[], []]  # the last two calls: the third embedding, and the crops
    assert [list(sources) for sources, _, _ in asked][-2:] == cut
    assert all(job.keep_crops for _, job, _ in asked[1:])
    assert plain.crops(paths) == {}
