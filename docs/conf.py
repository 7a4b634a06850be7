"""Sphinx: `sphinx-build -W --keep-going -b html docs build/docs`. Nothing is fetched while it builds."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

from facever import __version__

project = "facever"
author = "the facever developers"
copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
# Records and cards lie outside docs/; a link to one is a download.
exclude_patterns = ["*-table.md"]

# Formulas are MathML, which browsers render without a script from elsewhere.
html_math_renderer = "mathml"
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["math.css"]
html_title = f"facever {version}"
html_show_sphinx = False
html_copy_source = False

# In docstrings, single backticks are code.
default_role = "code"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 90
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autosummary_generate = False
numpydoc_show_class_members = False
numpydoc_show_inherited_class_members = False
numpydoc_xref_param_type = False


def escape_bars(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep |x|, a length, from being read as a substitution; code in backticks stays as it is."""
    parts = [re.split(r"(`[^`]*`)", line) for line in lines]
    lines[:] = ["".join(part if part[:1] == "`" else part.replace("|", r"\|") for part in line) for line in parts]


def inline_math(translator: Any, node: nodes.math) -> None:
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def display_math(translator: Any, node: nodes.math_block) -> None:
    translator.body.append(convert(node.astext(), display="block"))
    raise nodes.SkipNode


def setup(app: Any) -> None:
    app.add_html_math_renderer("mathml", (inline_math, None), (display_math, None))
    app.connect("autodoc-process-docstring", escape_bars, priority=900)  # after numpydoc
