"""Timings taken in turn, so that a slowdown of the machine affects both."""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facever.files import write_json
from facever.weights.metadata import versions

RESULTS = Path(__file__).parent / "results"


def data_folder() -> Path:
    """The folder of photographs: FACEVER_DATA, by default ../shared/data beside the repository."""
    return Path(os.environ.get("FACEVER_DATA", Path(__file__).parents[2] / "shared" / "data"))


def paired(ours: Callable[[], Any], rival: Callable[[], Any], count: int, rounds: int) -> dict[str, Any]:
    """Run both in turn after a warm-up. Rates in items per second; ratios are ours over the rival's, pair by pair."""
    ours(), rival()
    seconds: dict[str, list[float]] = {"ours": [], "rival": []}
    for _ in range(rounds):
        for name, run in (("ours", ours), ("rival", rival)):
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    ratios = [b / a for a, b in zip(seconds["ours"], seconds["rival"], strict=True)]
    return {
        "ours_per_second": round(count / statistics.median(seconds["ours"]), 1),
        "rival_per_second": round(count / statistics.median(seconds["rival"]), 1),
        "ratio": round(statistics.median(ratios), 2),
        "ratio_least": round(min(ratios), 2),
        "ratio_most": round(max(ratios), 2),
        "rounds": rounds,
    }


def machine() -> dict[str, Any]:
    import torch

    return {
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "amx": torch.cpu._is_amx_tile_supported(),
        "versions": versions(),
    }


def write(name: str, result: dict[str, Any]) -> None:
    path = RESULTS / f"{name}.json"
    write_json(path, {**result, "machine": machine()})
    print(path.read_text())


def rounds(default: int = 5) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=default)
    return int(parser.parse_args().rounds)
