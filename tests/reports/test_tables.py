"""Rows for people: what `info` and `calibrate` print."""

from __future__ import annotations

from dataclasses import replace

from facever.reports.weights_rows import calibration_rows, info_rows
from facever.weights.file import read_info
from facever.weights.thresholds import Threshold, WorstGroup


def test_the_rate_of_the_worst_group_stands_below_its_threshold() -> None:
    group = WorstGroup("dlib", 8, 51, 300, 58_218, 0.007, (0.003, 0.014))
    threshold = Threshold(0.001, 0.5, "strangers", 20_000, 0.9, worst_group=group)
    nothing = {"likelihood": None, "quality": None, "tail": None, "lower_thresholds": []}
    info = replace(read_info("dlib"), thresholds=[threshold], **nothing)
    rows = calibration_rows(info)
    assert [name for name, _ in rows] == ["threshold for FAR 0.001", "in its worst group"]
    assert rows[1][1] == "FAR 0.007 (0.003 to 0.014); 51 people, 58,218 impostor pairs, one of 8 groups by dlib"
    assert set(rows) <= set(info_rows(info))
