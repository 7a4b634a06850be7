"""`facever cluster --xmp` and `--read-xmp`."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from command_line import facever
from gallery_samples import crowd, dataset, table
from PIL import Image
from xmp_samples import DIGIKAM, HOSTILE, LIGHTROOM

from facever.faces.xmp import Packet
from facever.weights.shipped import find_weights, weights_sha256

# Ann twice, Bo twice, and somebody; Ann's and Bo's first faces are in one photograph.
PATHS = ["a.jpg", "b.jpg", "a.jpg", "c.jpg", "d.jpg"]
BOXES = [(80, 120, 120, 180), (80, 120, 120, 180), (280, 120, 320, 180), (10, 10, 70, 70), (10, 10, 70, 70)]


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Upright photographs of 400 x 300 pixels; b.jpg is stored turned, as 300 x 400."""
    vectors, _ = crowd([2, 2, 1])
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in set(PATHS) - {"b.jpg"}:
        Image.new("RGB", (400, 300), "gray").save(tmp_path / name)
    Image.new("RGB", (300, 400), "gray").save(tmp_path / "b.jpg", exif=exif)
    sides = {side: [float(box[i]) for box in BOXES] for i, side in enumerate(("x0", "y0", "x1", "y1"))}
    columns = {**sides, "box": [list(map(float, box)) for box in BOXES], "width": [400] * 5, "height": [300] * 5}
    weights = {"name": "default", "sha256": weights_sha256(find_weights("default"))}
    return dataset(tmp_path / "faces.parquet", table(PATHS, list(vectors), **columns), weights=weights)


def names_of(tmp_path: Path, faces: Path, *options: str | Path) -> list[str]:
    out = tmp_path / "people.csv"
    outcome = facever("cluster", faces, "-o", out, "--force", *options)
    assert outcome.code == 0, outcome.err
    with out.open(newline="", encoding="utf-8") as lines:
        return [row["name"] for row in csv.DictReader(lines)]


def people(tmp_path: Path, *names: str) -> Path:
    file = tmp_path / "named.csv"
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow(["face_id", "person", "name", "decision"])
        for i, name in enumerate(names):
            writer.writerow([f"{i:016x}", f"p{1 + i}" if name else "", name, "name" if name else ""])
    return file


def regions(file: Path) -> list[tuple[str, tuple[float, ...], bool]]:
    return [
        (each.name, (each.area.x, each.area.y, each.area.width, each.area.height), each.ours)
        for each in Packet(file.read_bytes(), str(file)).regions
    ]


def test_named_faces_are_written_and_read_again(tmp_path: Path, faces: Path) -> None:
    name = 'Zoë <&> "O\'Neil"\n'
    outcome = facever("cluster", faces, "--people", people(tmp_path, name, "", "Bo"), "--xmp", "--json")
    assert outcome.json["xmp"] == {"files": 3, "current": 0, "problems": []}
    assert regions(tmp_path / "a.jpg.xmp") == [
        (name.strip(), (0.25, 0.5, 0.1, 0.2), True),
        ("Bo", (0.75, 0.5, 0.1, 0.2), True),
    ]
    # Stored turned: 150 of 300 pixels from what is stored at the left, 300 of 400 from its top.
    assert regions(tmp_path / "b.jpg.xmp") == [(name.strip(), (0.5, 0.75, 0.2, 0.1), True)]
    assert b'stDim:w="300" stDim:h="400"' in (tmp_path / "b.jpg.xmp").read_bytes()
    assert not (tmp_path / "d.jpg.xmp").exists()
    again = names_of(tmp_path, faces, "--read-xmp")
    assert again == [name.strip(), name.strip(), "Bo", "Bo", ""]
    outcome = facever("cluster", faces, "--read-xmp", "--xmp")
    assert "xmp: 4 faces have a name there, 0 of them decided otherwise before, 0 problems" in outcome.err
    assert "xmp: 0 side-cars written, 3 were up to date, 0 problems" in outcome.err


def test_a_person_who_is_renamed_or_loses_the_name_is_so_in_the_side_cars(tmp_path: Path, faces: Path) -> None:
    facever("cluster", faces, "--people", people(tmp_path, "Ann", "", "Bo"), "--xmp")
    # What facever wrote is no decision beside --people: else Ann would remain Ann on every other photograph.
    facever("cluster", faces, "--people", people(tmp_path, "Anne"), "--read-xmp", "--xmp")
    assert [each[0] for each in regions(tmp_path / "a.jpg.xmp")] == ["Anne"]
    assert [each[0] for each in regions(tmp_path / "b.jpg.xmp")] == ["Anne"]
    assert regions(tmp_path / "c.jpg.xmp") == []


def test_a_side_car_of_another_program_is_kept_and_its_names_are_taken(tmp_path: Path, faces: Path) -> None:
    (tmp_path / "a.jpg.xmp").write_text(DIGIKAM, encoding="utf-8")
    (tmp_path / "a.jpg.xmp").chmod(0o640)
    (tmp_path / "c.xmp").write_text(LIGHTROOM.replace('"0.25"', '"0.1"').replace('y="0.5"', 'y="0.13"'))
    assert names_of(tmp_path, faces, "--read-xmp", "--xmp") == ["Zoë", "Zoë", "Ann Lee", "Ann Lee", ""]
    after = (tmp_path / "a.jpg.xmp").read_bytes()
    assert regions(tmp_path / "a.jpg.xmp") == [
        ("Zoë", (0.25, 0.5, 0.1, 0.2), False),
        ("Ann Lee", (0.75, 0.5, 0.1, 0.2), True),
    ]
    for kept in DIGIKAM.partition("      </rdf:li>\n     </rdf:Bag>\n    </mwg-rs:RegionList>")[::2]:
        assert kept.encode() in after
    assert (tmp_path / "a.jpg.xmp").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "c.xmp").read_text().count("Ann Lee") == 1
    assert [each[0] for each in regions(tmp_path / "c.jpg.xmp")] == ["Ann Lee"]


def test_a_name_of_another_program_that_contradicts_is_kept_and_told(tmp_path: Path, faces: Path) -> None:
    (tmp_path / "a.jpg.xmp").write_text(DIGIKAM, encoding="utf-8")
    outcome = facever("cluster", faces, "--people", people(tmp_path, "Ann"), "--read-xmp", "--xmp")
    assert outcome.code == 0
    assert "1 faces have a name there, 1 of them decided otherwise before" in outcome.err
    assert "a.jpg.xmp: face 0 is 'Zoë' there, and 'Ann' here; left as it is" in outcome.err
    assert (tmp_path / "a.jpg.xmp").read_text(encoding="utf-8") == DIGIKAM


def test_names_in_a_jpeg_are_taken(tmp_path: Path, faces: Path) -> None:
    packet = b"http://ns.adobe.com/xap/1.0/\0" + DIGIKAM.encode() + b"\n" * 100
    content = (tmp_path / "a.jpg").read_bytes()
    marker = b"\xff\xe1" + (len(packet) + 2).to_bytes(2, "big") + packet
    (tmp_path / "a.jpg").write_bytes(content[:2] + marker + content[2:])
    assert names_of(tmp_path, faces, "--read-xmp") == ["Zoë", "Zoë", "", "", ""]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_side_car_is_named_and_the_rest_goes_on(tmp_path: Path, faces: Path, name: str) -> None:
    content, says = HOSTILE[name]
    (tmp_path / "a.jpg.xmp").write_bytes(content)
    outcome = facever("cluster", faces, "--people", people(tmp_path, "Ann", "", "Bo"), "--read-xmp", "--xmp")
    assert outcome.code == 0
    assert "a.jpg.xmp: " in outcome.err
    assert says in outcome.err
    assert "0 of them decided otherwise before, 1 problems" in outcome.err
    assert "xmp: 2 side-cars written, 0 were up to date, 1 problems" in outcome.err
    assert (tmp_path / "a.jpg.xmp").read_bytes() == content


def test_photographs_that_are_gone_or_others_now_are_told(tmp_path: Path, faces: Path) -> None:
    (tmp_path / "a.jpg").unlink()
    Image.new("RGB", (300, 400)).save(tmp_path / "b.jpg")
    (tmp_path / "c.jpg.xmp").mkdir()
    outcome = facever("cluster", faces, "--people", people(tmp_path, "Ann", "", "Bo"), "--xmp")
    assert outcome.code == 2
    assert "a.jpg: no such file" in outcome.err
    assert "b.jpg: of another size than when it was embedded; embed it again" in outcome.err
    assert "c.jpg.xmp: can't be read (Is a directory)" in outcome.err
    assert "no side-car was written" in outcome.err
    assert not list(tmp_path.glob(".*.facever"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_a_pipe_is_not_waited_for(tmp_path: Path, faces: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg.xmp")
    outcome = facever("cluster", faces, "--read-xmp")
    assert outcome.code == 0
    assert "a.jpg.xmp: a device or pipe" in outcome.err


def test_faces_without_a_place_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", crowd([3])[0])
    (tmp_path / "e.txt").write_text("a\nb\nc\n")
    for option in ("--xmp", "--read-xmp"):
        outcome = facever("cluster", tmp_path / "e.npy", "--threshold", "0.5", option)
        assert (outcome.code, "e.npy: its faces have no boxes" in outcome.err) == (2, True)
