from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from facever.datasets.lfw import download_lfw, found_lfw, lfw_folder
from facever.errors import DataError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    return tmp_path


def test_the_folder_is_that_of_scikit_learns_own_code(home: Path) -> None:
    from sklearn.datasets import get_data_home

    assert lfw_folder() == Path(get_data_home()) / "lfw_home" / "lfw_funneled"


def test_without_a_setting_it_lies_in_the_users_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SCIKIT_LEARN_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert lfw_folder() == tmp_path / "scikit_learn_data" / "lfw_home" / "lfw_funneled"


def test_looking_for_it_makes_nothing(home: Path) -> None:
    with pytest.raises(
        DataError, match=r"lfw_funneled: no LFW here; name its folder, or fetch it there with --download"
    ):
        found_lfw()
    assert list(home.iterdir()) == []


def test_scikit_learn_is_asked_to_fetch_it_to_its_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def fetch(**options: Any) -> None:
        asked.append(options)
        lfw_folder().mkdir(parents=True)

    monkeypatch.setattr("sklearn.datasets.fetch_lfw_people", fetch)
    assert download_lfw() == lfw_folder()
    assert asked[0]["data_home"] == str(home)
    assert asked[0].get("download_if_missing", True)


@pytest.mark.parametrize(
    "error",
    [
        URLError("Name or service not known"),
        TimeoutError("timed out"),
        OSError("lfw-funneled.tgz has an SHA256 checksum differing from expected"),
        tarfile.ReadError("unexpected end of data"),
    ],
)
def test_what_goes_wrong_is_told_with_the_remedy(home: Path, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise error

    monkeypatch.setattr("sklearn.datasets.fetch_lfw_people", fail)
    with pytest.raises(DataError, match=r"LFW can't be fetched \(.*check the network .* or copy the folder"):
        download_lfw()
