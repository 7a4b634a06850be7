"""The weights that come with facever, by name."""

from __future__ import annotations

from pathlib import Path

from facever.errors import WeightsError
from facever.files import is_url, sha256_of

SUMS = "SHA256SUMS"  # as sha256sum writes it


def shipped_folder() -> Path:
    """The folder of shipped weights: in the package, or at the top of the repository."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "models"
    return inside if inside.is_dir() else package.parent / "models"


def shipped_weights() -> list[str]:
    """The names that `--weights` takes."""
    return sorted(path.stem for path in shipped_folder().glob("*.safetensors"))


def weights_sha256(path: Path) -> str:
    """The SHA-256 of a weights file, in hexadecimal. Raises WeightsError if it came with facever and is another now."""
    found = sha256_of(path)
    folder = shipped_folder()
    if path.parent == folder:
        lines = (folder / SUMS).read_text(encoding="ascii").splitlines()
        if f"{found}  {path.name}" not in lines:
            raise WeightsError(f"{path}: not the file that came with facever; install facever again")
    return found


def find_weights(name_or_path: str | Path) -> Path:
    """The file of shipped weights by name, or of any other weights by path.

    Text without a separator or a suffix is a name, whatever lies in the working directory: write `./default` for a file
    of that name. A `Path` is always a path.

    Raises
    ------
    WeightsError
        If there is no such file.
    """
    path, text = Path(name_or_path), str(name_or_path)
    shipped = f"shipped are {', '.join(shipped_weights()) or 'none'}"
    if isinstance(name_or_path, str) and text == path.name and not path.suffix:
        if text in shipped_weights():
            return shipped_folder() / f"{text}.safetensors"
        hint = f"; write ./{text} for the file of that name" if path.is_file() else ""
        raise WeightsError(f"no weights called {text!r} come with facever ({shipped}){hint}")
    if path.is_file():
        return path
    if text and path.is_dir():
        raise WeightsError(f"{path} is a folder; name a weights file (.safetensors)")
    if is_url(text):
        raise WeightsError(f"{text} is a URL; download the weights, and name the file (or by name: {shipped})")
    raise WeightsError(f"there is no weights file {text!r} ({shipped}); check the path")
