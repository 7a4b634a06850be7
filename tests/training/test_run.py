from __future__ import annotations

import csv
import json
import math
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from facever import Verifier
from facever.cli.train import train as train_command
from facever.errors import DataError, FaceverError, OutputError, SettingError
from facever.faces.embedder import Embedder
from facever.losses import CenterLoss, L2Softmax, Softmax
from facever.reports.training_curve import training_curve
from facever.training import TrainingSettings, make_settings, train
from facever.training.callbacks import Callback, Progress
from facever.training.checkpoint import load_checkpoint, save_checkpoint
from facever.training.crops import CropSet
from facever.training.data import TrainingData, prepare
from facever.training.errors import Diverged, Interrupted
from facever.training.settings import LossName
from facever.training.trainer import Trainer
from facever.training.validation import Validation, validate
from facever.weights.alignment import ALIGNMENTS
from facever.weights.file import load_weights

LOSSES = get_args(LossName)

# A network so small that a step takes milliseconds.
SETTINGS = TrainingSettings(
    network_arguments={
        "widths": [8, 8, 16],
        "depths": [0, 1, 0],
        "stem": 4,
        "embedding_size": 16,
        "dropout": 0.1,
    },
    epochs=6,
    batch_size=8,
    learning_rate=0.05,
    held_out=0.3,
    precision="fp32",
    compile=False,
)


class Recorder(Callback):
    """Remembers what it was told, and raises a signal after a step if asked to."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.said: list[str] = []
        self.seen: list[Progress] = []
        self.validations: list[Validation] = []
        self.stop_after = stop_after

    def say(self, message: str) -> None:
        self.said.append(message)

    def progress(self, progress: Progress) -> None:
        self.seen.append(progress)

    def validated(self, epoch: int, validation: Validation, best: bool) -> None:
        self.validations.append(validation)
        if self.stop_after == epoch:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def finished(people: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recorder]:
    """A short training, done, and what it told."""
    out = tmp_path_factory.mktemp("out") / "whole"
    recorder = Recorder()
    train(SETTINGS, people, out, cache, "cpu", callback=recorder)
    return out, recorder


def parameters(out: Path) -> dict[str, torch.Tensor]:
    return load_weights(out / "weights.safetensors")[1].state_dict()


def with_loss(loss: str, **changes: Any) -> TrainingSettings:
    """The settings with another loss; center loss counts more than by default, so that a training feels it."""
    centers = {"center_weight": 0.05} if "center" in loss else {}
    return replace(SETTINGS, loss=loss, **centers, **changes)


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_falls_and_the_log_tells_its_course(loss: str, people: Path, cache: Path, tmp_path: Path) -> None:
    train(with_loss(loss, epochs=40), people, tmp_path / "out", cache, "cpu")
    with (tmp_path / "out" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["loss"]) for row in rows]
    assert losses[-1] < 0.7 * losses[0]
    photographs = 4 * (8 - held_out_of(tmp_path / "out"))
    assert int(rows[-1]["step"]) == 40 * (photographs // 8)
    assert 0 <= float(rows[-1]["validation_accuracy"]) <= 1
    assert float(rows[-1]["alpha"]) == pytest.approx(16.0 if "l2" in loss else math.nan, nan_ok=True)


def test_the_exported_weights_work_in_a_verifier_and_say_how_they_were_made(
    finished: tuple[Path, Recorder], portrait: Path
) -> None:
    out, _ = finished
    verifier = Verifier.load(out / "weights.safetensors", "cpu")
    assert verifier.verify(portrait, portrait, threshold=0.5).cosine == pytest.approx(1, abs=1e-5)
    info = verifier.info
    assert info.loss == {"name": "l2-softmax", "alpha": 16.0, "learned": False}
    assert info.settings["seed"] == 0
    assert info.training_data[0]["identities"] == 8 - held_out_of(out)


def test_the_exported_weights_are_calibrated_on_the_held_out_people(
    finished: tuple[Path, Recorder], people: Path, cache: Path
) -> None:
    out, _ = finished
    info = load_weights(out / "weights.safetensors")[0]
    held_out = prepare(SETTINGS, people, cache, torch.device("cpu"), None, Callback()).held_out
    norms = Embedder.load(out / "weights.safetensors", "cpu")(held_out.inner(slice(None)))[1]
    assert info.thresholds == []  # so few pairs support no rate
    assert info.quality is not None
    assert (info.quality.photographs, info.quality.check) == (len(held_out), None)
    assert info.quality.percentiles[50] == pytest.approx(float(np.median(norms)), rel=1e-5)


def held_out_of(out: Path) -> int:
    return json.loads((out / "training.json").read_text())["people"]["held_out_identities"]


def test_a_finished_training_leaves_weights_log_and_record_but_no_checkpoint(finished: tuple[Path, Recorder]) -> None:
    out, _ = finished
    files = ["log.csv", "training.json", "training.svg", "weights.safetensors"]
    assert sorted(path.name for path in out.iterdir()) == files
    record = json.loads((out / "training.json").read_text())
    assert record["settings"]["epochs"] == 6
    assert (record["precision"], record["processes"]) == ("fp32", 1)
    assert {"facever", "torch", "numpy"} <= set(record["versions"])


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
def test_an_interrupted_training_that_goes_on_equals_one_that_was_not(
    loss: str, people: Path, cache: Path, tmp_path: Path
) -> None:
    # A learned alpha, whose momentum has to be kept as well.
    settings = with_loss(loss, alpha=4.0, alpha_learned="l2" in loss)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(settings, people, whole, cache, "cpu")
    with pytest.raises(Interrupted, match="--resume"):
        train(settings, people, parts, cache, "cpu", callback=Recorder(stop_after=3))
    assert (parts / "checkpoint.pt").exists()
    train(settings, people, parts, cache, "cpu", resume=True)
    expected, found = parameters(whole), parameters(parts)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name
    columns = ("step", "loss", "accuracy", "alpha", "validation_accuracy")
    strip = lambda rows: [[row[k] for k in columns] for row in rows]  # noqa: E731
    with (whole / "log.csv").open() as a, (parts / "log.csv").open() as b:
        assert strip(csv.DictReader(a)) == strip(csv.DictReader(b))


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    finished: tuple[Path, Recorder], people: Path, cache: Path, tmp_path: Path
) -> None:
    train(SETTINGS, people, tmp_path / "again", cache, "cpu")
    train(replace(SETTINGS, seed=1), people, tmp_path / "other", cache, "cpu")
    whole, again, other = (parameters(out) for out in (finished[0], tmp_path / "again", tmp_path / "other"))
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    assert any(not torch.equal(whole[name], other[name]) for name in whole)


def test_a_finished_or_begun_training_is_not_overwritten(
    finished: tuple[Path, Recorder], people: Path, cache: Path
) -> None:
    with pytest.raises(OutputError, match="--resume"):
        train(SETTINGS, people, finished[0], cache, "cpu")


def test_going_on_needs_a_checkpoint_and_the_same_settings(people: Path, cache: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no checkpoint"):
        train(SETTINGS, people, tmp_path / "none", cache, "cpu", resume=True)
    with pytest.raises(Interrupted):
        train(SETTINGS, people, tmp_path / "begun", cache, "cpu", callback=Recorder(stop_after=1))
    with pytest.raises(DataError, match=r"learning_rate 0\.05 -> 0\.5"):
        train(replace(SETTINGS, learning_rate=0.5), people, tmp_path / "begun", cache, "cpu", resume=True)


def test_a_checkpoint_that_is_cut_short_or_a_pickle_of_other_things_is_refused(
    people: Path, cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(Interrupted):
        train(SETTINGS, people, tmp_path / "out", cache, "cpu", callback=Recorder(stop_after=1))
    checkpoint = tmp_path / "out" / "checkpoint.pt"
    data = checkpoint.read_bytes()
    for damaged in (data[: len(data) // 2], b"", b"cos\nsystem\n(S'true'\ntR."):
        checkpoint.write_bytes(damaged)
        with pytest.raises(DataError, match="not a whole checkpoint"):
            train(SETTINGS, people, tmp_path / "out", cache, "cpu", resume=True)


@pytest.fixture(scope="module")
def stopped(people: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingSettings, Path]:
    """The settings and the checkpoint of a training that was stopped after its first epoch."""
    settings = replace(SETTINGS, ema=0.9, epochs=2)
    out = tmp_path_factory.mktemp("stopped") / "out"
    with pytest.raises(Interrupted):
        train(settings, people, out, cache, "cpu", callback=Recorder(stop_after=1))
    return settings, out / "checkpoint.pt"


def resume_with(
    change: Callable[[dict[str, Any]], Any],
    stopped: tuple[TrainingSettings, Path],
    people: Path,
    cache: Path,
    out: Path,
) -> None:
    """Resume from the checkpoint as `change` leaves or returns it."""
    settings, checkpoint = stopped
    state = load_checkpoint(checkpoint, torch.device("cpu"))
    changed = change(state)
    out.mkdir()
    save_checkpoint(out / "checkpoint.pt", state if changed is None else changed)
    train(settings, people, out, cache, "cpu", resume=True)


TOP = ("settings", "people", "trainer", "log", "best", "minutes", "loss", "window")
TRAINER = ("network", "loss", "optimizer", "ema", "distillation", "step")


def put(value: Any, *path: str) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        for key in path[:-1]:
            state = state[key]
        state[path[-1]] = value

    return change


def drop(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        for key in path[:-1]:
            state = state[key]
        del state[path[-1]]

    return change


DAMAGE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a list": lambda state: [state],
    "a tensor": lambda state: torch.zeros(3),
    "empty": lambda state: {},
    **{f"no {key}": drop(key) for key in TOP},
    **{f"{key} of another type": put(5j, key) for key in TOP},
    **{f"{key} is none": put(None, key) for key in TOP if key != "best"},
    **{f"no trainer's {key}": drop("trainer", key) for key in TRAINER if key != "distillation"},
    **{f"trainer's {key} of another type": put("much", "trainer", key) for key in TRAINER if key != "distillation"},
    "an unknown setting": put(0.5, "settings", "mixed"),
    "a setting missing": drop("settings", "ema"),
    "a setting of another type": put("much", "settings", "alpha"),
    "augmentation of another type": put([1, 2], "settings", "augmentation"),
    "a count of people missing": drop("people", "training_photographs"),
    "a parameter missing": drop("trainer", "network", "dense.weight"),
    "a parameter of another shape": put(torch.zeros(2, 2), "trainer", "network", "dense.weight"),
    "an unknown parameter": put(torch.zeros(2), "trainer", "ema", "more"),
    "an optimizer without groups": put([], "trainer", "optimizer", "param_groups"),
    "rows of the log that are none": put([1, 2], "log"),
    "a best without its network": drop("best", "network"),
    "a best without its score": drop("best", "score"),
    "a best score that is no number": put("much", "best", "score"),
    "losses that are no numbers": put([("much", None)], "window"),
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_refused_with_the_remedy(
    damage: str, stopped: tuple[TrainingSettings, Path], people: Path, cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"checkpoint.*--resume") as refusal:
        resume_with(DAMAGE[damage], stopped, people, cache, tmp_path / "out")
    assert str(tmp_path / "out" / "checkpoint.pt") in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.slow
def test_every_flipped_bit_of_a_checkpoint_is_refused(stopped: tuple[TrainingSettings, Path], tmp_path: Path) -> None:
    data, path = bytearray(stopped[1].read_bytes()), tmp_path / "checkpoint.pt"
    draw = np.random.default_rng(0)
    for position, bit in zip(draw.integers(len(data), size=200), draw.integers(8, size=200), strict=True):
        data[position] ^= 1 << bit
        path.write_bytes(data)
        with pytest.raises(DataError, match="not a whole checkpoint"):
            load_checkpoint(path, torch.device("cpu"))
        data[position] ^= 1 << bit


@pytest.mark.slow
def test_a_whole_checkpoint_is_resumed(
    stopped: tuple[TrainingSettings, Path], people: Path, cache: Path, tmp_path: Path
) -> None:
    resume_with(lambda state: None, stopped, people, cache, tmp_path / "out")
    assert (tmp_path / "out" / "weights.safetensors").exists()


def test_the_bound_of_alpha_is_told_and_a_lower_alpha_warned_of(people: Path, cache: Path, tmp_path: Path) -> None:
    recorder = Recorder()
    train(replace(SETTINGS, epochs=1, alpha=1.0), people, tmp_path / "out", cache, "cpu", callback=recorder)
    count = 8 - held_out_of(tmp_path / "out")
    bound = math.log(0.9 * (count - 2) / 0.1)
    assert any(f"{bound:.2f}" in line and f"C = {count}" in line for line in recorder.said)
    assert any(line.startswith("warning: alpha 1 lies below") for line in recorder.said)


@pytest.mark.slow
def test_a_learned_alpha_starts_at_four_and_moves(people: Path, cache: Path, tmp_path: Path) -> None:
    recorder = Recorder()
    settings = replace(SETTINGS, alpha=4.0, alpha_learned=True)
    train(settings, people, tmp_path / "out", cache, "cpu", callback=recorder)
    assert recorder.seen[-1].alpha != 4.0
    loss = load_weights(tmp_path / "out" / "weights.safetensors")[0].loss
    assert loss["learned"] is True
    assert loss["alpha"] == pytest.approx(recorder.seen[-1].alpha)


@pytest.mark.slow
def test_the_picture_shows_the_course_of_a_learned_alpha_only(people: Path, cache: Path, tmp_path: Path) -> None:
    for learned in (False, True):
        settings = replace(SETTINGS, alpha_learned=learned, epochs=2)
        train(settings, people, tmp_path / str(learned), cache, "cpu")
        picture = (tmp_path / str(learned) / "training.svg").read_text()
        assert ("<!-- alpha -->" in picture) == learned
        assert "<!-- loss -->" in picture
        assert training_curve(tmp_path / str(learned) / "log.csv") == picture


@pytest.mark.slow
def test_alpha_is_kept_at_the_bound_that_was_asked_for(people: Path, cache: Path, tmp_path: Path) -> None:
    """A weight decay of 10 would take alpha to nothing."""
    recorder = Recorder()
    settings = replace(SETTINGS, alpha=4.0, alpha_learned=True, alpha_bound=0.99, alpha_decay=10.0)
    train(settings, people, tmp_path / "out", cache, "cpu", callback=recorder)
    bound = math.log(99 * (8 - held_out_of(tmp_path / "out") - 2))
    assert [seen.alpha for seen in recorder.seen] == pytest.approx([bound] * len(recorder.seen), rel=1e-6)
    assert any(line.startswith(f"alpha learned from {bound:.4g}; lower bound for C = ") for line in recorder.said)
    loss = load_weights(tmp_path / "out" / "weights.safetensors")[0].loss
    assert loss == {"name": "l2-softmax", "alpha": pytest.approx(bound), "learned": True, "alpha_bound": 0.99}


def test_center_loss_is_built_as_asked_for() -> None:
    for name, base in (("center", Softmax), ("l2-center", L2Softmax)):
        _, loss = with_loss(name, center_rate=0.3).build(5)
        assert isinstance(loss, CenterLoss) and type(loss.base) is base
        assert (loss.weight, loss.rate) == (0.05, 0.3)


@pytest.mark.slow
def test_weights_trained_with_center_loss_say_so(people: Path, cache: Path, tmp_path: Path) -> None:
    centers = {"center_weight": 0.05, "center_rate": 0.5}
    for loss, alpha in (("center", {}), ("l2-center", {"alpha": 16.0, "learned": False})):
        recorder = Recorder()
        train(with_loss(loss, epochs=1), people, tmp_path / loss, cache, "cpu", callback=recorder)
        assert load_weights(tmp_path / loss / "weights.safetensors")[0].loss == {"name": loss, **alpha, **centers}
        assert any("lower bound" in line for line in recorder.said) == (loss == "l2-center")


def noise(people: int = 4, shots: int = 2) -> CropSet:
    """Crops of noise, two of each of four people."""
    alignment = ALIGNMENTS[SETTINGS.alignment]
    count = people * shots
    pixels = np.random.default_rng(0).integers(0, 256, (count, alignment.height, alignment.width, 3), np.uint8)
    names = [f"person_{i // shots}" for i in range(count)]
    return CropSet(pixels, np.arange(count), names, [f"{i}.png" for i in range(count)], alignment, 0, [])


def test_a_learned_alpha_has_its_own_weight_decay_by_hand() -> None:
    """One step of plain SGD: alpha - rate · (gradient + decay · alpha). Without its own, the common decay counts."""
    plain = replace(SETTINGS, momentum=0.0, warmup=0.0, alpha=4.0, alpha_learned=True, weight_decay=0.01)
    ends, others = [], []
    for own, decay in ((None, 0.01), (0.0, 0.0), (0.1, 0.1)):
        trainer = Trainer(replace(plain, alpha_decay=own), noise(), torch.device("cpu"))
        trainer.train_step(0.0)
        gradient = dict(trainer.loss.named_parameters())["alpha"].grad
        assert gradient is not None
        assert trainer.loss.alpha_value == pytest.approx(4.0 - 0.05 * (gradient.item() + decay * 4.0), rel=1e-6)
        ends.append(trainer.loss.alpha_value)
        others.append(trainer.loss.classifier.weight.detach())
    assert ends[1] - ends[2] == pytest.approx(0.05 * 0.1 * 4.0, rel=1e-4)
    assert torch.equal(others[0], others[1]) and torch.equal(others[1], others[2])


@pytest.mark.slow
def test_a_training_by_the_clock_ends_in_time(people: Path, cache: Path, tmp_path: Path) -> None:
    result = train(replace(SETTINGS, epochs=None, minutes=0.03), people, tmp_path / "out", cache, "cpu")
    assert 0.03 <= result.minutes < 0.3
    assert result.steps > 1


def test_without_held_out_people_the_last_weights_are_exported(people: Path, cache: Path, tmp_path: Path) -> None:
    result = train(replace(SETTINGS, held_out=0.0, epochs=1), people, tmp_path / "out", cache, "cpu")
    assert result.validation_accuracy is None
    assert result.weights.exists()


def test_a_training_that_diverges_ends_with_the_remedy(people: Path, cache: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, learning_rate=1e30, warmup=0.0, loss="softmax", epochs=20)
    with pytest.raises(Diverged, match="--learning-rate"):
        train(settings, people, tmp_path / "out", cache, "cpu")


def test_too_few_people_are_refused(people: Path, cache: Path, tmp_path: Path) -> None:
    for name in ("person_1", "person_2"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for path in (people / name).iterdir():
            (tmp_path / "data" / name / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="at least 3"):
        train(SETTINGS, tmp_path / "data", tmp_path / "out", cache, "cpu")


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": None},
        {"minutes": 1.0},
        {"epochs": 0},
        {"loss": "triplet"},
        {"precision": "int4"},
        {"alignment": "none"},
        {"batch_size": 1},
        {"alpha": 0.0},
        {"held_out": 1.0},
        {"learning_rate": 0.0},
        {"alpha_bound": 0.9},
        {"alpha_decay": 0.0},
        {"alpha_bound": 0.9, "alpha_learned": True, "loss": "softmax"},
        {"alpha_decay": 0.0, "alpha_learned": True, "loss": "center"},
        {"alpha_bound": 1.0, "alpha_learned": True},
        {"alpha_decay": -0.1, "alpha_learned": True},
        {"center_weight": 0.1},
        {"center_weight": -0.1, "loss": "center"},
        {"center_rate": 0.0, "loss": "l2-center"},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        replace(SETTINGS, **wrong)


@pytest.mark.parametrize("loss", LOSSES)
def test_settings_survive_json(loss: str) -> None:
    settings = with_loss(loss)
    if settings.has_alpha:
        settings = replace(settings, alpha_learned=True, alpha_bound=0.9, alpha_decay=0.0)
    assert TrainingSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


def test_a_record_older_than_center_loss_has_its_defaults() -> None:
    record = SETTINGS.to_json()
    for name in ("alpha_bound", "alpha_decay", "center_weight", "center_rate"):
        del record[name]
    assert TrainingSettings.from_json(record) == SETTINGS


def test_the_command_hands_its_options_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: list[TrainingSettings] = []

    def remember(settings: TrainingSettings, *_: Any) -> None:
        given.append(settings)
        raise FaceverError("enough")

    monkeypatch.setattr("facever.training.train", remember)
    more = {"alpha_decay": 0.0, "center_weight": 0.01, "center_rate": 0.3}
    assignments = [f"{key}={value}" for key, value in more.items()]
    with pytest.raises(FaceverError, match="enough"):
        train_command(tmp_path, loss="l2-center", alpha="learned", alpha_bound=0.95, set_=assignments)
    expected = {"loss": "l2-center", "alpha": 4.0, "alpha_learned": True, "alpha_bound": 0.95, **more}
    assert expected.items() <= given[0].to_json().items()
    with pytest.raises(FaceverError, match="enough"):
        train_command(tmp_path, recipe="face-resnet", epochs=2, seed=3, set_=["augmentation.cut=0.5", "seed=4"])
    recipe = make_settings("face-resnet")
    augmentation = replace(recipe.augmentation, cut=0.5)
    assert given[1] == replace(recipe, epochs=2, minutes=None, seed=3, augmentation=augmentation)
    with pytest.raises(SettingError, match="alpha_bound is for a learned alpha, and alpha is fixed at 16"):
        train_command(tmp_path, alpha_bound=0.9)
    with pytest.raises(SettingError, match="--alpha: alpha is a number or 'learned', not 'big'"):
        train_command(tmp_path, alpha="big")


def test_the_learning_rate_rises_and_falls_as_a_cosine() -> None:
    settings = replace(SETTINGS, learning_rate=0.2, warmup=0.1)
    # Half of the way up; the top; half of the cosine; the end.
    rates = [settings.learning_rate_at(share) for share in (0.05, 0.1, 0.55, 1.0)]
    assert rates == pytest.approx([0.1, 0.2, 0.1, 0.0])


@pytest.mark.slow
def test_trained_on_with_the_same_photographs_the_weights_name_them_once(
    finished: tuple[Path, Recorder], people: Path, cache: Path, tmp_path: Path
) -> None:
    first = load_weights(finished[0] / "weights.safetensors")[0]
    on = replace(SETTINGS, init=str(finished[0] / "weights.safetensors"), epochs=1)
    train(on, people, tmp_path / "same", cache, "cpu")
    train(replace(on, terms="other terms"), people, tmp_path / "other", cache, "cpu")
    same, other = (load_weights(tmp_path / name / "weights.safetensors")[0] for name in ("same", "other"))
    assert (same.training_data, same.credit) == (first.training_data, "trained with facever")
    assert [data["terms"] for data in other.training_data] == ["not stated", "other terms"]


@pytest.mark.slow
def test_arguments_of_the_exported_network_may_differ(people: Path, cache: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, epochs=1, export_arguments={"dropout": 0.0})
    train(settings, people, tmp_path / "out", cache, "cpu")
    info, network = load_weights(tmp_path / "out" / "weights.safetensors")
    assert info.network_arguments["dropout"] == 0.0
    assert info.settings["network_arguments"]["dropout"] == 0.1
    assert network.embedding_size == 16


@pytest.mark.slow
def test_the_last_network_is_kept_where_it_was_asked_for(people: Path, cache: Path, tmp_path: Path) -> None:
    """Validated after every epoch, as the best is; what is exported is the state after the last step."""
    settings = replace(SETTINGS, keep="last", epochs=4)
    train(settings, people, tmp_path / "out", cache, "cpu")
    trained = parameters(tmp_path / "out")
    with pytest.raises(Interrupted):
        train(settings, people, tmp_path / "stopped", cache, "cpu", callback=Recorder(stop_after=4))
    state = load_checkpoint(tmp_path / "stopped" / "checkpoint.pt", torch.device("cpu"))
    saved = state["trainer"]["network"]
    for name, tensor in trained.items():
        assert torch.allclose(tensor, saved[name].to(tensor.dtype), atol=1e-3), name


@pytest.mark.slow
def test_the_sources_that_the_data_folder_names_reach_crops_of_both_sides(people: Path, tmp_path: Path) -> None:
    data, names = tmp_path / "data", [f"person_{i}" for i in range(8)]
    for name in names:
        (data / name).mkdir(parents=True)
        for shot in ("0.png", "1.png"):
            shutil.copy(people / name / shot, data / name / shot)

    def prepared(**changes: Any) -> TrainingData:
        settings = replace(SETTINGS, **changes)
        return prepare(settings, data, tmp_path / "cache", torch.device("cpu"), 1, Callback())

    def sources_of(data: TrainingData) -> dict[str, str]:
        sides = (data.training, data.held_out)
        return {name: s for side in sides for name, s in zip(side.identities, side.row_sources(), strict=True)}

    assert sources_of(prepared()) == dict.fromkeys(names, "")
    assert sources_of(prepared(sources="(?P<source>[^_]+)_")) == dict.fromkeys(names, "person")
    named = {name: "ab"[i % 2] for i, name in enumerate(names)}
    (data / "sources.csv").write_text("\n".join(["identity,source", *map(",".join, named.items())]))
    assert sources_of(prepared()) == named
    (data / "sources.csv").write_text("identity,source\nperson_0,a\n")
    with pytest.raises(DataError, match="names no source for 7 identities, the first: person_1"):
        prepared()


@pytest.mark.slow
def test_validation_and_record_are_told_by_source(people: Path, cache: Path, tmp_path: Path) -> None:
    for pattern, source in (("", ""), ("(?P<source>person)_", "person")):
        recorder, out = Recorder(), tmp_path / f"of {source}"
        train(replace(SETTINGS, sources=pattern, epochs=1), people, out, cache, "cpu", callback=recorder)
        (validation,) = recorder.validations
        assert (validation.tar, validation.far) == (None, None)  # 16 pairs of strangers support no rate
        assert validation.score == validation.accuracy
        assert json.loads((out / "training.json").read_text())["held_out"].keys() == {source}
        with (out / "log.csv").open() as file:
            assert float(list(csv.DictReader(file))[-1]["validation_score"]) == pytest.approx(
                validation.score, abs=1e-6
            )


def test_validation_of_perfectly_parted_people_is_perfect_and_of_one_person_not_possible() -> None:
    embeddings = np.repeat(np.eye(4, dtype=np.float32), 5, axis=0)
    names = [name for name in "abcd" for _ in range(5)]
    validation = validate(embeddings, names, [""] * 20, 0)
    assert validation is not None
    assert (validation.accuracy, validation.tar, validation.far) == (1.0, 1.0, 0.07)  # 150 pairs of strangers
    assert (validation.tar_by_source, validation.score) == ({"": 1.0}, 1.0)
    assert validate(embeddings[:5], names[:5], [""] * 5, 0) is None
