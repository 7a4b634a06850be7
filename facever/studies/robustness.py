"""What `verify` makes of degraded photographs: where the promised false accept rate holds, and where it breaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from facever.errors import DataError
from facever.question import Question
from facever.studies.conditions import conditions
from facever.studies.degraded import Item, embedded
from facever.studies.outcome import Check, Figure, Outcome
from facever.studies.robustness_rates import REPLICATES, rates
from facever.studies.runs import Options, Runs
from facever.studies.sample import Sample, lfw_sample
from facever.studies.seen import Seen
from facever.training.callbacks import Callback
from facever.verifier import Verifier

PAIRS = 30  # genuine ones of each fold, and as many of strangers
UNTOUCHED = "untouched"
SIDES = {"both": "on both photographs", "one": "on one photograph"}
HOW = "bootstrap over identities of LFW, at least Wilson's"


def run(options: Options, callback: Callback) -> Outcome:
    """As `facever.studies.run_study`."""
    runs = Runs(options.out, callback.say)
    sample = lfw_sample(options, PAIRS)
    verifier = Verifier.load(options.weights, options.device)
    look = Looker(options, callback, runs, verifier)
    runs.planned = len(conditions())
    clear = look(UNTOUCHED, sample.paths, None)
    if not clear.found.any():
        raise DataError(f"{options.lfw}: no face is found in any photograph")
    sample, clear = sample.where(clear.found), clear[clear.found]
    measured: dict[str, Any] = {}
    for name in conditions():
        seen = clear if name == UNTOUCHED else look(name, sample.paths, clear)
        callback.say(f"{name}: a face in {seen.found.sum()} of {len(seen)}")
        about = runs.done[file_name(name)]
        measured[name] = {key: about[key] for key in ("photographs", "without_face", "too_poor", "covered")}
        for side, other in (("both", seen), ("one", clear)):
            measured[name][side] = rates(sample, seen, other, look.question, REPLICATES)
    return _outcome(options, look, sample, measured)


class Looker:
    """Photographs under a condition, seen by one weights file; each condition is a run.

    Parameters
    ----------
    options, callback, runs, verifier
        Of the study.
    """

    def __init__(self, options: Options, callback: Callback, runs: Runs, verifier: Verifier) -> None:
        self.options, self.callback, self.runs, self.verifier = options, callback, runs, verifier
        self.question = Question(verifier.info, verifier.weights)

    def __call__(self, name: str, paths: Sequence[Path], clear: Seen | None) -> Seen:
        """What is seen of n photographs under a condition; `clear`: the same ones untouched."""
        items: list[Item] = [(path, None if clear is None else clear.face(i)) for i, path in enumerate(paths)]
        asked = {"weights": self.verifier.weights.sha256, "photographs": len(items)}
        self.runs(file_name(name), asked, lambda folder: self._look(name, items, folder))
        return Seen.load(self.runs.folder(file_name(name)) / "seen.npz")

    def _look(self, name: str, items: list[Item], folder: Path) -> dict[str, Any]:
        # In float32, as `verify` compares two photographs.
        job = replace(self.verifier.job("all"), precision="fp32")
        results = []
        for result in embedded(items, name, job, self.options.workers):
            results.append(result)
            self.callback.detecting(len(results), len(items))
        seen = Seen.of(self.question, results, self.verifier.size)
        seen.save(folder / "seen.npz")
        return seen.about()


def file_name(condition: str) -> str:
    """ "JPEG, quality 50" -> "jpeg-quality-50" """
    return "-".join("".join(c if c.isalnum() or c == "." else " " for c in condition.lower()).split())


def _outcome(options: Options, look: Looker, sample: Sample, measured: dict[str, Any]) -> Outcome:
    question = look.question
    assert question.far is not None
    checks, figures = [], []
    for name, record in measured.items():
        for side, words in SIDES.items():
            far = record[side]["strangers"]["same_of_decided"]
            if far["value"] is not None and not (name == UNTOUCHED and side == "one"):
                ends = None if far["ci95"] is None else (question.far - far["ci95"][1], question.far - far["ci95"][0])
                what = f"{name}, {words}: promised FAR minus that of decided pairs"
                checks.append(Check(what, question.far - far["value"], ends, HOW))
        for what, each in (("accuracy", record["both"]["accuracy"]), ("TAR", record["both"]["genuine"]["accepted"])):
            if each is not None and each["value"] is not None:
                figures.append(Figure(f"{name}: {what}", each["value"], each["ci95"] and tuple(each["ci95"]), HOW))
    strangers = measured[UNTOUCHED]["both"]["strangers"]["pairs"]
    return Outcome(
        study="robustness",
        title="Degraded photographs",
        claim=(
            f"On degraded photographs, too, of the pairs of strangers that `verify` decides at most {question.far:g} "
            "are taken for one person: it declines what is too poor."
        ),
        method=[
            f"LFW: {len(sample.a):,} of its listed pairs, {int(sample.same.sum()):,} of them genuine, of "
            f"{len(sample.paths):,} photographs in which a face is found. Pairs of strangers are all that these "
            f"photographs make, {strangers:,}.",
            "Each photograph is degraded as a whole, and its face detected again. Of several faces, the one in the "
            "middle counts, or the nearest to where it was if a part is cut off.",
            "Once both photographs of each pair are degraded, once one of them.",
            f"Weights {look.verifier.info.name}, thresholds and limits as in `facever verify`: the same person from "
            f"{question.threshold:.4f} up, different people below {question.lower_threshold:.4f}.",
            "Accuracy is LFW's, over ten folds, of the listed pairs with a face in both photographs.",
        ],
        quick=options.quick,
        seeds=[0],
        settings={
            "weights": look.verifier.weights.name,
            "sha256": look.verifier.weights.sha256,
            "pairs": len(sample.a),
            "replicates": REPLICATES,
        },
        figures=figures,
        checks=checks,
        runs={},
        minutes=look.runs.minutes,
        data={
            "promised_far": question.far,
            "threshold": question.threshold,
            "lower_threshold": question.lower_threshold,
            "photographs": len(sample.paths),
            "strangers": strangers,
            "conditions": measured,
        },
        paper=False,
    )
