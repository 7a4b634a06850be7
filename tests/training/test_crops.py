from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples import noise

from facever.datasets.identities import read_identities, split_identities
from facever.errors import DataError, OutputError
from facever.faces.parallel import process_files
from facever.faces.pipeline import Job
from facever.training import crops as module
from facever.training.crops import CropSet, cut_crops
from facever.weights.alignment import TIGHT_64X56, Alignment


@pytest.fixture
def few(people: Path, tmp_path: Path) -> Path:
    """A copy of two of the people, to change at will."""
    for name in ("person_1", "person_2"):
        shutil.copytree(people / name, tmp_path / "few" / name)
    return tmp_path / "few"


def cut(root: Path, cache: Path, alignment: Alignment = TIGHT_64X56) -> tuple[CropSet, int]:
    """The crops, and how many photographs had to be cut for them."""
    asked: list[int] = []
    crops = cut_crops(read_identities(root), alignment, 8, cache, progress=lambda done, total: asked.append(total))
    return crops, max(asked, default=0)


def test_the_inner_crops_are_what_inference_cuts(few: Path, tmp_path: Path) -> None:
    crops, _ = cut(few, tmp_path / "cache")
    paths = [few / path for path in crops.paths]
    expected = [p.faces[0].crop for p in process_files(paths, Job(output=TIGHT_64X56, rule="center"))]
    assert len(crops) == 8
    assert crops.crops.shape[1:] == (64 + 16, 56 + 16, 3)
    difference = np.abs(crops.inner(slice(None)).astype(int) - np.stack(expected))
    assert difference.max() <= 1  # the margin moves the crop, which rounds a pixel here and there otherwise
    assert (difference > 0).mean() < 1e-3


def test_a_second_run_cuts_nothing_and_gives_the_same(few: Path, tmp_path: Path) -> None:
    first, cut_first = cut(few, tmp_path / "cache")
    second, cut_second = cut(few, tmp_path / "cache")
    assert (cut_first, cut_second) == (8, 0)
    np.testing.assert_array_equal(first.inner(slice(None)), second.inner(slice(None)))


@pytest.mark.slow
def test_only_changed_and_new_photographs_are_cut_again_and_removed_ones_vanish(few: Path, tmp_path: Path) -> None:
    cut(few, tmp_path / "cache")
    Image.open(few / "person_1" / "0.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(few / "person_1" / "0.png")
    shutil.copy(few / "person_1" / "1.png", few / "person_1" / "9.png")
    (few / "person_2" / "3.png").unlink()
    crops, count = cut(few, tmp_path / "cache")
    assert count == 2
    assert crops.paths == [f"person_1/{i}.png" for i in (0, 1, 2, 3, 9)] + [f"person_2/{i}.png" for i in range(3)]
    np.testing.assert_array_equal(crops.inner(np.array([1])), crops.inner(np.array([4])))  # a copy of 1.png
    assert (crops.inner(np.array([0])) != crops.inner(np.array([1]))).any()


@pytest.mark.slow
def test_another_alignment_has_its_own_cache(few: Path, tmp_path: Path) -> None:
    cut(few, tmp_path / "cache")
    smaller = Alignment("other", 32, 28, tuple((x / 2, y / 2) for x, y in TIGHT_64X56.landmarks))
    crops, count = cut(few, tmp_path / "cache", smaller)
    assert count == 8
    assert crops.crops.shape[1:] == (48, 44, 3)


def test_photographs_without_a_face_or_broken_are_left_out_and_named(few: Path, tmp_path: Path) -> None:
    (few / "person_1" / "0.png").write_bytes(b"no picture")
    Image.new("RGB", (200, 200)).save(few / "person_1" / "1.png")
    crops, _ = cut(few, tmp_path / "cache")
    assert len(crops) == 6
    assert len(crops.problems) == 2
    assert "person_1/0.png" in crops.problems[0]
    assert "no face found" in crops.problems[1]


@pytest.mark.slow
def test_an_interrupted_run_keeps_what_it_had(few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(paths, job, workers):
        for count, photograph in enumerate(process_files(paths, job, 1)):
            if count == 5:
                raise KeyboardInterrupt
            yield photograph

    with monkeypatch.context() as patch:
        patch.setattr(module, "process_files", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cut(few, tmp_path / "cache")
    crops, count = cut(few, tmp_path / "cache")
    assert count == 3
    fresh, _ = cut(few, tmp_path / "other")
    np.testing.assert_array_equal(crops.inner(slice(None)), fresh.inner(slice(None)))


@pytest.mark.parametrize("damage", ["index", "pixels"])
def test_a_damaged_cache_is_made_anew(few: Path, tmp_path: Path, damage: str) -> None:
    crops, _ = cut(few, tmp_path / "cache")
    expected = crops.inner(slice(None))
    (path,) = (tmp_path / "cache").glob("*/index.jsonl" if damage == "index" else "*/*.bin")
    path.write_bytes(path.read_bytes()[:100])
    again, count = cut(few, tmp_path / "cache")
    assert count == 8
    np.testing.assert_array_equal(again.inner(slice(None)), expected)


def test_a_data_set_without_any_face_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data" / "nobody").mkdir(parents=True)
    Image.new("RGB", (100, 100)).save(tmp_path / "data" / "nobody" / "0.png")
    with pytest.raises(DataError, match="no face"):
        cut(tmp_path / "data", tmp_path / "cache")


def test_a_cache_that_cannot_be_written_says_so(few: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="--cache"):
        cut(few, tmp_path / "file")


def test_a_part_holds_the_photographs_of_its_people(few: Path, tmp_path: Path) -> None:
    crops, _ = cut(few, tmp_path / "cache")
    part = crops.of(["person_2"])
    assert set(part.identities) == {"person_2"}
    np.testing.assert_array_equal(part.inner(slice(None)), crops.inner(slice(None))[4:])


def test_a_part_keeps_the_sources_of_its_people_and_one_without_has_none() -> None:
    crops = replace(noise(), sources={"person_1": "a", "person_2": "b"})
    assert crops.row_sources() == ["", "", "a", "a", "b", "b", "", ""]
    assert crops.of(["person_2", "person_3"]).row_sources() == ["b", "b", "", ""]
    assert noise().row_sources() == [""] * 8


def test_the_digest_is_that_of_all_pixels_in_order() -> None:
    crops = noise(600)  # more than are read at once
    assert crops.digest() == hashlib.sha256(crops.crops.tobytes()).hexdigest()
    assert crops.of(["person_1"]).digest() == hashlib.sha256(crops.crops[2:4].tobytes()).hexdigest()
    for row in (0, 301, 599):
        changed = crops.crops.copy()
        changed[row, 0, 0, 0] ^= 1
        assert replace(crops, crops=changed).digest() != crops.digest()


def test_a_run_that_is_killed_keeps_its_crops(few: Path, tmp_path: Path) -> None:
    source = f"""
import os
from pathlib import Path
from facever.datasets.identities import read_identities
from facever.training import crops
from facever.weights.alignment import TIGHT_64X56
crops.FLUSH_EVERY = 2
def stop(done, total):
    if done == 5:
        os.kill(os.getpid(), 9)
crops.cut_crops(
    read_identities(Path({str(few)!r})), TIGHT_64X56, 8, Path({str(tmp_path / "cache")!r}), workers=1, progress=stop
)
"""
    assert subprocess.run([sys.executable, "-c", source]).returncode == -signal.SIGKILL
    crops, count = cut(few, tmp_path / "cache")
    assert count == 4  # of 8; the fifth was not written yet
    fresh, _ = cut(few, tmp_path / "other")
    assert crops.paths == fresh.paths
    # Batches differ, and so do a few last digits.
    np.testing.assert_allclose(crops.inner(slice(None)).astype(int), fresh.inner(slice(None)), atol=1)


def test_two_trainings_on_one_empty_cache_cut_once(few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began = threading.Barrier(2, timeout=30)
    count = []

    def counted(paths, job, workers):
        count.append(len(paths))
        yield from process_files(paths, job, 1)

    monkeypatch.setattr(module, "process_files", counted)

    def run() -> CropSet:
        began.wait()
        return cut_crops(read_identities(few), TIGHT_64X56, 8, tmp_path / "cache")

    with ThreadPoolExecutor(2) as pool:
        a, b = (future.result() for future in [pool.submit(run), pool.submit(run)])
    assert sum(count) == 8
    np.testing.assert_array_equal(a.inner(slice(None)), b.inner(slice(None)))
    (folder,) = (tmp_path / "cache").iterdir()
    assert (
        {"crops.bin", "index.jsonl"} <= {path.name for path in folder.iterdir()} <= {"crops.bin", "index.jsonl", "lock"}
    )


def test_crops_are_for_their_owner_only(few: Path, tmp_path: Path) -> None:
    cut(few, tmp_path / "cache")
    (folder,) = (tmp_path / "cache").iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "crops.bin").stat().st_mode & 0o777 == (folder / "index.jsonl").stat().st_mode & 0o777 == 0o600


def test_what_was_not_used_for_longest_goes(few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut(few, tmp_path / "cache")
    (old,) = (tmp_path / "cache").iterdir()
    os.utime(old / "crops.bin", (0, 0))
    os.utime(old / "index.jsonl", (0, 0))
    monkeypatch.setenv("FACEVER_CACHE_GB", "0.0001")  # two of 138,240 bytes are more than that, so is one
    smaller = Alignment("other", 64, 56, tuple((x + 1, y) for x, y in TIGHT_64X56.landmarks))
    crops, _ = cut(few, tmp_path / "cache", smaller)
    assert len(crops) == 8
    (left,) = (tmp_path / "cache").iterdir()
    assert left != old


def test_an_identity_whose_name_is_no_text_is_cut_and_split(few: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"person_\xff")
    (few / "person_2").rename(few / name)
    crops, _ = cut(few, tmp_path / "cache")
    assert sorted(set(crops.identities)) == ["person_1", name]
    training, held_out = split_identities(crops.identities, 0.5)
    assert sorted(training + held_out) == ["person_1", name]
