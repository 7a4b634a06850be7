"""The commands as a user meets them: what they print where, how they end, what they write."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import io
import itertools
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
import pytest
from command_line import Outcome, Terminal, facever, tinted_people
from PIL import Image, ImageOps

from facever import Verifier, __version__, verifier
from facever.cli import app
from facever.evaluation import calibrate
from facever.faces import parallel
from facever.files import sha256_of
from facever.reports.tables import print_table
from facever.weights.file import load_weights, save_weights
from facever.weights.shipped import find_weights

COMMANDS = [command.name for command in app.registered_commands]


def in_new_process(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )


@pytest.fixture(scope="module")
def hopper(tmp_path_factory: pytest.TempPathFactory, portrait: Path) -> Path:
    """Grace Hopper's portrait at a third of its size, for speed."""
    path = tmp_path_factory.mktemp("hopper") / "hopper.png"
    Image.open(portrait).resize((171, 200)).save(path)
    return path


@pytest.fixture(scope="module")
def hopper_again(tmp_path_factory: pytest.TempPathFactory, portrait: Path) -> Path:
    """The same, mirrored and in another size."""
    path = tmp_path_factory.mktemp("hopper_again") / "mirrored.png"
    ImageOps.mirror(Image.open(portrait)).resize((188, 220)).save(path)
    return path


@pytest.fixture(scope="module")
def astronaut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scikit-image's portrait of Eileen Collins, the part with her face."""
    path = tmp_path_factory.mktemp("astronaut") / "astronaut.png"
    whole = Image.open(Path(pytest.importorskip("skimage").__file__).parent / "data" / "astronaut.png")
    whole.crop((120, 10, 330, 240)).save(path)
    return path


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("blank") / "wall.png"
    Image.new("RGB", (220, 200), "teal").save(path)
    return path


@pytest.fixture
def photographs(tmp_path: Path, hopper: Path, blank: Path) -> Path:
    """A folder with a face, a wall, a broken file, and two faces in a folder below."""
    folder = tmp_path / "photographs"
    (folder / "below").mkdir(parents=True)
    shutil.copy(hopper, folder / "a.png")
    shutil.copy(blank, folder / "wall.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    two = Image.new("RGB", (350, 200))
    face = Image.open(hopper)
    two.paste(face, (0, 0))
    two.paste(face.resize((137, 160)), (180, 0))
    two.save(folder / "below" / "two.png")
    return folder


# ---- help and usage ------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_says_what_it_does_and_gives_an_example(command: str) -> None:
    outcome = facever(command, "--help")
    assert outcome.code == 0
    assert outcome.err == ""
    assert f"Example: facever {command} " in outcome.out
    assert f" {command} [OPTIONS]" in outcome.out


@pytest.mark.parametrize("command", COMMANDS)
def test_the_example_of_the_help_is_a_valid_command_line(command: str, tmp_path: Path, monkeypatch) -> None:
    (example,) = re.findall(r"Example: facever (.*?)\s*$", facever(command, "--help").out, re.MULTILINE)
    monkeypatch.chdir(tmp_path)  # where none of its files are
    outcome = facever(*example.split())
    assert "Usage:" not in outcome.err
    assert outcome.code == (0 if command in ("info", "cache", "export") else 2)


def test_the_exit_codes_stand_where_they_matter() -> None:
    for text in (facever("--help").out, facever("verify", "-h").out):
        assert re.search(
            r"Exit\s+codes: 0 .* 1 .*different\s+people.* 2 .*bad\s+input.* 3 no\s+face.*4\s+undecided",
            text,
            re.DOTALL,
        )
    assert "Exit code 3 if no face was found." in " ".join(facever("embed", "--help").out.split())


def test_a_fault_of_its_own_is_no_answer_of_verify(monkeypatch: pytest.MonkeyPatch, hopper: Path) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("facever.verifier.Verifier.load", broken)
    outcome = facever("verify", hopper, hopper)
    assert (outcome.code, outcome.out) == (70, "")
    assert outcome.err.startswith("facever: a fault of its own: ZeroDivisionError: by zero; please report it")
    assert "Traceback" not in outcome.err and len(outcome.err.splitlines()) == 1
    monkeypatch.setenv("FACEVER_DEBUG", "1")
    assert "Traceback" in facever("verify", hopper, hopper).err
    assert "70 a fault of facever's own" in " ".join(facever("--help").out.split())


@pytest.mark.slow
@pytest.mark.parametrize("arguments", ["['--help']", "['verify', '--help']", "['--version']", "['verify']"])
def test_help_and_usage_errors_answer_without_the_heavy_imports(arguments: str) -> None:
    code = (
        f"import sys; sys.argv = ['facever', *{arguments}]\n"
        "from facever.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'cv2', 'PIL', 'rich.progress'} & set(sys.modules)\n"
        "sys.exit(f'{heavy} imported' if heavy else 0)\n"
    )
    done = in_new_process(code)
    assert done.returncode == 0, done.stderr


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "facever", "--version"], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, f"facever {__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "[OPTIONS] COMMAND"),
        (["verfy"], "verify"),  # did you mean
        (["verify", "one.jpg"], "two by two"),
        (["verify", "a.jpg", "b.jpg", "c.jpg"], "two by two"),
        (["verify", "a.jpg", "b.jpg", "--threshold", "high"], "--threshold"),
        (["verify", "a.jpg", "b.jpg", "--min-face", "3"], "12"),
        (["embed", "folder", "--workers", "0"], "--workers"),
        (["embed", "folder", "--color"], "--color"),
        (["calibrate", "default", "people"], "--out"),
        (["train", "people", "--epochs", "many"], "--epochs"),
    ],
)
def test_a_usage_error_exits_with_2_and_names_what_is_wrong(arguments: list[str], told: str) -> None:
    outcome = facever(*arguments)
    assert outcome.code == 2
    assert told in outcome.err + (outcome.out if not arguments else "")
    assert "Traceback" not in outcome.err


# ---- verify --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_verify_answers_for_the_same_person_with_0(hopper: Path, hopper_again: Path) -> None:
    outcome = facever("verify", hopper, hopper_again)
    assert (outcome.code, outcome.err) == (0, "")
    first, second, third, *photographs, last = outcome.out.splitlines()
    assert first == "same person"
    assert re.match(r"  probability (0\.9\d+|above 0\.9999) of the same person at a prior of 0\.5, ", third)
    upper, lower = r"same person from 0\.\d+ up \(false accept rate 0\.001\)", r"different people below 0\.\d+"
    assert re.fullmatch(rf"  cosine 0\.9\d+; {upper}, {lower} \(false reject rate 0\.02\)", second)
    assert [line.split(":")[0].strip() for line in photographs] == [str(hopper), str(hopper_again)]
    face = r": face of \d+ pixels at \d+, \d+, \d+, \d+, quality at percentile \d+$"
    assert all(re.search(face, line) for line in photographs)
    assert last.startswith("  not checked: whether a face is alive")


@pytest.mark.slow
def test_verify_answers_for_different_people_with_1(hopper: Path, astronaut: Path) -> None:
    outcome = facever("verify", hopper, astronaut)
    assert (outcome.code, outcome.err) == (1, "")
    assert outcome.out.startswith("different people\n")


@pytest.mark.slow
def test_verify_in_json_is_one_object_with_the_documented_keys(hopper: Path, hopper_again: Path) -> None:
    outcome = facever("verify", hopper, hopper_again, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    answer = outcome.json
    assert set(answer) == {"decision", "why", "notes", "cosine", "threshold", "lower_threshold", "far", "frr"} | {
        *("a", "b", "weights", "prior", "log_likelihood_ratio", "probability", "worst_group", "all_faces", "versions")
    }
    expected = Verifier.load("default", "cpu").verify(hopper, hopper_again)
    assert answer["cosine"] == pytest.approx(expected.cosine, abs=1e-5)
    assert (answer["decision"], answer["far"], answer["threshold"]) == ("same", 0.001, expected.threshold)
    for face, path in ((answer["a"], hopper), (answer["b"], hopper_again)):
        assert set(face) == {
            "source",
            "box",
            "landmarks",
            "score",
            "size",
            "sharpness",
            "norm",
            "quality",
            "covered",
            "faces_found",
        }
        assert (face["source"], face["faces_found"]) == (str(path), 1)
        x0, y0, x1, y1 = face["box"]
        assert face["size"] == pytest.approx(((x1 - x0) * (y1 - y0)) ** 0.5, abs=0.2)
        assert all(x0 < x < x1 and y0 < y < y1 for x, y in face["landmarks"])
    assert answer["a"]["norm"] == pytest.approx(expected.a.norm, rel=1e-4)
    assert answer["versions"]["facever"] == __version__


@pytest.mark.slow
def test_a_threshold_of_the_users_turns_the_answer_around(hopper: Path, hopper_again: Path) -> None:
    outcome = facever("verify", hopper, hopper_again, "--threshold", "1", "--json")
    assert outcome.code == 1
    answer = outcome.json
    assert (answer["decision"], answer["far"], answer["threshold"], answer["lower_threshold"]) == (
        *("different", None, 1.0, 1.0),
    )
    assert "same person from 1.0000 up, as given" in facever("verify", hopper, hopper_again, "--threshold", "1").out


@pytest.mark.slow
def test_another_false_accept_rate_has_another_threshold(hopper: Path) -> None:
    lenient, strict = (facever("verify", hopper, hopper, "--far", far, "--json").json for far in ("0.01", "1e-3"))
    assert lenient["far"] == 0.01
    assert lenient["threshold"] < strict["threshold"]


@pytest.mark.slow
def test_verify_without_a_face_exits_with_3_and_prints_no_answer(hopper: Path, blank: Path) -> None:
    for options in ([], ["--json"]):
        outcome = facever("verify", hopper, blank, *options)
        assert (outcome.code, outcome.out) == (3, "")
        assert outcome.err.startswith(f"facever: {blank}: no face found; ")


@pytest.mark.slow
def test_verify_tells_of_several_faces_and_takes_the_rule(photographs: Path, hopper: Path) -> None:
    two = photographs / "below" / "two.png"
    outcome = facever("verify", two, hopper)
    assert outcome.code == 0
    assert re.search(rf"{two}: face of \d+ pixels at [-\d, ]+, the largest of 2 faces", outcome.out)
    outcome = facever("verify", two, hopper, "--faces", "all")
    assert "the most similar of 2 faces" in outcome.out
    assert outcome.err == ""


def test_the_caches_are_shown_and_cleared(tmp_path: Path) -> None:
    crops = tmp_path / "facever" / "crops" / "0123"
    crops.mkdir(parents=True)
    (crops / "crops.bin").write_bytes(bytes(1_500_000))
    (tmp_path / "facever" / "embeddings.sqlite").write_bytes(bytes(500_000))
    shown = facever("cache", cache=tmp_path)
    assert shown.code == 0
    assert re.search(r"^crops/0123\t1\.5 MB, used \d{4}-\d\d-\d\d$", shown.out, re.M)
    assert shown.out.endswith("in all\t2.0 MB\n")
    cleared = facever("cache", "--clear", "--json", cache=tmp_path).json
    assert sorted(each["bytes"] for each in cleared["entries"]) == [500_000, 1_500_000]
    assert list((tmp_path / "facever").rglob("*")) == [tmp_path / "facever" / "crops"]


# ---- embed ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_embed_writes_a_row_for_each_face_and_each_problem(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORCE_COLOR", "1")  # which must not draw a bar into a pipe
    outcome = facever("embed", photographs)
    assert outcome.code == 0
    assert outcome.out.splitlines()[-1] == "photographs.parquet"  # named after the folder, here
    assert re.match(r"photographs 4: with a face 2, without 1, unreadable 1; faces 3\nembedded 4 in ", outcome.out)
    assert outcome.err == "not readable: 1 of 4 photographs; the column error says why\n"

    table = pq.read_table(tmp_path / "photographs.parquet")
    rows = table.to_pylist()
    assert [(row["path"], row["face"]) for row in rows] == [
        ("a.png", 0),
        ("below/two.png", 0),
        ("below/two.png", 1),
        ("broken.jpg", None),
        ("wall.png", None),
    ]
    assert [row["error"] is None for row in rows] == [True, True, True, False, False]
    assert "not a picture" in rows[3]["error"]
    assert "no face found" in rows[4]["error"]
    (expected,) = Verifier.load("default", "cpu").faces(photographs / "a.png")
    assert expected.embedding is not None
    assert np.dot(rows[0]["embedding"], expected.embedding) > 0.9995  # in bfloat16 where that is faster
    np.testing.assert_allclose(rows[0]["box"], expected.face.box, atol=0.01)
    told = json.loads(table.schema.metadata[b"facever"])
    assert told["weights"]["name"] == "default"
    picture = Image.open(photographs / "a.png")
    assert (rows[0]["width"], rows[0]["height"]) == picture.size
    assert rows[0]["file_sha256"] == sha256_of(photographs / "a.png")
    assert rows[0]["sharpness"] > 0


@pytest.mark.slow
def test_the_suffix_of_its_output_makes_embed_write_text(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces.jsonl"
    assert facever("embed", photographs / "a.png", photographs / "below", "-o", out).code == 0
    assert [json.loads(line)["path"] for line in out.read_text().splitlines()] == ["a.png", *["below/two.png"] * 2]
    refused = facever("embed", photographs, "-o", out, "--prune")
    assert (refused.code, "--prune is for a dataset" in refused.err) == (2, True)


@pytest.mark.slow
def test_embed_in_json_is_one_object_with_the_counts(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "faces.parquet"
    outcome = facever("embed", photographs, "--json", "--faces", "largest", "-o", out)
    assert outcome.code == 0
    told = outcome.json
    assert told.pop("seconds") > 0
    assert told == {
        "photographs": 4,
        "with_face": 2,
        "without_face": 1,
        "unreadable": 1,
        "undecodable": 0,
        "faces": 2,
        "embedded": 4,
        "unchanged": 0,
        "vanished": 0,
        "file": str(out),
    }
    assert len(pq.read_table(out)) == 4


@pytest.mark.slow
def test_embed_without_a_single_face_still_writes_why_and_exits_with_3(blank: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    outcome = facever("embed", blank.parent, "-o", out, "--json")
    assert outcome.code == 3
    assert outcome.json["faces"] == 0
    assert outcome.err.startswith(f"facever: {blank.parent}: no face found in any photograph; ")
    (row,) = pq.read_table(out).to_pylist()
    assert "no face found" in row["error"]


@pytest.mark.slow
@pytest.mark.parametrize(("failure", "code"), [(KeyboardInterrupt, 130), (MemoryError, 2)])
def test_embed_keeps_what_was_done_when_it_is_stopped_and_goes_on_from_there(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: type[BaseException], code: int
) -> None:
    whole = verifier.process_files

    def stopped(paths: Any, job: Any, workers: Any) -> Any:
        yield next(whole(paths, job, workers))
        raise failure

    out = tmp_path / "out" / "faces.parquet"
    for options, left in ((["--one-file"], []), ([], ["a.png"])):
        with monkeypatch.context() as patch:
            patch.setattr(verifier, "process_files", stopped)
            patch.setattr(parallel, "process_files", stopped)
            outcome = facever("embed", photographs, "-o", out, *options)
        assert outcome.code == code
        assert outcome.err.startswith("facever: ")
        assert outcome.err.count("\n") == 1
        assert outcome.out == ""
        assert [path.name for path in out.parent.iterdir()] == ([out.name] if left else [])
        assert not left or pq.read_table(out)["path"].to_pylist() == left
    told = facever("embed", photographs, "-o", out, "--json").json
    assert (told["embedded"], told["unchanged"], told["photographs"]) == (3, 1, 4)
    assert len(pq.read_table(out)) == 5


@pytest.mark.slow
def test_embed_shows_a_progress_bar_on_a_terminal_only_on_stderr(photographs: Path, tmp_path: Path) -> None:
    outcome = facever("embed", photographs, "-o", tmp_path / "out.parquet", terminal=True)
    assert "embedding" in outcome.err
    assert "4/4" in outcome.err
    assert "embedding" not in outcome.out
    assert len(outcome.out.splitlines()) == 3


# ---- eval-lfw ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_lfw(tmp_path_factory: pytest.TempPathFactory, data_folder: Path) -> Path:
    """Twelve people of LFW in two folds of six genuine and six impostor pairs, with pairs.txt inside.

    One has a stranger among his photographs, so that the figures are not all perfect; another is a wall.
    """
    root = tmp_path_factory.mktemp("small") / "lfw"
    lines = [line.split() for line in (data_folder / "pairs.txt").read_text().splitlines()[1:]]
    chosen = {line[0]: (int(line[1]), int(line[2])) for line in lines if len(line) == 3}
    people = sorted(chosen)[:: len(chosen) // 12][:12]
    for person in people:
        (root / person).mkdir(parents=True)
        for i, number in enumerate(chosen[person], 1):
            source = data_folder / "lfw" / person / f"{person}_{number:04d}.jpg"
            shutil.copy(source, root / person / f"{person}_{i:04d}.jpg")
    shutil.copy(root / people[5] / f"{people[5]}_0001.jpg", root / people[0] / f"{people[0]}_0002.jpg")
    (root / "Wall").mkdir()
    Image.new("RGB", (250, 250), "teal").save(root / "Wall" / "Wall_0001.jpg")
    rows = ["2\t6"]
    for fold in (people[:6], people[6:]):
        rows += [f"{person}\t1\t2" for person in fold]
        others = [*fold[1:], "Wall" if fold[0] == people[6] else fold[0]]
        rows += [f"{a}\t1\t{b}\t1" for a, b in zip(fold, others, strict=True)]
    (root / "pairs.txt").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="module")
def evaluated(small_lfw: Path) -> tuple[Outcome, list[dict[str, str]]]:
    scores = small_lfw.parent / "scores.csv"
    outcome = facever("eval-lfw", small_lfw, "--scores", scores, "--json", cache=small_lfw.parent / "cache")
    with scores.open(newline="", encoding="utf-8") as file:
        return outcome, list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.data
def test_eval_lfw_in_json_has_the_documented_keys_and_counts(evaluated) -> None:
    outcome, rows = evaluated
    assert outcome.code == 0
    told = outcome.json
    assert {
        "accuracy",
        "accuracy_standard_error",
        "auc",
        "eer",
        "tar_at_far",
        "fold_accuracies",
        "fold_thresholds",
        "pairs",
        "images",
        "images_without_face",
        "stored_thresholds",
        "weights",
        "seconds",
    } <= set(told)
    assert (told["pairs"], told["images"], len(rows)) == (24, 25, 24)
    assert (told["genuine_pairs"], told["impostor_pairs"]) == (12, 12)
    assert told["weights"]["name"] == "default"
    assert re.fullmatch("[0-9a-f]{64}", told["weights"]["sha256"])


@pytest.mark.data
def test_eval_lfw_reports_and_counts_a_photograph_without_a_face(evaluated) -> None:
    outcome, rows = evaluated
    wall = "Wall/Wall_0001.jpg"
    assert outcome.err == f"{wall}: no face found, so its center crop was used\n"
    assert outcome.json["images_without_face"] == 1
    assert outcome.json["names_without_face"] == [wall]
    assert [row["path_b"] for row in rows if row["without_face"] != "0"] == [wall]


@pytest.mark.data
def test_eval_lfw_scores_every_pair_in_the_order_of_the_list(evaluated, small_lfw: Path) -> None:
    _, rows = evaluated
    assert [int(row["fold"]) for row in rows] == [0] * 12 + [1] * 12
    assert [int(row["same"]) for row in rows] == ([1] * 6 + [0] * 6) * 2
    verifier = Verifier.load("default", "cpu")
    row = rows[7]
    expected = verifier.verify(small_lfw / row["path_a"], small_lfw / row["path_b"], "center").cosine
    assert float(row["cosine"]) == pytest.approx(expected, abs=5e-3)  # bfloat16, in another batch


@pytest.mark.data
def test_eval_lfws_figures_are_those_of_its_scores(evaluated) -> None:
    outcome, rows = evaluated
    told = outcome.json
    pairs = [(float(row["cosine"]), row["same"] == "1", int(row["fold"])) for row in rows]
    accuracies = [naive_accuracy(pairs, fold) for fold in (0, 1)]
    assert told["fold_accuracies"] == pytest.approx(accuracies)
    assert told["accuracy"] == pytest.approx(statistics.mean(accuracies))
    assert told["accuracy"] < 1  # the stranger is wrong
    assert told["accuracy_standard_error"] == pytest.approx(statistics.stdev(accuracies) / 2**0.5)
    genuine = [cosine for cosine, same, _ in pairs if same]
    impostor = [cosine for cosine, same, _ in pairs if not same]
    wins = [(g > i) + 0.5 * (g == i) for g in genuine for i in impostor]
    assert told["auc"] == pytest.approx(statistics.mean(wins))
    assert told["eer"] == pytest.approx(naive_equal_error_rate(genuine, impostor))
    for stored in told["stored_thresholds"]:
        assert stored["measured_far"] == pytest.approx(share_above(impostor, stored["cosine"]))
        assert stored["measured_tar"] == pytest.approx(share_above(genuine, stored["cosine"]))


def share_above(scores: Sequence[float], threshold: float) -> float:
    return sum(score >= threshold for score in scores) / len(scores)


def naive_accuracy(pairs: list[tuple[float, bool, int]], fold: int) -> float:
    """Of one fold, at the middle one of the other folds' first best thresholds; the thresholds lie between scores."""

    def correct(threshold: float, inside: bool) -> int:
        return sum((cosine >= threshold) == same for cosine, same, of in pairs if (of == fold) == inside)

    scores = sorted({cosine for cosine, _, of in pairs if of != fold})
    thresholds = [scores[0], *((a + b) / 2 for a, b in itertools.pairwise(scores)), scores[-1] + 1e-9]
    counts = [correct(threshold, inside=False) for threshold in thresholds]
    first = last = counts.index(max(counts))
    while last + 1 < len(counts) and counts[last + 1] == max(counts):
        last += 1
    return correct(thresholds[(first + last) // 2], inside=True) / sum(of == fold for _, _, of in pairs)


def naive_equal_error_rate(genuine: list[float], impostor: list[float]) -> float:
    """Where the line through the points (FAR, FRR) meets FAR = FRR."""
    thresholds = [2.0, *sorted({*genuine, *impostor}, reverse=True)]
    points = [(share_above(impostor, t), 1 - share_above(genuine, t)) for t in thresholds]
    for (far, frr), (next_far, next_frr) in itertools.pairwise(points):
        if next_frr <= next_far:
            part = (frr - far) / ((frr - far) - (next_frr - next_far))
            return far + part * (next_far - far)
    raise AssertionError("the rates never cross")


@pytest.mark.slow
@pytest.mark.data
def test_eval_lfw_prints_a_table_of_names_and_values(small_lfw: Path, evaluated) -> None:
    # The embeddings are those kept by the run before.
    outcome = facever("eval-lfw", small_lfw, "--pairs", small_lfw / "pairs.txt", cache=small_lfw.parent / "cache")
    title, *rows = outcome.out.splitlines()
    table = dict(row.split("\t") for row in rows)
    assert title == "LFW"
    assert table["pairs"] == "24 (12 genuine), 2 folds"
    assert table["photographs"] == "25, 1 without a detected face"
    assert table["accuracy"].startswith(f"{100 * evaluated[0].json['accuracy']:.2f} ± ")
    assert table["TAR at FAR 0.1, 0.01, 0.001, 0.0001, 1e-05"] == "too few impostor pairs"


# ---- inspect -------------------------------------------------------------------------------------


def test_inspect_without_a_face_writes_its_picture_and_exits_with_3(blank: Path, tmp_path: Path) -> None:
    out = tmp_path / "seen.png"
    outcome = facever("inspect", blank, "-o", out, "--json")
    assert outcome.code == 3
    assert outcome.json == {"faces": [], "file": str(out)}
    assert outcome.err.startswith(f"facever: {blank}: no face found; ")
    assert Image.open(out).size >= Image.open(blank).size


# ---- info, calibrate, import, train --------------------------------------------------------


def test_info_prints_a_row_for_each_fact() -> None:
    outcome = facever("info")
    assert (outcome.code, outcome.err) == (0, "")
    table = dict(line.split("\t", 1) for line in outcome.out.splitlines())
    assert table["name"] == "default"
    assert "112x112" in table["alignment"]
    assert "impostor pairs" in table["threshold for FAR 0.001"]
    assert table["license"]
    assert table["credit"]
    assert Path(table["file"]).is_file()


@pytest.mark.slow
def test_info_checks_the_known_answer() -> None:
    told = facever("info", "face-resnet", "--check").out.splitlines()[-1]
    words, _, cosine = told.rpartition(" ")
    assert words == "known answer\tas written: cosine" and float(cosine) == pytest.approx(1, abs=1e-4)
    assert facever("info", "face-resnet", "--check", "--json").json["known_answer_cosine"] == pytest.approx(1, abs=1e-3)


def test_info_in_json_is_one_object() -> None:
    outcome = facever("info", "default", "--json")
    told = outcome.json
    assert (told["name"], told["format"]) == ("default", 3)
    assert len(told["alignment"]["landmarks"]) == 5
    known = {"far", "cosine", "source", "impostor_pairs", "tar", "cosine_interval", "far_interval", "worst_group"}
    assert told["thresholds"][0].keys() == known
    assert Path(told["file"]).name == "default.safetensors"


def test_a_table_on_a_terminal_takes_nothing_for_markup() -> None:
    out = Terminal(io.BytesIO(), encoding="utf-8", write_through=True)
    with contextlib.redirect_stdout(out), mock.patch.dict(os.environ, COLUMNS="100"):
        print_table([("[bold]name[/bold]", "[red]value[/nonsense]")], "title [x]")
    text = out.buffer.getvalue().decode()  # type: ignore[attr-defined]
    assert "[bold]name[/bold]" in text
    assert "[red]value[/nonsense]" in text
    assert "title [x]" in text


@pytest.mark.slow
def test_a_jpeg_that_is_cut_off_below_the_face_is_compared_with_a_warning_and_refused_if_strict(
    portrait: Path, tmp_path: Path
) -> None:
    content = portrait.read_bytes()
    cut, in_the_face = tmp_path / "cut.jpg", tmp_path / "face.jpg"
    cut.write_bytes(content[: len(content) * 4 // 5])
    in_the_face.write_bytes(content[: len(content) * 2 // 5])
    outcome = facever("verify", portrait, cut, "--json")
    assert (outcome.code, outcome.json["cosine"]) == (0, pytest.approx(1, abs=1e-3))
    warning = outcome.json["notes"][0]
    assert warning.startswith(f"{cut}: cut off: ")
    assert f"note: {warning}" in facever("verify", portrait, cut).out
    strict = facever("verify", portrait, cut, "--strict")
    assert strict.code == 2
    assert f"{cut}: damaged or cut off" in strict.err
    assert facever("verify", portrait, in_the_face).code in (2, 3)
    embedded = facever("embed", tmp_path, "-o", tmp_path / "out.jsonl", "--json")
    assert embedded.code == 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    told = {row["path"]: (row.get("warning") or "", row.get("error")) for row in rows}
    assert told["cut.jpg"][0].endswith("% of it is missing")
    assert told["cut.jpg"][1] is None
    assert told["face.jpg"][1] is not None


@pytest.mark.slow
def test_calibrate_stores_the_thresholds_of_the_people_given(
    portrait: Path, blank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, whole = [], calibrate.process_files

    def recorded(*arguments: Any) -> Any:
        for row in whole(*arguments):
            rows.append(row)
            yield row

    monkeypatch.setattr(calibrate, "process_files", recorded)
    people = tmp_path / "people"
    tinted_people(people, portrait, 16, 3)  # 120 pairs of people of 9 pairs of photographs each: 1,080
    (people / "p00" / "broken.png").write_bytes(b"no picture")
    shutil.copy(blank, people / "p01" / "wall.png")
    out = tmp_path / "mine.safetensors"
    outcome = facever("calibrate", "default", people, "-o", out, "--json")
    assert outcome.code == 0
    left_out, *too_few = outcome.err.splitlines()
    assert left_out.startswith(f"photographs left out: 2, the first: {people}/p00/broken.png: not a picture")
    # 16 people * sqrt(10,000 / 1,080) = 48.7, and * sqrt(100,000 / 1,080) = 153.96.
    assert too_few[:2] == [
        "skipped: FAR 0.001 needs 10,000 pairs of different people, and there are 1,080 of 16 people; 49 people with "
        "as many photographs each would do",
        "skipped: FAR 0.0001 needs 100,000 pairs (154 people)",
    ]
    assert [line[:40] for line in too_few[2:]] == [
        "skipped: the tail for search --fpir need",
    ]
    assert outcome.json["weights"] == str(out)
    (stored,) = outcome.json["thresholds"]
    assert (stored["far"], stored["impostor_pairs"]) == (0.01, 1080)
    assert stored["source"] == "16 people of people (*)"

    faces = [(Path(row.source).parent.name, row.faces[0].embedding) for row in rows if row.faces]
    impostor, genuine = [], []
    for i, (name, embedding) in enumerate(faces):
        for other, other_embedding in faces[:i]:
            (genuine if name == other else impostor).append(float(np.dot(embedding, other_embedding)))
    accepted = sum(cosine >= stored["cosine"] for cosine in impostor)
    assert len(impostor) == 1080
    assert 8 <= accepted <= 11  # 10 of 1,080, and float32 rounds
    assert stored["tar"] == pytest.approx(share_above(genuine, stored["cosine"]), abs=0.05)
    told = facever("info", out, "--json").json
    assert (told["name"], told["network"], told["thresholds"]) == ("mine", "mobilefacenet_gated", [stored])
    assert f"threshold for FAR 0.01\t{stored['cosine']:.4f}" in facever("info", out).out


@pytest.mark.slow
def test_calibrate_with_too_few_people_says_how_many_it_takes(portrait: Path, tmp_path: Path) -> None:
    tinted_people(tmp_path / "people", portrait, 2, 1)
    outcome = facever("calibrate", "default", tmp_path / "people", "-o", tmp_path / "out" / "mine.safetensors")
    assert (outcome.code, outcome.out) == (2, "")
    smallest, others = outcome.err.splitlines()
    assert smallest.startswith(f"facever: {tmp_path / 'people'}: FAR 0.1 needs 100 pairs of different people")
    assert smallest.endswith("; it needs genuine pairs too, and there are none; add people and photographs")
    # One pair of two people: 2 * sqrt(1,000) = 63.2.
    assert others.startswith("FAR 0.01 needs 1,000 pairs (64 people), FAR 0.001 needs")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def calibrated(portrait: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A copy of the default weights and a file of thresholds, from 1,080 impostor pairs of tinted "people"."""
    place = tmp_path_factory.mktemp("calibrated")
    tinted_people(place / "people", portrait, 16, 3)
    copy, file = place / "mine.safetensors", place / "mine.json"
    done = facever(
        *("calibrate", "default", place / "people", "-o", copy, "--thresholds", file, "--far", "0.02", "--far", "0.01")
    )
    assert done.code == 0, done.err
    assert done.out.splitlines()[0] == f"{copy}, {file}"
    assert [line.split("\t")[0] for line in done.out.splitlines()[1:]] == [
        "threshold for FAR 0.02",
        "threshold for FAR 0.01",
        "likelihood ratio",
        "quality",
        "quality check",
    ]
    return copy, file


@pytest.mark.slow
def test_a_copy_and_a_file_of_thresholds_give_the_same_answer(calibrated: tuple[Path, Path], hopper: Path) -> None:
    copy, file = calibrated
    by_copy = facever("verify", hopper, hopper, "-w", copy, "--far", "0.02", "--json").json
    by_file = facever("verify", hopper, hopper, "--thresholds", file, "--far", "0.02", "--json").json
    digests = {"mine": sha256_of(copy), "default": sha256_of(find_weights("default"))}
    assert by_copy.pop("weights") == {"name": "mine", "sha256": digests["mine"]}
    assert by_file.pop("weights") == {"name": "default", "sha256": digests["default"]}
    assert by_copy == by_file
    stored = json.loads(file.read_text())
    assert by_file["threshold"] == stored["thresholds"][0]["cosine"]


@pytest.mark.slow
def test_a_probability_follows_from_the_prior_and_the_line(calibrated: tuple[Path, Path], hopper: Path) -> None:
    line = json.loads(calibrated[1].read_text())["likelihood"]
    for prior in (0.5, 0.001):
        options = ["--prior", str(prior)] if prior != 0.5 else []
        told = facever("verify", hopper, hopper, "-w", calibrated[0], "--far", "0.01", "--json", *options).json
        expected = line["slope"] * told["cosine"] + line["offset"]
        assert told["log_likelihood_ratio"] == pytest.approx(expected)
        odds = math.exp(expected) * prior / (1 - prior)
        assert told["probability"] == pytest.approx(odds / (1 + odds))
        assert told["prior"] == prior
    text = facever("verify", hopper, hopper, "-w", calibrated[0], "--far", "0.01", "--prior", "0.001").out
    assert re.search(r"probability 0?[\d.e-]+ of the same person at a prior of 0\.001, log-likelihood ratio -?\d", text)


@pytest.mark.slow
def test_weights_without_a_line_give_no_probability_and_refuse_a_prior(hopper: Path, tmp_path: Path) -> None:
    weights = tmp_path / "plain.safetensors"
    info, network = load_weights(find_weights("default"))
    save_weights(weights, replace(info, likelihood=None), network)
    told = facever("verify", hopper, hopper, "-w", weights, "--json").json
    assert (told["log_likelihood_ratio"], told["probability"], told["prior"]) == (None, None, 0.5)
    refused = facever("verify", hopper, hopper, "-w", weights, "--prior", "0.1")
    assert (refused.code, refused.out) == (2, "")
    assert "hold no likelihood ratio" in refused.err
    assert "facever calibrate" in refused.err


@pytest.mark.parametrize("prior", ["0", "1", "-0.5", "nan"])
def test_what_is_no_prior_is_refused(prior: str, hopper: Path) -> None:
    outcome = facever("verify", hopper, hopper, "--prior", prior)
    assert (outcome.code, outcome.out) == (2, "")
    assert "--prior is a probability between 0 and 1" in outcome.err


def test_a_rate_that_was_asked_for_and_is_not_supported_is_an_error_before_anything_is_embedded(
    portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "process_files", mock.Mock(side_effect=AssertionError))
    tinted_people(tmp_path / "people", portrait, 5, 2)
    out = tmp_path / "o.json"
    outcome = facever("calibrate", "default", tmp_path / "people", "--thresholds", out, "--far", "0.3", "--far", "1e-3")
    assert (outcome.code, outcome.out) == (2, "")
    # 10 photographs have 45 pairs, 5 of them genuine; 5 people * sqrt(10,000 / 40) = 79.06.
    assert (
        "FAR 0.001 needs 10,000 pairs of different people, and there are 40 of 5 people; 80 people with" in outcome.err
    )
    assert not out.exists()


@pytest.mark.slow
def test_calibrate_takes_a_list_of_pairs(portrait: Path, blank: Path, tmp_path: Path) -> None:
    tinted_people(tmp_path, portrait, 12, 2)
    shutil.copy(blank, tmp_path / "wall.png")
    names = [f"p{i:02d}" for i in range(12)]
    rows = [f"{name}/0.png,{name}/1.png,1" for name in names]
    rows += [f"{a}/{i}.png,{b}/{j}.png,0" for a, b in itertools.combinations(names, 2) for i in (0, 1) for j in (0, 1)]
    rows += ["wall.png,p00/0.png,0"]
    (tmp_path / "list.csv").write_text("\n".join(["path_a,path_b,same", *rows]) + "\n")
    out = tmp_path / "t.json"
    outcome = facever("calibrate", "default", tmp_path / "list.csv", "--thresholds", out, "--far", "0.1", "--json")
    assert outcome.code == 0, outcome.err
    assert "1 pairs left out: no face in one of their photographs" in outcome.err
    (threshold,) = outcome.json["thresholds"]
    assert (threshold["far"], threshold["impostor_pairs"]) == (0.1, 264)
    assert threshold["source"] == "276 pairs of list.csv"
    assert outcome.json["likelihood"]["genuine_pairs"] == 12
    assert json.loads(out.read_text())["thresholds"] == [threshold]
    refused = facever("calibrate", "default", tmp_path / "list.csv", "--thresholds", out, "--only", "a*")
    assert refused.code == 2
    assert "--only" in refused.err


@pytest.mark.slow
def test_verify_takes_the_rarest_stored_rate_and_says_so_and_a_refusal_names_the_file(
    portrait: Path, hopper: Path, tmp_path: Path
) -> None:
    tinted_people(tmp_path / "people", portrait, 6, 3)
    file = tmp_path / "six.json"
    done = facever("calibrate", "default", tmp_path / "people", "--thresholds", file, "--json")
    # 153 pairs less 18 genuine; 10 / 135 = 0.074.
    assert [(t["far"], t["impostor_pairs"]) for t in done.json["thresholds"]] == [(0.08, 135)]
    told = facever("verify", hopper, hopper, "--thresholds", file, "--json")
    assert (told.json["far"], told.json["threshold"]) == (0.08, done.json["thresholds"][0]["cosine"])
    assert told.err == f"{file}: no threshold for FAR 0.001; the one for FAR 0.08 decides, the rarest there\n"
    refused = facever("verify", hopper, hopper, "--thresholds", file, "--far", "0.001")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith(f"facever: {file}: no threshold for FAR 0.001, but for 0.08; say --far 0.08, give")


def test_verify_at_a_rate_that_is_not_stored_says_what_it_takes(hopper: Path) -> None:
    outcome = facever("verify", hopper, hopper, "--far", "1e-7")
    assert (outcome.code, outcome.out) == (2, "")
    # n (n - 1) / 2 >= 10 / 1e-7 from n = 14,143 on.
    assert "needs 100,000,000 pairs of different people: 14,143 people with a photograph each" in outcome.err


@pytest.mark.parametrize("share", ["0", "-1", "1.5", "nan"])
def test_calibrate_refuses_a_share_that_is_none(share: str, tmp_path: Path) -> None:
    outcome = facever("calibrate", "default", tmp_path, "-o", tmp_path / "o", "--held-out", share)
    assert outcome.code == 2
    assert outcome.err.startswith("facever: --held-out is in (0, 1], not ")


def test_calibrate_says_when_nobody_is_held_out(portrait: Path, tmp_path: Path) -> None:
    tinted_people(tmp_path / "people", portrait, 2, 1)
    outcome = facever(
        "calibrate", "default", tmp_path / "people", "-o", tmp_path / "o.safetensors", "--held-out", "1e-9"
    )
    assert outcome.code == 2
    assert "nobody is held out" in outcome.err


@pytest.fixture(scope="module")
def dlib_file() -> Path:
    found = importlib.util.find_spec("face_recognition_models")
    if found is None or found.origin is None:
        pytest.skip("face_recognition_models is not installed")
    return Path(found.origin).parent / "models" / "dlib_face_recognition_resnet_model_v1.dat"


@pytest.mark.slow
def test_import_of_dlib_writes_weights_that_ask_for_a_threshold(dlib_file: Path, hopper: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.safetensors"
    outcome = facever("import", dlib_file, "-o", out)
    assert (outcome.code, outcome.out, outcome.err) == (0, f"{out}\n", "")
    assert facever("info", out, "--json").json["thresholds"] == []
    refused = facever("verify", hopper, hopper, "--weights", out)
    assert refused.code == 2
    assert f"{out}: no thresholds; give --threshold" in refused.err
    assert facever("verify", hopper, hopper, "--weights", out, "--threshold", "0.9").code == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--alpha", "loose"], "loose"),
        (["--network", "vgg"], "vgg"),
        (["--set", "network_arguments.vgg=1"], "vgg"),
        (["--set", "emma=0.9"], "did you mean ema?"),
        (["--set", "ema=often"], "ema is a number, not 'often'"),
        (["--set", "ema"], "KEY=VALUE"),
        (["--recipe", "sourdough"], "sourdough"),
        (["--epochs", "1", "--minutes", "2"], "either epochs or minutes"),
        (["--alignment", "wide"], "tight-64x56"),
        (["--device", "quantum"], "quantum"),
    ],
)
def test_train_refuses_settings_before_any_work(options: list[str], told: str, tmp_path: Path) -> None:
    (tmp_path / "people").mkdir()
    outcome = facever("train", tmp_path / "people", "-o", tmp_path / "run", *options)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("facever: ")
    assert told in outcome.err
    assert not (tmp_path / "run").exists()


def test_what_libraries_warn_and_log_stays_off_the_terminal_unless_debugging() -> None:
    chatter = """
import logging, sys, warnings
from facever import cli
def answer() -> None:
    warnings.warn("of a library", stacklevel=1)
    logging.getLogger("torch.distributed").warning("of torch")
    print("same person")
cli.app.command("answer")(answer)
sys.argv = ["facever", "answer"]
cli.main()
"""
    assert in_new_process(chatter).stderr == ""
    told = in_new_process(chatter, FACEVER_DEBUG="1").stderr
    assert "of a library" in told
    assert "of torch" in told


# ---- pipes ---------------------------------------------------------------------------------------

# A command that answers as verify does, without its imports.
ANSWER = """
import sys
import textwrap
from facever import cli
cli.app.command("answer")(lambda: print("same person"))
sys.argv = ["facever", "answer"]
cli.main()
"""
CLOSED_PIPE = "import os\nread, write = os.pipe()\nos.close(read)\nos.dup2(write, 1)\n"
FULL_DISK = "import os\nos.dup2(os.open('/dev/full', os.O_WRONLY), 1)\n"


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="pipes as Unix has them")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_pipe_ends_quietly_and_not_with_an_answer_of_verify(unbuffered: str) -> None:
    done = in_new_process(CLOSED_PIPE + ANSWER, PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("program", [ANSWER, ANSWER.replace('"answer"]', '"--help"]')])
def test_an_answer_that_cannot_be_written_is_told_in_a_line(program: str, unbuffered: str) -> None:
    done = in_new_process(FULL_DISK + program, PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 2
    assert done.stderr.startswith("facever: No space left on device; ")
    assert done.stderr.count("\n") == 1


def test_a_process_of_its_own_ends_with_what_it_registered_for_its_end_and_with_the_exit_code() -> None:
    program = (
        "import atexit, sys, threading, time\nfrom facever.__main__ import run\n"
        "atexit.register(lambda: print('registered'))\n"
        "sys.argv = ['facever', 'info', 'nowhere']\n"
    )
    late = "threading.Thread(target=lambda: (time.sleep(0.5), print('late'))).start()\n"
    for code, expected in ((program, "registered"), (program + late, "late\nregistered")):
        done = in_new_process(code + "run()")
        assert (done.returncode, done.stdout.strip()) == (2, expected)


# ---- the license of weights ----------------------------------------------------------------------


@pytest.mark.slow
def test_the_first_verify_states_a_restricted_license_once(hopper: Path, tmp_path: Path) -> None:
    first, second = (facever("verify", hopper, hopper, cache=tmp_path, quiet="") for _ in range(2))
    assert "'default' are for non-commercial research only" in first.err and "--weights dlib" in first.err
    assert first.err.count("\n") == 1
    assert (first.out, second.err) == (second.out, "")


@pytest.mark.slow
def test_the_license_is_not_stated_where_it_is_switched_off_or_open(hopper: Path, tmp_path: Path) -> None:
    assert facever("verify", hopper, hopper, "--quiet", cache=tmp_path / "a", quiet="").err == ""
    assert facever("verify", hopper, hopper, cache=tmp_path / "b", quiet="1").err == ""
    assert facever("verify", hopper, hopper, "--weights", "dlib", cache=tmp_path / "c", quiet="").err == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify", "gone.jpg", "b.jpg"],
        ["verify", "a.jpg", "b.jpg", "-w", "nothing"],
        ["inspect", "gone.jpg"],
        ["embed", "gone"],
        ["embed", ".", "-w", "nothing"],
    ],
)
def test_a_wrong_name_is_told_before_torch_is_imported(tmp_path: Path, arguments: list[str]) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"no picture")
    code = f"""
        import os, sys
        os.chdir({str(tmp_path)!r})
        sys.argv = ["facever", *{arguments!r}]
        from facever.cli import main
        try:
            main()
        except SystemExit as left:
            assert left.code == 2, left.code
        assert "torch" not in sys.modules
    """
    done = in_new_process(textwrap.dedent(code))
    assert done.returncode == 0, done.stderr
