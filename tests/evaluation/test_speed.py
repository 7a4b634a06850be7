"""What `facever bench` counts, by hand, and that its table and JSON hold one measurement."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from command_line import facever
from PIL import Image
from torch import nn

from facever.evaluation.speed import Speed, multiply_adds
from facever.reports.speed import speed_rows


def test_multiply_adds_are_those_of_convolutions_and_dense_layers_of_all_crops() -> None:
    """A 3x3 convolution of 3 channels gives 2 x 4 x 4 values of 27 products; a dense layer 5 values of 32."""
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.PReLU(2), nn.Flatten(), nn.Linear(32, 5))

    class Embedder(SimpleNamespace):
        def __call__(self, crops: np.ndarray) -> Any:
            return network(torch.from_numpy(crops).permute(0, 3, 1, 2).float())

    found = multiply_adds(Embedder(network=network), np.zeros((7, 6, 6, 3), np.uint8))  # type: ignore[arg-type]
    assert found == 7 * (2 * 4 * 4 * 27 + 5 * 32)


def test_a_grouped_convolution_counts_the_channels_of_its_group() -> None:
    network = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=4))

    class Embedder(SimpleNamespace):
        def __call__(self, crops: np.ndarray) -> Any:
            return network(torch.zeros(len(crops), 4, 5, 5))

    assert multiply_adds(Embedder(network=network), np.zeros((1, 5, 5, 4), np.uint8)) == 4 * 25 * 9  # type: ignore[arg-type]


@pytest.mark.slow
def test_bench_measures_the_photographs_that_are_named(tmp_path, portrait) -> None:
    for i in range(3):
        Image.open(portrait).resize((256 - i, 300)).save(tmp_path / f"{i}.jpg")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    outcome = facever("bench", tmp_path, "--json", "--device", "cpu")
    assert outcome.code == 0
    found = json.loads(outcome.out)
    assert (found["photographs"], found["faces"]) == (3, 3)
    assert set(found["stages"]) == {"decode", "detect", "align", "embed"}
    assert all(value > 0 for value in found["stages"].values())
    assert set(found["batches"]) == {"fp32", "bf16"}
    assert found["workers"]["1"] > 0


def test_the_table_gives_shares_of_the_whole_and_of_the_limit() -> None:
    speed = Speed(
        photographs=4,
        faces=5,
        megapixels=12.0,
        stages={"decode": 1.0, "detect": 6.0, "align": 1.0, "embed": 2.0},
        batches={"fp32": {1: 4.0, 8: 2.0}},
        workers={1: 100.0, 2: 190.0},
        multiply_adds=400_000_000,
        arithmetic={"fp32": (25.0, 100.0)},
        memory=512,
    )
    rows = dict(speed_rows(speed))
    assert rows["detect, ms a photograph"] == "6.00 (60%)"
    assert rows["one thread, ms a photograph"] == "10.00"
    assert rows["2 processes, photographs a second"].startswith("190.0")
    assert rows["embed a face in fp32, ms"] == "4.00 in batches of 1, 2.00 in batches of 8"
    assert "25.0 of 100.0 of a matrix product (25%)" in rows.values()
    assert rows["multiply-adds a face"] == "400 million"


def test_bench_without_photographs_in_a_folder_says_so(tmp_path) -> None:
    outcome = facever("bench", tmp_path)
    assert (outcome.code, outcome.out) == (2, "")
    assert "no photographs" in outcome.err
