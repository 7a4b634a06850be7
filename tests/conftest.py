from __future__ import annotations

import os
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: a process per core, a thread each

import matplotlib
import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

# How long an example takes depends on what else the machine does: no failure follows from it.
settings.register_profile("facever", deadline=None)
settings.load_profile("facever")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real photographs; the test is skipped where there is none."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("FACEVER_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}; set FACEVER_DATA to one with lfw/ and pairs.txt")
    return folder


@pytest.fixture(params=["cpu", "cuda", "mps"])
def device(request: pytest.FixtureRequest) -> str:
    """Each device in turn; the test is skipped for those that torch can't use here."""
    if request.param != "cpu":
        import torch

        there = torch.cuda.is_available() if request.param == "cuda" else torch.backends.mps.is_available()
        if not there:
            pytest.skip(f"torch sees no device {request.param}")
    return str(request.param)


@pytest.fixture(scope="session")
def portrait() -> Path:
    """Matplotlib's portrait of Grace Hopper, 512x600, which every installation has."""
    return Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory, portrait: Path) -> Path:
    """A folder of 8 "people" with 4 photographs each: one face in as many tints, which a network can tell apart."""
    root = tmp_path_factory.mktemp("people")
    face = np.asarray(Image.open(portrait).convert("RGB").resize((171, 200)), np.float64)
    for person in range(8):
        tint = np.array([(person >> bit & 1) * 0.7 + 0.3 for bit in range(3)])
        (root / f"person_{person}").mkdir()
        for shot in range(4):
            pixels = np.clip(face * tint * (0.9 + 0.05 * shot), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / f"person_{person}" / f"{shot}.png")
    return root
