"""Verify photographs that come with facever's dependencies: `python examples/demo.py [FOLDER]`.

Matplotlib's portrait of Grace Hopper against a smaller, darker, mirrored, slightly turned copy of itself, and against
scikit-image's portrait of Eileen Collins. The pictures are written into FOLDER, so that you can look at them.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import matplotlib
from PIL import Image, ImageEnhance, ImageOps
from rich.console import Console
from rich.table import Table

from facever import Verifier
from facever.answer import DECISIONS


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    portrait, changed, other = (folder / name for name in ("portrait.jpg", "changed.jpg", "other.png"))
    shutil.copyfile(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg", portrait)
    shutil.copyfile(astronaut(), other)
    change(portrait, changed)

    verifier = Verifier.load("default")
    table = Table("photograph", "and", "cosine", "threshold", "answer")
    for a, b in ((portrait, changed), (portrait, other)):
        answer = verifier.verify(a, b)
        table.add_row(a.name, b.name, f"{answer.cosine:.3f}", f"{answer.threshold:.3f}", DECISIONS[answer.decision])
    Console().print(table)
    command = Path(sys.executable).with_name("facever")
    print(f"The pictures are in {folder.resolve()}. Try: {command} verify {portrait} {changed}")


def change(source: Path, target: Path) -> None:
    """A smaller, darker, mirrored, slightly turned copy."""
    picture = ImageOps.mirror(Image.open(source).convert("RGB"))
    picture = picture.rotate(8, Image.Resampling.BICUBIC, fillcolor="gray").resize((256, 300))
    ImageEnhance.Brightness(picture).enhance(0.6).save(target, quality=85)


def astronaut() -> Path:
    """The file in scikit-image's package; importing it would only cost time."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("the demo needs scikit-image: pip install 'facever[demo]'")
    return Path(spec.submodule_search_locations[0]) / "data" / "astronaut.png"


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
