"""The verifier: two photographs to an answer, whatever they are given as."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from facever import FaceverError, ImageError, NoFaceError, Verifier, WeightsError
from facever import verifier as module
from facever.errors import DataError
from facever.faces.device import choose_device
from facever.faces.embedder import Embedder
from facever.faces.folders import Folder
from facever.faces.images import load_image
from facever.faces.parallel import process_files
from facever.faces.pipeline import PhotoResult
from facever.weights.shipped import find_weights


@functools.cache
def load(device: str) -> Verifier:
    return Verifier.load("default", device)


@pytest.fixture
def verifier() -> Verifier:
    return load("cpu")


@pytest.mark.slow
@pytest.mark.parametrize("able", [True, False])
def test_a_processor_computes_in_bfloat16_only_where_it_has_instructions_for_it(
    able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: able, raising=False)
    assert Verifier.load("default", "cpu").precision == ("bf16" if able else "fp32")
    for asked in ("bf16", "fp32"):
        assert Verifier.load("default", "cpu", precision=asked).precision == asked


@pytest.mark.slow
def test_two_photographs_are_compared_in_float32_whatever_the_processor_is_faster_in(
    hopper: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = changed(hopper)
    answers = []
    for tiles in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda tiles=tiles: tiles, raising=False)
        answers.append(Verifier.load("default", "cpu").verify(hopper, other).cosine)
    assert answers[0] == answers[1]
    assert Verifier.load("default", "cpu", precision="bf16").verify(hopper, other).cosine != answers[0]


@pytest.fixture(scope="module")
def hopper(tmp_path_factory: pytest.TempPathFactory, portrait: Path) -> Path:
    """The portrait at half its size, for speed: 256x300."""
    path = tmp_path_factory.mktemp("hopper") / "hopper.png"
    Image.open(portrait).resize((256, 300)).save(path)
    return path


@pytest.fixture(scope="module")
def astronaut() -> Path:
    """Scikit-image's portrait of Eileen Collins, 512x512; her face is centered at (222, 118), 110 pixels high."""
    return Path(pytest.importorskip("skimage").__file__).parent / "data" / "astronaut.png"


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("blank") / "wall.png"
    Image.new("RGB", (220, 200), "teal").save(path)
    return path


@pytest.fixture(scope="module")
def group(portrait: Path, astronaut: Path) -> NDArray[np.uint8]:
    """The astronaut at the left, her face the larger; Grace Hopper's portrait from x = 350 on, half as large."""
    canvas = Image.new("RGB", (610, 360), (90, 90, 90))
    canvas.paste(Image.open(astronaut).convert("RGB").crop((100, 0, 350, 250)).resize((350, 350)), (0, 0))
    canvas.paste(Image.open(portrait).convert("RGB").resize((256, 300)).crop((0, 0, 256, 240)), (350, 0))
    return np.asarray(canvas)


def changed(hopper: Path) -> NDArray[np.uint8]:
    """The portrait smaller, darker, mirrored and slightly turned."""
    picture = ImageOps.mirror(Image.open(hopper)).point(lambda level: 0.6 * level)
    return np.asarray(picture.resize((205, 240)).rotate(8, fillcolor=(40, 40, 40)))


def test_a_photograph_matches_itself_with_cosine_1(hopper: Path, device: str) -> None:
    answer = load(device).verify(hopper, hopper)
    assert answer.cosine == pytest.approx(1, abs=1e-6)
    assert answer.cosine <= 1
    assert answer.same
    assert (answer.a.faces_found, answer.b.faces_found) == (1, 1)
    path = find_weights("default")
    assert (answer.weights.name, answer.weights.sha256) == ("default", hashlib.sha256(path.read_bytes()).hexdigest())


def test_a_person_is_known_again_smaller_darker_mirrored_and_turned(hopper: Path, device: str) -> None:
    answer = load(device).verify(hopper, changed(hopper))
    assert answer.same
    assert answer.cosine > 0.9


def test_two_people_are_told_apart(hopper: Path, astronaut: Path, device: str) -> None:
    answer = load(device).verify(hopper, astronaut)
    assert not answer.same
    assert answer.cosine < answer.threshold - 0.03


@pytest.mark.slow
def test_a_path_a_string_bytes_and_pixels_of_one_photograph_give_one_answer(verifier: Verifier, hopper: Path) -> None:
    other = changed(hopper)
    sources = (hopper, str(hopper), hopper.read_bytes(), load_image(hopper))
    answers = [verifier.verify(source, other) for source in sources]
    assert [answer.a.source for answer in answers] == [*[str(hopper)] * 2, *["the photograph"] * 2]
    assert len({(answer.cosine, answer.a.norm, *answer.a.box) for answer in answers}) == 1


def test_the_answer_is_symmetric(verifier: Verifier, hopper: Path) -> None:
    there, back = verifier.verify(hopper, changed(hopper)), verifier.verify(changed(hopper), hopper)
    assert there.cosine == pytest.approx(back.cosine, abs=1e-6)
    assert (there.a.box, there.b.box) == (back.b.box, back.a.box)
    assert (there.a.norm, there.b.norm) == (back.b.norm, back.a.norm)


def test_cosine_norms_and_boxes_are_those_of_the_faces(verifier: Verifier, hopper: Path) -> None:
    (a,), (b,) = verifier.faces(hopper), verifier.faces(changed(hopper))
    answer = verifier.verify(hopper, changed(hopper))
    assert a.embedding is not None
    assert b.embedding is not None
    dot = sum(float(x) * float(y) for x, y in zip(a.embedding, b.embedding, strict=True))
    assert answer.cosine == pytest.approx(dot, abs=1e-6)
    assert (answer.a.norm, answer.b.norm) == (a.norm, b.norm)
    assert answer.a.box == pytest.approx(a.face.box.tolist(), abs=0.051)


def test_an_embedding_has_unit_length_and_the_feature_a_positive_norm(verifier: Verifier, hopper: Path) -> None:
    (face,) = verifier.faces(hopper)
    assert face.embedding is not None
    assert face.embedding.shape == (verifier.size,) == (192,)
    assert face.embedding.dtype == np.float32
    assert np.linalg.norm(face.embedding) == pytest.approx(1, abs=1e-6)
    assert face.norm is not None
    assert face.norm > 0
    features = Embedder.load("default", "cpu", "fp32").features(face.crop[None])[0].cpu().numpy()
    assert face.norm == pytest.approx(float(np.linalg.norm(features)), rel=1e-4)
    assert face.crop.shape == (112, 112, 3)


# ---- several faces -------------------------------------------------------------------------------


def test_faces_lie_where_they_were_pasted(verifier: Verifier, group: NDArray[np.uint8]) -> None:
    faces = sorted(verifier.faces(group), key=lambda found: found.face.box[0])
    centers = [(found.face.box[:2] + found.face.box[2:]) / 2 for found in faces]
    # (222 - 100) · 350 / 250 and 118 · 350 / 250; 350 + 262 / 2 and 225 / 2.
    np.testing.assert_allclose(centers, [[171, 165], [481, 112]], atol=15)
    heights = [found.face.box[3] - found.face.box[1] for found in faces]
    np.testing.assert_allclose(heights, [154, 113], rtol=0.2)


@pytest.mark.slow
def test_the_rule_decides_which_face_of_a_group_is_compared(
    verifier: Verifier, hopper: Path, astronaut: Path, group: NDArray[np.uint8]
) -> None:
    largest = verifier.verify(hopper, group, "largest")
    assert not largest.same
    assert (largest.a.faces_found, largest.b.faces_found) == (1, 2)
    assert largest.b.box[0] < 300  # the astronaut
    assert [note for note in largest.notes if "another face gives another answer" in note]
    alike = verifier.verify(hopper, group, "all")
    assert alike.same
    assert alike.b.box[0] > 350
    assert alike.notes == []
    assert alike.all_faces is not None
    assert [len(row) for row in alike.all_faces.cosines] == [2]
    assert max(alike.all_faces.cosines[0]) == alike.cosine
    assert alike.b.box in alike.all_faces.boxes_b
    # The picture's middle is at x = 305: 134 from the one face, 176 from the other. Cut at the left it is not.
    assert verifier.verify(astronaut, group, "center").same
    assert verifier.verify(hopper, group[:, 100:], "center").same


def test_the_rule_applies_to_both_photographs(verifier: Verifier, group: NDArray[np.uint8], hopper: Path) -> None:
    assert verifier.verify(group, hopper, "all").same
    assert not verifier.verify(group, hopper, "largest").same


def test_faces_takes_the_same_rules(verifier: Verifier, group: NDArray[np.uint8]) -> None:
    assert len(verifier.faces(group)) == 2
    (largest,) = verifier.faces(group, "largest")
    assert largest.face.box[0] < 300


# ---- thresholds ----------------------------------------------------------------------------------


def test_the_stored_threshold_of_the_false_accept_rate_decides(verifier: Verifier, hopper: Path) -> None:
    stored = {t.far: t.cosine for t in verifier.info.thresholds}
    for far in (1e-2, 1e-3):
        answer = verifier.verify(hopper, hopper, far=far)
        assert answer.far == far
        assert answer.threshold == stored[far]
    assert verifier.verify(hopper, hopper).far == 1e-3
    assert stored[1e-2] < stored[1e-3]


def test_a_given_threshold_takes_the_place_of_the_stored_one(verifier: Verifier, hopper: Path) -> None:
    other = changed(hopper)
    cosine = verifier.verify(hopper, other).cosine
    above = verifier.verify(hopper, other, threshold=cosine + 1e-4)
    assert (above.same, above.far, above.threshold) == (False, None, cosine + 1e-4)
    # From the threshold on: it counts itself.
    assert verifier.verify(hopper, other, threshold=cosine).same


def test_a_rate_without_a_stored_threshold_is_refused_with_those_that_are_stored(
    verifier: Verifier, hopper: Path
) -> None:
    with pytest.raises(
        WeightsError, match=r"no threshold for FAR 0\.0005, but for .*0\.001.*; say --far 0\.001"
    ) as refusal:
        verifier.verify(hopper, hopper, far=5e-4)
    assert "say --far 0.001" in str(refusal.value)
    # The rate does not matter where a threshold is given.
    assert verifier.verify(hopper, hopper, threshold=0.5, far=5e-4).same


# ---- what can go wrong ---------------------------------------------------------------------------


def test_a_photograph_without_a_face_is_named(verifier: Verifier, hopper: Path, blank: Path) -> None:
    for a, b in ((blank, hopper), (hopper, blank)):
        with pytest.raises(NoFaceError, match="no face found; use a photograph") as refusal:
            verifier.verify(a, b)
        assert str(refusal.value).startswith(f"{blank}: ")
    with pytest.raises(NoFaceError, match=r"^the photograph: no face found"):
        verifier.verify(hopper, blank.read_bytes())


def test_a_photograph_without_a_face_has_no_faces(verifier: Verifier, blank: Path) -> None:
    assert verifier.faces(blank) == []


def test_a_picture_that_cannot_be_read_is_named(verifier: Verifier, hopper: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.jpg: no such file"):
        verifier.verify(hopper, tmp_path / "gone.jpg")
    with pytest.raises(ImageError, match="float64"):
        verifier.verify(hopper, np.zeros((9, 9, 3)))


@pytest.mark.parametrize("name", ["quantum", "", "meta", "xpu"])
def test_a_device_that_is_not_there_is_refused_with_those_that_could_be(name: str) -> None:
    with pytest.raises(FaceverError, match=f"device '{name}'.*; use auto, cpu, cuda or mps"):
        choose_device(name)


def test_a_cuda_device_beyond_those_there_is_refused() -> None:
    with pytest.raises(FaceverError, match=r"no CUDA device can be used here; use --device cpu|no device 'cuda:99'"):
        choose_device("cuda:99")


def test_auto_is_a_device_and_the_cpu_has_one_name() -> None:
    assert choose_device("auto").type in ("cpu", "cuda")
    assert str(choose_device("cpu:0")) == "cpu"


# ---- folders -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_folder_is_streamed_in_the_order_of_its_paths_with_errors_in_their_places(
    verifier: Verifier, hopper: Path, blank: Path, tmp_path: Path
) -> None:
    small = Image.open(hopper).resize((171, 200))
    (tmp_path / "below").mkdir()
    small.save(tmp_path / "below" / "c.png")
    small.save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(blank.read_bytes())
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("no photograph")
    rows = list(verifier.embed_folder(tmp_path))
    assert [Path(row.source).relative_to(tmp_path).as_posix() for row in rows] == [
        "a.png",
        "b.png",
        "below/c.png",
        "broken.png",
    ]
    assert [len(row.faces) for row in rows] == [1, 0, 1, 0]
    assert [row.readable for row in rows] == [True, True, True, False]
    assert verifier.verify(hopper, tmp_path / "a.png").same


def test_embedding_a_folder_that_is_missing_is_refused_at_once(verifier: Verifier, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        verifier.embed_folder(tmp_path / "gone")


def test_the_photographs_of_a_folder_go_through_what_was_asked_for(
    verifier: Verifier, blank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(blank.read_bytes())
    locked = ImageError("locked", "can't be listed")
    folder = Folder([tmp_path / "a.png", tmp_path / "b.png"], [locked], [tmp_path / "c.heic"])
    monkeypatch.setattr(module, "find_photographs", lambda _, follow: folder)
    totals, seen = [], []

    def through(stream: Iterable[PhotoResult], total: int) -> Iterator[PhotoResult]:
        totals.append(total)
        for photograph in stream:
            seen.append(Path(photograph.source).name)
            yield photograph

    rows = list(verifier.embed_folder(tmp_path, through=through))
    assert (totals, seen) == ([2], ["a.png", "b.png"])
    assert [(Path(row.source).name, row.readable) for row in rows] == [
        ("locked", False),
        ("c.heic", False),
        ("a.png", True),
        ("b.png", True),
    ]


@pytest.mark.slow
def test_many_at_once_get_the_rule_and_the_center_crop_that_were_asked_for(
    verifier: Verifier, group: NDArray[np.uint8], blank: Path, tmp_path: Path
) -> None:
    Image.fromarray(group).save(tmp_path / "group.png")
    paths = [tmp_path / "group.png", blank]
    several, none = process_files(paths, verifier.job("all"))
    assert (len(several.faces), len(none.faces), none.center) == (2, 0, None)
    several, none = process_files(paths, verifier.job("largest", center_fallback=True))
    assert (len(several.faces), several.found) == (1, 2)
    assert none.center is not None


# ---- the real thing ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.data
def test_people_of_lfw_are_told_apart_and_known_again(verifier: Verifier, data_folder: Path) -> None:
    lines = [line.split() for line in (data_folder / "pairs.txt").read_text().splitlines()[1:]]
    genuine = [line for line in lines if len(line) == 3][::750]  # 4 of 3,000
    impostor = [line for line in lines if len(line) == 4][::750]

    def photograph(name: str, number: str) -> Path:
        return data_folder / "lfw" / name / f"{name}_{int(number):04d}.jpg"

    same = [verifier.verify(photograph(n, i), photograph(n, j), "center", far=1e-2) for n, i, j in genuine]
    different = [verifier.verify(photograph(n, i), photograph(m, j), "center", far=1e-2) for n, i, m, j in impostor]
    # Of all pairs of LFW these weights get about 98 in 100 right here.
    assert sum(answer.same for answer in same) >= 3
    assert sum(answer.same for answer in different) <= 1
