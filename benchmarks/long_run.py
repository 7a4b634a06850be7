"""Long runs: memory and open files of one `embed` over 100,000 photographs, and 200 `verify`, four at a time.

FACEVER_PHOTOGRAPHS and FACEVER_VERIFIES are how many of each; names as arguments choose runs: verify, short (1,000
photographs), long. docs/long_run.py draws the last two. Their photographs are hard links to some of LFW's at half size,
and their network the smallest, so that a run ends within the hour.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
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
    chosen = sys.argv[1:] or ["verify", "short", "long"]
    path = RESULTS / "long_run.json"
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    what = "memory: resident, of all processes of an embed with one worker, in MB; files: open ones of its first"
    result |= {"what": what, "versions": versions()}
    originals = sorted((data_folder() / "lfw").glob("*/*.jpg"))[:ORIGINALS]
    for name in chosen:
        with tempfile.TemporaryDirectory() as folder:
            if name == "verify":
                result[name] = verified(Path(folder), originals, verifies)
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
    samples: list[dict[str, float]] = []
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    start = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        errors = pool.submit(process.communicate)
        while process.poll() is None:
            time.sleep(min(EVERY, 1.0 if count <= ORIGINALS else EVERY))
            sample = sampled(process.pid)
            if sample is not None:
                samples.append({"seconds": round(time.monotonic() - start), **sample})
        if process.returncode:
            raise RuntimeError(errors.result()[1].decode())
    rows = pyarrow.parquet.read_table(folder / "faces.parquet", columns=["path"])
    # Without start-up, during which both grow.
    settled = samples[len(samples) // 10 :]
    memory, files = ([each[key] for each in settled] for key in ("memory", "files"))
    return {
        "photographs": count,
        "embedded": len(set(rows["path"].to_pylist())),
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
