"""Places of faces in the stored image and in the upright one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from facever.faces.header import Header, read_header
from facever.faces.images import load_image
from facever.faces.regions import Area, area_of, box_of, matched, overlap


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_area_of_the_stored_image_is_where_the_decoder_shows_it(tmp_path: Path, orientation: int) -> None:
    stored = np.zeros((40, 80, 3), np.uint8)
    stored[4:12, 10:26] = 255  # x 10 … 26 of 80, y 4 … 12 of 40
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    header = read_header(tmp_path / "a.png")
    assert header == Header(80, 40, orientation)
    upright = load_image(tmp_path / "a.png")
    assert header.upright == (upright.shape[1], upright.shape[0])
    rows, columns = np.nonzero(upright[..., 0])
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    area = Area(18 / 80, 8 / 40, 16 / 80, 8 / 40)
    assert box_of(area, header) == pytest.approx(seen)
    found = area_of(seen, header)
    assert found is not None
    assert (found.x, found.y, found.width, found.height) == pytest.approx((area.x, area.y, area.width, area.height))


def test_by_hand_turned_clockwise() -> None:
    """Stored 4000 x 3000, shown 3000 x 4000: what is stored at the lower left is shown at the upper left."""
    header = Header(4000, 3000, 6)
    found = area_of([300, 400, 900, 1200], header)
    assert found is not None
    assert (found.x, found.y, found.width, found.height) == pytest.approx((0.2, 0.8, 0.2, 0.2))
    assert box_of(Area(0.2, 0.8, 0.2, 0.2), header) == pytest.approx((300, 400, 900, 1200))
    # Turned the other way, the lower left corner of what is shown is stored at the upper left.
    found = area_of([0, 3600, 300, 4000], Header(4000, 3000, 8))
    assert found is not None
    assert (found.x, found.y, found.width, found.height) == pytest.approx((0.05, 0.05, 0.1, 0.1))


def test_a_box_is_cut_at_the_sides_and_one_outside_has_no_area() -> None:
    assert area_of([-50, -10, 50, 30], Header(100, 100)) == Area(0.25, 0.15, 0.5, 0.3)
    assert area_of([-50, 10, -1, 30], Header(100, 100)) is None


@given(
    st.integers(1, 8),
    st.tuples(*[st.floats(0, 1)] * 4),
    st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
)
def test_there_and_back(orientation: int, sides: tuple[float, ...], size: tuple[int, int]) -> None:
    header = Header(*size, orientation)
    (x0, x1), (y0, y1) = sorted(sides[:2]), sorted(sides[2:])
    if x1 - x0 < 1e-3 or y1 - y0 < 1e-3:
        return
    width, height = header.upright
    box = [x0 * width, y0 * height, x1 * width, y1 * height]
    area = area_of(box, header)
    assert area is not None
    assert box_of(area, header) == pytest.approx(box, abs=1e-6 * max(size))


def test_regions_go_to_the_faces_that_they_overlap_most() -> None:
    boxes = [[0, 0, 10, 10], [20, 0, 30, 10], None, [50, 50, 60, 60]]
    regions = [(21.0, 0.0, 31.0, 10.0), (18.0, -2.0, 32.0, 12.0), (-5.0, -5.0, 15.0, 15.0), (0.0, 0.0, 100.0, 100.0)]
    assert matched(boxes, regions) == {0: 2, 1: 0}
    assert overlap((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 1, 1), (2, 2, 3, 3)) == 0
    # A quarter of the union, but neither has the other's center.
    assert matched([[0, 0, 10, 10]], [(6, 0, 16, 10)]) == {}


def test_tiff_and_xmp_in_a_jpeg(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.new("RGB", (80, 40))
    picture.save(tmp_path / "a.tif", exif=exif)
    assert read_header(tmp_path / "a.tif") == Header(80, 40, 6)
    packet = b"http://ns.adobe.com/xap/1.0/\0<x/>"
    marker = b"\xff\xe1" + (len(packet) + 2).to_bytes(2, "big") + packet
    picture.save(tmp_path / "a.jpg", exif=exif)
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[:2] + marker + content[2:])
    assert read_header(tmp_path / "a.jpg") == Header(80, 40, 6, b"<x/>")
