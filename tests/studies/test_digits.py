"""The study of digits: IDX files, angles by hand, and a whole study in small."""

from __future__ import annotations

import gzip
import io
import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facever.errors import DataError
from facever.studies import digit_training, digits, run_study
from facever.studies.idx import read_mnist
from facever.studies.outcome import Outcome
from facever.studies.page import write_study
from facever.studies.runs import Options
from facever.training.callbacks import Callback

RNG = np.random.default_rng(0)


def idx(values: np.ndarray) -> bytes:
    return b"\0\0\x08" + bytes([values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def mnist_like(folder: Path, compressed: bool = False, count: int = 20) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Four IDX files of noise."""
    made = {}
    folder.mkdir(parents=True, exist_ok=True)
    for part, stem in (("train", "train"), ("test", "t10k")):
        pixels = RNG.integers(0, 256, (count, 28, 28), np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        made[part] = pixels, labels
        for kind, values in (("images-idx3", pixels), ("labels-idx1", labels)):
            data = idx(values)
            name = f"{stem}-{kind}-ubyte" + (".gz" if compressed else "")
            (folder / name).write_bytes(gzip.compress(data) if compressed else data)
    return made


@pytest.mark.parametrize("compressed", [False, True])
def test_idx_files_are_read_compressed_or_not(compressed: bool, tmp_path: Path) -> None:
    made = mnist_like(tmp_path, compressed)
    for part, (pixels, labels) in made.items():
        found = read_mnist(tmp_path, part)
        np.testing.assert_array_equal(found[0], pixels)
        np.testing.assert_array_equal(found[1], labels)


def test_the_other_spelling_of_the_names_is_read_too(tmp_path: Path) -> None:
    mnist_like(tmp_path)
    for path in list(tmp_path.iterdir()):
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    assert len(read_mnist(tmp_path, "test")[0]) == 20


GOOD = idx(np.zeros((20, 28, 28), np.uint8))


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("train-images-idx3-ubyte", GOOD[:-1], "cut short"),
        ("train-images-idx3-ubyte", GOOD + b"x", "too long"),
        ("train-images-idx3-ubyte", GOOD[:9], "cut short"),
        ("train-images-idx3-ubyte", gzip.compress(GOOD, mtime=0)[:-9], "can't be read"),
        ("train-images-idx3-ubyte", b"", "not an IDX file"),
        ("train-images-idx3-ubyte", b"\0\0\x0d\x03" + GOOD[4:], "not an IDX file"),
        ("train-images-idx3-ubyte", idx(np.zeros((20, 8, 8), np.uint8)), r"\(20, 8, 8\)"),
        ("train-labels-idx1-ubyte", idx(np.zeros(19, np.uint8)), "a label from 0 to 9 for each"),
        ("train-labels-idx1-ubyte", idx(np.full(20, 10, np.uint8)), "a label from 0 to 9 for each"),
    ],
)
def test_a_broken_file_is_refused_by_name(name: str, content: bytes, complaint: str, tmp_path: Path) -> None:
    mnist_like(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name}.*{complaint}"):
        read_mnist(tmp_path, "train")


def test_a_missing_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    mnist_like(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"t10k-labels.*four IDX files"):
        digits.read_digits(tmp_path)


def test_scikit_learns_digits_are_split_by_kind_and_none_is_in_both_parts() -> None:
    found = digits.read_digits(None)
    assert (len(found.train), len(found.test)) == (1257, 540)
    assert len(set(found.train.identities)) == 10
    parts = [{crop.tobytes() for crop in part.inner(slice(None))} for part in (found.train, found.test)]
    assert not parts[0] & parts[1]
    swept = digits.for_sweep(found)
    assert len(swept.train) + len(swept.test) == 1257
    # The sweep sees no digit on which the study is tested.
    assert {crop.tobytes() for crop in swept.test.inner(slice(None))} <= parts[0]
    label = swept.test.identities[5]
    assert label == found.train.identities[15]
    np.testing.assert_array_equal(swept.test.inner(slice(5, 6)), found.train.inner(slice(15, 16)))


def test_angles_and_norms_by_hand() -> None:
    """Class 0 at 10° and -10° with norms 1 and 3; class 1 at 90°, norm 2 twice; class 2 at 180°, norm 2 twice."""
    degrees, norms = np.radians([10, -10, 90, 90, 180, 180]), np.array([1, 3, 2, 2, 2, 2])
    features = (norms * np.stack([np.cos(degrees), np.sin(degrees)])).T.astype(np.float32)
    found = digit_training.spread(features, np.array([0, 0, 1, 1, 2, 2]))
    assert found["within"] == pytest.approx(20 / 6, abs=1e-3)  # two of six digits lie 10° off
    assert found["between"] == pytest.approx(90, abs=1e-3)  # 0° to 90°, 90° to either, 180° to 90°
    assert found["ratio"] == pytest.approx(20 / 6 / 90, abs=1e-5)
    assert found["norm_spread"] == pytest.approx(math.sqrt(2 / 6) / 2, abs=1e-6)


@pytest.fixture(scope="module")
def small() -> Any:
    """The study with two losses of one epoch on a fraction of the digits."""
    patch = pytest.MonkeyPatch()
    whole = digits.read_digits(None)
    few = digits.Digits(whole.name, digits.for_sweep(whole).test, whole.test)
    patch.setattr(digits, "read_digits", lambda mnist: few)
    patch.setattr(digits, "EPOCHS", {whole.name: (2, 2)})
    patch.setattr(digits, "QUICK_MODELS", ("softmax", digits.MAIN))
    patch.setattr(digit_training, "FRAMES", 4)
    yield patch
    patch.undo()


@pytest.fixture(scope="module")
def quick(small: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    out = tmp_path_factory.mktemp("digits")
    outcome = run_study("digits", Options(out, quick=True, device="cpu"), Callback())
    write_study(out, outcome)
    return out, outcome


@pytest.mark.slow
def test_a_quick_study_leaves_results_plots_and_a_page(quick: tuple[Path, Outcome]) -> None:
    out, outcome = quick
    told = json.loads((out / "results.json").read_text())
    assert told["quick"] is True and told["seeds"] == [0, 1]
    assert told["verdict"] == outcome.verdict
    assert len(told["comparisons"]) == len(digits.METRICS)
    accuracies = [told["runs"][f"softmax-seed-{seed}"]["accuracy"] for seed in (0, 1)]
    figure = next(f for f in told["figures"] if f["name"] == "softmax: accuracy")
    assert figure["value"] == pytest.approx(np.mean(accuracies))
    assert "A quick run" in (out / "index.html").read_text()
    for name in ("features-0", "features-1", "accuracy", "ratio"):
        assert Image.open(out / f"{name}.png").size[0] > 300


@pytest.mark.slow
def test_the_features_of_l2_softmax_lie_on_a_circle_and_those_of_softmax_do_not(quick: tuple[Path, Outcome]) -> None:
    _, outcome = quick
    on_circle = np.linalg.norm(outcome.arrays[f"{digits.MAIN}/features"][-1], axis=1)
    assert on_circle == pytest.approx(np.full(540, 8.0), rel=1e-4)
    free = np.linalg.norm(outcome.arrays["softmax/features"][-1], axis=1)
    assert free.std() / free.mean() > 0.05


@pytest.mark.slow
def test_the_animation_has_a_frame_for_each_look(quick: tuple[Path, Outcome]) -> None:
    out, outcome = quick
    steps = outcome.arrays["softmax/steps"]
    animation = Image.open(io.BytesIO((out / "training.gif").read_bytes()))
    assert animation.n_frames == len(steps) == 4  # type: ignore[attr-defined]
    assert steps[0] == 0 and steps[-1] == 2 * (419 // 32)


@pytest.mark.slow
def test_a_study_goes_on_where_it_was_killed(small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen trainings, killed in the eighth: the second call begins with the eighth and trains no other again."""
    made: list[str] = []

    def train(settings: Any, on: Any, folder: Path, device: Any) -> dict[str, float]:
        made.append(folder.name)
        if len(made) == 8:
            raise KeyboardInterrupt
        folder.mkdir(parents=True)
        looks = {"features": np.ones((4, 9, 2)), "directions": np.ones((4, 10, 2))}
        np.savez(folder / "looks.npz", labels=np.arange(9), steps=np.arange(4), **looks)
        return {metric: float(len(made)) for metric in digits.METRICS}

    monkeypatch.setattr(digits, "train_digits", train)
    options = Options(tmp_path, quick=True, seeds=8, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        run_study("digits", options, Callback())
    outcome = run_study("digits", options, Callback())
    assert len(outcome.runs) == 16
    assert made[7] == made[8]  # the one that was killed
    assert len(set(made)) == len(made) - 1 == 16
    run_study("digits", options, Callback())
    assert len(made) == 17


@pytest.mark.slow
def test_the_best_rate_of_the_sweep_is_the_one_that_counts(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Softmax does best at the middle rate, L2-softmax at the lowest; a training that diverges does worst."""
    seen: dict[str, float] = {}

    def train(settings: Any, on: Any, folder: Path, device: Any) -> dict[str, Any]:
        seen[folder.name] = settings.learning_rate
        folder.mkdir(parents=True)
        looks = {"features": np.ones((4, 9, 2)), "directions": np.ones((4, 10, 2))}
        np.savez(folder / "looks.npz", labels=np.arange(9), steps=np.arange(4), **looks)
        if settings.learning_rate > 0.05:
            return {"accuracy": 0.0, "diverged": True}
        better = settings.learning_rate if settings.loss == "softmax" else -settings.learning_rate
        return dict.fromkeys(digits.METRICS, 0.5 + better)

    monkeypatch.setattr(digits, "train_digits", train)
    monkeypatch.setattr(digits, "MODELS", {name: digits.MODELS[name] for name in ("softmax", digits.MAIN)})
    outcome = run_study("digits", Options(tmp_path, seeds=1, device="cpu"), Callback())
    assert (seen["softmax-seed-0"], seen["l2-softmax-alpha-8-seed-0"]) == (0.03, 0.01)
    assert outcome.data["sweep"]["softmax"] == {"0.01": 0.51, "0.03": 0.53, "0.1": 0.0}
