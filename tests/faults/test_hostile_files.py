"""Damaged pictures and data files end in a result or an error that names them: no traceback, no crash, no hang."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hostile import Case, Tally, reading_by, tallied
from hostile_files import SUMMED, bit_cases, file_cases, make_files, prepare_files, special_cases
from hostile_pictures import FILE, large_pictures, picture_cases, prepare_pictures

from facever.faces.formats import decodable_formats

pytestmark = pytest.mark.slow

# How many of each; `make torture` runs benchmarks/torture.py, with thousands.
PICTURES = int(os.environ.get("FACEVER_PICTURES", "400"))
FILES = int(os.environ.get("FACEVER_FILES", "210"))
BITS = int(os.environ.get("FACEVER_BITS", "80"))


def losses(tallies: dict[str, Tally]) -> list[str]:
    return [each for tally in tallies.values() for each in tally.lost]


def test_damaged_pictures_end_in_pixels_or_an_error_within_two_seconds_and_a_gibibyte() -> None:
    with reading_by(prepare_pictures) as reader:
        tallies = tallied(picture_cases(PICTURES), reader)
    assert losses(tallies) == []
    assert {name.partition(",")[0].replace(" ", "").upper() for name in tallies} >= set(decodable_formats()) - {"HEIF"}
    assert sum(tally.read for tally in tallies.values()) > PICTURES / 20
    assert sum(tally.refused for tally in tallies.values()) > PICTURES / 5


@pytest.mark.parametrize("name", ["transparent", "16 bits"])
def test_a_small_file_of_80_million_pixels_takes_less_than_a_gibibyte(name: str) -> None:
    with reading_by(prepare_pictures) as reader:
        assert reader(Case("large", "", FILE, large_pictures(name)[name], seconds=60)).how == "read"


def test_damaged_data_files_end_in_a_result_or_an_error(tmp_path: Path) -> None:
    make_files(tmp_path)
    with reading_by(prepare_files) as reader:
        tallies = tallied(file_cases(FILES, tmp_path), reader)
    assert losses(tallies) == []
    assert sum(tally.refused for tally in tallies.values()) > FILES / 5


def test_every_flipped_bit_of_a_file_with_a_sum_is_noticed(tmp_path: Path) -> None:
    make_files(tmp_path)
    with reading_by(prepare_files) as reader:
        tallies = tallied(bit_cases(BITS, tmp_path), reader)
    assert losses(tallies) == []
    # The embedding cache drops a row instead; its reader checks that none changes.
    assert [name for name in SUMMED[:3] if tallies[name].read] == []


@pytest.mark.skipif(sys.platform == "win32", reason="pipes, sockets and devices of POSIX")
def test_what_is_no_file_is_refused_and_not_waited_for() -> None:
    with reading_by(prepare_files, hangs=20) as reader:
        tallies = tallied(special_cases(), reader)
    assert losses(tallies) == []
    assert {name for name, tally in tallies.items() if tally.read} <= {"sources"}  # a data folder needs no sources.csv


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Linux counts the memory")


def prepare_faults(folder: Path) -> dict:
    (folder / FILE).touch()

    def read() -> None:
        match (folder / FILE).read_bytes():
            case b"dies":
                os._exit(3)
            case b"raises":
                raise KeyError("x")
            case b"prints":
                os.write(2, b"psst")
            case b"takes":
                bytearray(b"x") * (1100 << 20)

    return {"fault": read}


@pytest.mark.parametrize(
    ("content", "how"),
    [
        (b"dies", "kills the process (3)"),
        (b"raises", "raises KeyError ('x')"),
        (b"prints", "prints b'psst'"),
        pytest.param(b"takes", "takes 1", marks=LINUX),
    ],
)
def test_the_reader_notices_what_must_not_be_and_goes_on(content: bytes, how: str) -> None:
    with reading_by(prepare_faults) as reader:
        assert reader(Case("fault", "", FILE, content)).how.startswith(how)
        assert reader(Case("fault", "", FILE, b"good")).how == "read"
