from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from facever.cli import main
from facever.faces.face import Face
from facever.faces.pipeline import EmbeddedFace
from facever.reports.drawing import COLORS, LARGEST, STRIP, draw_faces, png


def face(x: float, y: float, side: float) -> EmbeddedFace:
    landmarks = np.array([[x + 10, y + 10]] * 5, np.float32)
    crop = np.full((150, 150, 3), 7, np.uint8)
    return EmbeddedFace(Face(np.array([x, y, x + side, y + side], np.float32), landmarks, 0.9), crop, None, 1.5)


def test_the_box_and_the_crop_stand_where_they_belong() -> None:
    picture = np.asarray(draw_faces(np.full((300, 400, 3), 200, np.uint8), [face(50, 100, 80)]))
    assert picture.shape == (300 + STRIP + 8, 400, 3)
    color = ImageColor.getrgb(COLORS[0])
    assert tuple(picture[100, 120]) == color  # the upper edge of the box
    assert tuple(picture[110, 60]) == color  # a landmark
    assert tuple(picture[140, 90]) == (200, 200, 200)  # inside the box the photograph is left alone
    assert tuple(picture[300 + 4 + STRIP // 2, 4 + 75]) == (7, 7, 7)  # the crop


def test_a_large_photograph_is_scaled_down_and_the_boxes_with_it() -> None:
    picture = draw_faces(np.zeros((1000, 2 * LARGEST, 3), np.uint8), [face(200, 400, 200)])
    assert picture.width == LARGEST
    box = np.asarray(picture)[200, 150]  # the upper edge at half the coordinates
    assert tuple(box) == ImageColor.getrgb(COLORS[0])


def test_without_faces_the_photograph_is_shown_alone() -> None:
    image = np.full((20, 30, 3), 9, np.uint8)
    np.testing.assert_array_equal(np.asarray(draw_faces(image, [])), image)


def test_many_faces_wrap_into_rows_and_boxes_beyond_the_edge_do_no_harm() -> None:
    picture = draw_faces(np.zeros((100, 400, 3), np.uint8), [face(-30, -30, 500)] * 5)
    assert picture.height == 100 + 3 * (STRIP + 8)  # two crops a row


def test_png_is_the_picture_itself() -> None:
    picture = Image.new("RGB", (3, 2), "red")
    assert (np.asarray(Image.open(io.BytesIO(png(picture)))) == np.array([255, 0, 0])).all()


@pytest.mark.slow
def test_the_command_draws_and_says_what_it_found(
    portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "seen.png"
    monkeypatch.setattr("sys.argv", ["facever", "inspect", str(portrait), "-o", str(out)])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    assert "1 face; " in capsys.readouterr().out
    assert Image.open(out).height > 600
