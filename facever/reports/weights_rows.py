"""Rows of a table about weights: their record, thresholds, likelihood ratio, quality, tail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from facever.weights.metadata import WeightsInfo
from facever.weights.records import Quality
from facever.weights.tails import Tail
from facever.weights.thresholds import Threshold, WorstGroup


def info_rows(info: WeightsInfo) -> list[tuple[str, str]]:
    """The metadata of a weights file, a row each."""
    a, n = info.alignment, info.normalization
    rows = [
        ("name", info.name),
        ("network", ", ".join([info.network, *_named(info.network_arguments)])),
        ("alignment", f"{a.name}: {a.height}x{a.width} pixels, fill {a.fill}"),
        ("normalization", f"(RGB - {_mean(n.mean)}) / {n.scale:g}"),
        ("mirror image", "averaged in" if info.mirrored else "not used"),
        ("loss", ", ".join(_named(info.loss)).removeprefix("name ")),
    ]
    for data in info.training_data:
        counts = f": {data['photographs']} photographs of {data['identities']} people" if "photographs" in data else ""
        rows.append(("trained on", f"{data.get('name', '?')}{counts}; terms: {data.get('terms', 'not stated')}"))
    rows += calibration_rows(info)
    rows += [
        ("not checked", "whether a face is alive, or a photograph altered"),
        ("license", info.license),
        ("credit", info.credit),
    ]
    rows += [("seed", str(info.seed))] if info.seed is not None else []
    rows += [("versions", ", ".join(f"{key} {value}" for key, value in info.versions.items()))]
    return rows


def calibration_rows(info: WeightsInfo) -> list[tuple[str, str]]:
    """Thresholds, likelihood ratio and quality, a row each."""
    rows = []
    for t in info.thresholds:
        origin = f"(TAR {t.tar:.3f}; from {t.impostor_pairs:,} impostor pairs, {t.source})"
        rows += [(f"threshold for FAR {t.far:g}", f"{t.cosine:.4f}{_intervals(t)} {origin}")]
        rows += worst_group_rows(t.worst_group)
    for low in info.lower_thresholds:
        origin = f"(FAR {low.far:.2g}; from {low.genuine_pairs:,} genuine pairs, {low.source})"
        rows += [(f"threshold for FRR {low.frr:g}", f"{low.cosine:.4f} {origin}")]
    if info.likelihood is not None:
        line = info.likelihood
        rows += [
            (
                "likelihood ratio",
                f"natural logarithm {line.slope:.2f} · cosine {line.offset:+.2f}; "
                f"Cllr {line.cllr:.3f} bits, minimum {line.min_cllr:.3f}; from {line.genuine_pairs:,} genuine and "
                f"{line.impostor_pairs:,} impostor pairs, {line.source}",
            )
        ]
    rows += _quality_rows(info.quality) if info.quality is not None else []
    return rows + (_tail_rows(info.tail) if info.tail is not None else [])


def worst_group_rows(worst: WorstGroup | None) -> list[tuple[str, str]]:
    if worst is None:
        return []
    whose = (
        f"{worst.people:,} people, {worst.impostor_pairs:,} impostor pairs, one of {worst.groups} groups by {worst.by}"
    )
    return [("in its worst group", f"FAR {rate_with_interval(worst.far, worst.far_interval)}; {whose}")]


def rate_with_interval(rate: float, ends: Sequence[float] | None) -> str:
    """Such as "0.0066 (0.0028 to 0.014)"."""
    return f"{rate:.2g}" + (f" ({ends[0]:.2g} to {ends[1]:.2g})" if ends else "")


def _intervals(t: Threshold) -> str:
    """The 95 % intervals of a stored threshold, if the record has them."""
    if t.cosine_interval is None or t.far_interval is None:
        return ""
    (low, high), (least, most) = t.cosine_interval, t.far_interval
    return f", 95 % interval {low:.4f} to {high:.4f}, FAR {least:.2g} to {most:.2g}"


def _quality_rows(quality: Quality) -> list[tuple[str, str]]:
    """Norms in a quality record, and the effect of discarding photographs of low norm."""
    five, half, most = (f"{quality.percentiles[k]:.3g}" for k in (5, 50, 95))
    norms = f"norm percentiles: 5 % {five}, 50 % {half}, 95 % {most}; {quality.photographs:,} photographs, "
    rows = [("quality", norms + quality.source)]
    check = quality.check
    if check is None:
        return [*rows, ("quality check", quality.why_useless() or "")]
    rates = [
        f"{'none left' if rate is None else f'{100 * rate:.2f} %'} without {100 * share:g} %"
        for share, rate in zip(check.discarded[1:], check.frr[1:], strict=True)
    ]
    at_random = "unknown" if check.frr_at_random is None else f"{100 * check.frr_at_random:.2f} %"
    saved = "too few people for an interval"
    if check.saved_interval is not None:
        low, high = check.saved_interval
        saved = f"FRR saved without 20 %: 95 % interval {100 * low:.2f} to {100 * high:.2f} %"
    use = "verify --min-quality is available" if check.helps else "no gain, verify --min-quality is refused"
    discarded = f"FRR at FAR {check.far:g}: {at_random} with all photographs, {', '.join(rates)} of lowest norm"
    return [*rows, ("quality check", f"{discarded}; {saved}, {check.people:,} identities: {use}")]


def _tail_rows(tail: Tail) -> list[tuple[str, str]]:
    """The fitted tail, and the cosines for low rates as far as they are supported."""
    fitted = f"cosines above {tail.start:.4f}, {100 * tail.rate:.2g} %: shape {tail.shape:.3f}, scale {tail.scale:.4f}"
    rows = [("tail", f"{fitted}; from {tail.impostor_pairs:,} impostor pairs of {tail.people:,} people, {tail.source}")]
    for rate, low, high in tail.intervals:
        if rate < tail.rate and not tail.why_unsupported(rate):
            rows.append((f"FMR {rate:g} for search", f"{tail.cosine(rate):.4f}, 95 % interval {low:.2g} to {high:.2g}"))
    return rows


def _named(values: Mapping[str, Any]) -> list[str]:
    """Settings in words: "alpha 16", "not learned", "widths 32 64"."""
    words = []
    for name, value in values.items():
        if isinstance(value, bool):
            words.append(name if value else f"not {name}")
        elif isinstance(value, list | tuple):
            words.append(" ".join(map(str, [name, *value])))
        elif isinstance(value, dict):
            words.append(f"{name} ({', '.join(_named(value))})")
        else:
            words.append(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}")
    return words


def _mean(mean: Sequence[float]) -> str:
    return f"{mean[0]:g}" if len(set(mean)) == 1 else f"({', '.join(f'{each:g}' for each in mean)})"
