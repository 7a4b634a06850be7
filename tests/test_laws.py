"""What holds for every photograph, whatever it shows."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command_line import facever
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from facever import NoFaceError, Verifier
from facever.faces.parallel import process_files
from facever.faces.pipeline import Pipeline
from facever.faces.sources import Decoded

pytestmark = pytest.mark.slow
FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@functools.cache
def verifier() -> Verifier:
    return Verifier.load("default", "cpu")


def varied(portrait: Path) -> Callable[[tuple[int, float, float, float]], NDArray[np.uint8]]:
    whole = Image.open(portrait).convert("RGB")

    def photograph(how: tuple[int, float, float, float]) -> NDArray[np.uint8]:
        width, light, turn, blur = how
        picture = whole.resize((width, round(width * 600 / 512)))
        picture = ImageEnhance.Brightness(picture).enhance(light).rotate(turn, fillcolor=(90, 90, 90))
        return np.asarray(picture.filter(ImageFilter.GaussianBlur(blur)))

    return photograph


LOOKS = st.tuples(st.integers(80, 260), st.floats(0.3, 1.4), st.floats(-25, 25), st.floats(0, 3))


@FEW
@given(how=LOOKS, other=LOOKS)
def test_a_photograph_is_itself_and_an_answer_is_symmetric(
    portrait: Path, how: tuple[int, float, float, float], other: tuple[int, float, float, float]
) -> None:
    make = varied(portrait)
    try:
        same = verifier().verify(make(how), make(how))
        there, back = verifier().verify(make(how), make(other)), verifier().verify(make(other), make(how))
    except NoFaceError:
        return
    assert same.cosine == pytest.approx(1, abs=1e-6)
    assert (same.decision, same.why) == ("same", [])
    assert -1 <= there.cosine <= 1
    assert there.cosine == pytest.approx(back.cosine, abs=1e-6)
    assert there.decision == back.decision
    assert sorted(there.why) == sorted(back.why)
    assert (there.a, there.b) == (back.b, back.a)


def encoded(picture: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def test_lossless_files_and_turns_told_by_exif_change_nothing(portrait: Path) -> None:
    upright = Image.open(portrait).convert("RGB").resize((213, 250))
    (expected,) = verifier().faces(np.asarray(upright))
    files = [encoded(upright, name) for name in ("PNG", "BMP", "TIFF", "PPM")]
    files.append(encoded(upright, "WEBP", lossless=True))
    # Stored as the camera saw it: turned, with the tag that says how to turn it back.
    undone = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    for orientation, turn in undone.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = encoded(upright.transpose(turn), "PNG", exif=exif)
        assert ImageOps.exif_transpose(Image.open(io.BytesIO(stored))).size == upright.size
        files.append(stored)
    for file in files:
        (face,) = verifier().faces(file)
        np.testing.assert_allclose(face.face.box, expected.face.box, atol=1e-3)
        assert face.embedding is not None and expected.embedding is not None
        assert float(face.embedding @ expected.embedding) == pytest.approx(1, abs=1e-6)


@FEW
@given(order=st.permutations(range(5)), size=st.integers(1, 5))
def test_batch_and_order_change_nothing(portrait: Path, order: list[int], size: int) -> None:
    make = varied(portrait)
    looks = [(100, 1.0, 0.0, 0.0), (140, 0.5, 10.0, 1.0), (200, 1.2, -15.0, 0.5), (90, 0.8, 5.0, 0.0), (256, 1, 0, 2)]
    pipeline = whole_pipeline()
    alone = [pipeline([Decoded(str(i), make(how))])[0].faces[0] for i, how in enumerate(looks)]
    chosen = order[:size]
    together = pipeline([Decoded(str(i), make(looks[i])) for i in chosen])
    for i, result in zip(chosen, together, strict=True):
        np.testing.assert_allclose(result.faces[0].face.landmarks, alone[i].face.landmarks, atol=1e-2)
        assert result.faces[0].embedding is not None and alone[i].embedding is not None
        assert float(result.faces[0].embedding @ alone[i].embedding) == pytest.approx(1, abs=1e-5)


@functools.cache
def whole_pipeline() -> Pipeline:
    from dataclasses import replace

    return Pipeline(replace(verifier().job(), precision="fp32"))


def test_the_number_of_workers_changes_nothing(portrait: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    for i, how in enumerate([(100, 1.0, 0.0, 0.0), (140, 0.5, 10.0, 1.0), (200, 1.2, -15.0, 0.5)]):
        Image.fromarray(varied(portrait)(how)).save(tmp_path / f"{i}.png")
    paths = sorted(tmp_path.glob("*.png"))
    job = replace(verifier().job(), precision="fp32")
    one, two = (list(process_files(paths, job, workers)) for workers in (1, 2))
    for a, b in zip(one, two, strict=True):
        assert a.source == b.source
        assert float(a.faces[0].embedding @ b.faces[0].embedding) == pytest.approx(1, abs=1e-5)  # type: ignore[operator]


def test_calibrating_twice_writes_the_same_file(people: Path, tmp_path: Path) -> None:
    for name in ("once", "again"):
        command = ("calibrate", "dlib", people, "--far", "0.1", "--thresholds", tmp_path / f"{name}.json")
        assert facever(*command).code == 0
    assert (tmp_path / "once.json").read_bytes() == (tmp_path / "again.json").read_bytes()
