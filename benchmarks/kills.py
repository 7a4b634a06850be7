"""SIGKILL at random moments of the real commands, started again until they end: does it make a difference?

FACEVER_KILLS is how many of each of `embed` and `train` (a quarter as many of `ray`, a fifth of the others);
FACEVER_SEED makes other moments, and FACEVER_KILL_MINUTES limits the time for each. Names as arguments choose commands.
`ray` and `ray workers`, which need the extra `ray`, are `embed --engine ray`: killed as a whole, and by single
processes.
"""

from __future__ import annotations

import functools
import importlib.util
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
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet
from common import RESULTS, data_folder
from killers import Killer, Pace, kill_all, kill_ray, kill_workers, until_work
from safetensors.numpy import load_file

from facever.engines.ray import temporary_path
from facever.files import write_json
from facever.weights.metadata import versions

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from processes import of_session, started

PEOPLE, PHOTOGRAPHS, PHOTOGRAPHS_ON_RAY = 24, 2, 4  # of each
LONGEST = 600.0  # Ray, on a busy machine
ORPHANS = 20.0  # seconds that Ray's processes have to see that their cluster is gone
# What the row of a photograph says that had three workers and none ended: the first with others, the next two alone.
BLAMED, DEATHS = "killed the process that had it alone", 3
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

    `share` of the kills of `embed` and `train`, which are done by `kill`.
    """

    arguments: list[str | Path]
    out: str
    same: Callable[[Path, Path], bool]
    share: float = 0.2
    again: Callable[[Path], list[str]] = lambda out: []
    kill: Killer = kill_all

    @property
    def on_ray(self) -> bool:
        return "ray" in self.arguments


@dataclass(frozen=True, slots=True)
class Run:
    """The leader of its session, what of it was killed, and whether it came to its end."""

    session: int
    killed: list[str]
    ended: bool


def main() -> None:
    kills = int(os.environ.get("FACEVER_KILLS", "200"))
    seed = int(os.environ.get("FACEVER_SEED", "1"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        known = commands(make_data(folder))
        ray = importlib.util.find_spec("ray")
        chosen = sys.argv[1:] or [name for name, command in known.items() if ray or not command.on_ray]
        try:
            tables = {name: tried(folder, known[name], round(kills * known[name].share), seed) for name in chosen}
        finally:
            shutil.rmtree(temporary_path(folder / "killed" / "out.parquet" / ".ray"), ignore_errors=True)
    path = RESULTS / "kills.json"
    before = json.loads(path.read_text(encoding="utf-8"))["commands"] if path.exists() else {}
    what = (
        "ends: runs that came to their end after any number of kills; lost: those with another result than undisturbed;"
        " left: those after which files, folders or processes remained; victims: what was killed; mended: runs"
        " that passed over a photograph, whose worker was killed three times, and embedded it when started again"
    )
    write_json(path, {"what": what, "seed": seed, "versions": versions(), "commands": {**before, **tables}})
    for name, row in tables.items():
        print(name, row)
    sys.exit(any(row["lost"] or row["left"] for row in tables.values()))


def make_data(folder: Path) -> Path:
    """Some people of LFW with two photographs each, and a dataset of their faces; more photographs for Ray."""
    copy_people(folder / "people", PHOTOGRAPHS)
    copy_people(folder / "many", PHOTOGRAPHS_ON_RAY)
    run(folder, folder, ["embed", folder / "people", "-o", folder / "faces.parquet", "--workers", "1"])
    return folder


def copy_people(to: Path, photographs: int) -> None:
    lfw = data_folder() / "lfw"
    several = (each for each in sorted(lfw.iterdir()) if len(list(each.glob("*.jpg"))) >= photographs)
    for person in itertools.islice(several, PEOPLE):
        (to / person.name).mkdir(parents=True)
        for photograph in sorted(person.glob("*.jpg"))[:photographs]:
            shutil.copy(photograph, to / person.name)


def commands(data: Path) -> dict[str, Command]:
    people, faces = data / "people", data / "faces.parquet"
    on_ray: list[str | Path] = ["embed", data / "many", "-o", "out.parquet", "--workers", "2", "--engine", "ray"]
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
        "ray": Command(on_ray, "out.parquet", same_rows, 0.25, kill=kill_ray),
        "ray workers": Command(on_ray, "out.parquet", same_rows, kill=kill_workers),
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
    end = time.monotonic() + 60 * float(os.environ.get("FACEVER_KILL_MINUTES", "inf"))
    whole = fresh(folder, command, "whole")
    pace = undisturbed(folder, whole, command)
    counts = {"kills": 0, "ends": 0, "lost": 0, "left": 0}
    victims: Counter[str] = Counter()
    own = fresh(folder, command, "killed")
    runs: list[Run] = []  # since the last end
    while (counts["kills"] < kills and time.monotonic() < end) or runs:
        most = kills - counts["kills"] if time.monotonic() < end else 0
        kill = functools.partial(command.kill, draw=draw, pace=pace, most=most) if most else spare
        runs.append(run(folder, own, [*command.arguments, *command.again(own / command.out)], kill))
        counts["kills"] += len(runs[-1].killed)
        victims.update(runs[-1].killed)
        done = runs[-1].ended
        if not done and command.out == "out" and (own / "out" / "training.json").exists():
            done = not command.again(own / command.out)  # killed between its last write and its end
        if done:
            counts["ends"] += 1
            same = command.same(whole / command.out, own / command.out)
            if not same and command.kill is kill_workers:
                same = mended(folder, whole, own, command, len(runs[-1].killed))
                counts["mended"] = counts.get("mended", 0) + same
            counts["lost"] += not same
            counts["left"] += bool(left(own, command, runs))
            own = fresh(folder, command, "killed")
            runs = []
    return {**counts, "victims": victims} if len(victims) > 1 else counts


def undisturbed(folder: Path, own: Path, command: Command) -> Pace:
    start = begin = time.monotonic()

    def watch(process: subprocess.Popen[bytes]) -> list[str]:
        nonlocal begin
        if command.on_ray:
            until_work(process)
            begin = time.monotonic()
        return []

    run(folder, own, command.arguments, watch)
    return Pace(begin - start, time.monotonic() - begin)


def mended(folder: Path, whole: Path, own: Path, command: Command, kills: int) -> bool:
    """Whether rows differ only by photographs that were passed over rightly, which the same command embeds then."""
    rows = pyarrow.parquet.read_table(own / command.out)
    blamed = rows.filter(pc.match_substring(rows["error"], BLAMED))
    if not 0 < len(blamed) <= kills // DEATHS:
        return False
    run(folder, own, command.arguments)
    return command.same(whole / command.out, own / command.out)


def left(own: Path, command: Command, runs: list[Run]) -> list[Any]:
    """What runs left behind: files that were being written, what Ray needs on the way, and processes."""
    found: list[Any] = [*own.rglob("*.facever"), *own.rglob(".ray")]
    found += [path for path in [temporary_path(own / command.out / ".ray")] if path.exists()]
    end = time.monotonic() + ORPHANS
    while (alive := [title for each in runs for title in of_session(each.session).values()]) and time.monotonic() < end:
        time.sleep(0.2)
    return found + alive


def fresh(folder: Path, command: Command, name: str) -> Path:
    """An empty folder to run in, with what a search needs; the caches stay."""
    own = folder / name
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir()
    if command.out == "faces.parquet":
        shutil.copytree(folder / "faces.parquet", own / "faces.parquet")
        shutil.copy(next((folder / "people").rglob("*.jpg")), own / "photograph.jpg")
    return own


def spare(process: subprocess.Popen[bytes]) -> list[str]:
    return []


def run(
    folder: Path, own: Path, arguments: list[Any], kill: Callable[[subprocess.Popen[bytes]], list[str]] = spare
) -> Run:
    """Run a command in `own`. Raises if it failed, and was not killed."""
    with started(own, *arguments, program=("-c", PROGRAM), cache=folder / "cache") as process:
        killed = kill(process)
        _, errors = process.communicate(timeout=LONGEST)
    ended = process.returncode == 0
    if not ended and not (killed and process.returncode == -signal.SIGKILL):
        raise RuntimeError(f"{arguments}: {killed}: {errors.decode()}")
    return Run(process.pid, killed, ended)


if __name__ == "__main__":
    main()
