from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real photographs; the test is skipped where there is none."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("FACEVER_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}; set FACEVER_DATA to one with lfw/ and pairs.txt")
    return folder
