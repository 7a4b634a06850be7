"""A model card from the records that trainings and evaluations leave, and from a few words by a person.

M. Mitchell et al., *Model Cards for Model Reporting*, 2019.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from facever.errors import DataError, reading
from facever.files import sha256_of, write_bytes
from facever.networks import EmbeddingNetwork
from facever.reports.training_curve import training_curve
from facever.reports.weights_rows import rate_with_interval
from facever.weights.file import load_weights

# What only a person knows: a comment, and an example, in TOML.
WORDS = {
    "license_tag": ("A model hub's tag of the license", '"other"'),
    "datasets": ("Tags of the data sets", '["our-staff"]'),
    "summary": ("What these weights are, in a sentence", '"A slim Face-ResNet trained on photographs of our staff."'),
    "intended": ("What they are for", '"Finding duplicates in our archive, with a person who checks."'),
    "unfit": ("What they are not for", '"Not for identifying strangers, nor for any decision without a person."'),
    "data": ("Whose photographs, by whose leave, who was left out", '"12,000 portraits of 900 employees, who agreed."'),
    "figures": ("On what the figures below were measured", '"On Labeled Faces in the Wild; all pairs count."'),
    "limits": ("Known limits", '["Error rates by age, sex and origin are not measured.", "One seed."]'),
}
TRAINING_WORDS = {
    "command": ("The command of the training; needed with --training", '"facever train people/ --out runs/mine"'),
    "training": ("How it was trained; needed with --training", '"From scratch, 30 minutes on two cores."'),
}


def write_card(
    card: Path,
    weights: Path,
    about: Path,
    training: Path | None = None,
    evaluations: Sequence[Path] = (),
    held_out: Path | None = None,
) -> list[Path]:
    """Write a card as Markdown, and the curve of the training, if there was one, as SVG beside it.

    Parameters
    ----------
    about : Path
        TOML with what only a person knows: `license_tag` (a model hub's, such as "cc0-1.0", or "other"), `datasets` (a
        list of tags), `summary`, `intended`, `unfit`, `data`, `figures`, `limits` (a list), and for a training
        `command` and `training`.
    training : Path, optional
        The folder that `facever train` wrote.
    evaluations : sequence of Path
        JSON from eval-lfw and eval-all.
    held_out : Path, optional
        JSON of benchmarks/held_out.py, where the training's own record lacks such figures, or there was no training.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    DataError
        If a record can't be read, or a word is missing.
    OutputError, WeightsError
    """
    import jinja2

    info, network = load_weights(weights)
    words = _about(about, training is not None)
    record = _json(training / "training.json") if training else None
    results = [_Evaluation(path) for path in evaluations]
    curve = card.with_suffix(".svg") if training else None
    outside = _json(held_out) if held_out else {}
    judged = outside.get(info.name, {}) if held_out else (record or {}).get("held_out", {})
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("facever.reports"),
        autoescape=False,  # Markdown
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=False,
    )
    fields = {
        "info": info,
        "about": words,
        "training": record,
        "curve": curve.name if curve else None,
        "parameters": sum(p.numel() for p in network.parameters()),
        "multiply_adds": multiply_adds(network),
        "embedding_size": network.embedding_size,
        "loss": _loss(info.loss),
        "megabytes": weights.stat().st_size / 1e6,
        "sha256": sha256_of(weights),
        "likelihood": info.likelihood,
        "rate": rate_with_interval,
        "grouped": any(t.worst_group for t in info.thresholds),
        "evaluations": results,
        "held_out": judged,
        "held_out_rows": _held_out_rows(judged),
        "views": outside.get("views", {}).get(info.name, []),
        "transferred": {r.name: r.at_thresholds for r in results if r.at_thresholds},
    }
    try:
        text = environment.get_template("card.md").render(fields)
    except jinja2.UndefinedError as error:
        raise DataError(f"{training}: its training.json lacks what a card needs ({error})") from error
    written = [card]
    write_bytes(card, text.encode())
    if curve is not None and training is not None:
        write_bytes(curve, training_curve(training / "log.csv").encode())
        written.append(curve)
    return written


def template() -> str:
    """The file to fill in for `write_card`, as TOML: each word with an example."""
    entries = [
        f"# {comment}.\n{name} = {example}\n" for name, (comment, example) in {**WORDS, **TRAINING_WORDS}.items()
    ]
    return "\n".join(['# The words of a model card. Replace each example by your own; """ spans lines.\n', *entries])


def multiply_adds(network: EmbeddingNetwork) -> int:
    """Multiply-adds of the convolutions and dense layers for one crop."""
    total = 0

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += module.weight.numel() * output.shape[2] * output.shape[3]
        elif isinstance(module, nn.Linear):
            total += module.weight.numel()

    hooks = [module.register_forward_hook(count) for module in network.modules()]
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 3, *network.input_size))
    for hook in hooks:
        hook.remove()
    return total


class _Evaluation:
    """What a card shows of one result of eval-lfw or eval-all."""

    def __init__(self, path: Path) -> None:
        self.file = path.name
        r = _json(path)
        folds = "fold_accuracies" in r
        self.command = "facever eval-lfw" if folds else "facever eval-all"
        self.name = "LFW's pairs" if folds else "all pairs of LFW"
        try:
            intervals = r["intervals"] if folds else r["tar_intervals"]
            self.rows = _fold_rows(r) if folds else _all_rows(r)
            self.rows += [
                (f"TAR at FAR {float(far):g}", _with_interval(value, intervals.get(far)))
                for far, value in r["tar_at_far"].items()
                if value is not None
            ]
            if (precision := r.get("settings", {}).get("precision")) is not None:
                self.rows.append(("computed in", {"bf16": "bfloat16", "fp32": "float32"}[precision]))
            self.at_thresholds = {t["far"]: _at_threshold(t) for t in r.get("stored_thresholds", [])}
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path}: not a result of eval-lfw or eval-all ({error!r})") from error


def _at_threshold(t: Mapping[str, Any]) -> str:
    """FAR and TAR at a stored threshold, and the FAR in the worst group of look-alikes if it was measured."""
    rates = f"{t['measured_far']:.2g}, {t['measured_tar']:.3f}"
    worst = t.get("worst_group")
    return rates if worst is None else f"{rates}; worst group {rate_with_interval(worst['far'], worst['far_interval'])}"


def _fold_rows(r: Mapping[str, Any]) -> list[tuple[str, str]]:
    interval = r["intervals"]["accuracy"]
    accuracy, error = 100 * r["accuracy"], 100 * r["accuracy_standard_error"]
    return [
        ("accuracy, 10 folds", f"{accuracy:.2f} ± {error:.2f} % (standard error of the mean)"),
        *(
            [("95 % interval over people", f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f} %")]
            if None not in interval
            else []
        ),
        ("AUC, EER", f"{r['auc']:.5f}, {100 * r['eer']:.2f} %"),
        ("photographs without a detected face", f"{r['images_without_face']} of {r['images']:,}; center crops count"),
    ]


def _all_rows(r: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [("pairs", f"{r['genuine_pairs']:,} genuine, {r['impostor_pairs']:,} impostor")]


def _with_interval(value: float, interval: Sequence[float] | None) -> str:
    return f"{value:.4f}" + (f" ({interval[0]:.4f} to {interval[1]:.4f})" if interval and None not in interval else "")


def _held_out_rows(held_out: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    def share(figures: Mapping[str, Any], key: str) -> str:
        return f"{figures[key]:.4f}" if key in figures else ""

    def row(name: str, value: Any) -> tuple[str, list[str]]:
        return name, [value(figures) for figures in held_out.values()]

    fars = sorted({far for figures in held_out.values() for far in figures["tar"]}, key=float, reverse=True)
    rows = [
        row("people, photographs", lambda f: f"{f['people']:,}, {f['photographs']:,}"),
        row(
            "pairs: genuine, relatives, strangers",
            lambda f: f"{f['genuine']:,}, {f['relatives']:,}, {f['strangers']:,}",
        ),
        *(
            row(f"TAR at FAR {far}", lambda f, far=far: f"{f['tar'][far]:.3f}" if far in f["tar"] else "")
            for far in fars
        ),
    ]
    if any("threshold" in figures for figures in held_out.values()):
        rows += [
            row("at the threshold for FAR 1e-3: FAR of strangers", lambda f: share(f, "far_at_threshold")),
            row("relatives accepted", lambda f: share(f, "far_of_relatives")),
            row("TAR", lambda f: share(f, "tar_at_threshold")),
        ]
    return rows


def _loss(loss: Mapping[str, Any]) -> str:
    if "name" not in loss:
        return "not trained here"
    if "alpha" not in loss:
        return f"`{loss['name']}`"
    return f"`{loss['name']}`, alpha {'learned, ending at' if loss.get('learned') else 'fixed at'} {loss['alpha']:.4g}"


def _about(path: Path, trained: bool) -> dict[str, Any]:
    with reading(path, "facever card --template writes one", what="can't be read as TOML"):
        words = tomllib.loads(path.read_text(encoding="utf-8"))
    needed = {**WORDS, **(TRAINING_WORDS if trained else {})}
    missing = [name for name in needed if name not in words]
    if missing:
        error = DataError(f"{path}: lacks {', '.join(missing)}; a card needs a word on each, such as")
        for name in missing:
            error.add_note(f"{name} = {needed[name][1]}")
        raise error
    return {key: value.strip() if isinstance(value, str) else value for key, value in words.items()}


def _json(path: Path) -> dict[str, Any]:
    with reading(path, "give what facever wrote", what="can't be read as JSON"):
        value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise DataError(f"{path}: not a record, but a {type(value).__name__}")
    return value
