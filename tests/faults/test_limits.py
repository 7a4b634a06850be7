"""Full file systems, little memory, two processes on one output."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from command_line import facever
from gallery_samples import dataset, random_faces, table
from PIL import Image

from facever.errors import OutputError
from facever.gallery import Gallery
from facever.gallery.faces import FaceTable

resource = pytest.importorskip("resource")  # POSIX
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux keeps them")]


@pytest.fixture
def folder(tmp_path: Path, portrait: Path) -> Path:
    (tmp_path / "photographs").mkdir()
    for i in range(2):
        Image.open(portrait).resize((171 + i, 200)).save(tmp_path / "photographs" / f"{i}.jpg")
    return tmp_path / "photographs"


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1", "FACEVER_QUIET": "1"}


def start(folder: Path, *arguments: str | Path, limit: Callable[[], None] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "facever", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(folder.parent),
        preexec_fn=limit,
    )


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_embed_into_a_full_file_system_leaves_no_part(folder: Path, tmp_path: Path) -> None:
    with full_disk(1000):
        outcome = facever("embed", folder, "-o", tmp_path / "out", "-w", "dlib", "--workers", "1")
    assert outcome.code == 2
    assert "can't be written (File too large); choose another place" in outcome.err
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name not in (".facever.json", ".lock")] == []
    assert facever("embed", folder, "-o", tmp_path / "out", "-w", "dlib").code == 0  # once there is room


def test_an_index_for_which_there_is_no_room_leaves_nothing(tmp_path: Path) -> None:
    pytest.importorskip("usearch")
    out = dataset(tmp_path / "faces.parquet", table([f"{i}.jpg" for i in range(500)], random_faces(500)))
    with full_disk(5000), pytest.raises(OutputError, match="can't be written"):
        Gallery(FaceTable.open(out), index=True)
    assert [path.name for path in tmp_path.iterdir()] == ["faces.parquet"]
    assert Gallery(FaceTable.open(out), index=True).search(random_faces(1), 1).faces[0].matches[0].path == "0.jpg"


@pytest.mark.parametrize("megabytes", [700, 1500])
def test_a_command_with_little_memory_says_so(megabytes: int, folder: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))

    process = start(folder, "verify", folder / "0.jpg", folder / "1.jpg", limit=limit)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (2, ""), err
    assert err == "facever: not enough memory; use fewer --workers or smaller photographs\n"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("can't start new thread"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        MemoryError(),
    ],
    ids=str,
)
def test_whatever_tells_that_memory_ended_is_exit_code_2(
    error: Exception, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("facever.verifier.Verifier.verify", fail)
    outcome = facever("verify", folder / "0.jpg", folder / "1.jpg")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "facever: not enough memory; use fewer --workers or smaller photographs\n"


def test_of_two_processes_on_one_dataset_one_writes_it_and_the_other_is_told(folder: Path, tmp_path: Path) -> None:
    both = [start(folder, "embed", folder, "-o", tmp_path / "out", "-w", "dlib") for _ in range(2)]
    ended = [(*process.communicate(timeout=240), process.returncode) for process in both]
    assert sorted(code for *_, code in ended) in ([0, 0], [0, 2])  # [0, 0]: one after the other
    assert all("another facever writes to it" in err for _, err, code in ended if code)
    assert sorted(pq.read_table(tmp_path / "out")["path"].to_pylist()) == ["0.jpg", "1.jpg"]


def test_two_processes_on_one_file_leave_one_whole_file(folder: Path, tmp_path: Path) -> None:
    both = [start(folder, "embed", folder, "-o", tmp_path / "o.jsonl", "-w", "dlib") for _ in range(2)]
    ended = [(*process.communicate(timeout=240), process.returncode) for process in both]
    assert [code for *_, code in ended] == [0, 0], ended
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 2
    assert not list(tmp_path.glob(".*.facever"))
