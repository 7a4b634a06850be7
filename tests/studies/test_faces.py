"""The studies on faces, whole and in small: made-up people, a tiny network, trainings of an epoch."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facever.errors import DataError
from facever.faces.embedder import Embedder
from facever.studies import alpha, faces, losses, losses_outcome, losses_plan, norm, run_study, strata, testing
from facever.studies import losses_plots as study_losses
from facever.studies import norm_analysis as norm_judged
from facever.studies.outcome import Outcome
from facever.studies.page import write_study
from facever.studies.runs import Options, Runs
from facever.training import TrainingSettings
from facever.training.callbacks import Callback
from facever.training.errors import Diverged, Interrupted
from facever.weights.alignment import ALIGNMENTS

pytestmark = pytest.mark.slow

TINY = {
    "network_arguments": {"widths": [8, 8], "depths": [0, 0], "stem": 4, "embedding_size": 8},
    "batch_size": 8,
    "held_out": 0.4,
    "precision": "fp32",
    "compile": False,
}


@pytest.fixture(scope="module", autouse=True)
def tiny() -> Iterator[None]:
    """Networks that train in no time, and few draws."""
    patch = pytest.MonkeyPatch()
    settings = {**faces.FACE_SETTINGS, **TINY}
    for module in (faces, alpha, losses_plan, losses_outcome, norm):
        patch.setattr(module, "FACE_SETTINGS", settings)
    patch.setattr(testing, "REPLICATES", 20)
    patch.setattr(strata, "REPLICATES", 20)
    patch.setattr(alpha, "REPLICATES", 20)
    patch.setattr(norm_judged, "REPLICATES", 20)
    patch.setattr(alpha, "QUICK_ALPHAS", (1.0, 8.0))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def lfw(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in LFW's form with its pair list beside it, and one photograph that shows no face."""
    root = tmp_path_factory.mktemp("made") / "lfw"
    for person in sorted(people.iterdir())[:4]:
        (root / person.name).mkdir(parents=True)
        for shot in range(2):
            shutil.copy(person / f"{shot}.png", root / person.name / f"{person.name}_{shot + 1:04d}.png")
    from PIL import Image

    Image.new("RGB", (100, 100), (90, 120, 90)).save(root / "person_3" / "person_3_0002.png")
    names = [f"person_{i}" for i in range(4)]
    lines = ["2\t2"]
    for fold in (0, 2):
        lines += [f"{name}\t1\t2" for name in names[fold : fold + 2]]
        lines += [f"{names[fold]}\t1\t{names[fold + 1]}\t1", f"{names[fold]}\t2\t{names[1 - fold // 2]}\t2"]
    lines[-1] = "person_2\t2\tperson_0\t2"
    (root.parent / "pairs.txt").write_text("\n".join(lines) + "\n")
    return root


def options(out: Path, people: Path, cache: Path, **changes: Any) -> Options:
    return replace(Options(out, data=people, quick=True, device="cpu", workers=1, cache=cache), **changes)


@pytest.fixture(scope="module")
def compared(people: Path, lfw: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    out = tmp_path_factory.mktemp("losses")
    outcome = run_study("losses", options(out, people, cache, lfw=lfw, seeds=2), Callback())
    write_study(out, outcome)
    return out, outcome


@pytest.mark.slow
def test_the_comparison_of_losses_is_paired_by_seed(compared: tuple[Path, Outcome]) -> None:
    out, _ = compared
    told = json.loads((out / "results.json").read_text())
    assert set(told["comparisons"][0]) == {"loss", "baseline", "metric", "difference", "ci95", "interval"}
    ours = next(
        c for c in told["comparisons"] if c["loss"] == losses_plan.FIXED and c["baseline"] == losses_plan.SOFTMAX
    )
    test, metric = ours["metric"].split(", ", 1)
    assert (test, metric) == ("LFW", "accuracy")

    def accuracy(loss: str, seed: int) -> float:
        return float(told["runs"][losses.run_name(loss, seed, 0.05)]["LFW"]["accuracy"])

    gaps = [accuracy(losses_plan.FIXED, seed) - accuracy(losses_plan.SOFTMAX, seed) for seed in (0, 1)]
    assert ours["difference"] == pytest.approx(sum(gaps) / 2)
    # t(0.975, 1) = 12.7062; the deviation of two numbers over sqrt(2) is half of their distance.
    half = 12.7062 * abs(gaps[0] - gaps[1]) / 2
    assert ours["ci95"] == pytest.approx([sum(gaps) / 2 - half, sum(gaps) / 2 + half], abs=1e-4)
    assert ours["interval"] == "paired Student's t over 2 seeds"


def test_all_losses_were_trained_on_the_same_terms(compared: tuple[Path, Outcome]) -> None:
    out, _ = compared
    records = [
        json.loads((out / "runs" / f"{losses.run_name(loss, 1, 0.05)}.json").read_text())["settings"]
        for loss in losses_plan.LOSSES
    ]
    own = {"loss", "alpha", "alpha_learned", "learning_rate"}
    common = [{key: value for key, value in record.items() if key not in own} for record in records]
    assert all(each == common[0] for each in common)
    assert [record["loss"] for record in records] == ["softmax", "l2-softmax", "l2-softmax", "center", "l2-center"]
    assert records[3]["center_weight"] == 0.003 and records[3]["center_rate"] == 0.5


def test_a_quick_look_sweeps_no_rates(compared: tuple[Path, Outcome]) -> None:
    out, _ = compared
    told = json.loads((out / "results.json").read_text())
    assert told["sweep"] == {}
    assert {own["learning_rate"] for own in told["settings"]["losses"].values()} == {0.05}
    assert not list((out / "runs").glob("sweep-*"))


@pytest.mark.slow
def test_a_rate_at_which_a_loss_diverges_is_the_worst_and_no_error(
    people: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses_plan, "MOST", 2)
    study = faces.Faces(options(tmp_path, people, cache), Callback(), Runs(tmp_path))
    own = {"loss": "softmax"}
    group = replace(losses_plan.MAIN, own={}, rates=(0.05, 1e30), sweep_epochs=8)
    found = losses.swept(study, "softmax", group)
    assert found[1e30] == 0.0 < found[0.05]
    assert losses.by_rank(found) == [0.05]
    told = losses.trained_through(study, "softmax", {0: own, 1: own}, {1e30: 0.9, 0.05: 0.8}, 8)
    assert told == 0.05  # the next best, for all seeds, where one diverges at the best
    with pytest.raises(DataError, match="diverges at every learning rate"):
        losses.trained_through(study, "softmax", {0: own}, {1e30: 0.9}, 8)


@pytest.mark.slow
def test_the_network_with_feature_norm_is_compared_on_its_own_terms(
    people: Path, cache: Path, lfw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def score(settings: TrainingSettings) -> float:
        """As if a fixed alpha with feature normalization gained by the rate, and everything else lost by it."""
        normalized = settings.network_arguments.get("feature_norm") is True
        return 0.5 + (1 if normalized and settings.loss == "l2-softmax" else -1) * settings.learning_rate / 8

    def make(
        study: faces.Faces, name: str, settings: TrainingSettings, folder: Path, lfw: bool, strata: bool
    ) -> dict[str, Any]:
        plain = settings.network_arguments.get("feature_norm") is False
        if plain and settings.loss == "softmax" and settings.learning_rate > 0.12:
            raise Diverged("the loss is not finite")
        tests = [name for name in study.test_names if lfw or name != "LFW"]
        found: dict[str, Any] = {test: dict.fromkeys(losses_plan.METRICS, score(settings)) for test in tests}
        return {**found, "strata": {}, "gradient_shares": []} if strata else found

    monkeypatch.setattr(faces.Faces, "_make", make)
    outcome = run_study("losses", options(tmp_path, people, cache, lfw=lfw, quick=False), Callback())
    rates = {loss: own["learning_rate"] for loss, own in outcome.settings["losses"].items()}
    base, fixed, _ = losses_plan.NORMALIZED.losses
    # The sweep goes beyond the end at which the best lay: by 3 with the normalization, by 1.5 without, up to 6 rates.
    assert (rates[fixed], rates[base], rates[losses_plan.SOFTMAX]) == (24, 0.0037, 0.03)
    assert list(outcome.data["sweep"][losses_plan.SOFTMAX].items())[-1] == ("0.22", 0.0)  # diverged
    ours = [c for c in outcome.comparisons if (c.loss, c.baseline) == (fixed, base)]
    assert [c.metric for c in ours][:2] == ["LFW, accuracy", "LFW, TAR at FAR 0.01"]
    assert ours[0].difference == pytest.approx((24 + 0.0037) / 8)
    assert not any("feature norm" in check.what for check in outcome.checks)
    texts = {drawing.name: drawing.text for drawing in study_losses.drawings(outcome)}
    assert fixed not in texts["lfw-accuracy"]
    assert f"{fixed} +3.0005" in texts["lfw-accuracy-difference-feature-norm"]
    assert f"{fixed} 24" in texts["sweep-feature-norm"] and fixed not in texts["sweep"]
    # Softmax alone diverges above a rate of 0.12, with every seed.
    assert outcome.data["failed"][losses_plan.SOFTMAX] == {
        "0.05": 0, "0.075": 0, "0.11": 0, "0.17": 5, "0.25": 5, "0.38": 5, "0.57": 5,
    }  # fmt: skip
    assert set(outcome.data["failed"][losses_plan.FIXED].values()) == {0}


def test_only_a_divergence_counts_as_one(
    people: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = faces.Faces(options(tmp_path, people, cache), Callback(), Runs(tmp_path))

    def broken(error: Exception) -> Any:
        def train(*arguments: Any, **keywords: Any) -> None:
            raise error

        return train

    monkeypatch.setattr(faces, "train", broken(DataError("the loss is named by a file that is not finite")))
    with pytest.raises(DataError, match="named by a file"):
        study("other", faces.face_settings(loss="softmax", epochs=1), may_diverge=True)
    monkeypatch.setattr(faces, "train", broken(Diverged("in whatever words")))
    assert study("may", faces.face_settings(loss="softmax", epochs=1), may_diverge=True) == {
        "diverged": "in whatever words"
    }
    with pytest.raises(Diverged):
        study("must", faces.face_settings(loss="softmax", epochs=1))


@pytest.mark.slow
def test_a_training_that_was_interrupted_goes_on_and_one_interrupted_in_its_test_is_not_trained_again(
    people: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopper(Callback):
        def __init__(self, after: int | None) -> None:
            self.after, self.said = after, []

        def say(self, message: str) -> None:
            self.said.append(message)

        def validated(self, epoch: int, validation: Any, best: bool) -> None:
            if epoch == self.after:
                os.kill(os.getpid(), signal.SIGTERM)

    def study(after: int | None) -> tuple[faces.Faces, Stopper]:
        stopper = Stopper(after)
        return faces.Faces(options(tmp_path, people, cache), stopper, Runs(tmp_path)), stopper

    settings = faces.face_settings(loss="softmax", epochs=4)
    with pytest.raises(Interrupted, match="run a; the same command resumes it"):
        study(after=2)[0]("a", settings)
    assert not (tmp_path / "runs" / "a.json").exists()

    def refuse(*_: Any) -> None:
        raise KeyboardInterrupt

    again, stopper = study(after=None)
    with monkeypatch.context() as patch:
        patch.setattr(faces, "tested", refuse)
        with pytest.raises(KeyboardInterrupt):
            again("a", settings)
    assert any("resumed after" in line for line in stopper.said)
    monkeypatch.setattr(faces, "train", refuse)  # no training any more
    told = study(after=None)[0]("a", settings)
    assert 0 <= told["held-out people"]["accuracy"] <= 1


@pytest.mark.slow
def test_lfws_photographs_are_cut_as_every_command_cuts_them(lfw: Path, cache: Path, tmp_path: Path) -> None:
    from facever import Verifier
    from facever.evaluation import PhotoEmbedder

    alignment = ALIGNMENTS["tight-64x56"]
    found = testing.lfw_set(options(tmp_path, lfw, cache, lfw=lfw), alignment, Callback())
    assert found is not None and len(found.paths) == 8
    weights = Path(__file__).parents[2] / "models" / "scratch.safetensors"
    expected = PhotoEmbedder(Verifier.load(weights, "cpu"), workers=1)(found.paths).vectors
    vectors, _ = Embedder.load(weights, "cpu")(found.crops)
    # The one without a face, too: its center crop.
    np.testing.assert_allclose(vectors, expected, atol=2e-3)


def test_pairs_that_are_nowhere_are_asked_for(people: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "lfw").mkdir()
    with pytest.raises(DataError, match="--pairs"):
        run_study("alpha", options(tmp_path, people, cache, lfw=tmp_path / "lfw"), Callback())


@pytest.fixture(scope="module")
def swept(people: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """Without LFW: held-out people are what there is."""
    out = tmp_path_factory.mktemp("alpha")
    outcome = run_study("alpha", options(out, people, cache), Callback())
    write_study(out, outcome)
    return out, outcome


@pytest.mark.slow
def test_the_sweep_of_alpha_has_its_bound_its_courses_and_the_theory(swept: tuple[Path, Outcome]) -> None:
    out, _ = swept
    told = json.loads((out / "results.json").read_text())
    classes = told["alpha_low"]["classes"][0]
    assert told["alpha_low"]["value"] == pytest.approx(math.log(9 * (classes - 2)))
    assert told["test_set"] == "held-out people"
    courses = told["courses"]
    assert list(courses) == ["learned from 4, weight decay", "learned from 4, no decay"]
    ends = {name: course["alpha"][-1] for name, course in courses.items()}
    assert ends["learned from 4, weight decay"] < ends["learned from 4, no decay"]
    assert len(told["theory"]["classes"]) == 5
    assert {"courses.png", "courses.svg", "theory.png", "index.html"} <= {path.name for path in out.iterdir()}


def test_the_checks_of_alpha_are_differences_of_the_runs_accuracies(swept: tuple[Path, Outcome]) -> None:
    _, outcome = swept
    accuracy = {
        name: outcome.runs[alpha.run_name(name, 0)]["held-out people"]["accuracy"]
        for name in ("softmax", "alpha 1", "alpha 8")
    }
    # For 5 people the bound is 3.30: alpha 1 lies below half of it, alpha 8 above it.
    below, softmax, learned = outcome.checks
    assert "far below it (alpha 1)" in below.what and "softmax" in softmax.what and "learned from 4" in learned.what
    # Folds differ by a pair in size, so that the mean over folds is nearly that over pairs.
    assert below.difference == pytest.approx(accuracy["alpha 8"] - accuracy["alpha 1"], abs=0.03)
    assert softmax.difference == pytest.approx(accuracy["alpha 8"] - accuracy["softmax"], abs=0.03)
    assert below.ci95 is not None and below.ci95[0] <= below.difference <= below.ci95[1]


@pytest.fixture(scope="module")
def judged(people: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    out = tmp_path_factory.mktemp("norm")
    outcome = run_study("norm", options(out, people, cache), Callback())
    write_study(out, outcome)
    return out, outcome


@pytest.mark.slow
def test_the_study_of_the_norm_shows_photographs_in_its_page_alone(judged: tuple[Path, Outcome]) -> None:
    out, outcome = judged
    page = (out / "index.html").read_text()
    shown = [name for name in outcome.arrays if name.startswith("photographs")]
    assert page.count("data:image/jpeg") == sum(len(outcome.arrays[name]) for name in shown) > 0
    assert not [path for path in out.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".webp")]
    assert "person_" not in (out / "results.json").read_text()


def test_the_norms_response_is_relative_to_the_photograph_before(judged: tuple[Path, Outcome]) -> None:
    told = json.loads((judged[0] / "results.json").read_text())
    for response in told["response"].values():
        for steps in response.values():
            assert steps[0]["ratio"] == pytest.approx(1, abs=1e-6)
            assert len({round(step["ratio"], 6) for step in steps}) > 2


def test_the_discard_curves_start_at_the_same_rejects_and_count_them(judged: tuple[Path, Outcome]) -> None:
    told = json.loads((judged[0] / "results.json").read_text())
    curves = told["discard"]["curves"]
    assert len(curves) == 3
    assert curves["softmax, by norm"]["frr"][0] == pytest.approx(curves[norm_judged.BY_DETECTOR]["frr"][0])
    gain = next(f for f in told["figures"] if f["name"] == "softmax, by norm: FRR saved over random discard")
    frr = curves["softmax, by norm"]["frr"]
    assert gain["value"] == pytest.approx(frr[0] - np.mean(frr[:11]))


def test_the_norm_is_compared_with_the_detectors_score(judged: tuple[Path, Outcome]) -> None:
    told = json.loads((judged[0] / "results.json").read_text())
    row = told["comparisons"][0]
    assert (row["loss"], row["baseline"]) == (norm_judged.BY_NORM, norm_judged.BY_DETECTOR)
    gains = {f["name"]: f["value"] for f in told["figures"]}
    saved = [
        gains[f"{quality}: FRR saved over random discard"] for quality in (norm_judged.BY_NORM, norm_judged.BY_DETECTOR)
    ]
    assert row["difference"] == pytest.approx(saved[0] - saved[1])
