"""Tables for the terminal; plain text in a pipe."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from facever.evaluation import AllPairsResult, Evaluation, PairsResult, StageTimes, ThresholdCheck
from facever.files import printable
from facever.metrics.decisions import Decisions
from facever.metrics.rates import Bools
from facever.weights.metadata import WeightsInfo, versions
from facever.weights.records import Quality
from facever.weights.tails import Tail
from facever.weights.thresholds import Threshold, WorstGroup

Rows = Sequence[tuple[str, str]]


def print_table(rows: Rows, title: str = "") -> None:
    """Print two columns, names and values, without interpreting markup or escape sequences."""
    if title:
        print(title)
    if not sys.stdout.isatty():
        for name, value in rows:
            print(f"{printable(name)}\t{printable(value)}")
        return
    table = Table(box=SIMPLE, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(printable(name)), Text(printable(value)))
    Console().print(table)


def print_roc(cosines: NDArray[np.float64], same: Bools, counts: NDArray[np.int64] | None = None) -> None:
    """Print a small ROC, on a terminal only."""
    if sys.stdout.isatty():
        from facever.reports.terminal_roc import roc_text

        print(roc_text(cosines, same, Console().width, counts))


def pairs_rows(result: PairsResult, weights: str) -> list[tuple[str, str]]:
    """The figures of a protocol, a row each."""
    f = result.figures
    rows = [
        ("weights", weights),
        ("pairs", f"{f.pairs:,} ({f.genuine_pairs:,} genuine), {len(f.fold_accuracies)} folds"),
        ("photographs", f"{result.images:,}, {len(result.images_without_face)} without a detected face"),
        (
            "accuracy",
            f"{100 * f.accuracy:.2f} ± {100 * f.accuracy_standard_error:.2f} % (standard error of the mean)",
        ),
        ("95 % interval", accuracy_interval(result)),
        ("AUC", f"{f.auc:.5f}"),
        ("EER", f"{100 * f.eer:.2f} %"),
    ]
    for far, tar in f.tar_at_far.items():
        if tar is not None:
            rows.append((f"TAR at FAR {far:g}", f"{tar:.4f}{_within(result.intervals[f'{far:g}'])}"))
    rows += _unsupported_row(f.tar_at_far)
    for g in result.groups:
        figures = [f"accuracy {100 * g.accuracy:.2f} %{_within(g.accuracy_interval, 100)}"]
        figures += [f"FAR {g.far:.4f}{_within(g.far_interval)}"] if g.far is not None else []
        figures += [f"TAR {g.tar:.4f}{_within(g.tar_interval)}"] if g.tar is not None else []
        few = "; too few pairs" if g.few else ""
        rows.append((f"group {g.name}", f"{', '.join(figures)}; {g.genuine_pairs + g.impostor_pairs} pairs{few}"))
    rows.append(("d-prime", f"{result.d_prime:.2f}"))
    if result.likelihood is not None:
        rows.append(("Cllr", f"{result.likelihood.cllr:.4f} bits, minimum {result.likelihood.min_cllr:.4f}"))
    return rows + _kept_rows(result.thresholds) + _decision_rows(result.decisions)


def all_pairs_rows(result: AllPairsResult, weights: str) -> list[tuple[str, str]]:
    """The figures of all pairs, a row each, and the most suspicious pairs."""
    missing = len(result.without_face)
    alone = f", {result.singletons:,} with one photograph" if result.singletons else ""
    rows = [
        ("weights", weights),
        (
            "photographs",
            f"{result.photographs:,} of {result.people:,} people{alone}; {missing} without a detected face",
        ),
        ("pairs", f"{result.genuine_pairs:,} genuine, {result.impostor_pairs:,} impostor"),
    ]
    for far, tar in result.tar_at_far.items():
        if tar is None:
            continue
        (low, high), (least, most) = result.tar_intervals[far], result.threshold_intervals[far]
        threshold = f"{result.threshold_at_far[far]:.4f} ({least:.4f} to {most:.4f})"
        rows.append((f"TAR at FAR {far:g}", f"{tar:.4f} ({low:.4f} to {high:.4f}), threshold {threshold}"))
    rows += _unsupported_row(result.tar_at_far)
    if result.likelihood is not None:
        rows.append(("Cllr", f"{result.likelihood.cllr:.4f} bits, minimum {result.likelihood.min_cllr:.4f}"))
    rows += _kept_rows(result.thresholds) + _decision_rows(result.decisions)
    return rows + [(f"similar, {cosine:.4f}", f"{a} and {b}") for a, b, cosine in result.suspicious]


def timing_rows(times: StageTimes | None, score: float, total: float) -> list[tuple[str, str]]:
    """Seconds by stage, a row each."""
    rows = [("seconds in total", f"{total:.1f}")]
    if times is None:
        rows.append(("embeddings", "made elsewhere; decode, detect, align and embed did not run"))
    elif not times.embedded:
        rows.append(("embeddings", f"all {times.cached:,} from the cache; decode, detect, align and embed did not run"))
    else:
        rows += [(f"seconds to {stage}", f"{seconds:.1f}") for stage, seconds in times.seconds.items()]
        rows.append(
            (
                "embeddings",
                f"{times.embedded:,} computed, {times.cached:,} from the cache; seconds by stage are summed over "
                "processes and threads",
            )
        )
    return [*rows, ("seconds to score", f"{score:.1f}, with figures and intervals")]


def provenance_rows(evaluation: Evaluation[Any]) -> dict[str, str]:
    """Model, settings, times and versions, for the end of a report."""
    model, options = evaluation.model, evaluation.options
    return {
        "model": f"{model.weights.name}, sha256 {model.weights.sha256}",
        "face of a photograph": options.faces,
        "smallest face": options.detector.smallest_face,
        **({"precision": model.settings["precision"]} if model.settings else {}),
        **({"thresholds from": options.thresholds.name} if options.thresholds is not None else {}),
        **dict(timing_rows(model.embedded.times, evaluation.scoring, evaluation.total)),
        **versions(),
    }


def _kept_rows(thresholds: Sequence[ThresholdCheck]) -> list[tuple[str, str]]:
    rows = []
    for t in thresholds:
        here = f"for FAR {t.far:g}; here FAR {t.measured_far:.2g}, TAR {t.measured_tar:.4f}"
        rows.append((f"stored threshold {t.cosine:.4f}", here))
        rows += _worst_group_rows(t.worst_group)
    return rows


def _decision_rows(decisions: Decisions | None) -> list[tuple[str, str]]:
    """Three answers: errors among decided pairs, and what is left undecided."""
    if decisions is None:
        return []
    d = decisions
    bounds = f"cosine {d.bounds.lower_threshold:.4f} to {d.bounds.threshold:.4f}, or a photograph too poor"
    shares = f"{100 * d.undecided_genuine:.2f} % of genuine and {100 * d.undecided_impostor:.2f} % of impostor pairs"
    return [
        ("undecided", f"{shares}: {bounds}"),
        ("of decided pairs", f"FAR {d.far_of_decided:.2g}, FRR {d.frr_of_decided:.2g}"),
    ]


def _worst_group_rows(worst: WorstGroup | None) -> list[tuple[str, str]]:
    if worst is None:
        return []
    whose = (
        f"{worst.people:,} people, {worst.impostor_pairs:,} impostor pairs, one of {worst.groups} groups by {worst.by}"
    )
    return [("in its worst group", f"FAR {rate_with_interval(worst.far, worst.far_interval)}; {whose}")]


def rate_with_interval(rate: float, ends: Sequence[float] | None) -> str:
    """Such as "0.0066 (0.0028 to 0.014)"."""
    return f"{rate:.2g}" + (f" ({ends[0]:.2g} to {ends[1]:.2g})" if ends else "")


def _unsupported_row(tar_at_far: Mapping[float, float | None]) -> list[tuple[str, str]]:
    """One row for all rates that the pairs don't support."""
    fars = [f"{far:g}" for far, tar in tar_at_far.items() if tar is None]
    return [(f"TAR at FAR {', '.join(fars)}", "too few impostor pairs")] if fars else []


def accuracy_interval(result: PairsResult) -> str:
    """The 95 % interval of the accuracy, and what was resampled."""
    low, high = result.intervals["accuracy"]
    if not math.isfinite(low + high):
        return "none: it takes pairs of more than one person"
    drawn = "pairs treated as independent"
    if result.people is not None:
        drawn = f"bootstrap over {result.people:,} identities"
    return f"{100 * low:.2f} to {100 * high:.2f} %, {drawn}"


def _within(interval: tuple[float, float], scale: int = 1) -> str:
    """Such as " (0.9012 to 0.9456)"; empty without an interval."""
    low, high = (scale * end for end in interval)
    digits = 2 if scale == 100 else 4
    return f" ({low:.{digits}f} to {high:.{digits}f})" if math.isfinite(low + high) else ""


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


def calibration_rows(info: WeightsInfo) -> list[tuple[str, str]]:
    """Thresholds, likelihood ratio and quality, a row each."""
    rows = []
    for t in info.thresholds:
        origin = f"(TAR {t.tar:.3f}; from {t.impostor_pairs:,} impostor pairs, {t.source})"
        rows += [(f"threshold for FAR {t.far:g}", f"{t.cosine:.4f}{_intervals(t)} {origin}")]
        rows += _worst_group_rows(t.worst_group)
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


def _tail_rows(tail: Tail) -> list[tuple[str, str]]:
    """The fitted tail, and the cosines for low rates as far as they are supported."""
    fitted = f"cosines above {tail.start:.4f}, {100 * tail.rate:.2g} %: shape {tail.shape:.3f}, scale {tail.scale:.4f}"
    rows = [("tail", f"{fitted}; from {tail.impostor_pairs:,} impostor pairs of {tail.people:,} people, {tail.source}")]
    for rate, low, high in tail.intervals:
        if rate < tail.rate and not tail.why_unsupported(rate):
            rows.append((f"FMR {rate:g} for search", f"{tail.cosine(rate):.4f}, 95 % interval {low:.2g} to {high:.2g}"))
    return rows
