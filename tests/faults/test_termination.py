"""SIGTERM and SIGKILL at several moments of the real commands: no process, no half file, nothing lost."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from processes import all_end, started

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")]

# How many moments of each command: FACEVER_MOMENTS=10 takes minutes.
MOMENTS = int(os.environ.get("FACEVER_MOMENTS", "2"))
KILLS = int(os.environ.get("FACEVER_KILLS", "3"))
LONGEST = 60.0
REAL = ["box", "landmarks", "x0", "y0", "x1", "y1", "score", "face_size", "norm", "quality"]
REAL += ["sharpness", "noise", "contrast"]


# Many small parts, so that a kill often meets one that is being written, or several that are being merged.
SMALL_PARTS = """
from facever.cli import main
from facever.faces import dataset

dataset.PHOTOGRAPHS_A_PART, dataset.SMALL_PARTS = 3, 3
main()
"""


def duration(folder: Path, *arguments: str | Path) -> float:
    folder.mkdir()
    start = time.monotonic()
    with started(folder, *arguments) as process:
        _, errors = process.communicate(timeout=LONGEST)
        assert process.returncode == 0, errors
    return time.monotonic() - start


def terminated(folder: Path, after: float, *arguments: str | Path) -> int:
    """Terminate the command after so many seconds; its exit code."""
    folder.mkdir(exist_ok=True)
    with started(folder, *arguments) as process:
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.terminate()
        # Workers that live on would hold stdout open, and this would wait for them.
        _, errors = process.communicate(timeout=LONGEST)
        assert all_end(process, 5)
        assert b"Traceback" not in errors, errors.decode()
        assert process.returncode in (0, 143, -signal.SIGTERM), errors.decode()  # the last: while Python starts or ends
        return process.returncode


def leftovers(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*.facever")]


def commands(people: Path) -> dict[str, list[str | Path]]:
    pairs = people / "pairs.txt"
    return {
        "embed": ["embed", people, "-o", "out.parquet", "--workers", "2", "-w", "dlib"],
        "train": ["train", people, "-o", "out", "--epochs", "3", "--set", "batch_size=8", "--device", "cpu"],
        "eval-lfw": ["eval-lfw", people, "--pairs", pairs, "--scores", "out.csv", "-w", "dlib"],
        "calibrate": ["calibrate", "dlib", people, "--thresholds", "out.json", "--far", "0.1"],
    }


def lfw_pairs(people: Path) -> Path:
    """The people as an LFW of one fold: `NAME/NAME_0001.png`, and pairs of them."""
    root = people.parent / "lfw"
    if not root.exists():
        names = sorted(path.name for path in people.iterdir() if path.is_dir())
        for name in names:
            (root / name).mkdir(parents=True)
            for shot in range(4):
                (root / name / f"{name}_{shot + 1:04d}.png").symlink_to(people / name / f"{shot}.png")
        lines = [f"{name}\t1\t2" for name in names]
        lines += [f"{a}\t1\t{b}\t2" for a, b in zip(names, names[1:] + names[:1], strict=True)]
        (root / "pairs.txt").write_text(f"2\t{len(names) // 2}\n" + "\n".join(_by_folds(lines)) + "\n")
    return root


def _by_folds(lines: list[str]) -> list[str]:
    """First half of the genuine and impostor pairs, then the second half."""
    half, count = len(lines) // 4, len(lines) // 2
    genuine, impostor = lines[:count], lines[count:]
    return genuine[:half] + impostor[:half] + genuine[half:] + impostor[half:]


@pytest.mark.parametrize("name", ["embed", "train", "eval-lfw", "calibrate"])
def test_a_terminated_command_leaves_nothing_behind_and_loses_nothing(people: Path, tmp_path: Path, name: str) -> None:
    arguments = commands(lfw_pairs(people))[name]
    whole = duration(tmp_path / "whole", *arguments)
    codes = []
    for i in range(MOMENTS):
        folder = tmp_path / f"run-{i}"
        codes.append(terminated(folder, whole * (i + 0.5) / (MOMENTS + 1), *arguments))
        assert leftovers(folder) == []
        out = folder / "out"
        again = ["--resume"] if (out / "checkpoint.pt").exists() else []
        finished = (out / "training.json").exists() and not again  # all was written, and only the exit code was to come
        if codes[-1] != 0 and not finished:
            assert terminated(folder, LONGEST, *arguments, *again) == 0
        if name == "embed":
            expected = pyarrow.parquet.read_table(tmp_path / "whole" / "out.parquet")
            assert pyarrow.parquet.read_table(folder / "out.parquet").equals(expected)
    assert any(codes)


def test_workers_end_with_a_parent_that_was_killed(people: Path, tmp_path: Path) -> None:
    with started(tmp_path, *commands(people)["embed"]) as process:
        end = time.monotonic() + LONGEST
        # Itself, its two workers, and on Linux the process that forks them and the one that watches its semaphores.
        while group_of(process.pid) < (5 if sys.platform == "linux" else 3) and time.monotonic() < end:
            time.sleep(0.05)
        process.kill()
        process.communicate(timeout=LONGEST)  # the workers held stdout
        assert all_end(process, 10)


def test_an_embed_that_is_killed_again_and_again_ends_in_the_rows_of_an_undisturbed_one(
    people: Path, tmp_path: Path
) -> None:
    rng = random.Random(0)
    arguments = ["embed", people, "-o", "out.parquet", "-w", "dlib", "--workers", "1"]
    whole = duration(tmp_path / "whole", *arguments)
    expected = pyarrow.parquet.read_table(tmp_path / "whole" / "out.parquet").sort_by([("path", "ascending")])
    killed = tmp_path / "killed"
    killed.mkdir()
    kills = 0
    while kills < KILLS:
        with started(killed, *arguments, program=("-c", SMALL_PARTS)) as process:
            try:
                # The rows appear in the second half of the time.
                process.communicate(timeout=whole * rng.uniform(0.4, 1.1))
                assert process.returncode == 0
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate(timeout=LONGEST)
                kills += 1
                if kills < KILLS:
                    continue
                assert terminated(killed, LONGEST, *arguments) == 0
        found = pyarrow.parquet.read_table(killed / "out.parquet").sort_by([("path", "ascending")])
        assert found.drop_columns(["embedding", *REAL]).equals(expected.drop_columns(["embedding", *REAL]))
        for column in ("x0", "y1", "score", "norm", "quality"):  # batches of other sizes add up in another order
            np.testing.assert_allclose(found[column].to_numpy(), expected[column].to_numpy(), rtol=5e-2, atol=1e-2)
        a, b = (np.array(table["embedding"].to_pylist()) for table in (found, expected))
        assert (a * b).sum(axis=1).min() > 0.9995
        assert leftovers(killed) == []
        shutil.rmtree(killed / "out.parquet")


def group_of(leader: int) -> int:
    """The number of processes in the process group."""
    found = subprocess.run(["ps", "-e", "-o", "pgid="], capture_output=True, text=True).stdout
    return found.split().count(str(leader))
