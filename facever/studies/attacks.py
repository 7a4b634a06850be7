"""Two attacks on weights: morphs of two people, and adversarial patterns.

M. Ferrara, A. Franco, D. Maltoni, *The magic passport*, 2014 (morphs); C. Szegedy et al., *Intriguing properties of
neural networks*, 2014 (patterns).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.errors import DataError, reading
from facever.faces.alignment import align
from facever.faces.embedder import Embedder
from facever.faces.parallel import process_files
from facever.files import atomic_write
from facever.metrics.bootstrap import People
from facever.scoring import cosine, decide
from facever.studies.intervals import Bootstrapped, no_narrower_than_wilson
from facever.studies.outcome import Check, Figure, Outcome
from facever.studies.perturbation import STEPS, perturbed
from facever.studies.runs import Options, Runs
from facever.studies.sample import Sample, lfw_sample
from facever.training.callbacks import Callback
from facever.verifier import Verifier
from facever.weights.alignment import Alignment
from facever.weights.shipped import shipped_weights

BOUNDS, QUICK_BOUNDS = (2, 4, 8), (8,)  # gray levels of 255
PAIRS = 60  # genuine ones of each fold, for as many people
ATTACKED = 60  # people; all with --full
REPLICATES = 500
HOW = "bootstrap over identities of LFW, at least Wilson's"
RANDOM, ALIKE = "a random stranger", "the most alike stranger"
SHOWN, OTHER = "the photograph attacked", "another one of the target"
Crops = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Faces:
    """Two crops of each of n people: `first` is what an attack sees, `second` another photograph.

    They are wider than the attacked weights' own, by `margin` pixels on each side, so that other weights can cut theirs
    from them.
    """

    first: Crops
    second: Crops
    alignment: Alignment
    margin: int

    def __len__(self) -> int:
        return len(self.first)

    def inner(self, crops: Crops) -> Crops:
        """The attacked weights' own crops."""
        return np.ascontiguousarray(crops[:, self.margin : -self.margin, self.margin : -self.margin])

    def with_inner(self, crops: Crops, inner: Crops) -> Crops:
        """Wide crops with others in their middle."""
        changed = crops.copy()
        changed[:, self.margin : -self.margin, self.margin : -self.margin] = inner
        return changed

    def seen_by(self, embedder: Embedder, crops: Crops) -> Floats:
        """Embeddings of wide crops, cut as a weights file wants them."""
        have, need = self.alignment, embedder.info.alignment
        if have == need.padded(self.margin):
            return embedder(self.inner(crops))[0]
        return embedder(np.stack([align(crop, np.array(have.landmarks, np.float32), need) for crop in crops]))[0]


def run(options: Options, callback: Callback) -> Outcome:
    """As `facever.studies.run_study`."""
    runs = Runs(options.out, callback.say)
    sample = lfw_sample(options, PAIRS)
    verifier = Verifier.load(options.weights, options.device, precision="fp32")
    embedder = Embedder.load(verifier.path, options.device, "fp32")
    bounds = QUICK_BOUNDS if options.quick else BOUNDS
    runs.planned = 2 + len(bounds)
    faces = _faces(options, callback, runs, verifier, sample)
    if len(faces) < 2:
        raise DataError(f"{options.lfw}: too few people with two photographs in which a face is found")
    order = np.random.default_rng(0).permutation(len(faces))
    attackers = order if options.full else order[:ATTACKED]
    targets = np.roll(attackers, 1)
    models = {verifier.weights.name: embedder}
    for name in shipped_weights():
        models.setdefault(name, Embedder.load(name, options.device, "fp32"))
    plain = faces.first[attackers]
    # The targets' embeddings, once for each weights file and only if a run needs them.
    goals = functools.cache(lambda name: _targets(models[name], faces, targets))
    asked = {"weights": verifier.weights.sha256, "people": len(faces), "attackers": len(attackers), "steps": STEPS}
    patterns: dict[str, Any] = {}
    for bound in (0, *bounds):

        def make(folder: Path, bound: int = bound) -> dict[str, Any]:
            goal = goals(verifier.weights.name)[SHOWN]
            changed = perturbed(embedder, faces.inner(plain), goal, bound) if bound else faces.inner(plain)
            attacks = faces.with_inner(plain, changed)
            return {
                name: _accepted(model, faces.seen_by(model, attacks), goals(name)) for name, model in models.items()
            }

        accepted = runs(f"patterns-{bound}", {**asked, "against": list(models)}, make)
        patterns[str(bound)] = _shares(accepted, attackers, targets)
    morphs = measured_morphs(embedder, faces, order, np.roll(order, 1))
    return _outcome(options, verifier, runs, len(faces), len(attackers), morphs, patterns)


def _faces(options: Options, callback: Callback, runs: Runs, verifier: Verifier, sample: Sample) -> Faces:
    """The crops of the sample's first genuine pair of each person."""
    chosen: dict[int, tuple[int, int]] = {}
    for a, b in zip(sample.a[sample.same].tolist(), sample.b[sample.same].tolist(), strict=True):
        chosen.setdefault(int(sample.people[a]), (a, b))
    paths = [sample.paths[i] for pair in chosen.values() for i in pair]
    own = verifier.info.alignment
    margin = max(own.height, own.width) // 3
    wide = own.padded(margin)

    def make(folder: Path) -> dict[str, Any]:
        crops: list[Crops | None] = []
        for result in process_files(paths, replace(verifier.job("center"), output=wide), options.workers):
            crops.append(result.faces[0].crop if result.faces else None)
            callback.detecting(len(crops), len(paths))
        pairs = [(a, b) for a, b in zip(crops[::2], crops[1::2], strict=True) if a is not None and b is not None]
        both = np.array(pairs, np.uint8).reshape(-1, 2, wide.height, wide.width, 3)
        with atomic_write(folder / "crops.npy", private=True) as temporary, temporary.open("wb") as file:
            np.save(file, both)
        return {"people": len(pairs)}

    runs("crops", {"weights": verifier.weights.sha256, "photographs": len(paths)}, make)
    path = runs.folder("crops") / "crops.npy"
    with reading(path, f"delete {path.parent}.json to repeat it"):
        both = np.load(path)
    return Faces(both[:, 0], both[:, 1], wide, margin)


def _targets(embedder: Embedder, faces: Faces, targets: NDArray[np.int64]) -> dict[str, Floats]:
    """Embeddings of the targets, by which of their photographs is shown."""
    return {
        what: faces.seen_by(embedder, crops[targets]) for what, crops in ((SHOWN, faces.first), (OTHER, faces.second))
    }


def _accepted(embedder: Embedder, attacks: Floats, targets: dict[str, Floats]) -> dict[str, list[bool]]:
    """Whether each attack is taken for its target."""
    threshold = embedder.info.threshold(None).cosine
    return {what: decide(cosine(attacks, vectors), threshold).tolist() for what, vectors in targets.items()}


def morphed(a: Crops, b: Crops) -> Crops:
    """The mean of two aligned crops each: the landmarks of both faces lie at the same places."""
    return np.asarray((a.astype(np.uint16) + b + 1) // 2, np.uint8)


def measured_morphs(
    embedder: Embedder, faces: Faces, attackers: NDArray[np.int64], targets: NDArray[np.int64]
) -> dict[str, Any]:
    """The share of morphs that pass for the one, for the other, and for both, by their second photographs."""
    threshold = embedder.info.threshold(None).cosine
    first, second = faces.seen_by(embedder, faces.first), faces.seen_by(embedder, faces.second)
    alike = first @ first.T - 4 * np.eye(len(first), dtype=np.float32)
    record = {}
    for name, partners in ((RANDOM, targets), (ALIKE, alike[attackers].argmax(axis=1))):
        vectors = faces.seen_by(embedder, morphed(faces.first[attackers], faces.first[partners]))
        one, other = (decide(cosine(vectors, second[who]), threshold) for who in (attackers, partners))
        parts = {"the one": one, "the other": other, "both": one & other}
        record[name] = {what: _share(hits, attackers, partners) for what, hits in parts.items()}
    plain = decide(cosine(first[attackers], second[attackers]), threshold)
    record["no morph"] = {"the one": _share(plain, attackers, attackers)}
    return record


def _shares(accepted: dict[str, Any], attackers: NDArray[np.int64], targets: NDArray[np.int64]) -> dict[str, Any]:
    return {
        name: {what: _share(np.array(hits, bool), attackers, targets) for what, hits in of.items()}
        for name, of in accepted.items()
    }


def _share(hits: NDArray[np.bool_], a: NDArray[np.int64], b: NDArray[np.int64]) -> dict[str, Any]:
    people = People(a, b, int(max(a.max(), b.max())) + 1)

    def mean(weights: NDArray[np.float64] | None) -> float:
        return float(np.average(hits, weights=weights)) if weights is None or weights.any() else np.nan

    drawn = Bootstrapped.of(people, mean, REPLICATES)
    ends = no_narrower_than_wilson(drawn.ci95, int(hits.sum()), len(hits))
    return {"value": drawn.number, "ci95": list(ends)}


def _outcome(
    options: Options, verifier: Verifier, runs: Runs, people: int, attackers: int, morphs: dict[str, Any], patterns: Any
) -> Outcome:
    stored = verifier.info.threshold(None)
    own = verifier.weights.name
    shares = {f"morph with {name}, passes for both": of["both"] for name, of in morphs.items() if "both" in of}
    for bound, by in patterns.items():
        if bound == "0":
            continue
        what = f"pattern of {bound} gray levels, {OTHER}"
        shares |= {f"{what}, {'own weights' if name == own else name}": of[OTHER] for name, of in by.items()}
    checks = [
        Check(f"{what}: promised FAR minus share", stored.far - s["value"], _below(stored.far, s["ci95"]), HOW)
        for what, s in shares.items()
    ]
    return Outcome(
        study="attacks",
        title="Morphs and adversarial patterns",
        claim=(
            f"Morphs and adversarial patterns are accepted no more often than strangers: at most {stored.far:g} do."
        ),
        method=[
            f"LFW: {people:,} people, two photographs each. An attack sees one of them; the other is shown as well.",
            "Morph: the mean of two aligned crops. It passes where the cosine with another photograph of the person is "
            "at or above the threshold.",
            f"Pattern: {attackers:,} attackers, {STEPS} projected gradient steps (Madry et al., 2018) on the aligned "
            "crop, each channel of a pixel changed by at most so many gray levels of 255, towards the embedding of a "
            "random stranger. The attacker knows the network; other weights cut their own crop from the same picture.",
            f"Weights {own}, at their threshold for FAR {stored.far:g}. Patterns are put into crops, not onto "
            "photographs that are then printed, compressed or detected again.",
        ],
        quick=options.quick,
        seeds=[0],
        settings={"weights": own, "sha256": verifier.weights.sha256, "steps": STEPS, "replicates": REPLICATES},
        figures=[Figure(what, s["value"], (s["ci95"][0], s["ci95"][1]), HOW) for what, s in shares.items()],
        checks=checks,
        runs={},
        minutes=runs.minutes,
        data={
            "promised_far": stored.far,
            "people": people,
            "attackers": attackers,
            "morphs": morphs,
            "patterns": patterns,
        },
        paper=False,
    )


def _below(far: float, ends: list[float]) -> tuple[float, float]:
    return far - ends[1], far - ends[0]
