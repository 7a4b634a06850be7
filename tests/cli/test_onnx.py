"""`facever export` and `facever import` of ONNX, and the commands that then take such weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx_models as models
import pytest
from command_line import facever, tinted_people
from onnx_models import D, embedder, helper
from PIL import Image

OPTIONS = ("--alignment", "face-112x112", "--normalization", "127.5,128")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "mine.onnx"
    path.write_bytes(embedder().SerializeToString())
    return path


@pytest.fixture
def weights(model: Path) -> Path:
    assert facever("import", model, *OPTIONS, "-o", model.with_name("w.safetensors")).code == 0
    return model.with_name("w.safetensors")


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory, portrait: Path) -> Path:
    path = tmp_path_factory.mktemp("face") / "face.png"
    Image.open(portrait).resize((171, 200)).save(path)
    return path


# --- export


@pytest.mark.slow
def test_export_prints_the_difference_from_torch_and_writes_where_it_is_told(tmp_path: Path) -> None:
    out = tmp_path / "below" / "m.onnx"
    outcome = facever("export", "mobilefacenet", "-o", out)
    assert (outcome.code, outcome.err) == (0, "")
    name, told = outcome.out.rstrip("\n").split("\t")
    assert name == str(out)
    assert told.startswith("greatest difference from torch ")
    assert 0 < float(told.split()[-1]) < 1e-4
    assert out.read_bytes()[:1] == b"\x08"
    again = facever("export", "mobilefacenet", "-o", out, "--json").json
    (file,) = again["files"]
    assert file["file"] == str(out) and 0 < file["greatest_difference"] < 1e-4


@pytest.mark.slow
def test_export_of_the_detector_writes_three_files(tmp_path: Path) -> None:
    outcome = facever("export", "--detector", "-o", tmp_path / "detector", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    names = ["pnet.onnx", "rnet.onnx", "onet.onnx"]
    assert [Path(each["file"]).name for each in outcome.json["files"]] == names
    assert sorted(path.name for path in (tmp_path / "detector").iterdir()) == sorted(names)


def test_export_writes_onto_no_file_of_another_kind_without_force(tmp_path: Path) -> None:
    notes = tmp_path / "notes.onnx"
    notes.write_text("mine")
    outcome = facever("export", "scratch", "-o", notes)
    assert outcome.code == 2
    assert "notes.onnx is there, and is not an ONNX file" in outcome.err
    (tmp_path / "onet.onnx").write_text("mine")
    outcome = facever("export", "--detector", "-o", tmp_path)
    assert outcome.code == 2 and "onet.onnx is there" in outcome.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.onnx", "onet.onnx"]


def test_export_onto_the_weights_is_refused(weights: Path) -> None:
    outcome = facever("export", weights, "-o", weights, "--force")
    assert outcome.code == 2
    assert "is what is read here" in outcome.err


def test_weights_that_came_from_onnx_are_not_exported(weights: Path, tmp_path: Path) -> None:
    outcome = facever("export", weights, "-o", tmp_path / "again.onnx")
    assert (outcome.code, outcome.out) == (2, "")
    assert "its network came from ONNX" in outcome.err
    assert not (tmp_path / "again.onnx").exists()


def test_the_detector_has_no_weights(tmp_path: Path) -> None:
    outcome = facever("export", "default", "--detector", "-o", tmp_path / "d")
    assert (outcome.code, outcome.err) == (2, "facever: --detector has networks of its own; drop the weights\n")


# --- import


def test_import_writes_weights_with_all_that_was_said(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "w.safetensors"
    said = ["--name", "auraface", "--order", "bgr", "--no-mirror", "--license", "Apache-2.0", "--terms", "free"]
    means = ["--alignment", "face-112x112", "--normalization", "120,110,100,64"]
    outcome = facever("import", model, *means, *said, "-o", out)
    assert (outcome.code, outcome.out, outcome.err) == (0, f"{out}\n", "")
    told = facever("info", out, "--check", "--json").json
    assert (told["name"], told["network"], told["mirrored"]) == ("auraface", "onnx", False)
    assert told["network_arguments"]["order"] == "bgr"
    assert told["normalization"] == {"mean": [120, 110, 100], "scale": 64}
    assert (told["license"], told["training_data"][0]["terms"]) == ("Apache-2.0", "free")
    assert told["known_answer_cosine"] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "--alignment is needed: an ONNX file does not say how its input is prepared; for most"),
        (OPTIONS[:2], "--normalization is needed"),
        ([*OPTIONS[:3], "127.5"], "--normalization is MEAN,SCALE or R,G,B,SCALE, not '127.5'"),
        ([*OPTIONS[:3], "1,2,3"], "--normalization is MEAN,SCALE"),
        ([*OPTIONS[:3], "0,0"], "--normalization is MEAN,SCALE"),
        ([*OPTIONS[:3], "nan,1"], "--normalization is MEAN,SCALE"),
        (["--alignment", "wide", *OPTIONS[2:]], "--alignment is one of dlib-150x150"),
        ([*OPTIONS, "--order", "grb"], "--order is one of rgb, bgr, not 'grb'"),
    ],
)
def test_import_says_what_it_lacks(options: list[str], told: str, model: Path, tmp_path: Path) -> None:
    outcome = facever("import", model, *options, "-o", tmp_path / "w.safetensors")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"facever: {told}")
    assert not (tmp_path / "w.safetensors").exists()


def test_options_for_onnx_are_refused_for_other_files(tmp_path: Path) -> None:
    (tmp_path / "dlib.dat").touch()
    outcome = facever("import", tmp_path / "dlib.dat", "--order", "bgr", "-o", tmp_path / "w.safetensors")
    assert outcome.code == 2
    assert "the options marked ONNX are for .onnx files" in outcome.err


def test_a_hostile_name_in_a_model_is_printed_harmlessly(tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    node = helper.make_node("\x1b]0;pwned\x07", ["fc1"], ["y"], domain="\x1b[2J")
    path.write_bytes(embedder(nodes=[node]).SerializeToString())
    outcome = facever("import", path, *OPTIONS, "-o", tmp_path / "w.safetensors")
    assert outcome.code == 2
    assert "\x1b" not in outcome.err and "\\x1b[2J is not ONNX's own" in outcome.err


@pytest.mark.slow
def test_onnx_runtime_does_not_talk_to_the_terminal(tmp_path: Path) -> None:
    """It logs and prints from C++, where only the process's own streams show it."""
    node = helper.make_node("Blur", ["fc1"], ["y"])
    (tmp_path / "bad.onnx").write_bytes(embedder(nodes=[node]).SerializeToString())
    command = [sys.executable, "-m", "facever", "import", "bad.onnx", *OPTIONS, "-o", "w.safetensors"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("facever: bad.onnx: ONNX Runtime can't load it (")
    assert done.stderr.count("\n") == 1


# --- the commands that take such weights


@pytest.mark.slow
def test_imported_weights_verify_embed_and_calibrate(weights: Path, face: Path, portrait: Path, tmp_path: Path) -> None:
    assert "w.safetensors: no thresholds; give --threshold" in facever("verify", face, face, "-w", weights).err
    same = facever("verify", face, face, "-w", weights, "--threshold", "0.9", "--json")
    assert (same.code, same.json["decision"]) == (0, "same")
    assert same.json["cosine"] == pytest.approx(1, abs=1e-5)
    tinted_people(tmp_path / "people", portrait, 8, 2)
    done = facever("embed", tmp_path / "people", "-w", weights, "-o", tmp_path / "faces.jsonl")
    assert done.code == 0
    rows = [json.loads(line) for line in (tmp_path / "faces.jsonl").read_text().splitlines()]
    assert len(rows) == 16 and all(len(row["embedding"]) == D for row in rows)
    assert np.linalg.norm([row["embedding"] for row in rows], axis=1) == pytest.approx(1, abs=1e-5)
    out = tmp_path / "calibrated.safetensors"
    calibrated = facever("calibrate", weights, tmp_path / "people", "-o", out, "--far", "0.3", "--held-out", "0.99")
    assert calibrated.code == 0, calibrated.err
    assert [t["far"] for t in facever("info", out, "--json").json["thresholds"]] == [0.3]
    assert facever("verify", face, face, "-w", out, "--far", "0.3").code == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--network", "onnx"], "the network onnx can't be trained; as a teacher its weights will do"),
        (["--init", "W", "--network", "onnx"], "the network onnx can't be trained"),
    ],
)
def test_a_network_in_onnx_is_not_trained(
    options: list[str], told: str, weights: Path, people: Path, tmp_path: Path
) -> None:
    arguments = [str(weights) if each == "W" else each for each in options]
    outcome = facever("train", people, "-o", tmp_path / "run", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert told in outcome.err
    assert not (tmp_path / "run").exists()


def test_half_precision_is_not_for_them(weights: Path, people: Path) -> None:
    outcome = facever("eval-all", people, "-w", weights, "--precision", "bf16")
    assert outcome.code == 2
    assert "--precision bf16 is not for weights that came from ONNX" in outcome.err


def test_a_model_of_another_input_is_named(tmp_path: Path) -> None:
    path = tmp_path / "two.onnx"
    path.write_bytes(embedder(inputs=[models.value_info("mask", models.FLOAT, ["n"])]).SerializeToString())
    outcome = facever("import", path, *OPTIONS, "-o", tmp_path / "w.safetensors")
    assert outcome.code == 2
    assert outcome.err == f"facever: {path}: it takes 2 inputs (data, mask), and an embedder takes crops alone\n"
