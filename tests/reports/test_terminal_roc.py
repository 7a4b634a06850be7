from __future__ import annotations

import numpy as np
import pytest

from facever.reports.terminal_roc import roc_text


def scores(n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    same = np.arange(n) % 2 == 0
    return np.where(same, 0.6, 0.1) + 0.17 * np.random.default_rng(0).normal(size=n), same


def drawn_at(text: str) -> list[list[int]]:
    """The columns in which the curve stands, a list for each line inside the frame, from the top."""
    lines = [line for line in text.splitlines() if line.endswith("│")]
    starts = [max(line.find("┤"), line.find("│", 0, -1)) for line in lines]
    return [
        [k for k, c in enumerate(line[start + 1 : -1]) if c != " "] for line, start in zip(lines, starts, strict=True)
    ]


@pytest.mark.parametrize("width", [40, 60, 200])
def test_the_drawing_fits_the_terminal_and_holds_no_escape_sequence(width: int) -> None:
    text = roc_text(*scores(), width)
    assert max(map(len, text.splitlines())) <= min(width, 72)
    assert len(text.splitlines()) == 14
    assert "\x1b" not in text
    assert all(tick in text for tick in ("1e-4", "1e-3", "1e-2", "1e-1"))  # 2,000 impostor pairs


def test_the_curve_rises_from_left_to_right() -> None:
    rows = drawn_at(roc_text(*scores(), 72))
    starts = [min(row) for row in rows if row]
    assert starts == sorted(starts, reverse=True)
    assert max(max(row) for row in rows if row) - min(starts) > 60


def test_a_model_without_errors_is_a_line_at_the_top() -> None:
    same = np.arange(100) % 2 == 0
    rows = drawn_at(roc_text(same * 1.0, same, 72))
    assert sum(bool(row) for row in rows) == 1


def test_scores_that_stand_for_several_pairs_are_drawn_as_the_pairs_written_out() -> None:
    cosines, same = scores(200)
    counts = np.random.default_rng(1).integers(1, 9, 200)
    assert roc_text(cosines, same, 60, counts) == roc_text(np.repeat(cosines, counts), np.repeat(same, counts), 60)


def test_two_drawings_do_not_mix() -> None:
    first = roc_text(*scores(), 60)
    roc_text(np.array([0.1, 0.9]), np.array([True, False]), 60)
    assert roc_text(*scores(), 60) == first
