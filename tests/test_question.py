"""Three answers: which faces are compared, what decides, and what keeps it undecided."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from samples import CHECK, RECORD

from facever.errors import SettingError, WeightsError
from facever.faces.face import Face
from facever.faces.looks import Looks
from facever.faces.pipeline import EmbeddedFace, PhotoResult
from facever.question import Question
from facever.verifier import Verifier
from facever.weights.file import read_info
from facever.weights.metadata import WeightsInfo
from facever.weights.records import WeightsId
from facever.weights.shipped import find_weights
from facever.weights.thresholds import LowerThreshold, Threshold

ID = WeightsId("mine", "0" * 64)
SIZE = (400, 300)
UPRIGHT = np.array([[-20, -20], [20, -20], [0, 0], [-15, 22], [15, 22]], np.float32)


def weights(**changes: Any) -> WeightsInfo:
    """Same from 0.5 up at FAR 1e-3, different below 0.3 at FRR 0.02."""
    thresholds = [Threshold(1e-3, 0.5, "them", 20_000, 0.9), Threshold(1e-2, 0.4, "them", 20_000, 0.95)]
    lower = [LowerThreshold(0.02, 0.3, "them", 500, 0.03), LowerThreshold(0.05, 0.45, "them", 500, 0.005)]
    info = replace(read_info(find_weights("dlib")), thresholds=thresholds, lower_thresholds=lower, quality=None)
    return replace(info, **changes)


CLEAR = {"sharpness": 2.0, "noise": 1.0, "contrast": 40.0, "covered": (), "upside_down": False}


def face(cosine: float = 1.0, size: float = 100, x: float = 200, **changes: Any) -> EmbeddedFace:
    """A face whose embedding has this cosine with (1, 0), its middle at (x, 150)."""
    box = np.array([x - size / 2, 150 - size / 2, x + size / 2, 150 + size / 2], np.float32)
    landmarks = UPRIGHT * size / 100 + np.array([x, 150], np.float32)
    embedding = np.array([cosine, (1 - cosine**2) ** 0.5], np.float32)
    of_face = {name: changes.pop(name) for name in ("score", "landmarks") if name in changes}
    found = Face(box, of_face.get("landmarks", landmarks), of_face.get("score", 1.0))
    of_looks = {name: changes.pop(name) for name in CLEAR if name in changes}
    return EmbeddedFace(found, None, embedding, **{"norm": 10.0, "looks": Looks(**{**CLEAR, **of_looks}), **changes})


def photograph(name: str, *faces: EmbeddedFace) -> PhotoResult:
    return PhotoResult(name, list(faces), len(faces), size=SIZE)


def asked(a: EmbeddedFace, b: EmbeddedFace, info: WeightsInfo | None = None, **settings: Any) -> Any:
    question = Question(info or weights(), ID, **settings)
    return question.answer(photograph("a.jpg", a), photograph("b.jpg", b))


def test_two_photographs_and_many_pairs_are_asked_about_alike() -> None:
    """`Verifier.verify` and `Question`, which `verify_pairs` takes, have the same settings, order and defaults."""
    of_verify, of_question = (list(inspect.signature(each).parameters.values()) for each in (Verifier.verify, Question))
    assert of_verify[3:] == of_question[2:]


@pytest.mark.parametrize(
    ("cosine", "decision"),
    [(0.29, "different"), (0.3, "undecided"), (0.49, "undecided"), (0.5, "same"), (-1.0, "different"), (1.0, "same")],
)
def test_between_two_thresholds_the_answer_is_undecided(cosine: float, decision: str) -> None:
    answer = asked(face(), face(cosine + 1e-6 if cosine < 1 else 1))
    assert answer.decision == decision
    assert answer.same == (decision == "same")
    assert (answer.threshold, answer.lower_threshold, answer.far, answer.frr) == (0.5, 0.3, 1e-3, 0.02)
    assert bool(answer.why) == (decision == "undecided")


def test_the_reason_names_both_thresholds_and_their_rates() -> None:
    assert asked(face(), face(0.4)).why == [
        "cosine 0.4000 lies between 0.3000, below which 0.02 of genuine pairs lie, and 0.5000, which 0.001 of impostor "
        "pairs reach"
    ]


def test_two_answers_are_decided_by_the_one_threshold_however_poor_the_face() -> None:
    for settings in ({"two_answers": True}, {"threshold": 0.5}):
        poor = face(0.4, sharpness=0.1, score=0.8, covered=("eye region",))
        answer = asked(face(covered=("eye region",)), poor, **settings)
        assert (answer.decision, answer.lower_threshold, answer.frr) == ("different", 0.5, None)
        assert answer.why == []


def test_another_false_reject_rate_has_another_threshold_and_never_a_band_upside_down() -> None:
    assert asked(face(), face(0.4), frr=0.05).decision == "different"
    assert asked(face(), face(0.46), frr=0.05).decision == "undecided"
    # At FAR 0.01 the upper threshold, 0.4, lies below the lower one, 0.45.
    answer = asked(face(), face(0.42), frr=0.05, far=0.01)
    assert (answer.decision, answer.lower_threshold) == ("same", 0.4)
    with pytest.raises(WeightsError, match=r"no threshold for FRR 0\.01 \(stored: 0\.02, 0\.05\)"):
        asked(face(), face(), frr=0.01)
    with pytest.raises(SettingError, match="frr goes with three answers"):
        asked(face(), face(), frr=0.05, two_answers=True)


def test_without_a_stored_lower_threshold_there_are_two_answers() -> None:
    few = weights(lower_thresholds=[LowerThreshold(0.05, 0.45, "them", 200, 0.005)])
    assert asked(face(), face(0.46), few).frr == 0.05  # the next higher one
    none = asked(face(), face(0.4), weights(lower_thresholds=[]))
    assert (none.decision, none.lower_threshold, none.frr) == ("different", 0.5, None)


@pytest.mark.parametrize(
    ("poor", "why"),
    [
        ({"sharpness": 0.39}, "the face is blurred (sharpness 0.39 %, where 0.4 % is needed)"),
        ({"noise": 2.5, "contrast": 30.0}, "the face is noisy (2.5 gray levels, where 2.4 are allowed)"),
        ({"contrast": 11.0}, "the face is too dark or dull (contrast 11, where 12 is needed)"),
        ({"upside_down": True}, "the face seems upside down; turn the photograph upright"),
        ({"score": 0.98}, "the detector is unsure of the face (score 0.98, where 0.99 is needed)"),
        ({"size": 20.0}, "the face is small (20 pixels, where 24 are needed)"),
        ({"landmarks": UPRIGHT + np.array([10, 150], np.float32)}, "2 of its five landmarks lie outside"),
    ],
)
def test_a_poor_face_keeps_either_answer_undecided_and_its_photograph_is_named(poor: dict[str, Any], why: str) -> None:
    for cosine in (0.0, 0.9):
        there, back = asked(face(), face(cosine, **poor)), asked(face(cosine, **poor), face())
        assert there.decision == back.decision == "undecided"
        assert len(there.why) == 1
        assert there.why[0].startswith("b.jpg: ")
        assert back.why[0].startswith("a.jpg: ")
        assert why in there.why[0]


@pytest.mark.parametrize(
    "good",
    [
        {"sharpness": 0.4},
        {"noise": 2.2},
        {"noise": 4.0, "sharpness": 20.0},
        {"contrast": 12.0},
        {"score": 0.99},
        {"size": 24.0},
        {"looks": None},
    ],
)
def test_a_face_at_the_limit_is_answered_for(good: dict[str, Any]) -> None:
    assert asked(face(), face(**good)).decision == "same"


def test_a_norm_below_all_of_the_calibration_counts_where_it_was_shown_to_matter() -> None:
    record = replace(RECORD, percentiles=tuple(10 + k / 100 for k in range(101)), check=CHECK)
    info = weights(quality=record)
    assert asked(face(norm=11.0), face(norm=10.02), info).decision == "same"
    answer = asked(face(norm=11.0), face(0.9, norm=9.0), info)
    assert (answer.decision, answer.b.quality) == ("undecided", 0.0)
    assert "quality percentile 0" in answer.why[0]
    useless = weights(quality=replace(record, check=None))
    assert asked(face(norm=11.0), face(0.9, norm=9.0), useless).decision == "same"


def test_the_same_picture_is_the_same_person_however_poor_it_is() -> None:
    poor = face(sharpness=0.1, covered=("lower face",))
    assert asked(poor, poor).decision == "same"
    assert asked(poor, face(0.999, sharpness=0.1)).decision == "undecided"


def test_what_is_covered_in_both_keeps_it_undecided_and_in_one_is_noted() -> None:
    both = asked(face(covered=("lower face",)), face(0.9, covered=("lower face", "eye region")))
    assert both.decision == "undecided"
    assert both.why == ["a.jpg and b.jpg: the lower face is covered in both"]
    one = asked(face(), face(0.9, covered=("eye region",)))
    assert (one.decision, one.notes) == ("same", ["b.jpg: the eye region is covered"])


@pytest.mark.parametrize(("quarters", "degrees"), [(0, None), (1, 90), (2, 180), (3, 90)])
def test_a_turned_face_is_noted(quarters: int, degrees: int | None) -> None:
    turn = np.linalg.matrix_power(np.array([[0, -1], [1, 0]], np.float32), quarters)
    answer = asked(face(), face(landmarks=UPRIGHT @ turn + np.array([200, 150], np.float32)))
    assert answer.notes == ([] if degrees is None else [f"b.jpg: the face is turned by {degrees}°"])


def test_where_the_largest_face_is_not_much_larger_or_another_answers_otherwise_it_is_said() -> None:
    question = Question(weights(), ID)
    one = photograph("one.jpg", face())
    near = question.answer(one, photograph("two.jpg", face(0.9, 100, 100), face(0.8, 85, 300)))
    assert near.notes == ["two.jpg: two faces are nearly as large; --faces all compares each"]
    far = question.answer(one, photograph("two.jpg", face(0.1, 100, 100), face(0.8, 50, 300)))
    assert far.decision == "different"
    assert far.notes == ["two.jpg: another face gives another answer, by a cosine of 0.8000; see --faces all"]
    assert question.answer(one, photograph("two.jpg", face(0.9, 100, 100), face(0.8, 50, 300))).notes == []


def test_all_faces_are_compared_with_all() -> None:
    a = photograph("a.jpg", face(1.0, 100, 100), face(0.0, 50, 300))
    b = photograph("b.jpg", face(0.6, 100, 200))
    answer = Question(weights(), ID, "all").answer(a, b)
    assert answer.all_faces is not None
    np.testing.assert_allclose(answer.all_faces.cosines, [[0.6], [0.8]], atol=1e-6)  # (1,0)·(.6,.8), (0,1)·(.6,.8)
    assert (answer.cosine, answer.a.box) == (pytest.approx(0.8), [275, 125, 325, 175])
    assert Question(weights(), ID).answer(a, b).all_faces is None
