"""What the drawings of the documentation share."""

from __future__ import annotations

from typing import Any

GRAY = "#808080"  # readable on a light and on a dark page
STYLE: dict[str, Any] = {
    "svg.hashsalt": "facever",  # the same file each time
    "svg.fonttype": "none",
    "font.size": 11,
    "text.color": GRAY,
    "axes.edgecolor": GRAY,
    "axes.labelcolor": GRAY,
    "xtick.color": GRAY,
    "ytick.color": GRAY,
}
