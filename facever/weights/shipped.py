"""The weights that come with facever, by name."""

from __future__ import annotations

from pathlib import Path

from facever.errors import WeightsError


def shipped_folder() -> Path:
    """Where the weights that come with facever lie: in the package, or at the top of the repository."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "models"
    return inside if inside.is_dir() else package.parent / "models"


def shipped_weights() -> list[str]:
    """The names that `--weights` takes."""
    return sorted(path.stem for path in shipped_folder().glob("*.safetensors"))


def find_weights(name_or_path: str | Path) -> Path:
    """The file of shipped weights by name, or of any others by path.

    Raises
    ------
    WeightsError
        If there is no such file.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    if path.name == str(name_or_path) and str(name_or_path) in shipped_weights():
        return shipped_folder() / f"{name_or_path}.safetensors"
    if str(name_or_path) and path.is_dir():
        raise WeightsError(f"{path} is a folder; name a weights file (.safetensors)")
    names = ", ".join(shipped_weights()) or "none"
    raise WeightsError(f"there are no weights {str(name_or_path)!r}: neither a file nor one of those shipped ({names})")
