"""Plots of the study of attacks."""

from __future__ import annotations

from facever.studies.attacks import OTHER
from facever.studies.outcome import Outcome
from facever.studies.plots import Curve, Drawing, curves, points


def drawings(outcome: Outcome) -> list[Drawing]:
    """Patterns accepted over their bound, by each weights file, and morphs accepted."""
    return [_patterns(outcome), _morphs(outcome)]


def _patterns(outcome: Outcome) -> Drawing:
    patterns, own = outcome.data["patterns"], outcome.settings["weights"]
    bounds = [int(bound) for bound in patterns]
    lines, told = [], []
    for name in patterns["0"]:
        shares = [patterns[str(bound)][name][OTHER] for bound in bounds]
        values = [share["value"] for share in shares]
        band = ([share["ci95"][0] for share in shares], [share["ci95"][1] for share in shares])
        label = f"{name}, attacked" if name == own else name
        lines.append(Curve(label, bounds, values, band, dashed=name != own))
        told.append(f"{label} {', '.join(f'{value:.3f}' for value in values)}")
    text = (
        f"Share of patterns accepted as the target by another photograph of it, for bounds of "
        f"{', '.join(map(str, bounds))} gray levels: {'; '.join(told)}. Bands: 95 % intervals."
    )
    return curves("patterns", "Adversarial patterns", text, "bound, gray levels of 255", "accepted", lines, marks=True)


def _morphs(outcome: Outcome) -> Drawing:
    values = {
        f"{name}: {what}": (share["value"], (share["ci95"][0], share["ci95"][1]))
        for name, of in outcome.data["morphs"].items()
        for what, share in of.items()
    }
    told = ", ".join(f"{name} {value:.3f}" for name, (value, _) in values.items())
    text = f"Share accepted, by another photograph of the person: {told}."
    return points("morphs", "Morphs", text, "accepted", values)
