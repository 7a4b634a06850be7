"""Quality as a user meets it: told by verify, kept by calibrate, refused where it is of no use."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
from command_line import facever
from PIL import Image
from samples import CHECK, RECORD

from facever import Verifier
from facever.weights.calibrated import Calibrated
from facever.weights.file import load_weights, read_info, save_weights
from facever.weights.metadata import WeightsInfo
from facever.weights.records import Quality
from facever.weights.shipped import find_weights
from facever.weights.thresholds import Threshold
from facever.weights.thresholds_json import write_thresholds

WEIGHTS = find_weights("dlib")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory, portrait: Path) -> tuple[Path, Path, float, float]:
    """(the portrait, the same made poor, their norms), the poor one's the smaller."""
    folder = tmp_path_factory.mktemp("photographs")
    clear, poor = folder / "clear.png", folder / "poor.png"
    Image.open(portrait).resize((171, 200)).save(clear)
    Image.open(portrait).resize((34, 40)).resize((171, 200)).save(poor)
    verifier = Verifier.load("dlib", "cpu")
    norms = [verifier.faces(path, "largest")[0].norm or 0.0 for path in (clear, poor)]
    assert norms[1] < norms[0] - 0.005
    return clear, poor, norms[0], norms[1]


@pytest.fixture(scope="module")
def record(photographs: tuple[Path, Path, float, float]) -> Quality:
    """One by which the poor photograph lies at percentile 12.5, the clear one at 62.5."""
    _, _, clear, poor = photographs
    step = (clear - poor) / 50
    return replace(RECORD, percentiles=tuple(poor + step * (k - 12.5) for k in range(101)))


@pytest.fixture(scope="module")
def file(record: Quality, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("thresholds") / "t.json"
    write_thresholds(path, WEIGHTS, "dlib", Calibrated([Threshold(1e-3, 0.5, "them", 20_000, 0.9)], None, record))
    return path


def qualities(answer: dict[str, Any]) -> list[float | None]:
    return [answer[side]["quality"] for side in ("a", "b")]


def without_record(tmp_path: Path, quality: Quality | None = None) -> tuple[Path, WeightsInfo]:
    info = replace(read_info(WEIGHTS), name="mine", quality=quality)
    path = tmp_path / "mine.safetensors"
    save_weights(path, info, load_weights(WEIGHTS)[1])
    return path, info


@pytest.mark.slow
def test_verify_tells_the_percentile_of_each_photograph(photographs: tuple, file: Path) -> None:
    clear, poor, *_ = photographs
    told = facever("verify", clear, poor, "--thresholds", file, "-w", "dlib", "--json")
    assert (told.code, told.err) == (4, "")  # the poor one is blurred
    assert qualities(told.json) == pytest.approx([62.5, 12.5], abs=0.1)
    lines = facever("verify", clear, poor, "--thresholds", file, "-w", "dlib", "--decide").out.splitlines()
    assert [line.split(", ")[-1] for line in lines[-3:-1]] == ["quality at percentile 62", "quality at percentile 12"]


@pytest.mark.slow
def test_verify_is_undecided_with_4_and_names_the_poor_photograph(photographs: tuple, file: Path) -> None:
    clear, poor, *_ = photographs
    asked = ("--thresholds", file, "-w", "dlib", "--decide", "--min-quality")
    for pair in ((clear, poor), (poor, clear)):
        undecided = facever("verify", *pair, *asked, "20")
        assert (undecided.code, undecided.err) == (4, "")
        first, second, third, *_ = undecided.out.splitlines()
        assert first == "undecided"
        assert re.fullmatch(rf"  because {poor}: quality at percentile 12\.\d, where 20 is asked for", second)
        assert third.startswith("  cosine")
        told = facever("verify", *pair, *asked, "20", "--json")
        assert (told.code, told.json["decision"]) == (4, "undecided")
        assert [why.partition(":")[0] for why in told.json["why"]] == [str(poor)]
    both = facever("verify", clear, poor, *asked, "90", "--json").json["why"]
    assert [why.partition(":")[0] for why in both] == [str(clear), str(poor)]
    assert facever("verify", clear, poor, *asked, "10").code == 0


def test_a_photograph_without_a_face_is_no_poor_one(photographs: tuple, file: Path, tmp_path: Path) -> None:
    Image.new("RGB", (220, 200), "teal").save(tmp_path / "wall.png")
    outcome = facever(
        "verify", photographs[1], tmp_path / "wall.png", "--thresholds", file, "-w", "dlib", "--min-quality", "50"
    )
    assert outcome.code == 3


@pytest.mark.slow
def test_without_a_record_of_use_nothing_is_declined(photographs: tuple, record: Quality, tmp_path: Path) -> None:
    clear, poor, *_ = photographs
    useless = replace(record, check=replace(CHECK, saved_interval=(-0.02, 0.04)))
    for quality, why in (
        (None, "they hold no quality record"),
        (useless, "on some people, discarding photographs of low norm helps no more than discarding at random"),
        (replace(record, check=None), "some people have too few pairs to check"),
    ):
        weights, _ = without_record(tmp_path, quality)
        refused = facever("verify", clear, poor, "-w", weights, "--min-quality", "20")
        assert (refused.code, refused.out) == (2, "")
        assert f"can't tell which photographs are too poor: {why}" in refused.err
        assert "facever calibrate" in refused.err
        told = qualities(facever("verify", clear, poor, "-w", weights, "--json").json)
        assert told == ([None, None] if quality is None else pytest.approx([62.5, 12.5], abs=0.1))


@pytest.mark.slow
@pytest.mark.parametrize("least", ["-1", "100.5", "nan"])
def test_what_is_no_percentile_is_refused(photographs: tuple, file: Path, least: str) -> None:
    clear, poor, *_ = photographs
    refused = facever("verify", clear, poor, "--thresholds", file, "-w", "dlib", "--min-quality", least)
    assert refused.code == 2
    assert "--min-quality is a percentile in [0, 100]" in refused.err
    with pytest.raises(ValueError, match="percentile in"):
        Verifier.load(WEIGHTS, "cpu", calibration=file).verify(clear, poor, min_quality=float(least))


def test_the_library_answers_as_the_command_does(photographs: tuple, file: Path) -> None:
    clear, poor, *_ = photographs
    verifier = Verifier.load(WEIGHTS, "cpu", calibration=file)
    answer = verifier.verify(clear, poor.read_bytes(), min_quality=20, two_answers=True)
    assert (answer.decision, answer.same) == ("undecided", False)
    assert answer.why[0].startswith("the photograph: quality at percentile 12")


@pytest.mark.slow
def test_embed_and_info_tell_what_the_weights_hold(photographs: tuple, record: Quality, tmp_path: Path) -> None:
    weights, _ = without_record(tmp_path, record)
    out = tmp_path / "out.parquet"
    assert facever("embed", photographs[0].parent, "-o", out, "-w", weights).code == 0
    # Norms of crops that are embedded together round otherwise, and these percentiles lie a ten-thousandth apart.
    assert pq.read_table(out)["quality"].to_pylist() == pytest.approx([62.5, 12.5], abs=8)
    rows = dict(line.split("\t", 1) for line in facever("info", weights).out.splitlines())
    assert rows["quality"].endswith("300 photographs, some people")
    assert rows["quality check"] == (
        "FRR at FAR 0.001: 20.00 % with all photographs, 18.00 % without 5 %, 16.00 % without 10 %, 10.00 % without "
        "20 %, none left without 30 % of lowest norm; FRR saved without 20 %: 95 % interval 6.00 to 14.00 %, "
        "50 identities: verify --min-quality is available"
    )
    assert facever("info", weights, "--json").json["quality"] == json.loads(json.dumps(asdict(record)))


@pytest.mark.slow
def test_calibrate_keeps_the_norms_of_its_people(people: Path, tmp_path: Path) -> None:
    # 8 people with 4 photographs each: 448 impostor pairs, enough for FAR 0.05 and not for the check at 0.001.
    copy, file = tmp_path / "mine.safetensors", tmp_path / "mine.json"
    shutil.copytree(people, tmp_path / "people")
    told = facever(
        *("calibrate", "dlib", tmp_path / "people", "-o", copy, "--thresholds", file, "--far", "0.05", "--json")
    )
    assert told.code == 0, told.err
    found = msgspec.convert(told.json["quality"], Quality)
    verifier = Verifier.load("dlib", "cpu")
    norms = sorted(
        faces[0].norm or 0.0
        for path in (tmp_path / "people").glob("*/*.png")
        if (faces := verifier.faces(path, "center"))
    )
    assert found.photographs == len(norms)
    assert (found.percentiles[0], found.percentiles[100]) == pytest.approx((norms[0], norms[-1]), rel=1e-3)
    assert (found.check, found.source) == (None, "8 people of people (*)")
    assert read_info(copy).quality == found
    assert msgspec.convert(json.loads(file.read_text())["quality"], Quality) == found
