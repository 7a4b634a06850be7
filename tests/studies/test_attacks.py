"""Morphs and adversarial patterns: on made-up crops, and the study whole on real photographs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from facever.errors import WeightsError
from facever.faces.alignment import align
from facever.faces.detection import Detector
from facever.faces.embedder import Embedder
from facever.faces.images import load_image
from facever.studies import attacks, run_study
from facever.studies import sample as samples
from facever.studies.page import write_study
from facever.studies.perturbation import perturbed
from facever.studies.runs import Options
from facever.training.callbacks import Callback
from facever.weights.alignment import FACE_112X112

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder.load("default", "cpu", "fp32")


def test_a_morph_is_the_mean_rounded_up() -> None:
    a, b = (np.array([[[[x, y, z]]]], np.uint8) for x, y, z in ((0, 255, 10), (255, 255, 13)))
    assert attacks.morphed(a, b).tolist() == [[[[128, 255, 12]]]]


def test_wide_crops_hold_the_weights_own_in_their_middle() -> None:
    crops = RNG.integers(0, 256, (2, 10, 10, 3), np.uint8)
    faces = attacks.Faces(crops, crops, FACE_112X112, 3)
    inner = faces.inner(crops)
    assert inner.shape == (2, 4, 4, 3) and (inner == crops[:, 3:7, 3:7]).all()
    changed = faces.with_inner(crops, np.zeros_like(inner))
    assert (changed[:, 3:7, 3:7] == 0).all()
    outside = np.ones((10, 10), bool)
    outside[3:7, 3:7] = False
    assert (changed[:, outside] == crops[:, outside]).all() and (inner == crops[:, 3:7, 3:7]).all()


@pytest.mark.slow
def test_every_weights_file_cuts_its_own_crop_from_the_wide_one(portrait: Path) -> None:
    image = load_image(portrait)
    landmarks = Detector("cpu").detect(image)[0].landmarks
    wide = FACE_112X112.padded(37)
    crops = align(image, landmarks, wide)[None]
    faces = attacks.Faces(crops, crops, wide, 37)
    for name in ("default", "face-resnet", "dlib"):
        model = Embedder.load(name, "cpu", "fp32")
        direct = model(align(image, landmarks, model.info.alignment)[None])[0]
        assert float(faces.seen_by(model, crops)[0] @ direct[0]) > 0.97


@pytest.mark.slow
def test_a_pattern_keeps_to_its_bound_and_approaches_the_target(embedder: Embedder, portrait: Path) -> None:
    image = load_image(portrait)
    crop = align(image, Detector("cpu").detect(image)[0].landmarks, FACE_112X112)
    crops = np.stack([crop, crop[:, :, ::-1], np.full_like(crop, 255)])
    targets = RNG.normal(size=(3, embedder.network.embedding_size)).astype(np.float32)
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    before = (embedder(crops)[0] * targets).sum(axis=1)
    gained = []
    for bound in (1, 4):
        changed = perturbed(embedder, crops, targets, bound, steps=3)
        assert changed.dtype == np.uint8
        assert 0 < np.abs(changed.astype(int) - crops).max() <= bound
        gained.append((embedder(changed)[0] * targets).sum(axis=1) - before)
    assert (gained[0] > 0).all() and gained[1].mean() > gained[0].mean()
    assert not [p for p in embedder.network.parameters() if p.grad is not None]


@pytest.mark.slow
def test_no_pattern_comes_without_gradients(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedder.network, "native", False)
    with pytest.raises(WeightsError, match="gradients"):
        perturbed(embedder, np.zeros((1, 112, 112, 3), np.uint8), np.zeros((1, 512), np.float32), 4)


@pytest.mark.slow
@pytest.mark.data
def test_on_real_photographs_the_study_is_whole(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "QUICK", 1)
    monkeypatch.setattr(attacks, "REPLICATES", 20)
    monkeypatch.setattr(attacks, "QUICK_BOUNDS", (8,))
    monkeypatch.setattr(attacks, "STEPS", 5)
    monkeypatch.setattr(attacks, "shipped_weights", lambda: ["default", "face-resnet"])
    options = Options(
        tmp_path, lfw=data_folder / "lfw", pairs=data_folder / "pairs.txt", quick=True, device="cpu", workers=1
    )
    outcome = run_study("attacks", options, Callback())
    write_study(tmp_path, outcome)
    told = json.loads((tmp_path / "results.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert list(told["patterns"]) == ["0", "8"] and set(told["patterns"]["8"]) == {"default", "face-resnet"}
    attacked = told["patterns"]["8"]["default"]
    assert told["patterns"]["0"]["default"][attacks.SHOWN]["value"] == 0
    assert attacked[attacks.SHOWN]["value"] == 1 and attacked[attacks.OTHER]["value"] > 0.5
    alike = told["morphs"][attacks.ALIKE]
    assert alike["both"]["value"] <= min(alike["the one"]["value"], alike["the other"]["value"])
    assert told["verdict"] == "contradicted"
    assert "image/jpeg" not in (tmp_path / "index.html").read_text()
    assert torch.is_grad_enabled()
