"""The documents say what the program does: generated pages are current, commands and imports exist."""

from __future__ import annotations

import ast
import importlib
import itertools
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from facever.cli import app
from facever.training import TrainingSettings, make_settings, parse_assignments

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
GROUP: Any = typer.main.get_command(app)
# What a shell puts between a command and what is no part of it.
ENDS = {"|", ">", ">>", "<", "&&", ";"}


def blocks(page: Path, language: str) -> Iterator[str]:
    """The content of a page's fenced blocks in one language."""
    text = page.read_text(encoding="utf-8")
    return (match[1] for match in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


def commands(page: Path) -> Iterator[list[str]]:
    """The words behind `facever` of every command that a page's console blocks show."""
    for block in blocks(page, "console"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True) if re.match(r"\$ .*\bfacever ", line) else []
            if "facever" in words:
                words = words[words.index("facever") + 1 :]
                yield words[: next((i for i, word in enumerate(words) if word in ENDS), len(words))]


SHOWN = [(page.relative_to(DOCS).as_posix(), words) for page in PAGES for words in commands(page)]


def options_of(command: Any) -> set[str]:
    own = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return own | {"--help", "-h"}


GENERATED = (
    "command-line",
    "model-table",
    "scale-table",
    "torture-table",
    "kills-table",
    "robustness-table",
    "attacks-table",
)


@pytest.mark.parametrize("page", [f"{name}.md" for name in GENERATED])
def test_generated_pages_are_current(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")  # whatever the terminal is
    made = runpy.run_path(str(DOCS / "generate.py"))["PAGES"][page]()
    assert made == (DOCS / page).read_text(encoding="utf-8"), f"{page} is out of date; run `python docs/generate.py`"


def test_every_command_is_shown() -> None:
    assert {words[0] for _, words in SHOWN} >= set(GROUP.commands)


@pytest.mark.parametrize(("page", "words"), SHOWN, ids=[f"{page}: {' '.join(words)}" for page, words in SHOWN])
def test_commands_and_options_exist(page: str, words: list[str]) -> None:
    name, *arguments = words
    assert name in GROUP.commands
    options = {word.partition("=")[0] for word in arguments if re.match(r"--?[a-z]", word)}
    assert options <= options_of(GROUP.commands[name])


@pytest.mark.parametrize(
    ("page", "words"),
    [(page, words) for page, words in SHOWN if words[0] == "train"],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_settings_exist(page: str, words: list[str]) -> None:
    texts = [after for word, after in itertools.pairwise(words) if word == "--set"]
    assert set(parse_assignments(texts)) <= set(TrainingSettings.__dataclass_fields__)


def test_recipe_of_the_guide_works(tmp_path: Path) -> None:
    (recipe,) = blocks(DOCS / "guide" / "train.md", "toml")
    (tmp_path / "mine.toml").write_text(recipe, encoding="utf-8")
    (tmp_path / "dropped.txt").touch()
    assert make_settings(str(tmp_path / "mine.toml")).alpha == 16


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_python_is_valid_and_imports_exist(page: Path) -> None:
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "facever":
                module = importlib.import_module(node.module or "")
                assert not [alias.name for alias in node.names if not hasattr(module, alias.name)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_linked_files_exist(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert not [target for target in targets if not (page.parent / target).exists()]
