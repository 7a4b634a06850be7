"""The answer of `facever verify` in words."""

from __future__ import annotations

import math

from facever.answer import Answer


def _probability(value: float) -> str:
    """A probability, never rounded to 0 or 1."""
    if value > 0.9999:
        return "above 0.9999"
    return "below 0.0001" if value < 0.0001 else f"{value:.4g}"


def answer_text(answer: Answer, a: str, b: str, rule: str) -> str:
    """The answer of `verify` in a few lines."""
    if answer.far is None:
        threshold = f"threshold {answer.threshold:.4f}, as given"
    else:
        threshold = f"threshold {answer.threshold:.4f} for a false accept rate of {answer.far:g}"
    lines = [
        "same person" if answer.same else "different people",
        f"  cosine {answer.cosine:.4f}, {threshold}",
    ]
    for name, norm, quality, found in zip((a, b), answer.norms, answer.quality, answer.faces_found, strict=True):
        which = {
            "largest": "the largest",
            "center": "the one nearest to the center",
            "all": "the most similar",
        }[rule]
        several = f", {found} faces found, {which} taken" if found > 1 else ""
        at = "" if quality is None else f", quality at percentile {math.floor(quality)}"
        lines.append(f"  {name}: norm {norm:.3f}{at}{several}")
    if answer.probability is not None:
        lines.insert(
            2,
            f"  probability {_probability(answer.probability)} of the same person at a prior of {answer.prior:g}, "
            f"log-likelihood ratio {answer.log_likelihood_ratio:.2f}",
        )
    return "\n".join(lines)
