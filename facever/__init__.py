"""facever: are these two photographs of the same person?

from facever import Gallery, Verifier

verifier = Verifier.load("default")
answer = verifier.verify("a.jpg", "b.jpg")
print(answer.decision, answer.cosine)

for result in verifier.embed_folder("photographs/"):
    print(result.source, len(result.faces))

gallery = Gallery.open("faces.parquet")
for face in gallery.search("who.jpg").faces:
    print(face.matches[0].path, face.matches[0].cosine)

`evaluate_pairs` and `evaluate_folder` are the protocols of `eval-lfw` and `eval-all`; `train` is that of `train`, with
settings from `make_settings`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from facever.answer import Answer
    from facever.errors import (
        AlignmentError,
        DataError,
        FaceverError,
        ImageError,
        NoFaceError,
        OutputError,
        SettingError,
        WeightsError,
    )
    from facever.evaluation import ModelOptions, evaluate_folder, evaluate_pairs
    from facever.gallery import Gallery
    from facever.training import TrainingSettings, make_settings, train
    from facever.verifier import Verifier

__all__ = [
    "AlignmentError",
    "Answer",
    "DataError",
    "FaceverError",
    "Gallery",
    "ImageError",
    "ModelOptions",
    "NoFaceError",
    "OutputError",
    "SettingError",
    "TrainingSettings",
    "Verifier",
    "WeightsError",
    "__version__",
    "evaluate_folder",
    "evaluate_pairs",
    "make_settings",
    "train",
]

_MODULES = {
    "Answer": "answer",
    "Verifier": "verifier",
    "Gallery": "gallery",
    "ModelOptions": "evaluation",
    "evaluate_folder": "evaluation",
    "evaluate_pairs": "evaluation",
    "TrainingSettings": "training",
    "make_settings": "training",
    "train": "training",
}


def __getattr__(name: str) -> Any:
    # torch takes seconds to import, so it comes with the first use of what needs it.
    if name not in __all__:
        raise AttributeError(f"module 'facever' has no attribute {name!r}")
    return getattr(import_module(f"facever.{_MODULES.get(name, 'errors')}"), name)
