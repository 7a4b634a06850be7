from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

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


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    """Each device in turn; the test is skipped for those that torch can't use here."""
    if request.param == "cuda":
        import torch

        if not torch.cuda.is_available():
            pytest.skip("torch sees no CUDA device")
    return str(request.param)
