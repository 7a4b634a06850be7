"""Worker processes: order, faults, and that nothing stays behind."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest
import worker_samples

from facever.errors import FaceverError
from facever.faces.workers import AHEAD, DEATHS, Workers

pytestmark = pytest.mark.slow


def doubled(tasks, count: int = 2, **arguments) -> list:
    pool = Workers(count, worker_samples.doubling, tuple(arguments.values()), lambda item: f"lost {item}")
    return list(pool(tasks))


def test_results_come_in_order_whoever_is_first() -> None:
    assert doubled([[0.4, 1], [2, 3], [], [4]]) == [0.8, 2, 4, 6, 8]
    assert doubled([]) == []


def test_an_item_that_kills_its_worker_is_lost_alone_and_the_others_are_not() -> None:
    tasks = [[0, 1, 2], [3, 13, 5], [6, 7], [13], [9]]
    assert doubled(tasks, deadly=13) == [0, 2, 4, 6, "lost 13", 10, 12, 14, "lost 13", 18]


def test_workers_that_die_one_after_another_end_the_work_with_a_remedy() -> None:
    with pytest.raises(FaceverError, match="use fewer --workers"):
        doubled([[13]] * DEATHS, deadly=13)


def test_what_a_worker_raises_is_raised_and_no_worker_stays() -> None:
    with pytest.raises(ValueError, match="13 is broken"):
        doubled([[1], [13], [2]], deadly=None, broken=13)
    assert multiprocessing.active_children() == []


def test_a_slow_reader_bounds_what_is_taken_and_leaving_early_ends_the_workers() -> None:
    taken = 0

    def tasks():
        nonlocal taken
        for i in range(100):
            taken += 1
            yield [i]

    pool = Workers(2, worker_samples.doubling, (), str)
    results = pool(tasks())
    assert next(results) == 0
    assert taken <= 2 * AHEAD + 1
    results.close()
    assert multiprocessing.active_children() == []


def test_workers_import_nothing_from_the_working_directory(people: Path, tmp_path: Path) -> None:
    command = Path(sys.executable).parent / "facever"
    if not command.exists():
        pytest.skip("facever is not installed")
    for name in ("torch", "numpy", "random", "facever"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the working directory')")
    arguments = ["embed", people, "-o", "out.parquet", "--workers", "2", "-w", "dlib"]
    done = subprocess.run([command, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, "working directory" in done.stderr) == (0, False)


def test_a_program_without_a_main_guard_is_not_run_again(people: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "from facever import Verifier\n"
        "print('begins')\n"
        f"for each in Verifier.load('dlib', 'cpu').embed_folder({str(people)!r}, workers=2):\n"
        "    print(each.readable)\n"
    )
    done = subprocess.run([sys.executable, tmp_path / "program.py"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["begins", *["True"] * 32]
