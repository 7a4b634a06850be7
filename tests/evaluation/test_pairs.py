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

from facever.datasets.pairs import Pair
from facever.errors import DataError
from facever.evaluation import embed_each, evaluate_pairs
from facever.faces.detection import Face
from facever.faces.pipeline import EmbeddedFace, PhotoResult
from facever.weights.records import Threshold


def embedded(degrees: float) -> EmbeddedFace:
    """A face whose embedding is the unit vector at that angle."""
    angle = math.radians(degrees)
    face = Face(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 1.0)
    vector = np.array([math.cos(angle), math.sin(angle)], np.float32)
    return EmbeddedFace(face, np.zeros((2, 2, 3), np.uint8), vector, 1.0)


class Angles:
    """Stands in for a verifier: the name of a photograph is the angle of its embedding."""

    def __init__(self, thresholds: Iterable[Threshold] = ()) -> None:
        self.info = SimpleNamespace(thresholds=list(thresholds))
        self.asked: list[Any] = []

    def embed_files(self, paths, rule, workers, center_fallback) -> Iterator[PhotoResult]:
        self.asked.append((list(paths), rule, workers, center_fallback))
        for path in paths:
            if path.stem == "broken":
                yield PhotoResult(str(path), problems=[f"{path}: cut off"], readable=False)
            elif path.suffix == ".faceless":
                yield PhotoResult(str(path), problems=["no face found"], center=embedded(float(path.stem)))
            else:
                yield PhotoResult(str(path), [embedded(float(path.stem)), embedded(77)], found=2)


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
    result = evaluate_pairs(Angles(), PAIRS)  # type: ignore[arg-type]
    expected = [math.cos(math.radians(angle)) for angle in (10, 60, 20, 90, 100, 60)]
    np.testing.assert_allclose(result.cosines, expected, atol=1e-6)


def test_each_photograph_is_embedded_once_with_its_center_crop_as_the_last_resort() -> None:
    verifier = Angles()
    result = evaluate_pairs(verifier, PAIRS, "largest", workers=3)  # type: ignore[arg-type]
    names = ["0.jpg", "10.jpg", "60.jpg", "30.jpg", "90.jpg", "160.jpg", "90.faceless"]
    assert verifier.asked == [([Path(name) for name in names], "largest", 3, True)]
    assert result.images == 7
    assert result.images_without_face == ["90.faceless"]


def test_the_figures_follow_from_the_cosines() -> None:
    figures = evaluate_pairs(Angles(), PAIRS).figures  # type: ignore[arg-type]
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
    result = evaluate_pairs(Angles(stored), PAIRS)  # type: ignore[arg-type]
    lenient, strict = result.thresholds
    # From 0.4 on are 60, 60 of three impostors and 10, 20 of three genuine; from 0.95 on only 10 degrees.
    assert (lenient.far, lenient.cosine) == (0.01, 0.4)
    assert lenient.measured_far == pytest.approx(2 / 3)
    assert lenient.measured_tar == pytest.approx(2 / 3)
    assert strict.measured_far == 0
    assert strict.measured_tar == pytest.approx(1 / 3)


def test_the_json_is_complete_and_can_be_dumped() -> None:
    stored = [Threshold(0.01, 0.4, "others", 5000, 0.9)]
    told = json.loads(json.dumps(evaluate_pairs(Angles(stored), PAIRS).to_json()))  # type: ignore[arg-type]
    assert told["accuracy"] == 0.875
    assert told["images"] == 7
    assert told["images_without_face"] == 1
    assert told["names_without_face"] == ["90.faceless"]
    assert told["stored_thresholds"][0]["measured_far"] == pytest.approx(2 / 3)
    assert told["tar_at_far"]["0.001"] is None  # three impostor pairs can't tell


def test_broken_photographs_end_the_evaluation_with_their_number_and_the_first() -> None:
    pairs = [*PAIRS, pair("broken.jpg", "0.jpg", True, 0), pair("b/broken.jpg", "0.jpg", True, 0)]
    with pytest.raises(DataError, match=r"^2 photographs can't be read, the first: broken\.jpg: cut off; mend"):
        evaluate_pairs(Angles(), pairs)  # type: ignore[arg-type]


def test_a_group_without_a_kind_of_pair_leaves_valid_json() -> None:
    pairs = [replace(each, group="genuine" if each.same else "mixup") for each in PAIRS]
    told = json.loads(json.dumps(evaluate_pairs(Angles(), pairs).to_json(), allow_nan=False))  # type: ignore[arg-type]
    genuine, mixup = told["groups"]
    assert (genuine["name"], genuine["far"], genuine["far_interval"]) == ("genuine", None, [None, None])
    assert (mixup["tar"], mixup["tar_interval"]) == (None, [None, None])
    assert genuine["few"] and mixup["few"]


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_embeddings_that_have_no_angle_are_counted_and_named(value: float) -> None:
    class Broken(Angles):
        def embed_files(self, *arguments: Any, **options: Any) -> Iterator[PhotoResult]:
            for photograph in super().embed_files(*arguments, **options):
                if photograph.source in ("10.jpg", "60.jpg"):
                    photograph.faces[0].embedding[:] = value  # type: ignore[index]
                yield photograph

    with pytest.raises(
        DataError, match=r"2 photographs gave embeddings that are zero or not finite, the first: 10\.jpg"
    ):
        evaluate_pairs(Broken(), PAIRS)  # type: ignore[arg-type]


def test_the_stream_passes_through_what_watches_it() -> None:
    seen: list[str] = []
    totals: list[int] = []

    def watch(photographs: Iterable[PhotoResult], total: int) -> Iterator[PhotoResult]:
        totals.append(total)
        for photograph in photographs:
            seen.append(photograph.source)
            yield photograph

    paths = [Path("0.jpg"), Path("90.faceless")]
    embedded = embed_each(Angles(), paths, through=watch)  # type: ignore[arg-type]
    np.testing.assert_allclose(embedded.vectors, [[1, 0], [0, 1]], atol=1e-6)
    assert embedded.without_face == ["90.faceless"]
    assert totals == [2]
    assert seen == ["0.jpg", "90.faceless"]
