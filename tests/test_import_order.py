"""A package imports only from those above it in CONTRIBUTING's map."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "facever"
ORDER = [
    *("errors", "files", "caches", "scoring", "networks", "losses", "weights", "faces", "answer", "verifier"),
    *("datasets", "metrics", "gallery", "evaluation", "reports", "engines", "training", "studies", "cli"),
]
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem in ORDER)


def room(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "facever" else [f"facever.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("facever.")}
    return found & set(ORDER)


def test_every_module_has_a_place() -> None:
    assert {room(path) for path in MODULES} == set(ORDER)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_point_upwards(path: Path) -> None:
    here = ORDER.index(room(path))
    assert not {name for name in imported(path) if ORDER.index(name) > here}
