"""What all studies share: runs that are kept, intervals, the rule of the verdict, and the page."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from facever.cli.study import study as study_command
from facever.errors import DataError
from facever.studies import losses_plots as study_losses
from facever.studies import run_study
from facever.studies.intervals import difference, t_interval
from facever.studies.losses_plan import JOINED, LOSSES, SOFTMAX
from facever.studies.outcome import Check, Comparison, Figure, Interval, Outcome, verdict_of
from facever.studies.page import write_study
from facever.studies.runs import Options, Runs
from facever.training.callbacks import Callback


def test_a_run_is_made_once_and_its_result_is_the_same_ever_after(tmp_path: Path) -> None:
    made: list[str] = []

    def make(folder: Path) -> dict[str, object]:
        made.append(folder.name)
        return {"value": 0.1, "interval": (1, 2)}

    first = Runs(tmp_path)("a", {"rate": 0.1, "sizes": (1, 2)}, make)
    again = Runs(tmp_path)
    assert again("a", {"rate": 0.1, "sizes": (1, 2)}, make) == first == {"value": 0.1, "interval": [1, 2]}
    assert made == ["a"]
    assert again.done == {"a": first}


KILLED = """
import os, signal, sys
from pathlib import Path
from facever.studies.runs import Runs
out = Path(sys.argv[1])
def make(folder):
    if int(sys.argv[2]) and folder.name == "run-8":
        os.kill(os.getpid(), signal.SIGKILL)
    with (out / "made.txt").open("a") as file:
        file.write(folder.name + "\\n")
    return {}
runs = Runs(out)
for number in range(1, 16):
    runs(f"run-{number}", {"number": number}, make)
"""


def test_a_study_killed_after_7_of_15_runs_starts_with_the_8th(tmp_path: Path) -> None:
    for killed, code in ((1, -9), (0, 0)):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(tmp_path), str(killed)], capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
        made = (tmp_path / "made.txt").read_text().split()
        assert made == [f"run-{n}" for n in range(1, 8 if killed else 16)]  # each once


def test_a_run_with_other_settings_or_a_broken_record_is_refused_by_name(tmp_path: Path) -> None:
    Runs(tmp_path)("a", {"epochs": 12}, lambda folder: {})
    with pytest.raises(DataError, match=r"a\.json.*epochs 12 -> 3.*--out"):
        Runs(tmp_path)("a", {"epochs": 3}, lambda folder: {})
    # A setting that came later has its default in an older record.
    assert Runs(tmp_path)("a", {"epochs": 12, "new": None}, lambda folder: {"made": "again"}) == {}
    Runs(tmp_path)("b", {"light": {"cut": 0.3}}, lambda folder: {})
    assert Runs(tmp_path)("b", {"light": {"cut": 0.3, "new": True}}, lambda folder: {"made": "again"}) == {}
    for other in ({"light": {"cut": 0.4}}, {"light": {}}, {"light": None}):
        with pytest.raises(DataError, match=r"b\.json.*light"):
            Runs(tmp_path)("b", other, lambda folder: {})
    for broken in ("", "[]", "{}"):
        (tmp_path / "runs" / "a.json").write_text(broken)
        with pytest.raises(DataError, match=r"a\.json.*delete"):
            Runs(tmp_path)("a", {"epochs": 12}, lambda folder: {})


def test_students_interval_by_hand_and_by_scipy() -> None:
    """Mean 2, deviation 1, t(0.975, 2) = 4.3027: 2 ± 4.3027 / sqrt(3)."""
    assert t_interval([1.0, 2.0, 3.0]) == pytest.approx((2 - 2.48414, 2 + 2.48414), abs=1e-5)
    values = np.random.default_rng(0).normal(size=7)
    expected = scipy.stats.t.interval(0.95, 6, values.mean(), scipy.stats.sem(values))
    assert t_interval(values.tolist()) == pytest.approx(expected)
    assert t_interval([1.0]) is None


def test_the_paired_interval_sees_a_difference_that_the_spread_of_seeds_would_hide() -> None:
    ours, theirs = [0.9, 0.8, 0.7], [0.88, 0.79, 0.69]
    gap, ends = difference(ours, theirs)
    assert gap == pytest.approx(0.04 / 3)
    # Differences 0.02, 0.01, 0.01: deviation 0.0057735.
    half = 4.3026527 * 0.00577350269 / 3**0.5
    assert ends == pytest.approx((0.04 / 3 - half, 0.04 / 3 + half), abs=1e-9)
    # An independent test on the same numbers sees nothing.
    assert scipy.stats.ttest_ind(ours, theirs).pvalue > 0.8


FOR, AGAINST, OPEN = (0.1, 0.3), (-0.3, -0.1), (-0.1, 0.1)


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([FOR, FOR], "holds"),
        ([FOR, OPEN], "holds in part"),
        ([FOR, AGAINST], "holds in part"),
        ([OPEN, None], "not seen at this scale"),
        ([OPEN, AGAINST], "contradicted"),
        ([AGAINST], "contradicted"),
        ([(0.0, 0.1)], "not seen at this scale"),
        ([(float("nan"), float("nan"))], "not seen at this scale"),
        ([], "not seen at this scale"),
    ],
)
def test_the_verdict_follows_from_the_intervals(intervals: Sequence[Interval | None], expected: str) -> None:
    assert verdict_of([Check("a claim", 0.0, ends, "") for ends in intervals]) == expected


def test_an_unknown_study_or_no_data_or_no_seeds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="digits, losses, alpha, norm, robustness, attacks"):
        run_study("beta", Options(tmp_path), Callback())
    for name in ("losses", "alpha", "norm"):
        with pytest.raises(DataError, match="--data"):
            run_study(name, Options(tmp_path), Callback())
    with pytest.raises(DataError, match="--seeds"):
        run_study("digits", Options(tmp_path, seeds=0), Callback())


RATES = ("0.1", "0.3")
HOSTILE = '<script>alert(1)</script>&"'


def outcome(quick: bool) -> Outcome:
    """A study of losses as it might have come out, with a photograph and a name that is none."""
    metric = "LFW, accuracy"
    return Outcome(
        study="losses",
        title=f"A title {HOSTILE}",
        claim="What the paper says.",
        method=["What we did."],
        quick=quick,
        seeds=[0, 1],
        settings={"losses": {loss: {"loss": HOSTILE} for loss in LOSSES}},
        figures=[
            *(Figure(f"{loss}: {metric}", 0.9, (0.8, 0.95), "two seeds") for loss in LOSSES),
            *(
                Figure(f"{SOFTMAX} at a rate of {rate}: share of seeds that fail", 0.5, (0.1, 0.9), "")
                for rate in RATES
            ),
        ],
        checks=[Check("better", 0.1, (0.05, 0.15), "paired"), Check("faster", float("nan"), None, "none")],
        comparisons=[Comparison(JOINED, SOFTMAX, metric, 0.01, (-0.01, 0.03), "paired")],
        runs={"a": {"value": float("nan")}},
        minutes=1.5,
        data={
            "sweep": {loss: {"0.1": 0.5, "0.3": 0.6} for loss in LOSSES},
            "strata": {"LFW": {"tar": {SOFTMAX: 0.5}, "gain": 0.1, "ci95": (0.0, 0.2)}},
            "interactions": [
                {"kind": "degraded", "hard": "LFW, blur", "easy": "LFW", "difference": 0.1, "ci95": (-0.1, 0.3)}
            ],
            "failed": {SOFTMAX: dict.fromkeys(RATES, 1)},
            "borne_seeds": 2,
            "hard_shares": [
                {"share": share, "stratum": "held-out families", "gain": 0.1, "ci95": (0.0, 0.2)}
                for share in (0.0, 0.5)
            ],
            "gradient_shares": {SOFTMAX: {"mean": [0.5, 0.6], "ci95": [(0.4, 0.6), (0.5, 0.7)]}},
        },
        arrays={"photographs: Lowest": np.full((2, 8, 6, 3), 99, np.uint8)},
    )


class Page(HTMLParser):
    """The tags, what a browser would load, and the words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [v for k, v in attributes if k in ("src", "srcset", "href", "xlink:href") and v is not None]

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.mark.slow
def test_the_results_have_the_documented_keys_and_are_strict_json(tmp_path: Path) -> None:
    write_study(tmp_path, outcome(quick=False))
    told = json.loads((tmp_path / "results.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert told["comparisons"] == [
        {
            "loss": JOINED,
            "baseline": SOFTMAX,
            "metric": "LFW, accuracy",
            "difference": 0.01,
            "ci95": [-0.01, 0.03],
            "interval": "paired",
        }
    ]
    assert told["verdict"] == "holds in part"
    assert [check["speaks"] for check in told["checks"]] == ["for", "open"]
    assert told["runs"] == {"a": {"value": None}}
    assert {"torch", "numpy", "facever"} <= set(told["versions"])
    assert "photographs" not in json.dumps(told)


@pytest.mark.slow
def test_the_page_stands_alone_and_says_claim_figures_verdict_and_rule(tmp_path: Path) -> None:
    page = Page(write_study(tmp_path, outcome(quick=False)).read_text())
    assert page.links and all(link.startswith(("data:", "#")) for link in page.links)
    assert "script" not in page.tags and HOSTILE in page.words
    for words in ("What the paper says.", "What we did.", "holds in part", "Each check is a difference", "0.8 to 0.95"):
        assert words in page.words
    assert "quick run" not in page.words
    assert sum(link.startswith("data:image/jpeg") for link in page.links) == 2


@pytest.mark.slow
def test_the_page_of_a_quick_look_says_so(tmp_path: Path) -> None:
    assert "A quick run." in Page(write_study(tmp_path, outcome(quick=True)).read_text()).words


@pytest.mark.slow
def test_every_plot_is_a_file_too_and_no_ids_are_shared(tmp_path: Path) -> None:
    text = write_study(tmp_path, outcome(quick=False)).read_text()
    names = {drawing.name for drawing in study_losses.drawings(outcome(quick=False))}
    # Strata, interactions, hard shares, gradients, rates; the metric, its difference to softmax; the sweep.
    assert len(names) == 8
    for name in names:
        assert (tmp_path / f"{name}.svg").read_text().startswith("<svg")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    drawings = re.findall(r"<svg.*?</svg>", text, flags=re.S)
    ids = [set(re.findall(r'<(?:path|clipPath) id="([^"]+)"', drawing)) for drawing in drawings]
    assert len(drawings) == 8 and all(ids)
    assert sum(map(len, ids)) == len(set().union(*ids))
    for drawing, own in zip(drawings, ids, strict=True):
        used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', drawing))
        assert used and used <= own


@pytest.mark.slow
def test_the_same_outcome_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_study(tmp_path / name, outcome(quick=False))
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


@pytest.mark.slow
def test_chromium_opens_the_page_without_a_complaint(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium here")
    page = write_study(tmp_path, outcome(quick=True))
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
    command = [browser, *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr"]
    done = subprocess.run([*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in done.stderr
    assert "holds in part" in done.stdout


@pytest.mark.slow
def test_the_command_hands_its_options_on_and_prints_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[tuple[str, Options]] = []

    def remember(name: str, options: Options, callback: Callback) -> Outcome:
        given.append((name, options))
        return outcome(quick=True)

    monkeypatch.setattr("facever.studies.run_study", remember)
    asked = (tmp_path / "out", Path("train"), Path("lfw"), Path("pairs.txt"), None, True, False)
    study_command("losses", *asked, "dlib", 5, Path("c"), "cpu", 2, True)
    assert given == [("losses", Options(*asked, 5, "cpu", 2, Path("c"), "dlib"))]
    printed = capsys.readouterr()
    assert json.loads(printed.out) == json.loads((tmp_path / "out" / "results.json").read_text())
    assert "index.html" in printed.err
    study_command(
        "losses", tmp_path / "out", None, None, None, None, False, False, "default", None, None, "cpu", None, False
    )
    told = capsys.readouterr().out
    assert "verdict\tholds in part (a quick run)" in told
    assert "better\t+0.1 (0.05 to 0.15): for" in told


@pytest.mark.slow
def test_a_study_without_its_data_ends_with_exit_code_2_and_the_remedy(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "facever", "study", "alpha", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--data" in done.stderr and "Traceback" not in done.stderr


def test_each_run_says_its_number_how_many_there_are_and_the_time_left(tmp_path: Path) -> None:
    said: list[str] = []
    runs = Runs(tmp_path, said.append, planned=3)
    for name in ("a", "b", "c", "more"):
        runs(name, {}, lambda folder: {})
    assert said == [
        "run 1 of 3: a",
        "run 2 of 3: b, less than a minute left",
        "run 3 of 3: c, less than a minute left",
        "run 4 of 4: more, less than a minute left",
    ]
