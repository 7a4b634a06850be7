"""facever: are these two photographs of the same person?

from facever import Verifier

verifier = Verifier.load("default")
answer = verifier.verify("a.jpg", "b.jpg")
print(answer.same, answer.cosine)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from facever.errors import FaceverError, ImageError, NoFaceError, PoorPhotographError, WeightsError
    from facever.verifier import Verifier

__all__ = [
    "FaceverError",
    "ImageError",
    "NoFaceError",
    "PoorPhotographError",
    "Verifier",
    "WeightsError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    # torch takes seconds to import, so it comes with the first use of what needs it.
    if name == "Verifier":
        from facever.verifier import Verifier

        return Verifier
    if name in __all__:
        from facever import errors

        return getattr(errors, name)
    raise AttributeError(f"module 'facever' has no attribute {name!r}")
