"""The report of an evaluation, read as a browser and a reader would."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from samples import HOSTILE, Page

from facever.datasets.pairs import Pair
from facever.errors import DataError
from facever.evaluation import EmbeddingSet, PairsResult, evaluate_embedded
from facever.reports.pairs_page import SavedScores, wanted_crops, write_pairs_report


def evaluated(noise: float = 0.35, seed: int = 0, group: str | None = None) -> PairsResult:
    """120 pairs of 80 made-up people, with enough noise for errors; the first photograph has a hostile name."""
    generator = np.random.default_rng(seed)
    centers = generator.normal(size=(80, 8))
    pairs, vectors, names = [], [], []
    for k in range(120):
        a = k % 80
        b = a if k % 2 == 0 else (a + 1 + k) % 80
        paths = [Path("/root") / f"p{a}" / f"{k}a.jpg", Path("/root") / f"p{b}" / f"{k}b.jpg"]
        if k == 0:
            paths[0] = Path("/root") / "p0" / HOSTILE
        pairs.append(Pair(*paths, a == b, k // 12, f"p{a}", f"p{b}", group))
        for person, path in zip((a, b), paths, strict=True):
            vector = centers[person] + noise * 3 * generator.normal(size=8)
            vectors.append(vector / np.linalg.norm(vector))
            names.append(path.relative_to("/root").as_posix())
    embedded = EmbeddingSet(names, np.array(vectors, np.float32), generator.random(240), [names[0]])
    return evaluate_embedded(pairs, embedded, [], ["one thing to know"])


@pytest.fixture(scope="module")
def result() -> PairsResult:
    return evaluated()


def report(folder: Path, result: PairsResult, others: tuple[SavedScores, ...] = ()) -> Page:
    crops = {photograph: np.full((15, 12, 3), 99, np.uint8) for photograph in wanted_crops(result)}
    page = write_pairs_report(folder, "A list", "a model", result, Path("/root"), crops, {"seconds": "1.0"}, others)
    return Page(page.read_text())


@pytest.mark.slow
def test_the_page_holds_the_headline_the_folds_the_notes_and_the_errors(result: PairsResult, tmp_path: Path) -> None:
    page = report(tmp_path, result)
    figures = result.figures
    assert f"{100 * figures.accuracy:.2f} ± {100 * figures.accuracy_standard_error:.2f} %" in page.words
    assert all(f"{threshold:.4f}" in page.words for threshold in figures.fold_thresholds)
    assert "one thing to know" in page.words
    wrong = int((~result.correct).sum())
    assert wrong > 0
    pictures = [link for link in page.links if link.startswith("data:image/jpeg")]
    wrong_of_kind = [int((~result.correct & (same_of(result) == kind)).sum()) for kind in (False, True)]
    assert len(pictures) == 2 * sum(min(20, count) for count in wrong_of_kind)


def same_of(result: PairsResult) -> np.ndarray:
    return np.array([pair.same for pair in result.pairs])


@pytest.mark.slow
def test_the_page_stands_alone_and_runs_nothing(result: PairsResult, tmp_path: Path) -> None:
    page = report(tmp_path, result)
    assert page.links
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert "script" not in page.tags
    text = (tmp_path / "index.html").read_text()
    assert not re.search(r"url\(\s*['\"]?(?!#|data:)", text)
    assert "@import" not in text


@pytest.mark.slow
def test_a_hostile_file_name_is_shown_and_not_run(result: PairsResult, tmp_path: Path) -> None:
    page = report(tmp_path, result)
    assert HOSTILE in page.words  # in the list of photographs without a face
    assert "<script>alert" not in (tmp_path / "index.html").read_text()


@pytest.mark.slow
def test_every_plot_and_picture_has_a_text_of_its_own(result: PairsResult, tmp_path: Path) -> None:
    page = report(tmp_path, result)
    pictures = page.tags.count("img") + page.tags.count("figure")
    assert len(page.labels) == pictures
    assert any(label.startswith("Accuracy by the lower norm") for label in page.labels)


@pytest.mark.slow
def test_ids_are_unique_so_that_no_plot_borrows_from_another(result: PairsResult, tmp_path: Path) -> None:
    report(tmp_path, result)
    text = (tmp_path / "index.html").read_text()
    drawings = re.findall(r"<svg.*?</svg>", text, flags=re.S)
    # Groups have names too, but only paths and clips are referred to.
    names = [set(re.findall(r'<(?:path|clipPath) id="([^"]+)"', drawing)) for drawing in drawings]
    assert all(names)
    assert sum(map(len, names)) == len(set().union(*names))


@pytest.mark.slow
def test_the_same_result_gives_the_same_page(result: PairsResult, tmp_path: Path) -> None:
    report(tmp_path / "a", result)
    report(tmp_path / "b", result)
    assert (tmp_path / "a/index.html").read_bytes() == (tmp_path / "b/index.html").read_bytes()


@pytest.mark.slow
def test_scores_are_saved_and_read_again(result: PairsResult, tmp_path: Path) -> None:
    report(tmp_path, result)
    saved = SavedScores.read(tmp_path)
    np.testing.assert_allclose(saved.cosines, result.cosines, atol=1e-6)
    np.testing.assert_array_equal(saved.correct, result.correct)
    assert saved.names[0] == (f"p0/{HOSTILE}", "p0/0b.jpg")
    told = json.loads((tmp_path / "result.json").read_text())
    assert told["accuracy"] == result.figures.accuracy


@pytest.mark.slow
def test_another_model_is_drawn_and_tested_on_the_same_pairs(result: PairsResult, tmp_path: Path) -> None:
    report(tmp_path / "poor", evaluated(noise=0.8))
    page = report(tmp_path / "good", result, (SavedScores.read(tmp_path / "poor" / "result.json"),))
    assert "McNemar" in page.words
    assert "TAR at FAR" in page.words
    assert page.words.count("a model") >= 3  # the legend of ROC and DET, and the table


@pytest.mark.slow
def test_a_model_on_other_pairs_is_not_compared(result: PairsResult, tmp_path: Path) -> None:
    report(tmp_path, result)
    saved = SavedScores.read(tmp_path)
    other = SavedScores("x", saved.names[::-1], saved.cosines, saved.same, saved.correct)
    with pytest.raises(DataError, match="other pairs"):
        report(tmp_path / "again", result, (other,))


@pytest.mark.parametrize("content", ["", "[]", '{"scores": {}}'])
def test_a_file_without_scores_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(DataError, match=r"other\.json"):
        SavedScores.read(tmp_path / "other.json")


@pytest.mark.slow
def test_groups_stand_in_the_figures(tmp_path: Path) -> None:
    assert "group women" in report(tmp_path, evaluated(group="women")).words


@pytest.mark.slow
def test_chromium_opens_the_page_without_a_complaint(result: PairsResult, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium here")
    report(tmp_path, result)
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
    command = [browser, *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr"]
    done = subprocess.run(
        [*command, "--dump-dom", (tmp_path / "index.html").as_uri()], capture_output=True, text=True, timeout=120
    )
    assert "CONSOLE" not in done.stderr
    assert f"{100 * result.figures.accuracy:.2f}" in done.stdout
