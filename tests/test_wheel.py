"""The built wheel, alone in a folder, without a network: what a user gets from `pip install facever`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Runs before everything else in the child: any connection fails, whatever the machine's network allows.
NO_NETWORK = """
import socket
def refuse(*args, **kwargs):
    raise OSError("no network in this test")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--quiet", "--wheel-dir", str(folder), str(ROOT)], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_carries_the_weights_and_their_cards(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for weights in (ROOT / "models").glob("*.safetensors"):
        assert f"facever/models/{weights.name}" in names
        assert f"facever/models/{weights.stem}.md" in names
    assert "facever/models/default.safetensors" in names


def test_the_wheel_holds_no_photographs(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if name.lower().endswith((".jpg", ".jpeg", ".webp", ".npy", ".bin"))]


def test_the_installed_wheel_verifies_offline_from_an_empty_folder(wheel: Path, tmp_path: Path, portrait: Path) -> None:
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    zipfile.ZipFile(wheel).extractall(site)  # what pip does with a pure wheel
    (site / "sitecustomize.py").write_text(NO_NETWORK)
    code = "import facever, sys; from facever.cli import main; print(facever.__file__, file=sys.stderr); main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "verify", str(portrait), str(portrait), "--json"],
        cwd=empty,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert str(site) in done.stderr  # the wheel's code ran, not the repository's
    assert json.loads(done.stdout)["cosine"] == pytest.approx(1, abs=1e-4)
    assert not list(empty.iterdir())
