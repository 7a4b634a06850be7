"""`facever embed --engine ray` on clusters of this machine's processes: the same rows, whatever ends on the way."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from command_line import facever
from dataset_tables import assert_same_rows, read_dataset
from PIL import Image
from ray_workers import FaultyWorker, LateWorker, RefusingWorker, WatchedWorker

from facever.engines import ray as engine
from facever.engines.cluster import HERE, Run
from facever.engines.manifest import result_of
from facever.engines.worker import Worker
from facever.errors import FaceverError
from facever.faces.parquet import schema
from facever.faces.pipeline import Job

TESTS = Path(__file__).resolve().parents[1]
LONGEST = float(os.environ.get("FACEVER_RAY_SECONDS", "300"))


@pytest.fixture
def folder(portrait: Path, tmp_path: Path) -> Path:
    """Fifteen faces, no face, and a file that is cut off."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    face = Image.open(portrait)
    for i in range(15):
        face.resize((86 + i, 100 + i)).save(folder / f"{i:02d}.png")
    Image.new("RGB", (120, 120), "gray").save(folder / "blank.png")
    (folder / "cut.png").write_bytes((folder / "00.png").read_bytes()[:2000])
    return folder


def told(outcome: Any) -> tuple[int, int, int]:
    return outcome.json["embedded"], outcome.json["unchanged"], outcome.json["unreadable"]


def embedded(folder: Path) -> list[str]:
    """The photographs whose embedding began, in order, by `ray_workers`."""
    log = folder.parent / "embedded.log"
    return [line.split()[1] for line in log.read_text().splitlines()] if log.exists() else []


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def until(true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + LONGEST
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--engine", "dask"], "--engine is one of local, ray, not 'dask'"),
        (["--address", "auto"], "--address is for --engine ray"),
    ],
)
def test_an_engine_that_is_not_there_is_refused(tmp_path: Path, options: list[str], says: str) -> None:
    outcome = facever("embed", tmp_path, "-o", tmp_path / "out.parquet", *options)
    assert (outcome.code, outcome.err) == (2, f"facever: {says}\n")


def test_without_ray_the_error_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    outcome = facever("embed", tmp_path, "-o", tmp_path / "out.parquet", "--engine", "ray")
    assert (outcome.code, outcome.err) == (2, "facever: --engine ray needs Ray; pip install 'facever[ray]'\n")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--one-file"], "--engine ray writes a dataset; leave out --one-file, and .csv or .jsonl in --out"),
        (["--address", "ray://head:10001"], "--address is auto or HOST:PORT; run this on a machine of the cluster"),
        (["--address", "127.0.0.1:0"], "no Ray cluster answers at 127.0.0.1:0 (Connection refused); check --address"),
        (["--address", "head"], "--address is auto or HOST:PORT; run this on a machine of the cluster"),
        (["--device", "mps"], "--device is one of auto, cpu, cuda with --engine ray, not 'mps'"),
    ],
)
def test_what_a_cluster_does_not_do_is_refused(folder: Path, options: list[str], says: str) -> None:
    pytest.importorskip("ray")
    outcome = facever("embed", folder, "-o", folder.parent / "out.parquet", "--engine", "ray", *options)
    assert (outcome.code, outcome.err) == (2, f"facever: {says}\n")


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Any]:
    """A cluster of two nodes, each with three cores, on this machine."""
    pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
        own = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_TOKEN": secrets.token_hex(32), "PYTHONPATH": paths}
        for name, value in {**HERE, **own}.items():
            patch.setenv(name, value)
        from ray.cluster_utils import Cluster

        with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as short:
            patch.setenv("RAY_TMPDIR", short)
            head = {"num_cpus": 3, "include_dashboard": False}
            cluster = Cluster(initialize_head=True, head_node_args=head)
            cluster.second = cluster.add_node(num_cpus=3)
            yield cluster
            cluster.shutdown()


def on_cluster(cluster: Any, *arguments: str | Path) -> Any:
    options = ["--engine", "ray", "--address", cluster.address, "--workers", "2", "--json", "-w", "mobilefacenet"]
    return facever("embed", *arguments, *options)


@pytest.mark.slow
def test_a_cluster_makes_the_rows_of_this_machine_and_passes_over_what_kills_a_worker(
    folder: Path, two_nodes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "Worker", WatchedWorker)
    here, there = folder.parent / "here.parquet", folder.parent / "there.parquet"
    assert facever("embed", folder, "-o", here, "-w", "mobilefacenet").code == 0
    shutil.copy(folder / "03.png", folder / "deadly.png")
    outcome = on_cluster(two_nodes, folder, "-o", there)
    assert told(outcome) == (18, 0, 2)
    assert outcome.err == "not readable: 2 of 18 photographs; the column error says why\n"
    rows = read_dataset(there)
    (deadly,) = rows.filter(pc.equal(rows["path"], "deadly.png")).to_pylist()
    assert deadly["error"] == f"{folder}/deadly.png: killed the process that had it alone, twice; check the file"
    assert_same_rows(read_dataset(here), rows.filter(pc.not_equal(rows["path"], "deadly.png")))
    assert embedded(folder).count("deadly.png") == 3
    assert sorted(each.name for each in there.iterdir()) == [".facever.json", ".lock", "part-000001.parquet"]
    (folder / "deadly.png").unlink()
    again = facever("embed", folder, "-o", there, "-w", "mobilefacenet", "--prune", "--json")
    assert (told(again), again.json["vanished"]) == ((1, 16, 1), 1)


@pytest.mark.slow
def test_what_a_list_names_is_downloaded(folder: Path, two_nodes: Any) -> None:
    uris = [f"file://{folder}/{name}" for name in ("00.png", "blank.png", "cut.png", "gone.png")]
    pq.write_table(pa.table({"path": uris}), folder / "list.parquet")
    out = folder.parent / "out.parquet"
    assert told(on_cluster(two_nodes, folder / "list.parquet", "-o", out)) == (4, 0, 2)
    rows = read_dataset(out).to_pylist()
    assert [row["path"] for row in rows] == uris
    assert [bool(row["embedding"]) for row in rows] == [True, False, False, False]
    assert rows[3]["error"].startswith(f"{uris[3]}: can't be downloaded; check the address")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("worker", "says"),
    [
        (RefusingWorker, "this machine has no eyes; give it some"),
        (FaultyWorker, "RuntimeError: CUDA error: an illegal memory access was encountered"),
    ],
)
def test_what_no_photograph_is_to_blame_for_ends_the_run_with_a_line(
    folder: Path, two_nodes: Any, monkeypatch: pytest.MonkeyPatch, worker: type[Worker], says: str
) -> None:
    monkeypatch.setattr(engine, "Worker", worker)
    out = folder.parent / "out.parquet"
    outcome = on_cluster(two_nodes, folder, "-o", out)
    log = f"{out}/.ray/log"
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == f"facever: Ray: {says}; {log} tells more; the same command continues\n"
    assert not list(out.glob("*.parquet")) and "Traceback" in Path(log).read_text()


def test_what_is_finished_is_counted_by_the_checkpoint(tmp_path: Path) -> None:
    counts: dict[Path, int] = {}
    assert engine._finished(tmp_path / "checkpoint", counts) == 0
    for name, ids in {"a.parquet": [1, 2], "b.parquet": [3], "c.pending.parquet": [4]}.items():
        pq.write_table(pa.table({"id": ids}), tmp_path / name)
    (tmp_path / "d.parquet").write_bytes(b"PAR1")
    assert engine._finished(tmp_path, counts) == engine._finished(tmp_path, counts) == 3


def test_many_photographs_go_in_several_manifests_and_those_without_rows_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests: list[list[str]] = []
    columns = schema(2, {})

    def run_all_but_lost(run: Run, before: int, watch: Callable[[int], object]) -> None:
        manifest = pq.read_table(run.folder / "manifest.parquet")
        manifests.append(manifest["path"].to_pylist())
        there = manifest.filter(pc.not_equal(manifest["path"], "s3://b/lost.jpg"))
        rows = pa.Table.from_pylist([{"path": each} for each in there["path"].to_pylist()], columns)
        (run.folder / "results").mkdir()
        pq.write_table(result_of(there["id"], rows, [1] * len(rows)), run.folder / "results" / "a.parquet")
        watch(before + len(manifest))

    monkeypatch.setattr(engine, "PHOTOGRAPHS_A_MANIFEST", 2)
    monkeypatch.setattr(engine, "_wait", run_all_but_lost)
    (tmp_path / "w.safetensors").touch()
    uris = [f"s3://b/{name}.jpg" for name in ("a", "b", "c", "lost", "d")]
    finished: list[int] = []
    job = Job(output=tmp_path / "w.safetensors")
    tables = engine.process_on_ray(uris, job, tmp_path, tmp_path, columns, watch=finished.append)
    assert [next(tables)["path"].to_pylist() for _ in range(2)] == [uris[:2], uris[2:3]]
    with pytest.raises(
        FaceverError, match=r"photographs without rows: 1, the first: s3://b/lost\.jpg; put .* run this again"
    ):
        next(tables)
    assert (manifests, finished) == ([uris[:2], uris[2:4]], [2, 4])
    assert not (tmp_path / ".ray").exists()  # the next run begins anew


@pytest.mark.slow
def test_a_job_outlives_a_node(folder: Path, two_nodes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "Worker", LateWorker)
    lost: list[int] = []

    def lose_a_node() -> None:
        log = folder.parent / "embedded.log"
        until(
            lambda: log.exists() and len({line.split()[0] for line in log.read_text().splitlines()}) == 2, "2 workers"
        )
        pids = {int(line.split()[0]) for line in log.read_text().splitlines()}
        two_nodes.remove_node(two_nodes.second, allow_graceful=False)
        until(lambda: not all(is_alive(pid) for pid in pids), "a worker ended")
        lost.extend(pids)
        (folder.parent / "go").touch()

    loser = threading.Thread(target=lose_a_node)
    loser.start()
    outcome = on_cluster(two_nodes, folder, "-o", folder.parent / "out.parquet")
    loser.join()
    assert len(lost) == 2
    assert told(outcome) == (17, 0, 1)
    assert read_dataset(folder.parent / "out.parquet")["path"].to_pylist() == sorted(
        each.name for each in folder.iterdir()
    )


SCRIPT = """
import sys
from ray_workers import LateWorker
from facever.cli import main
from facever.engines import ray as engine

engine.Worker = LateWorker
if __name__ == "__main__":
    main()
"""


def committed(home: Path) -> list[Path]:
    """The results whose ids are in the checkpoint."""
    found = [each.stem for each in (home / "checkpoint").glob("*.parquet") if ".pending" not in each.name]
    return [home / "results" / f"{stem}-0.parquet" for stem in found]


def of_its_cluster(out: Path) -> list[str]:
    """The command lines of processes of the cluster that a run on this machine started."""
    name = engine.temporary_path(out / ".ray").name
    lines = subprocess.run(["ps", "-ww", "-eo", "args="], capture_output=True, text=True).stdout.splitlines()
    return [line for line in lines if name in line]


@pytest.mark.slow
def test_a_job_that_was_killed_continues_and_its_cluster_is_gone(folder: Path) -> None:
    pytest.importorskip("ray")
    work, out = folder.parent, folder.parent / "out.parquet"
    (work / "script.py").write_text(SCRIPT)
    arguments = ["embed", folder, "-o", out, "--engine", "ray", "--workers", "2", "-w", "mobilefacenet"]
    command = [sys.executable, work / "script.py", *arguments]
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    environment = {**os.environ, "PYTHONPATH": paths, "FACEVER_QUIET": "1"}
    started = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        until(lambda: len(committed(out / ".ray")) == 2, "a block of each worker is finished")
    finally:
        started.kill()
    assert started.communicate() == (b"", b"")
    until(lambda: not of_its_cluster(out), "the cluster ended with its job")
    # What it leaves is still its owner's only.
    temporary = engine.temporary_path(out / ".ray")
    assert stat.S_IMODE(temporary.stat().st_mode) == 0o700 and list(temporary.iterdir())
    blocks = [pq.read_table(each)["rows"].to_pylist() for each in committed(out / ".ray")]
    done = {row["path"] for block in blocks for rows in block for row in rows}
    assert len(done) == 4
    (work / "go").touch()
    before = len(embedded(folder))
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "not readable: 1 of 17 photographs; the column error says why\n")
    assert set(embedded(folder)[before:]) == {each.name for each in folder.iterdir()} - done
    assert read_dataset(out)["path"].to_pylist() == sorted(each.name for each in folder.iterdir())
    assert not of_its_cluster(out) and not temporary.exists()
