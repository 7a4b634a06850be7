"""Long runs: memory and open files of an `embed` of 100,000 photographs and of a `train` of two hours; 200 `verify`.

FACEVER_PHOTOGRAPHS, FACEVER_MINUTES and FACEVER_VERIFIES are how many; names as arguments choose runs: verify (four at
a time), short (1,000 photographs), long, train. docs/long_run.py draws the last three. `embed` gets hard links to some
of LFW's photographs at half size, and the smallest network, so that it ends within the hour; FACEVER_CROPS is a folder
of crop caches for `train`.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet
from common import RESULTS, data_folder
from PIL import Image

from facever.files import write_json
from facever.weights.metadata import versions

ORIGINALS = 1000
EVERY = 10.0  # seconds between two samples
MEGABYTE = 1e6


def main() -> None:
    photographs = int(os.environ.get("FACEVER_PHOTOGRAPHS", "100000"))
    verifies = int(os.environ.get("FACEVER_VERIFIES", "200"))
    minutes = float(os.environ.get("FACEVER_MINUTES", "120"))
    chosen = sys.argv[1:] or ["verify", "short", "long", "train"]
    path = RESULTS / "long_run.json"
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    what = "memory: resident, of all processes (embed has one worker), in MB; files: open ones of the first process"
    result |= {"what": what, "versions": versions()}
    originals = sorted((data_folder() / "lfw").glob("*/*.jpg"))[:ORIGINALS]
    for name in chosen:
        with tempfile.TemporaryDirectory() as folder:
            if name == "verify":
                result[name] = verified(Path(folder), originals, verifies)
            elif name == "train":
                result[name] = trained(Path(folder), minutes)
            else:
                result[name] = embedded(Path(folder), originals, photographs if name == "long" else ORIGINALS)
        write_json(path, result)
        print(name, {key: value for key, value in result[name].items() if key != "samples"})


def verified(folder: Path, photographs: list[Path], count: int) -> dict[str, int]:
    """Run `verify` so many times, four at a time, on pairs of photographs; how many ended in an answer."""
    pairs = list(itertools.islice(itertools.combinations(photographs[:30], 2), count))

    def run(pair: tuple[Path, Path]) -> bool:
        done = subprocess.run(
            [sys.executable, "-m", "facever", "verify", *pair, "--json"], capture_output=True, cwd=folder
        )
        return done.returncode in (0, 1, 3, 4) and b"Traceback" not in done.stderr

    with ThreadPoolExecutor(4) as pool:
        answered = sum(pool.map(run, pairs))
    return {"tried": len(pairs), "answered": answered}


def embedded(folder: Path, originals: list[Path], count: int) -> dict[str, Any]:
    """Embed so many photographs, and sample memory and open files meanwhile."""
    source = folder / "photographs"
    source.mkdir(parents=True)
    for i, original in enumerate(originals[:count]):
        with Image.open(original) as picture:
            picture.reduce(2).save(source / f"{i:06d}.jpg", quality=92)
    for i in range(len(originals), count):
        (source / f"{i:06d}.jpg").hardlink_to(source / f"{i % len(originals):06d}.jpg")
    options = ["-w", "mobilefacenet", "--no-mirror", "--workers", "1"]
    command = [sys.executable, "-m", "facever", "embed", "photographs", "-o", "faces.parquet", *options]
    samples = watched(command, folder, 1.0 if count <= ORIGINALS else EVERY)
    rows = pyarrow.parquet.read_table(folder / "faces.parquet", columns=["path"])
    return {"photographs": count, "embedded": len(set(rows["path"].to_pylist())), **figures(samples, len(samples))}


def trained(folder: Path, minutes: float) -> dict[str, Any]:
    """Train a slim network for so long, and sample memory and open files meanwhile."""
    options = ["--recipe", "scratch", "--set", "progressive_resizing=0", "--minutes", str(minutes), "--out", "out"]
    cache = os.environ.get("FACEVER_CROPS")
    options += ["--cache", cache] if cache else []
    samples = watched([sys.executable, "-m", "facever", "train", data_folder() / "train", *options], folder, EVERY)
    record = json.loads((folder / "out" / "training.json").read_text(encoding="utf-8"))
    # The last tenth holds the calibration, which is another task.
    return {"minutes": minutes, "epochs": record["result"]["epochs"], **figures(samples, len(samples) * 9 // 10)}


def watched(command: Sequence[str | Path], folder: Path, every: float) -> list[dict[str, float]]:
    """Run a command, and sample memory and open files meanwhile."""
    samples: list[dict[str, float]] = []
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    start = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        errors = pool.submit(process.communicate)
        while process.poll() is None:
            time.sleep(every)
            sample = sampled(process.pid)
            if sample is not None:
                samples.append({"seconds": round(time.monotonic() - start), **sample})
        if process.returncode:
            raise RuntimeError(errors.result()[1].decode())
    return samples


def figures(samples: list[dict[str, float]], end: int) -> dict[str, Any]:
    """Memory and files after the first tenth, in which both grow, and at the end, a position in the samples."""
    settled = samples[len(samples) // 10 : end]
    memory, files = ([each[key] for each in settled] for key in ("memory", "files"))
    return {
        "memory": {
            "after a tenth": memory[0],
            "at the end": memory[-1],
            "most": max(each["memory"] for each in samples),
        },
        "files": {"after a tenth": files[0], "at the end": files[-1], "most": max(files)},
        "samples": samples[:: max(1, len(samples) // 200)],
    }


def sampled(pid: int) -> dict[str, float] | None:
    """Memory of a process and its descendants in MB, and open files of the first; None where it has ended."""
    try:
        pages = sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in family(pid))
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except (OSError, IndexError):
        return None
    if not pages:
        return None
    return {"memory": round(pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE, 1), "files": files}


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for each in found:
        children = Path(f"/proc/{each}/task/{each}/children").read_text().split()
        found += map(int, children)
    return found


if __name__ == "__main__":
    main()
