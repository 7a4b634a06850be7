"""Damaged pictures and data files by the thousand: how many were read or refused, how many did anything else.

FACEVER_PICTURES, FACEVER_FILES and FACEVER_BITS are how many of each; FACEVER_SEED makes others.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import RESULTS

from facever.files import write_json
from facever.weights.metadata import versions

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from hostile import MEMORY, SECONDS, Case, Tally, reading_by, tallied
from hostile_files import bit_cases, file_cases, make_files, prepare_files
from hostile_pictures import FILE, large_pictures, picture_cases, prepare_pictures


def main() -> None:
    seed = int(os.environ.get("FACEVER_SEED", "1"))
    pictures, files, bits = (
        int(os.environ.get(f"FACEVER_{name}", count))
        for name, count in (("PICTURES", "20000"), ("FILES", "5000"), ("BITS", "2000"))
    )
    tables: dict[str, dict[str, Tally]] = {}
    with reading_by(prepare_pictures) as reader:
        tables["pictures"] = tallied(picture_cases(pictures, seed), reader)
        large = ((name, Case("large", "", FILE, content, seconds=60)) for name, content in large_pictures().items())
        tables["large pictures"] = tallied(large, reader)
    with tempfile.TemporaryDirectory() as folder, reading_by(prepare_files) as reader:
        make_files(Path(folder))
        tables["data files"] = tallied(file_cases(files, Path(folder), seed), reader)
        tables["flipped bits"] = tallied(bit_cases(bits, Path(folder), seed), reader)
    result: dict[str, Any] = {
        "what": f"survived: read or refused within {SECONDS:g} s of processor time (large pictures: 60 s) and "
        f"{MEMORY >> 20} MiB, nothing printed; slowest in seconds, largest in megabytes",
        "seed": seed,
        "versions": versions(),
        "total": {name: _sum(tallies) for name, tallies in tables.items()},
        **{name: {kind: tally.row() for kind, tally in tallies.items()} for name, tallies in tables.items()},
    }
    lost = [each for tallies in tables.values() for tally in tallies.values() for each in tally.lost]
    write_json(RESULTS / "torture.json", result)
    for name, row in result["total"].items():
        print(name, row)
    print(*lost, sep="\n")
    sys.exit(bool(lost))


def _sum(tallies: dict[str, Tally]) -> dict[str, Any]:
    rows = [tally.row() for tally in tallies.values()]
    summed = {key: sum(row[key] for row in rows) for key in ("tried", "survived", "read", "refused", "lost")}
    return {**summed, **{key: max((row[key] for row in rows), default=0) for key in ("slowest", "largest")}}


if __name__ == "__main__":
    main()
