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
from facever.reports.weights_rows import worst_group_rows
from facever.weights.metadata import versions

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
        rows += worst_group_rows(t.worst_group)
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
