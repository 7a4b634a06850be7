"""SIGKILL at random moments of the real commands, started again until they end: does it make a difference?

FACEVER_KILLS is how many of each of `embed` and `train` (a fifth as many of the others), FACEVER_SEED makes other
moments; names as arguments choose commands.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
from common import RESULTS, data_folder
from safetensors.numpy import load_file

from facever.files import write_json
from facever.weights.metadata import versions

PEOPLE, PHOTOGRAPHS = 24, 2  # of each
LONGEST = 120.0
# Small parts, and a checkpoint after each step, so that many kills meet a file that is being written.
PROGRAM = """
from facever.cli import main
from facever.faces import dataset
from facever.training import session

dataset.PHOTOGRAPHS_A_PART, dataset.SMALL_PARTS = 3, 3
session.CHECKPOINT_MINUTES = 0.0
main()
"""
TINY = "{ widths = [8, 8], depths = [0, 0], stem = 4, embedding_size = 16 }"


@dataclass(frozen=True, slots=True)
class Command:
    """Its arguments and its output `out`; `same` compares two of them, `again` gives what to add after a kill.

    `share` of the kills of `embed` and `train`.
    """

    arguments: list[str | Path]
    out: str
    same: Callable[[Path, Path], bool]
    share: float = 0.2
    again: Callable[[Path], list[str]] = lambda out: []


def main() -> None:
    kills = int(os.environ.get("FACEVER_KILLS", "200"))
    seed = int(os.environ.get("FACEVER_SEED", "1"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        known = commands(make_data(folder))
        chosen = sys.argv[1:] or list(known)
        tables = {name: tried(folder, known[name], round(kills * known[name].share), seed) for name in chosen}
    path = RESULTS / "kills.json"
    before = json.loads(path.read_text(encoding="utf-8"))["commands"] if path.exists() else {}
    what = (
        "ends: runs that came to their end after any number of kills; lost: those with another result than undisturbed"
    )
    write_json(path, {"what": what, "seed": seed, "versions": versions(), "commands": {**before, **tables}})
    for name, row in tables.items():
        print(name, row)
    sys.exit(any(row["lost"] or row["left"] for row in tables.values()))


def make_data(folder: Path) -> Path:
    """Some people of LFW with two photographs each, and a dataset of their faces."""
    lfw = data_folder() / "lfw"
    several = (each for each in sorted(lfw.iterdir()) if len(list(each.glob("*.jpg"))) >= PHOTOGRAPHS)
    for person in itertools.islice(several, PEOPLE):
        (folder / "people" / person.name).mkdir(parents=True)
        for photograph in sorted(person.glob("*.jpg"))[:PHOTOGRAPHS]:
            shutil.copy(photograph, folder / "people" / person.name)
    run(folder, ["embed", folder / "people", "-o", folder / "faces.parquet", "--workers", "1"])
    return folder


def commands(data: Path) -> dict[str, Command]:
    people, faces = data / "people", data / "faces.parquet"
    small = [
        part
        for each in ("batch_size=8", "compile=false", "precision=fp32", "held_out=0.3", f"network_arguments={TINY}")
        for part in ("--set", each)
    ]
    return {
        "embed": Command(
            ["embed", people, "-o", "out.parquet", "--workers", "2"],
            "out.parquet",
            same_rows,
            1.0,
        ),
        "train": Command(
            ["train", people, "-o", "out", "--epochs", "6", *small],
            "out",
            same_tensors,
            1.0,
            lambda out: ["--resume"] if (out / "checkpoint.pt").exists() else [],
        ),
        "calibrate": Command(
            ["calibrate", "default", people, "--thresholds", "out.json", "--far", "0.1"], "out.json", same_bytes
        ),
        "export": Command(["export", "default", "-o", "out.onnx"], "out.onnx", same_bytes),
        "cluster": Command(["cluster", faces, "-o", "out.csv"], "out.csv", same_bytes),
        "search --index": Command(
            ["search", "faces.parquet", "photograph.jpg", "--index", "--json"], "faces.parquet", same_files
        ),
    }


def same_bytes(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


def same_tensors(one: Path, other: Path) -> bool:
    """Bit for bit. The rest of the file tells when it was made."""
    first, second = (load_file(out / "weights.safetensors") for out in (one, other))
    return {k: v.tobytes() for k, v in first.items()} == {k: v.tobytes() for k, v in second.items()}


def same_rows(one: Path, other: Path) -> bool:
    """Photograph by photograph. Batches of other sizes add up in another order, so reals are as good as equal."""
    first, second = (
        pyarrow.parquet.read_table(out).sort_by([("path", "ascending"), ("face", "ascending")]) for out in (one, other)
    )
    real = [field.name for field in first.schema if _is_real(field.type)]
    if not first.drop_columns(real).equals(second.drop_columns(real)):
        return False
    pairs = ((np.array(table[name].to_pylist(), float) for table in (first, second)) for name in real)
    return all(np.allclose(a, b, rtol=5e-2, atol=1e-2) for a, b in pairs)


def _is_real(kind: pyarrow.DataType) -> bool:
    while pyarrow.types.is_list(kind) or pyarrow.types.is_fixed_size_list(kind):
        kind = kind.value_type
    return bool(pyarrow.types.is_floating(kind))


def same_files(one: Path, other: Path) -> bool:
    """The same rows and the same names; what is in an index depends on the threads that built it."""
    names = [sorted(path.name for path in out.iterdir()) for out in (one, other)]
    return names[0] == names[1] and same_rows(one, other)


def tried(folder: Path, command: Command, kills: int, seed: int) -> dict[str, Any]:
    """Kill and start again until there were so many kills; each end is compared with the undisturbed one."""
    draw = random.Random(seed)
    whole = fresh(folder, command, "whole")
    start = time.monotonic()
    run(whole, command.arguments)
    longest = time.monotonic() - start
    counts = {"kills": 0, "ends": 0, "lost": 0, "left": 0}
    own = fresh(folder, command, "killed")
    while counts["kills"] < kills or counts["ends"] == 0:
        last = counts["kills"] >= kills
        done = run(
            own,
            [*command.arguments, *command.again(own / command.out)],
            None if last else longest * draw.uniform(0.2, 1.1),
        )
        if not done:
            counts["kills"] += 1
            if command.out == "out" and (own / "out" / "training.json").exists():
                done = not command.again(own / command.out)  # killed between its last write and its end
        if done:
            counts["ends"] += 1
            counts["lost"] += not command.same(whole / command.out, own / command.out)
            counts["left"] += bool(list(own.rglob("*.facever")))
            own = fresh(folder, command, "killed")
    return counts


def fresh(folder: Path, command: Command, name: str) -> Path:
    """An empty folder to run in, with what a search needs; the caches stay."""
    own = folder / name
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir()
    if command.out == "faces.parquet":
        shutil.copytree(folder / "faces.parquet", own / "faces.parquet")
        shutil.copy(next((folder / "people").rglob("*.jpg")), own / "photograph.jpg")
    return own


def run(folder: Path, arguments: list[Any], seconds: float | None = None) -> bool:
    """Run to the end, or kill all its processes after so many seconds; whether it ended. Raises if it failed."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder.parent / "cache"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _, errors = process.communicate(timeout=seconds or LONGEST)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if seconds is None:
            raise
        return False
    if process.returncode:
        raise RuntimeError(f"{arguments}: {errors.decode()}")
    return True


if __name__ == "__main__":
    main()
