"""Recipes: the shipped ones train and are what their weights were made with; files and assignments of one's own."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facever.datasets.sources import sources_by_pattern
from facever.errors import DataError, SettingError
from facever.training import TrainingSettings, make_settings, parse_assignments, train
from facever.training.crops import CropSet
from facever.training.data import MARGIN, TrainingData
from facever.training.distillation.mixup import draw_mixup_pairs
from facever.training.distillation.teacher import initial_embeddings, teacher_embeddings
from facever.training.recipes import MINUTES, find_recipe, merged, read_recipe, shipped_recipes
from facever.weights.alignment import ALIGNMENTS
from facever.weights.file import load_weights, read_info
from facever.weights.shipped import shipped_weights

# The second part of `face-resnet`, as its recipe tells: what the shipped weights come from.
THIRD_PART = {
    "init": "runs/second/weights.safetensors",
    "minutes": 3.75,
    "learning_rate": 0.3,
    "progressive_resizing": 0,
    "batch_size": 256,
    "mixup": 0,
    "compile": False,
}


def noise(names: list[str], alignment: str, sources: str) -> CropSet:
    a = ALIGNMENTS[alignment]
    shape = (len(names), a.height + 2 * MARGIN, a.width + 2 * MARGIN, 3)
    pixels = np.random.default_rng(len(names)).integers(0, 256, shape, np.uint8)
    paths = [f"{name}/{i}.png" for i, name in enumerate(names)]
    named = sources_by_pattern(names, sources)
    return CropSet(pixels, np.arange(len(names)), names, paths, a, MARGIN, [], named)


def data_of_noise(
    settings: TrainingSettings, data: Path, cache: Path, device: torch.device, *_: object
) -> TrainingData:
    """In place of `prepare`: four crops of three people of both sources, and four of two who are held out."""
    names = ["celeba_1", "celeba_1", "kin_F0001_MID1", "kin_F0002_MID1"]
    training = noise(names, settings.alignment, settings.sources)
    held_out = noise(["celeba_2"] * 2 + ["celeba_3"] * 2, settings.alignment, settings.sources)
    pairs = (
        draw_mixup_pairs(names, training.row_sources(), settings.seed, settings.mixup_pairs) if settings.mixup else None
    )
    targets = None
    if settings.teacher:
        shown = noise(names, read_info(settings.teacher).alignment.name, settings.sources)
        targets = teacher_embeddings(settings.teacher, shown, cache, device, mixup_pairs=pairs)
    initial = None
    if settings.init:
        initial = initial_embeddings(settings.init, training, cache, device)
    return TrainingData(data.name, training, held_out, targets, initial=initial, mixup_pairs=pairs)


def test_a_recipe_is_shipped_for_all_weights_trained_here_and_for_the_first_default() -> None:
    assert shipped_recipes() == ["default", "dlib-twin", "face-resnet", "scratch"]


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped_recipes())
def test_two_steps_of_every_shipped_recipe_give_weights(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facever.training.run.prepare", data_of_noise)
    cheap = {"epochs": 1, "batch_size": 2, "compile": False, "precision": "fp32"}
    settings = make_settings(name, cheap, {"learning_rate": 1e-3})  # the recipe's is too high for so small a batch
    result = train(settings, tmp_path / "people", tmp_path / "out", tmp_path / "cache", "cpu")
    assert (result.steps, result.epochs) == (2, 1)
    assert math.isfinite(result.loss)
    info, network = load_weights(result.weights)
    assert TrainingSettings.from_json(info.settings) == settings
    assert settings.export_arguments.items() <= info.network_arguments.items()
    assert network.embedding_size == 192 if name == "default" else 256


def settings_of_training(name: str) -> dict[str, Any]:
    if name in shipped_weights():
        return read_info(name).settings
    record = Path(__file__).parents[2] / "records" / name / "training.json"
    settings: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))["settings"]
    return settings


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_recipe_holds_the_settings_of_the_weights_of_its_name(name: str) -> None:
    stored = settings_of_training(name)
    recipe = make_settings(name, THIRD_PART if name == "face-resnet" else {}).to_json()
    common = recipe.keys() & stored.keys()
    assert stored.keys() == common
    common -= {"precision"}  # the machine's
    if name == "face-resnet":
        common -= {"terms", "license"}  # written into its weights' metadata after the training
    plain = TrainingSettings(epochs=1).to_json()
    stored["augmentation"] = {**plain["augmentation"], **stored["augmentation"]}
    assert {key: recipe[key] for key in common} == {key: stored[key] for key in common}
    # What is newer than the weights has no effect.
    new = recipe.keys() - stored.keys()
    assert {key: recipe[key] for key in new} == {key: plain[key] for key in new}
    assert read_recipe(find_recipe(name)).keys() <= recipe.keys()


def test_without_a_recipe_settings_are_the_defaults_for_half_an_hour() -> None:
    assert make_settings() == TrainingSettings(minutes=MINUTES) == TrainingSettings(minutes=30.0)


@pytest.mark.slow
def test_a_length_replaces_the_recipes_and_later_changes_go_before_earlier_ones() -> None:
    assert (make_settings("scratch").epochs, make_settings("scratch").minutes) == (None, 44)
    changed = make_settings("scratch", {"epochs": 3, "ema": 0.5}, {"ema": 0.7, "augmentation": {"shift": 1.5}})
    assert (changed.epochs, changed.minutes, changed.ema) == (3, None, 0.7)
    assert changed == replace(
        make_settings("scratch"),
        epochs=3,
        minutes=None,
        ema=0.7,
        augmentation=replace(make_settings("scratch").augmentation, shift=1.5),
    )
    assert (make_settings(None, {"epochs": 3}, {"minutes": 2.0}).epochs) is None
    with pytest.raises(SettingError, match="give either epochs or minutes"):
        make_settings(None, {"epochs": 3, "minutes": 2.0})


def test_tables_are_merged_key_by_key_and_values_replaced() -> None:
    values = {"a": {"x": 1, "y": {"z": 2}}, "b": [1, 2], "c": 3}
    assert merged(values, {"a": {"y": {"w": 4}}, "b": [5]}) == {"a": {"x": 1, "y": {"z": 2, "w": 4}}, "b": [5], "c": 3}
    assert values == {"a": {"x": 1, "y": {"z": 2}}, "b": [1, 2], "c": 3}
    assert merged({"a": {"x": 1}}, {"a": 2}) == {"a": 2}


# ---- assignments ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        ([], {}),
        (["ema=0.998"], {"ema": 0.998}),
        (["ema = 0.998 "], {"ema": 0.998}),
        (["batch_size=64", "batch_size=32"], {"batch_size": 32}),
        (["compile=false", "clip=1"], {"compile": False, "clip": 1}),
        (["augmentation.shift=6", "augmentation.cut=0.1"], {"augmentation": {"shift": 6, "cut": 0.1}}),
        (['anchor."celeba_*"=12', "anchor.'kin_*'=1.2"], {"anchor": {"celeba_*": 12, "kin_*": 1.2}}),
        (["freeze=['stem*']"], {"freeze": ["stem*"]}),
        (["network_arguments={widths = [8], stem = 4}"], {"network_arguments": {"widths": [8], "stem": 4}}),
        (["optimizer=adamw", "loss='softmax'"], {"optimizer": "adamw", "loss": "softmax"}),
        (["sources=(?P<source>[^_]+)_", "sampling=even"], {"sources": "(?P<source>[^_]+)_", "sampling": "even"}),
        (['terms=non-commercial; ask "us" = me, C:\\x'], {"terms": 'non-commercial; ask "us" = me, C:\\x'}),
        (["terms=für 1 Jahr 😀"], {"terms": "für 1 Jahr 😀"}),
        (["sources="], {"sources": ""}),
        (["init=./mine.safetensors"], {"init": "./mine.safetensors"}),
    ],
)
def test_assignments_are_nested_settings(texts: list[str], values: dict[str, Any]) -> None:
    assert parse_assignments(texts) == values


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ema", "--set takes KEY=VALUE, such as ema=0.998, not 'ema'"),
        ("", "--set takes KEY=VALUE"),
        ("=1", "--set =1: not KEY=VALUE"),
        ("label smoothing=1", "--set label smoothing=1: not KEY=VALUE"),
        ("anchor.celeba_*=12", r'quote special keys, as in anchor\."a_\*"=2'),
        ("augmentation..shift=1", "not KEY=VALUE"),
    ],
)
def test_what_is_no_assignment_is_refused(text: str, told: str) -> None:
    with pytest.raises(SettingError, match=told):
        parse_assignments(["ema=0.9", text])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("emma=1", r"there is no setting emma; did you mean ema\?"),
        ("learning-rate=1", r"there is no setting learning-rate; did you mean learning_rate\?"),
        ("augmentation.shft=1", r"there is no setting augmentation\.shft; did you mean augmentation\.shift\?"),
        ("xyz=1", "there is no setting xyz; known are network, network_arguments, "),
        ("network_arguments.dropuot=0.1", "takes no argument 'dropuot'"),
    ],
)
def test_an_unknown_setting_names_the_nearest_known_one(text: str, told: str) -> None:
    with pytest.raises(SettingError, match=told):
        make_settings(None, parse_assignments([text]))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("batch_size=many", "batch_size is an integer, not 'many'"),
        ("batch_size=1.5", r"batch_size is an integer, not 1\.5"),
        ("ema=true", "ema is a number, not True"),
        ("clip=none", "clip is a number, not 'none'"),
        ("compile=1", "compile is true or false, not 1"),
        ("loss=triplet", "loss is one of l2-softmax, softmax, center, l2-center, not 'triplet'"),
        ("precision=int4", "precision is one of auto, bf16, fp32, not 'int4'"),
        ("keep=[1]", r"keep is one of best, last, not \[1\]"),
        ("init=3", "init is text, not 3"),
        ("freeze=stem*", r"freeze is a list, each text, not 'stem\*'"),
        ("freeze=[1]", "freeze is a list, each text"),
        ("anchor=celeba", "anchor is a table, each value a number, not 'celeba'"),
        ("anchor.a=x", "anchor is a table, each value a number"),
        ("network_arguments=3", "network_arguments is a table, not 3"),
        ("augmentation=3", "augmentation is a table of settings, not 3"),
        ("augmentation.shift=far", r"augmentation\.shift is a number, not 'far'"),
        ("augmentation.mirror=0", r"augmentation\.mirror is true or false, not 0"),
        ("network_arguments.embedding_size=big", "these settings don't work"),
        (f"network_arguments.embedding_size={10**13}", "these settings don't work: .*memory"),
        (f"network_arguments.embedding_size={10**20}", "these settings don't work: [^\n]{1,120}$"),
        ("alignment=nowhere", "alignment is one of .*, tight-64x56, not 'nowhere'"),
        ("network=resnet50", "no network 'resnet50'"),
        ("held_out=2", r"held_out is in \[0, 1\), not 2"),
        ("sources=(", "sources is no regular expression"),
    ],
)
def test_a_value_of_another_type_or_out_of_range_is_refused_by_name(text: str, told: str) -> None:
    with pytest.raises(SettingError, match=told):
        make_settings(None, parse_assignments([text]))


def test_whole_numbers_are_numbers() -> None:
    settings = make_settings(None, parse_assignments(["alpha=32", "minutes=2", "augmentation.shift=6"]))
    assert (settings.alpha, settings.minutes, settings.augmentation.shift) == (32, 2, 6)


# ---- files of one's own --------------------------------------------------------------------------


@pytest.mark.slow
def test_a_recipe_by_path_has_its_drop_list_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.toml").write_text('ema = 0.9\ndrop_list = "out.txt"\n[augmentation]\nshift = 2\n')
    (tmp_path / "mine" / "out.txt").write_text("# doubles\nAnn_Smith  # Ann_Jones again\nBob/001.jpg\n\nAnn_Smith/\n")
    (tmp_path / "out.txt").write_text("somebody else\n")
    expected = TrainingSettings(minutes=30.0, ema=0.9, dropped=["Ann_Smith", "Bob/001.jpg"])
    expected = replace(expected, augmentation=replace(expected.augmentation, shift=2))
    assert make_settings(str(tmp_path / "mine" / "mine.toml")) == expected
    monkeypatch.chdir(tmp_path)
    assert make_settings("mine/mine.toml") == expected
    # An option's list is where the user stands, and replaces the recipe's.
    assert make_settings("mine/mine.toml", {"drop_list": "out.txt"}).dropped == ["somebody else"]


@pytest.mark.slow
def test_shipped_recipes_drop_what_their_list_names() -> None:
    dropped = make_settings("scratch").dropped
    assert dropped == make_settings("face-resnet").dropped == sorted(dropped)
    assert "kin_F0495_MID1" in dropped and "kin_F0099_MID1/018.jpg" in dropped
    assert make_settings("default").dropped == []


def test_a_name_goes_before_a_file_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scratch").write_text("ema = 0.1")
    assert make_settings("scratch").ema == 0.998
    assert make_settings("./scratch").ema == 0.1


@pytest.mark.parametrize("name", ["mine", "mine.toml", "", "."])
def test_there_is_no_such_recipe(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=rf"no recipe '{name}'.*\(default, dlib-twin, face-resnet, scratch\)"):
        find_recipe(name)


@pytest.mark.parametrize("content", [b"ema: 0.9", b"ema = ", b"\xff\xfe", b"ema = 1\nema = 2"])
def test_a_broken_recipe_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"mine\.toml: no recipe \(.*\); write settings as TOML"):
        make_settings(str(path))


@pytest.mark.parametrize("named", ["gone.txt", "."])
def test_a_drop_list_that_can_not_be_read_is_refused_by_name(named: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'drop_list = "{named}"')
    with pytest.raises(DataError, match="can't be read as a list of names") as refusal:
        make_settings(str(path))
    assert str(tmp_path / named) in str(refusal.value)


def test_a_setting_that_does_not_work_in_a_recipe_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("emma = 0.9")
    with pytest.raises(SettingError, match=r"there is no setting emma; did you mean ema\?"):
        make_settings(str(path))
