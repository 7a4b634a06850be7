"""Three answers, measured: errors among decided pairs beside the share undecided; on clear and on poor photographs.

Of LFW and of held-out people by source, every pair, and of CelebA's held-out people degraded on purpose (a photograph
with another one degraded alike, and with an untouched one). Thresholds, gates and their texts are those of `facever
verify`. Undecided pairs are counted among those asked. Writes results/answers.json.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from common import data_folder, write
from numpy.typing import NDArray

from facever.cli.common import counted
from facever.datasets.identities import group_of, read_identities, split_identities
from facever.faces.doubts import doubts_of
from facever.faces.images import load_image
from facever.faces.parallel import process_files
from facever.faces.pipeline import PhotoResult, Pipeline
from facever.faces.sources import Decoded
from facever.metrics.all_pairs import blocks
from facever.question import Question
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
        people = [path.parent.name for path in paths]
        result[name] = figures(question, Photographs(question, found, people), people)
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


class Photographs:
    """Embeddings of photographs with a face, and what speaks against an answer."""

    def __init__(self, question: Question, results: Sequence[PhotoResult], people: Sequence[str]) -> None:
        rows = [(result, name) for result, name in zip(results, people, strict=True) if result.faces]
        self.without_face = len(results) - len(rows)
        self.people = [name for _, name in rows]
        faces = [result.faces[0] for result, _ in rows]
        self.embeddings = np.array([face.embedding for face in faces], np.float32)
        info = question.info
        norms = [face.norm or 0.0 for face in faces]
        quality = [None if info.quality is None else info.quality.percentile(norm) for norm in norms]
        self.doubts = [
            doubts_of(face, result.size, info, percentile)
            for face, (result, _), percentile in zip(faces, rows, quality, strict=True)
        ]
        self.good = np.array([not doubts for doubts in self.doubts])
        parts = sorted({part for face in faces for part in face.covered})
        self.covered = np.array([[part in face.covered for part in parts] for face in faces], np.float32)

    def about(self) -> dict[str, Any]:
        reasons = Counter(doubt.partition(" (")[0] for doubts in self.doubts for doubt in doubts)
        n = len(self.good)
        return {
            "photographs": n,
            "without_face": self.without_face,
            "too_poor": float(1 - self.good.mean()),
            "reasons": {reason: count / n for reason, count in reasons.most_common()},
            "covered": float(self.covered.any(axis=1).mean()),
        }


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


def figures(question: Question, photographs: Photographs, people: Sequence[str]) -> dict[str, Any]:
    """All pairs of one set."""
    who = np.unique(photographs.people, return_inverse=True)[1]
    families = np.unique([group_of(name) for name in photographs.people], return_inverse=True)[1]
    kinds = {"genuine": Tally(), "strangers": Tally(), "relatives": Tally()}
    for rows, columns, cosines, same, different in blocks(photographs.embeddings, who):
        answerable = answerable_pairs(photographs, photographs, rows, columns)
        akin = families[rows][:, None] == families[columns][None]
        for kind, mask in (("genuine", same), ("strangers", different & ~akin), ("relatives", different & akin)):
            kinds[kind].add(cosines[mask], answerable[mask], question)
    densities = {kind: kinds[kind].density() for kind in ("genuine", "strangers")}
    shares = {kind: tally.shares() for kind, tally in kinds.items() if tally.asked}
    return photographs.about() | shares | {"densities": densities}


def answerable_pairs(a: Photographs, b: Photographs, rows: slice, columns: slice) -> NDArray[np.bool_]:
    """Whether neither photograph is too poor, and no part of the face is covered in both."""
    both_covered = a.covered[rows] @ b.covered[columns].T > 0
    return np.asarray(a.good[rows][:, None] & b.good[columns][None] & ~both_covered)


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
    people = [chosen[i].parent.name for i in kept]
    plain = Photographs(question, clear, people)
    everything = slice(None)
    result: dict[str, Any] = {}
    for name, change in counted(DEGRADATIONS.items(), len(DEGRADATIONS), "degradations"):
        generator = np.random.default_rng(0)
        changed = [change(image, result, generator) for image, result in zip(images, clear, strict=True)]
        poor = Photographs(question, seen(pipeline, changed), people)
        record = poor.about()
        for other_name, other in (("both", poor), ("one", plain)):
            cosines = poor.embeddings @ other.embeddings.T
            answerable = answerable_pairs(poor, other, everything, everything)
            same = np.array(poor.people)[:, None] == np.array(other.people)[None]
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


def eye_distance(result: PhotoResult) -> float:
    left, right = result.faces[0].face.landmarks[:2]
    return float(np.linalg.norm(right - left))


Change = Callable[[Image, PhotoResult, np.random.Generator], Image]


def blurred(share: float) -> Change:
    """Gaussian blur, its deviation as a share of the distance of the eyes."""
    return lambda image, result, _: np.asarray(cv2.GaussianBlur(image, (0, 0), share * eye_distance(result)), np.uint8)


def shaken(share: float) -> Change:
    """Motion blur along a line of this share of the distance of the eyes, in any direction."""

    def change(image: Image, result: PhotoResult, generator: np.random.Generator) -> Image:
        length = max(2, round(share * eye_distance(result)))
        kernel, middle, angle = np.zeros((length, length), np.float32), (length - 1) / 2, generator.uniform(0, np.pi)
        for t in np.linspace(-middle, middle, 4 * length):
            kernel[round(middle + t * np.sin(angle)), round(middle + t * np.cos(angle))] = 1
        return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)

    return change


def shrunk(size: float) -> Change:
    """The photograph scaled down until the face has this many pixels."""

    def change(image: Image, result: PhotoResult, _: np.random.Generator) -> Image:
        scale = min(1.0, size / result.faces[0].face.size)
        return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)

    return change


def halved(image: Image, result: PhotoResult, generator: np.random.Generator) -> Image:
    """What is left, or right, of the nose."""
    x = int(result.faces[0].face.landmarks[2, 0])
    return np.ascontiguousarray(image[:, :x] if generator.random() < 0.5 else image[:, x:])


def compressed(image: Image, result: PhotoResult, _: np.random.Generator) -> Image:
    encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 8])[1]
    return np.ascontiguousarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1])


DEGRADATIONS: dict[str, Change] = {
    "untouched": lambda image, *_: image,
    "blur, 0.06 of the eyes' distance": blurred(0.06),
    "blur, 0.12": blurred(0.12),
    "blur, 0.2": blurred(0.2),
    "motion, 0.25": shaken(0.25),
    "motion, 0.5": shaken(0.5),
    "face of 30 pixels": shrunk(30),
    "face of 20 pixels": shrunk(20),
    "upside down": lambda image, *_: np.ascontiguousarray(image[::-1, ::-1]),
    "on its side": lambda image, *_: np.ascontiguousarray(np.rot90(image)),
    "half a face": halved,
    "a tenth of the light": lambda image, *_: (image * 0.1).round().astype(np.uint8),
    "JPEG of quality 8": compressed,
}


if __name__ == "__main__":
    main()
