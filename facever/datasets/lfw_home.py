"""Where scikit-learn keeps Labeled Faces in the Wild, and how it fetches it."""

from __future__ import annotations

import os
import tarfile
import warnings
from http.client import HTTPException
from pathlib import Path

from facever.errors import DataError, reason_of


def lfw_folder() -> Path:
    """The folder of LFW's people in scikit-learn's data home; whether it is there or not."""
    home = os.environ.get("SCIKIT_LEARN_DATA") or "~/scikit_learn_data"
    return Path(home).expanduser() / "lfw_home" / "lfw_funneled"


def found_lfw() -> Path:
    """`lfw_folder`, if it is there. Raises DataError."""
    folder = lfw_folder()
    if not folder.is_dir():
        raise DataError(f"{folder}: no LFW here; name its folder, or fetch it there with --download (about 240 MB)")
    return folder


def download_lfw() -> Path:
    """Fetch LFW (funneled) and its pair lists with scikit-learn, unless they are there; their checksums are checked.

    Raises
    ------
    DataError
        If it can't be fetched or unpacked.
    """
    from sklearn.datasets import fetch_lfw_people

    folder = lfw_folder()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of each retry
            # It decodes what it is asked for as well; one person in small is the least.
            fetch_lfw_people(data_home=str(folder.parents[1]), min_faces_per_person=500, resize=0.1)
    except (OSError, HTTPException, ValueError, tarfile.TarError, EOFError) as error:
        raise DataError(
            f"{folder}: LFW can't be fetched ({reason_of(error)}); check the network and the room on the disk, or copy "
            "the folder from another machine and name it"
        ) from error
    return found_lfw()
