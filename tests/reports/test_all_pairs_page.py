"""The report of all pairs, read as a browser and a reader would."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from samples import HOSTILE, Page, people

from facever.evaluation import AllPairsResult, EmbeddingSet, evaluate_all
from facever.reports.all_pairs_page import wanted_names, write_all_pairs_report
from facever.reports.plots import ScoredPairs, histograms, roc


@pytest.fixture(scope="module")
def result() -> AllPairsResult:
    embeddings, who = people(200, 30)
    names = [f"p{w}/{i}.jpg" for i, w in enumerate(who)]
    names[0] = f"p{who[0]}/{HOSTILE}"
    photographs = EmbeddingSet(names, embeddings, np.ones(200), [names[0]])
    return evaluate_all(photographs, [f"p{w}" for w in who], replicates=50)


@pytest.fixture(scope="module")
def page(result: AllPairsResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    crops = {name: np.full((15, 12, 3), 99, np.uint8) for name in wanted_names(result)}
    folder = tmp_path_factory.mktemp("report")
    return write_all_pairs_report(folder, "All pairs of people", "a model", result, crops, {"seconds in all": "1.0"})


@pytest.mark.slow
def test_the_page_holds_the_headline_the_operating_points_and_the_worst_pairs(
    page: Path, result: AllPairsResult
) -> None:
    read = Page(page.read_text())
    # 19,900 pairs less the genuine ones support FAR 1e-3 (10,000), the rate of the headline.
    assert result.tar_at_far[1e-3] is not None
    low, high = result.tar_intervals[1e-3]
    assert f"TAR {100 * result.tar_at_far[1e-3]:.2f} % at FAR 0.001" in read.words
    assert (
        f"95 % interval {100 * low:.2f} to {100 * high:.2f} %, bootstrap over {result.people} identities" in read.words
    )
    assert f"{result.threshold_at_far[1e-2]:.4f}" in read.words
    assert read.words.count("too few impostor pairs") == 3  # 1e-4, 1e-5, 1e-6
    for a, b, cosine in (*result.most_alike, *result.least_alike):
        assert f"cosine {cosine:.4f}" in read.words
        assert f"{a} · {b}" in read.words
    assert len([link for link in read.links if link.startswith("data:image/jpeg")]) == 2 * (20 + 20)
    assert "seconds in all" in read.words


def test_the_page_stands_alone_and_runs_nothing_of_a_hostile_name(page: Path) -> None:
    read = Page(page.read_text())
    assert all(link.startswith(("data:", "#")) for link in read.links)
    assert "script" not in read.tags
    assert HOSTILE in read.words
    assert "<script>alert" not in page.read_text()


def test_every_plot_and_picture_has_a_text(page: Path) -> None:
    read = Page(page.read_text())
    assert len(read.labels) == read.tags.count("img") + read.tags.count("figure")


def test_the_figures_are_saved_beside_the_page(page: Path, result: AllPairsResult) -> None:
    told = json.loads((page.parent / "result.json").read_text())
    assert told["model"] == "a model"
    assert told["tar_at_far"]["0.001"] == result.tar_at_far[1e-3]
    assert told["tar_intervals"]["0.001"] == list(result.tar_intervals[1e-3])
    assert told["intervals_over"] == f"{result.people} people"


@pytest.mark.slow
def test_scores_that_stand_for_several_pairs_are_drawn_as_the_pairs_written_out() -> None:
    generator = np.random.default_rng(0)
    cosines, same = generator.random(40).round(2), np.arange(40) % 2 == 0
    counts = generator.integers(1, 5, 40)
    by_counts = ScoredPairs("m", cosines, same, counts)
    written_out = ScoredPairs("m", np.repeat(cosines, counts), np.repeat(same, counts))
    for plot in (lambda scored: roc([scored]), lambda scored: histograms(scored, 0.5)):
        assert plot(by_counts) == plot(written_out)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium")
def test_a_browser_finds_nothing_to_complain_about(page: Path, tmp_path: Path) -> None:
    picture = tmp_path / "seen.png"
    flags = f"--headless --no-sandbox --disable-gpu --no-first-run --disable-sync --user-data-dir={tmp_path}/profile"
    command = ["chromium", *flags.split(), "--disable-background-networking", "--enable-logging=stderr"]
    done = subprocess.run(
        [*command, "--window-size=390,2000", f"--screenshot={picture}", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "CONSOLE" not in done.stderr
    assert picture.stat().st_size > 5000
