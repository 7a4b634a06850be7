"""Three answers, measured: errors among decided pairs beside the share undecided; on clear and on poor photographs.

Of LFW and of held-out people by source, every pair, and of CelebA's held-out people degraded on purpose (a photograph
with another one degraded alike, and with an untouched one). Thresholds, gates and their texts are those of `facever
verify`. Undecided pairs are counted among those asked. Writes results/answers.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import data_folder, write
from numpy.typing import NDArray

from facever.cli.common import counted
from facever.datasets.identities import group_of, read_identities, split_identities
from facever.faces.images import load_image
from facever.faces.parallel import process_files
from facever.faces.pipeline import PhotoResult, Pipeline
from facever.faces.sources import Decoded
from facever.metrics.all_pairs import blocks
from facever.question import Question
from facever.studies.conditions import Change, blurred, compressed, either_half, lit, noisy, shaken, shrunk, untouched
from facever.studies.seen import Seen, answerable_grid
from facever.training import TrainingSettings
from facever.verifier import Verifier

Image = NDArray[np.uint8]
DEGRADED = "celeba"
BINS = 100  # of a histogram
A_PERSON = 3  # photographs of each person to degrade


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="default")
    options = parser.parse_args()
    verifier = Verifier.load(options.weights)
    question = Question(verifier.info, verifier.weights)
    sets = {"lfw": read_identities(data_folder() / "lfw").paths, **held_out()}
    result: dict[str, Any] = {}
    for name, paths in sets.items():
        found = list(counted(process_files(paths, verifier.job("center")), len(paths), name))
        people = np.array([path.parent.name for path in paths])
        result[name] = figures(question, Seen.of(question, found, verifier.size), people)
    degraded = degradations(verifier, question, sets[DEGRADED])
    what = "pairs by their decision; strangers exclude relatives; rates of all pairs asked unless named otherwise"
    bounds = {"threshold": question.threshold, "far": question.far}
    bounds |= {"lower_threshold": question.lower_threshold, "frr": question.frr}
    write("answers", {"what": what, "weights": options.weights, **bounds, "sets": result, "degraded": degraded})


def held_out() -> dict[str, list[Path]]:
    """Photographs of the people whom trainings with the default settings hold out, by source."""
    folder = read_identities(data_folder() / "train", least=2)
    defaults = TrainingSettings(epochs=1)
    names = set(split_identities(folder.identities, defaults.held_out, defaults.seed)[1])
    found: dict[str, list[Path]] = {}
    for path, name in zip(folder.paths, folder.identities, strict=True):
        if name in names:
            found.setdefault(name.partition("_")[0], []).append(path)
    return found


class Tally:
    """Pairs of one kind by decision."""

    def __init__(self) -> None:
        self.asked = self.same = self.different = self.at_threshold = 0
        self.histogram = np.zeros(BINS, np.int64)

    def add(self, cosines: NDArray[np.float32], answerable: NDArray[np.bool_], question: Question) -> None:
        self.asked += cosines.size
        self.histogram += np.histogram(cosines, BINS, (-1, 1))[0]
        self.at_threshold += int((cosines >= question.threshold).sum())
        self.same += int(((cosines >= question.threshold) & answerable).sum())
        self.different += int(((cosines < question.lower_threshold) & answerable).sum())

    def shares(self) -> dict[str, float]:
        decided = self.same + self.different
        return {
            "pairs": self.asked,
            "same": self.same / self.asked,
            "different": self.different / self.asked,
            "undecided": 1 - decided / self.asked,
            "same_of_decided": self.same / max(decided, 1),
            "same_with_two_answers": self.at_threshold / self.asked,
        }

    def density(self) -> list[float]:
        """Of the cosines, over BINS bins of [-1, 1]."""
        return [float(f"{x:.4g}") for x in self.histogram * BINS / 2 / self.asked]


def figures(question: Question, photographs: Seen, people: NDArray[np.str_]) -> dict[str, Any]:
    """All pairs of one set."""
    seen, people = photographs[photographs.found], people[photographs.found]
    who = np.unique(people, return_inverse=True)[1]
    families = np.unique([group_of(name) for name in people], return_inverse=True)[1]
    kinds = {"genuine": Tally(), "strangers": Tally(), "relatives": Tally()}
    for rows, columns, cosines, same, different in blocks(seen.embeddings, who):
        answerable = answerable_grid(seen[rows], seen[columns])
        akin = families[rows][:, None] == families[columns][None]
        for kind, mask in (("genuine", same), ("strangers", different & ~akin), ("relatives", different & akin)):
            kinds[kind].add(cosines[mask], answerable[mask], question)
    densities = {kind: kinds[kind].density() for kind in ("genuine", "strangers")}
    shares = {kind: tally.shares() for kind, tally in kinds.items() if tally.asked}
    return photographs.about() | shares | {"densities": densities}


def degradations(verifier: Verifier, question: Question, paths: Sequence[Path]) -> dict[str, Any]:
    """Each kind of degradation: a pair of photographs degraded alike, and one degraded with one that is not."""
    of_person: dict[str, list[Path]] = {}
    for path in paths:
        of_person.setdefault(path.parent.name, []).append(path)
    chosen = [path for own in of_person.values() for path in own[:A_PERSON]]
    pipeline = Pipeline(verifier.job("center"))
    images = [load_image(path) for path in chosen]
    clear = seen(pipeline, images)
    kept = [i for i, result in enumerate(clear) if result.faces]
    images, clear = [images[i] for i in kept], [clear[i] for i in kept]
    people = np.array([chosen[i].parent.name for i in kept])
    plain = Seen.of(question, clear, verifier.size)
    result: dict[str, Any] = {}
    for name, change in counted(DEGRADATIONS.items(), len(DEGRADATIONS), "degradations"):
        generator = np.random.default_rng(0)
        changed = [change(image, plain.face(i), generator) for i, image in enumerate(images)]
        all_poor = Seen.of(question, seen(pipeline, changed), verifier.size)
        record = all_poor.about()
        poor = all_poor[all_poor.found]
        for other_name, other, who in (("both", poor, people[all_poor.found]), ("one", plain, people)):
            cosines = poor.embeddings @ other.embeddings.T
            answerable = answerable_grid(poor, other)
            same = people[all_poor.found, None] == who[None]
            distinct = cosines < 1 - 1e-4 if other_name == "both" else np.ones_like(same)
            kinds = {"genuine": same & distinct, "strangers": ~same}
            for kind, mask in kinds.items():
                tally = Tally()
                tally.add(cosines[mask], answerable[mask], question)
                record.setdefault(other_name, {})[kind] = tally.shares()
        result[name] = record
    return result


def seen(pipeline: Pipeline, images: Sequence[Image], batch: int = 16) -> list[PhotoResult]:
    decoded = [Decoded(str(i), image) for i, image in enumerate(images)]
    return [result for k in range(0, len(decoded), batch) for result in pipeline(decoded[k : k + batch])]


DEGRADATIONS: dict[str, Change] = {
    "untouched": untouched,
    "blur, 0.06 of the eyes' distance": blurred(0.06),
    "blur, 0.12": blurred(0.12),
    "blur, 0.2": blurred(0.2),
    "motion, 0.25": shaken(0.25),
    "motion, 0.5": shaken(0.5),
    "face of 30 pixels": shrunk(30),
    "face of 20 pixels": shrunk(20),
    "upside down": lambda image, *_: np.ascontiguousarray(image[::-1, ::-1]),
    "on its side": lambda image, *_: np.ascontiguousarray(np.rot90(image)),
    "half a face": either_half,
    **{f"noise, {levels} gray levels": noisy(levels) for levels in (10, 20, 40)},
    "half the light": lit(0.5),
    "a quarter of the light": lit(0.25),
    "a tenth of the light": lit(0.1),
    "JPEG of quality 8": compressed(8),
}


if __name__ == "__main__":
    main()
