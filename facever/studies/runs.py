"""A study's runs: the result of each training or measurement is saved at its end, and never computed again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facever.errors import DataError, reading
from facever.files import atomic_write, check_output, check_output_folder, write_json


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a study.

    Attributes
    ----------
    out : Path
        Folder of its runs, results, plots and page.
    data : Path, optional
        One folder of photographs per person, to train on.
    lfw, pairs : Path, optional
        LFW's folder and its pair list, to test on.
    mnist : Path, optional
        Folder of MNIST's IDX files.
    quick : bool
        A shorter version.
    full : bool
        losses: with the paper's own network besides; robustness and attacks: all of LFW's pairs instead of a part.
    seeds : int, optional
        How many seeds; by default the study's own number.
    device : str
        "auto", "cpu" or "cuda".
    workers : int, optional
        Processes for detecting faces.
    cache : Path, optional
        Folder of crop caches; by default the user's.
    weights : str
        Those that robustness and attacks test: shipped ones by name, or a file.
    """

    out: Path
    data: Path | None = None
    lfw: Path | None = None
    pairs: Path | None = None
    mnist: Path | None = None
    quick: bool = False
    full: bool = False
    seeds: int | None = None
    device: str = "auto"
    workers: int | None = None
    cache: Path | None = None
    weights: str = "default"

    def seed_list(self, count: int) -> list[int]:
        """0, 1, …: as many as asked for, or `count`. Raises DataError."""
        count = count if self.seeds is None else self.seeds
        if count < 1:
            raise DataError(f"a study needs at least one seed, not {count}; choose another number with --seeds")
        return list(range(count))


@dataclass(slots=True)
class Runs:
    """The runs in `out/runs`, each one NAME.json with the settings that it was made with.

    Attributes
    ----------
    out : Path
    say : callable
        Receives a line for each run: whether it is computed or reused.
    done : dict from name to result
        Results of this study so far, in order.
    took : dict from name to minutes
    planned : int
        How many runs there will be, as far as is known beforehand: a sweep may go on.
    """

    out: Path
    say: Callable[[str], None] = lambda message: None
    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    took: dict[str, float] = field(default_factory=dict)
    planned: int = 0
    _computed: list[float] = field(default_factory=list)  # minutes of those computed now

    def __post_init__(self) -> None:
        check_output_folder(self.out)
        check_output(self.out / "results.json", "json")

    @property
    def minutes(self) -> float:
        """Total of all runs so far, interrupted or not."""
        return sum(self.took.values())

    def folder(self, name: str) -> Path:
        """The folder for a run's larger files."""
        return self.out / "runs" / name

    def __call__(
        self, name: str, settings: Mapping[str, Any], make: Callable[[Path], dict[str, Any]]
    ) -> dict[str, Any]:
        """The result of a run, computed now unless saved before.

        Parameters
        ----------
        settings : mapping
            Everything that the result depends on, as JSON.
        make : callable
            From the run's own folder, not yet created, to its result. Files in the folder are kept, also for another
            call after an interruption.

        Raises
        ------
        DataError
            If the run was saved with other settings, or its file is broken.
        """
        path = self.out / "runs" / f"{name}.json"
        asked = json.loads(json.dumps(settings))
        if path.exists():
            record = _read(path)
            _check(path, record["settings"], asked)
        else:
            self.say(self._progress(name))
            start = time.monotonic()
            result = make(self.folder(name))
            minutes = (time.monotonic() - start) / 60
            self._computed.append(minutes)
            record = {"settings": asked, "minutes": round(minutes, 2), "result": result}
            write_json(path, record)
            record = _read(path)  # the same whether computed now or before
        self.took[name] = record["minutes"]
        self.done[name] = record["result"]
        return self.done[name]

    def _progress(self, name: str) -> str:
        """Such as "run 3 of 8: softmax-seed-0, about 12 minutes left"."""
        number = len(self.done) + 1
        planned = max(self.planned, number)
        left = ""
        if self._computed:
            minutes = sum(self._computed) / len(self._computed) * (planned - number + 1)
            left = f", about {minutes:.0f} minutes left" if minutes >= 1 else ", less than a minute left"
        return f"run {number} of {planned}: {name}{left}"


def save_arrays(path: Path, arrays: Mapping[str, Any], private: bool = False) -> None:
    """Write arrays by name, whole or not at all."""
    with atomic_write(path, private=private) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def run_name(name: str, seed: int, rate: float | None = None) -> str:
    """The file name of the run of a model with a seed and, where it differs between runs, a learning rate."""
    stem = f"{name.replace(', ', '-').replace(' ', '-')}-seed-{seed}"
    return stem if rate is None else f"{stem}-rate-{rate:g}"


def _read(path: Path) -> dict[str, Any]:
    with reading(path, "delete it to repeat the run"):
        record = json.loads(path.read_text(encoding="utf-8"))
        if not {"settings", "minutes", "result"} <= set(record):
            raise ValueError("not the record of a run")
        return dict(record)


def _check(path: Path, saved: dict[str, Any], asked: dict[str, Any]) -> None:
    # A setting missing from the record was added later; its default applies.
    changed = [key for key in saved if _differs(saved[key], asked.get(key))]
    if changed:
        details = ", ".join(f"{key} {saved.get(key)!r} -> {asked.get(key)!r}" for key in sorted(changed))
        raise DataError(f"{path}: made with other settings ({details}); choose another --out, or the earlier settings")


def _differs(saved: Any, asked: Any) -> bool:
    """Whether a setting, or one nested in it, has changed."""
    if isinstance(saved, dict) and isinstance(asked, dict):
        return any(_differs(value, asked.get(key)) for key, value in saved.items())
    return bool(saved != asked)
