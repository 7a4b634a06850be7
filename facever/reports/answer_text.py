"""The answer of `facever verify` in words."""

from __future__ import annotations

import math

from facever.answer import DECISIONS, Answer
from facever.files import printable


def _probability(value: float) -> str:
    """A probability, never rounded to 0 or 1."""
    if value > 0.9999:
        return "above 0.9999"
    return "below 0.0001" if value < 0.0001 else f"{value:.4g}"


def answer_text(answer: Answer, rule: str) -> str:
    """The answer of `verify` in a few lines."""
    lines = [DECISIONS[answer.decision], *(f"  because {printable(why)}" for why in answer.why)]
    lines.append(f"  cosine {answer.cosine:.4f}; {_thresholds(answer)}")
    if answer.probability is not None:
        lines.append(
            f"  probability {_probability(answer.probability)} of the same person at a prior of {answer.prior:g}, "
            f"log-likelihood ratio {answer.log_likelihood_ratio:.2f}"
        )
    which = {"largest": "the largest", "center": "the one nearest to the center", "all": "the most similar"}[rule]
    for face in (answer.a, answer.b):
        box = ", ".join(f"{value:.0f}" for value in face.box)
        several = f", {which} of {face.faces_found} faces" if face.faces_found > 1 else ""
        at = "" if face.quality is None else f", quality at percentile {math.floor(face.quality)}"
        lines.append(f"  {printable(face.source)}: face of {face.size:.0f} pixels at {box}{several}{at}")
    if answer.all_faces is not None and max(answer.a.faces_found, answer.b.faces_found) > 1:
        lines.append(_cosines(answer.all_faces.cosines))
    lines += [f"  note: {printable(note)}" for note in answer.notes]
    return "\n".join([*lines, f"  not checked: {_unknown(answer)}"])


def _cosines(cosines: list[list[float]]) -> str:
    """Of all faces of the first photograph (rows) with all of the second (columns)."""
    head = " ".join(f"{f'b{j}':>8}" for j in range(1, len(cosines[0]) + 1))
    rows = [f"  a{i:<4} " + " ".join(f"{x:8.4f}" for x in row) for i, row in enumerate(cosines, 1)]
    return "\n".join([f"        {head}", *rows])


def _thresholds(answer: Answer) -> str:
    if answer.far is None:
        return f"same person from {answer.threshold:.4f} up, as given"
    upper = f"same person from {answer.threshold:.4f} up (false accept rate {answer.far:g})"
    if answer.frr is None:
        return upper
    return f"{upper}, different people below {answer.lower_threshold:.4f} (false reject rate {answer.frr:g})"


def _unknown(answer: Answer) -> str:
    """What this answer doesn't know."""
    alive = "whether a face is alive"
    worst = answer.worst_group
    if worst is None:
        return alive
    return f"{alive}; among people who look alike the false accept rate is higher, {worst.far:.2g} in the worst group"
