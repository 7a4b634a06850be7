"""What the Dockerfile promises, checked without an engine: its steps read, and run where a shell is enough."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

Stage = list[tuple[str, str]]


@pytest.fixture(scope="module")
def stages() -> list[Stage]:
    """(instruction, rest) of each stage, with continued lines joined and comments gone."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    found: list[Stage] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        word, rest = line.split(maxsplit=1)
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


def _all(stage: Stage, instruction: str) -> list[str]:
    return [rest for word, rest in stage if word == instruction]


def test_it_runs_facever_in_data_as_a_user_that_exists_and_is_not_root(stages: list[Stage]) -> None:
    image = stages[-1]
    assert json.loads(_all(image, "ENTRYPOINT")[-1]) == ["facever"]
    assert "facever" in PROJECT["scripts"]
    assert json.loads(_all(image, "CMD")[-1]) == ["--help"]
    assert _all(image, "WORKDIR")[-1] == "/data"
    user = _all(image, "USER")[-1]
    assert user.split(":")[0] not in ("root", "0")
    assert any("useradd" in step and step.endswith(f" {user}") for step in _all(image, "RUN"))


@pytest.mark.parametrize("index", ["", "an-index"])
def test_torch_comes_from_the_index_that_is_given_and_before_facever(
    stages: list[Stage], index: str, tmp_path: Path
) -> None:
    image = stages[-1]
    (step,) = (step for step in _all(image, "RUN") if "$TORCH_INDEX" in step)
    (install,) = (step for step in _all(image, "RUN") if ".whl" in step)
    assert image.index(("ARG", "TORCH_INDEX=")) < image.index(("RUN", step)) < image.index(("RUN", install))

    (tmp_path / "pip").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "pip").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-ec", step], env={"PATH": path, "TORCH_INDEX": index}, capture_output=True, text=True, check=True
    )
    asked = set(done.stdout.split())
    assert {"install", "torch", "torchvision", "--index-url", index} <= asked if index else not asked


def test_no_step_leaves_pips_cache_or_an_editable_install(stages: list[Stage]) -> None:
    calls = [call for stage in stages for step in _all(stage, "RUN") for call in re.findall(r"\bpip \w+[^;&]*", step)]
    assert calls
    for call in calls:
        assert "--no-cache-dir" in call
        assert not re.search(r"\s(-e|--editable)\b", call)


@pytest.mark.slow
def test_what_is_copied_reaches_the_builder_and_is_all_that_the_wheel_needs(
    stages: list[Stage], tmp_path: Path
) -> None:
    ignored, *sent = [
        line
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith(("#", "**/"))
    ]
    assert ignored == "*"
    folder, wheels = tmp_path / "src", tmp_path / "wheels"
    folder.mkdir()
    for copy in (copy for stage in stages for copy in _all(stage, "COPY")):
        *sources, target = copy.split()
        for source in sources:
            assert f"!{source}" in sent
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, folder / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, folder / target)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*pip, "--wheel-dir", str(wheels), str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = wheels.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = [path for path in (ROOT / "facever").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path.relative_to(ROOT).as_posix() for path in expected} <= names
    assert any(name.endswith("/default.safetensors") for name in names)
