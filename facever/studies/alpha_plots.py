"""Plots of the study of alpha: accuracy over alpha, a learned alpha during training, and the theory."""

from __future__ import annotations

from facever.studies.alpha import SOFTMAX, fixed
from facever.studies.outcome import Figure, Interval, Outcome
from facever.studies.plots import Curve, Drawing, curves, file_name, metrics_of, points, values_of


def drawings(outcome: Outcome) -> list[Drawing]:
    """Metrics over fixed alpha and of all models, learned alphas over the steps, the probability of the right class."""
    found = []
    for key in metrics_of(outcome, SOFTMAX):
        found.append(_over_alpha(outcome, key))
        values = values_of(outcome, key)
        summary = ", ".join(f"{model} {value:.4f}" for model, (value, _) in values.items())
        found.append(
            points(f"{file_name(key)}-all", f"{key}, all models", f"{key}: {summary}.", key.split(", ")[-1], values)
        )
    return [*found, _courses(outcome), _theory(outcome)]


def _figure(outcome: Outcome, name: str) -> Figure:
    return next(f for f in outcome.figures if f.name == name)


def _over_alpha(outcome: Outcome, key: str) -> Drawing:
    alphas = outcome.data["fixed_alphas"]
    of = [_figure(outcome, f"{fixed(alpha)}: {key}") for alpha in alphas]
    ends: list[Interval] = [f.ci95 or (f.value, f.value) for f in of]
    line = Curve("fixed alpha", alphas, [f.value for f in of], ([e[0] for e in ends], [e[1] for e in ends]))
    plain = _figure(outcome, f"{SOFTMAX}: {key}")
    low = outcome.data["alpha_low"]["value"]
    summary = ", ".join(f"{alpha:g}: {f.value:.4f}" for alpha, f in zip(alphas, of, strict=True))
    text = f"{key} over fixed alpha ({summary}); softmax {plain.value:.4f}; alpha_low {low:.2f}. Bands: 95 % intervals."
    return curves(
        file_name(key),
        f"{key} over alpha",
        text,
        "alpha",
        key.split(", ")[-1],
        [line],
        log_x=True,
        marks=True,
        vertical={f"alpha_low {low:.1f}": low},
        horizontal={"softmax": (plain.value, plain.ci95)},
    )


def _courses(outcome: Outcome) -> Drawing:
    courses = outcome.data["courses"]
    lines = [
        Curve(model, course["step"], course["alpha"], dashed=model.endswith("no decay"), color=index // 2)
        for index, (model, course) in enumerate(courses.items())
    ]
    low = outcome.data["alpha_low"]["value"]
    summary = "; ".join(f"{model}: ends at {course['alpha'][-1]:.2f}" for model, course in courses.items())
    text = f"A learned alpha over the steps of the training, with the first seed. {summary}. alpha_low {low:.2f}."
    return curves(
        "courses",
        "A learned alpha's course",
        text,
        "step",
        "alpha",
        lines,
        horizontal={f"alpha_low {low:.1f}": (low, None)},
    )


def _theory(outcome: Outcome) -> Drawing:
    theory = outcome.data["theory"]
    lines = []
    for index, record in enumerate(theory["classes"]):
        lines.append(Curve(f"C = {record['classes']:,}", theory["alpha"], record["measured"], color=index))
        lines.append(Curve("_the bound", theory["alpha"], record["bound"], dashed=True, color=index))
    summary = "; ".join(
        f"C = {r['classes']:,}: {r['measured_at_alpha_low']:.4f} at {r['alpha_low']:.2f}" for r in theory["classes"]
    )
    text = (
        f"Probability of the right class over alpha on a simplex (lines) and by the closed bound (dashed). At "
        f"alpha_low for p = {theory['p']:g}, a simplex gives {summary}."
    )
    return curves(
        "theory",
        "Probability of the right class",
        text,
        "alpha",
        "probability",
        lines,
        horizontal={f"p = {theory['p']:g}": (theory["p"], None)},
    )
