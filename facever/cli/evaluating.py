"""What the commands share that embed photographs and evaluate pairs: calls, tables, notes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facever.cli.common import counted, print_json, say

if TYPE_CHECKING:
    from facever.datasets.pairs import PairList
    from facever.evaluation import ModelOptions
    from facever.faces.pipeline import PhotoResult
    from facever.gallery import Gallery


def through(results: Iterable[PhotoResult], total: int) -> Iterator[PhotoResult]:
    """The progress bar of an evaluation."""
    return counted(results, total, "embedding")


def model_options(
    weights: str,
    embeddings: Path | None,
    thresholds: Path | None,
    cache: bool,
    min_face: str,
    device: str,
    precision: str,
    workers: int | None,
    faces: str = "center",
) -> ModelOptions:
    """The model and how it sees photographs, as the options of a command say. Raises SettingError."""
    from facever.evaluation import ModelOptions
    from facever.faces.detector_settings import DetectorSettings

    return ModelOptions(
        weights=weights,
        embeddings=embeddings,
        thresholds=thresholds,
        faces=faces,  # type: ignore[arg-type]
        cache=cache,
        detector=DetectorSettings.parse(min_face),
        device=device,
        precision=precision,  # type: ignore[arg-type]
        workers=workers,
    )


def open_gallery(
    faces: Path,
    weights: str | None,
    thresholds: Path | None,
    min_face: str,
    device: str,
    workers: int | None,
    *,
    people: Path | None = None,
    index: bool = False,
) -> Gallery:
    """The dataset FACES of a command, as its options say. Raises as `Gallery.open`, and SettingError."""
    from facever.faces.detector_settings import DetectorSettings
    from facever.gallery import Gallery

    return Gallery.open(
        faces,
        weights=weights,
        people=people,
        index=index,
        calibration=thresholds,
        device=device,
        detector=DetectorSettings.parse(min_face),
        workers=workers,
        through=through,
    )


def check_report(folder: Path, inputs: list[Path], force: bool) -> None:
    """Check that a report can be written into a folder. Raises OutputError."""
    from facever.files import check_output, check_output_folder

    check_output_folder(folder)
    check_output(folder / "index.html", "page", inputs, force)
    check_output(folder / "result.json", "json", inputs, force)


def evaluate(
    title: str,
    listed: PairList,
    file: Path,
    root: Path,
    options: ModelOptions,
    scores: Path | None,
    report: Path | None,
    compare: list[Path] | None,
    force: bool,
    json_: bool,
) -> None:
    """Evaluate a model on the pairs that a file lists, and print or write what was asked for."""
    import numpy as np

    from facever.errors import SettingError
    from facever.evaluation import evaluate_pairs
    from facever.files import check_output
    from facever.reports.pairs_page import SavedScores, wanted_crops, write_pairs_report
    from facever.reports.scores import write_scores
    from facever.reports.tables import pairs_rows, print_roc, print_table, provenance_rows

    if compare and report is None:
        raise SettingError("--compare draws into a page; name its folder with --report")
    inputs = [path for path in (file, options.embeddings, options.thresholds, *(compare or [])) if path is not None]
    if scores is not None:
        check_output(scores, "csv", inputs, force)
    if report is not None:
        check_report(report, inputs, force)
    others = [SavedScores.read(path) for path in compare or []]
    evaluation = evaluate_pairs(title, listed, root, options, through, keep_crops=report is not None)
    result, name = evaluation.result, evaluation.model.weights.name
    if scores is not None:
        write_scores(scores, root, result)
    if report is not None:
        crops = evaluation.model.crops(wanted_crops(result))
        made = provenance_rows(evaluation)
        page = write_pairs_report(report, title, name, result, root, crops, made, others)
        say(f"report: {page}; it shows photographs, so take care whom you share it with")
    for note in listed.notes:
        say(note)
    say_missing(result.images_without_face, options.embeddings)
    if json_:
        print_json(evaluation.to_json())
    else:
        print_table(pairs_rows(result, name), title)
        print_roc(result.cosines, np.array([pair.same for pair in result.pairs]))


def say_missing(names: Sequence[str], embeddings: Path | None) -> None:
    """Name the photographs without a face, or without an embedding made elsewhere."""
    for name in names:
        say(f"{name}: no face found, so its center crop was used" if embeddings is None else f"{name}: no embedding")
