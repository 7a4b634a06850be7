"""The built distributions, alone in a folder, without a network: what a user gets from `pip install facever`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

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


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    build = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


@pytest.mark.slow
def test_the_wheel_holds_code_weights_cards_and_recipes_only(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {f"facever/models/{path.name}" for path in (ROOT / "models").iterdir()}
    expected |= {f"facever/recipes/{path.name}" for path in (ROOT / "recipes").iterdir()}
    expected |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "facever").rglob("*.py")}
    expected |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "facever/reports/templates").iterdir()}
    expected |= {"facever/faces/looks.json"}
    assert {name for name in names if ".dist-info/" not in name} == expected | {"facever/py.typed"}
    assert {Path(name).suffix for name in expected if "/models/" in name} == {".safetensors", ".md", ".svg", ""}
    for weights in ("default", "dlib", "face-resnet", "mobilefacenet", "scratch"):
        assert {f"facever/models/{weights}.safetensors", f"facever/models/{weights}.md"} <= names


def test_the_metadata_states_the_terms_of_the_code_and_of_the_weights(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        metadata = archive.read(name).decode()
        terms = archive.read(name.replace("METADATA", "licenses/LICENSE-weights.md")).decode()
    assert "License-Expression: MIT AND CC0-1.0 AND LicenseRef-Non-Commercial-Research" in metadata
    assert all(f"`{weights}`" in terms for weights in ("default", "dlib", "face-resnet", "mobilefacenet", "scratch"))


@pytest.mark.slow
def test_the_demo_of_the_source_distribution_finds_its_code_and_weights(unpacked: Path) -> None:
    code = (
        "import runpy, facever; runpy.run_path('examples/demo.py')\n"
        "from facever.weights.shipped import find_weights; print(facever.__file__, find_weights('default'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=unpacked,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    package, weights = map(Path, done.stdout.split())
    assert package == unpacked / "facever" / "__init__.py"
    assert weights == unpacked / "models" / "default.safetensors"
    for file in ("Makefile", "LICENSE", "LICENSE-weights.md", "recipes/default.toml", "tests/conftest.py"):
        assert (unpacked / file).is_file(), file


@pytest.mark.slow
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
