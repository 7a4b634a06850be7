from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import facever

from facever.errors import DataError
from facever.networks import build_network
from facever.reports.card import multiply_adds, write_card
from facever.weights.alignment import TIGHT_64X56
from facever.weights.file import save_weights
from facever.weights.metadata import WeightsInfo
from facever.weights.onnx_import import Preparation, read_onnx
from facever.weights.records import Normalization
from facever.weights.thresholds import Threshold

ARGUMENTS = {"widths": [8], "depths": [0], "stem": 4, "embedding_size": 6, "input_size": [64, 56]}
ABOUT = """
license_tag = "other"
datasets = ["white-noise", "snow"]
summary = "For trying."
intended = "Trying."
unfit = "All else."
data = "Noise."
figures = "Measured once."
limits = ["It knows <nobody>.", "One seed."]
command = "facever train noise/"
training = "SGD."
"""
HELD_OUT = {
    "a": {"people": 2, "photographs": 9, "genuine": 16, "relatives": 0, "strangers": 20, "tar": {"0.01": 0.5}},
    "b": {
        **{"people": 3, "photographs": 8, "genuine": 7, "relatives": 4, "strangers": 17, "tar": {"0.01": 0.25}},
        **{"threshold": 0.4, "far_at_threshold": 0.002, "far_of_relatives": 0.03, "tar_at_threshold": 0.6},
    },
}


VIEWS = [
    {"view": "the crop", "passes": 1, "tar": {"a": 0.5, "b": 0.25}},
    {"view": "the crop and its mirror image", "passes": 2, "tar": {"a": 0.5625, "b": 0.2875}},
]


@pytest.fixture
def made(tmp_path: Path) -> dict[str, Path]:
    """A weights file, the folder of its training, a result of eval-lfw, and a person's words."""
    data = [{"name": "noise", "photographs": 1234, "identities": 56, "terms": "free"}]
    loss = {"name": "l2-softmax", "alpha": 16.0, "learned": False}
    network = build_network("face_resnet_slim", **ARGUMENTS)
    info = WeightsInfo(
        "tiny", "face_resnet_slim", ARGUMENTS, TIGHT_64X56, Normalization(), True, loss, data, "CC0", "someone", 7
    )
    info.thresholds.append(Threshold(0.001, 0.4321, "5 people of noise", 1000, 0.75, (0.41, 0.45)))
    save_weights(tmp_path / "tiny.safetensors", info, network)
    run = tmp_path / "run"
    run.mkdir()
    result = {"minutes": 12.4, "epochs": 3, "steps": 4567}
    (run / "training.json").write_text(json.dumps({"result": result, "cpus": 2, "processes": 2, "held_out": HELD_OUT}))
    log = "minutes,loss,alpha,validation_score\n1,5.0,16.0,\n2,4.0,16.0,0.3\n3,3.5,16.0,0.4\n"
    (run / "log.csv").write_text(log)
    lfw = {
        **{"accuracy": 0.9712, "accuracy_standard_error": 0.0021, "auc": 0.99, "eer": 0.03, "images": 7701},
        **{"images_without_face": 1, "fold_accuracies": [0.97], "tar_at_far": {"0.01": 0.9, "0.001": None}},
        "intervals": {"accuracy": [0.966, 0.976], "0.01": [0.88, 0.92]},
        "stored_thresholds": [{"far": 0.001, "measured_far": 0.0007, "measured_tar": 0.8}],
        "settings": {"precision": "bf16"},
    }
    (tmp_path / "lfw.json").write_text(json.dumps(lfw))
    (tmp_path / "about.toml").write_text(ABOUT)
    return {name: tmp_path / name for name in ("tiny.safetensors", "run", "lfw.json", "about.toml", "card.md")}


def card_of(made: dict[str, Path]) -> str:
    write_card(made["card.md"], made["tiny.safetensors"], made["about.toml"], made["run"], [made["lfw.json"]])
    return made["card.md"].read_text()


def test_a_card_tells_what_the_records_hold(made: dict[str, Path]) -> None:
    text = card_of(made)
    for part in (
        "# `tiny`",
        "alpha fixed at 16",
        "1,234 photographs of 56 people. Terms: free.",
        "12 minutes on 2 cores in 2 processes, 3 epochs, 4,567 steps; seed 7",
        "| accuracy, 10 folds | 97.12 ± 0.21 % (standard error of the mean) |",
        "| TAR at FAR 0.01 | 0.9000 (0.8800 to 0.9200) |",
        "| computed in | bfloat16 |",
        "| TAR at FAR 0.01 | 0.500 | 0.250 |",
        "| relatives accepted |  | 0.0300 |",
        "| 0.001 | 0.4321 | 0.4100 to 0.4500 | 0.750 | 0.0007, 0.800 |",
        "- It knows <nobody>.",
    ):
        assert part in text, part
    assert "0.001 | None" not in text
    assert "![Training curve](card.svg)" in text
    assert made["card.md"].with_suffix(".svg").read_text().startswith("<?xml")


@pytest.mark.slow
def test_a_card_begins_with_the_front_matter_of_a_model_hub(made: dict[str, Path]) -> None:
    _, front, body = card_of(made).split("---\n", 2)
    assert front.splitlines() == [
        "license: other",
        'license_name: "CC0"',
        "library_name: facever",
        "pipeline_tag: image-feature-extraction",
        "tags: [face-verification, face-recognition, l2-softmax]",
        "datasets: [white-noise, snow]",
        "metrics: [accuracy, roc_auc, tar_at_far]",
    ]
    assert body.lstrip().startswith("# `tiny`")


def test_all_pairs_stand_beside_the_folds(made: dict[str, Path], tmp_path: Path) -> None:
    every = {
        **{"genuine_pairs": 8101, "impostor_pairs": 29640749, "tar_at_far": {"0.001": 0.94}},
        "tar_intervals": {"0.001": [0.93, 0.95]},
        "stored_thresholds": [{"far": 0.001, "measured_far": 0.00052, "measured_tar": 0.9}],
    }
    (tmp_path / "all.json").write_text(json.dumps(every))
    both = [made["lfw.json"], tmp_path / "all.json"]
    write_card(made["card.md"], made["tiny.safetensors"], made["about.toml"], made["run"], both)
    text = made["card.md"].read_text()
    assert "| pairs | 8,101 genuine, 29,640,749 impostor |" in text
    assert "| TAR at FAR 0.001 | 0.9400 (0.9300 to 0.9500) |" in text
    assert "| 0.001 | 0.4321 | 0.4100 to 0.4500 | 0.750 | 0.0007, 0.800 | 0.00052, 0.900 |" in text


def test_what_averaging_brings_and_costs_stands_beside_the_held_out_figures(made: dict[str, Path]) -> None:
    outside = made["run"] / "held_out.json"
    outside.write_text(json.dumps({"tiny": HELD_OUT, "views": {"tiny": VIEWS}}))
    write_card(made["card.md"], made["tiny.safetensors"], made["about.toml"], held_out=outside)
    lines = made["card.md"].read_text().splitlines()
    assert "| the crop and its mirror image | 2 | 0.562 | 0.287 | " in lines
    head = lines.index("| averaged over | passes | a | b | ")
    assert lines[head - 1] == "" and lines[head + 4] == "" and lines[head + 1].count("|") == lines[head].count("|")


def test_a_card_of_weights_that_were_not_trained_here_needs_no_training(made: dict[str, Path]) -> None:
    written = write_card(made["card.md"], made["tiny.safetensors"], made["about.toml"])
    text = made["card.md"].read_text()
    assert written == [made["card.md"]]
    assert "## Training\n" not in text and ".svg" not in text


@pytest.mark.slow
def test_every_table_row_has_as_many_cells_as_its_head(made: dict[str, Path]) -> None:
    head = 0
    for line in card_of(made).splitlines():
        if not line.startswith("|"):
            head = 0
            continue
        head = head or line.count("|")
        assert line.count("|") == head, line


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("about.toml", 'summary = "no more"', "lacks license_tag, datasets, intended"),
        ("about.toml", "not toml", "can't be read as TOML"),
        ("lfw.json", '{"a": 1}', "not a result of eval-lfw"),
        ("lfw.json", "[]", "not a record"),
        ("run/training.json", "{", "can't be read as JSON"),
        ("run/log.csv", "step\n1\n", "not the log of a training"),
    ],
)
def test_records_that_are_not_what_they_should_be_are_named(
    made: dict[str, Path], name: str, text: str, message: str
) -> None:
    path = made["card.md"].parent / name
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        card_of(made)
    assert str(path) in str(caught.value)


def test_multiply_adds_by_hand() -> None:
    # Stem 3x3x3x4 at 64x56, one strided 3x3x4x8 at 32x28, dense 8*32*28 x 6.
    assert multiply_adds(build_network("face_resnet_slim", **ARGUMENTS)) == (
        27 * 4 * 64 * 56 + 36 * 8 * 32 * 28 + 8 * 32 * 28 * 6
    )


def test_a_card_of_weights_from_onnx_counts_no_parameters(made: dict[str, Path]) -> None:
    models = pytest.importorskip("onnx_models")
    model = made["card.md"].with_name("mine.onnx")
    model.write_bytes(models.embedder().SerializeToString())
    info, network = read_onnx(model, "mine", Preparation("face-112x112", Normalization()))
    save_weights(made["tiny.safetensors"], info, network)
    text = card_of(made)
    assert "| network | `onnx`; 112×112 RGB in, 6 components out |" in text


def test_the_template_is_all_that_a_card_needs_and_what_is_missing_comes_with_an_example(made: dict[str, Path]) -> None:
    about = made["about.toml"]
    about.unlink()
    assert facever("card", "--template", about).out == f"{about}\n"
    assert "intended = " in about.read_text()
    again = facever("card", "--template", about)
    assert (again.code, "perhaps filled in" in again.err) == (2, True)
    arguments = ("card", made["tiny.safetensors"], "--about", about, "-o", made["card.md"], "--training", made["run"])
    assert facever(*arguments).code == 0
    assert "A slim Face-ResNet trained on photographs of our staff." in made["card.md"].read_text()
    about.write_text("".join(line + "\n" for line in about.read_text().splitlines() if not line.startswith("limits")))
    refused = facever(*arguments)
    assert refused.code == 2
    assert refused.err.splitlines() == [
        f"facever: {about}: lacks limits; a card needs a word on each, such as",
        'limits = ["Error rates by age, sex and origin are not measured.", "One seed."]',
    ]
    alone = facever("card", made["tiny.safetensors"])
    assert "give --about FILE, --out FILE; facever card --template about.toml writes" in " ".join(alone.err.split())
