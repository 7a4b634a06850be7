"""`facever verify`: are these two photographs of the same person?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.common import (
    UNCHECKED,
    Device,
    Force,
    Json,
    MinFace,
    Strict,
    Thresholds,
    Weights,
    Workers,
    check_inputs,
    license_notice,
    print_json,
    say,
)
from facever.files import printable

EXAMPLE = "Example: facever verify passport.jpg selfie.jpg"


def verify(
    photographs: Annotated[
        list[Path] | None,
        typer.Argument(help="Two photographs, or more, two by two.", metavar="A B…", show_default=False, **UNCHECKED),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(help="Table of pairs (.csv, .tsv, .parquet): path_a, path_b.", show_default=False),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(help="Folder that the table's paths are relative to.", show_default="the table's folder"),
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(help="What `facever embed` wrote: photographs in it are not embedded again.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="File for the answers to many pairs: .csv, .jsonl or .parquet.", show_default="CSV here"
        ),
    ] = None,
    weights: Weights = "default",
    faces: Annotated[
        str,
        typer.Option(
            help="Which face to take where there are several: largest, center or all (the most similar pair)."
        ),
    ] = "largest",
    far: Annotated[
        float | None,
        typer.Option(
            help="False accept rate whose stored threshold decides.", show_default="0.001, or the rarest stored"
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Decide at this cosine instead of a stored threshold.", show_default=False),
    ] = None,
    thresholds: Thresholds = None,
    prior: Annotated[
        float | None,
        typer.Option(help="Probability of the same person before seeing the photographs.", show_default="0.5"),
    ] = None,
    min_quality: Annotated[
        float | None,
        typer.Option(
            help="Decline to answer if a photograph's quality is below this percentile, 0 to 100.",
            show_default=False,
            metavar="PERCENTILE",
        ),
    ] = None,
    min_face: MinFace = "3%",
    strict: Strict = False,
    device: Device = "auto",
    workers: Workers = None,
    force: Force = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Leave out the note on the weights' license; so does FACEVER_QUIET=1.")
    ] = False,
    json_: Json = False,
) -> None:
    """Compare the faces of two photographs, or of many pairs.

    Calibrated weights also give a log-likelihood ratio (natural logarithm), a probability at the prior, and each
    photograph's quality: the percentile of its feature norm among the people of the calibration. --min-quality is
    refused where a low norm was not shown to mean a poor photograph.

    Exit codes: 0 same person, 1 different people, 2 usage error or bad input, 3 no face found, 4 photograph too poor
    to decide. With more than one pair: a row per pair, with its error where there is no answer, and 0; or 3 if there is
    no answer at all.
    """
    _check_even(photographs or [], pairs)
    from facever.faces.detector_settings import DetectorSettings

    detector = DetectorSettings.parse(min_face)
    check_inputs(photographs if photographs and len(photographs) == 2 else [], weights)
    from dataclasses import asdict

    from facever.answer import Question
    from facever.cli.evaluating import through
    from facever.errors import NoFaceError, SettingError
    from facever.verifier import Verifier

    asked = _asked(photographs or [], pairs, root)
    many = pairs is not None or len(asked) > 1
    if gallery is not None and not many:
        raise SettingError("is for many pairs", "gallery")
    if out is not None:
        from facever.reports.answers import check_answers_file

        check_answers_file(out, [*([] if pairs is None else [pairs]), *dict.fromkeys(sum(asked, ()))], many, force)
    verifier = Verifier.load(weights, device, detector=detector, calibration=thresholds, strict=strict)
    settings = (faces, threshold, far, prior, min_quality)
    if not quiet:
        license_notice(verifier.info)
    if far is None and threshold is None and (note := verifier.info.default_rate_note()):
        say(note)
    if many:
        from facever.faces.stored import StoredFaces
        from facever.reports.answers import write_answers

        question = Question(verifier.info, verifier.weights, *settings)  # type: ignore[arg-type]
        stored = None if gallery is None else StoredFaces(gallery, verifier.weights)
        answers = verifier.verify_pairs(asked, question, workers, through, stored)
        counts = write_answers(out, asked, answers, as_json=json_)
        unanswered = counts.pairs - counts.same - counts.different
        told = f"same person {counts.same}, different people {counts.different}, no answer {unanswered}"
        say(f"pairs {counts.pairs}: {told}")
        if unanswered == counts.pairs:
            raise NoFaceError("no pair has an answer; the column error says why")
        return
    ((a, b),) = asked
    answer = verifier.verify(a, b, *settings)  # type: ignore[arg-type]
    for warning in answer.warnings:
        say(f"warning: {warning}")
    if json_:
        print_json(asdict(answer))
    else:
        from facever.reports.answer_text import answer_text

        print(answer_text(answer, printable(str(a)), printable(str(b)), faces))
        if max(answer.faces_found) > 1 and faces == "largest":
            say("a photograph shows several faces; choose with --faces largest, center or all")
    raise typer.Exit(0 if answer.same else 1)


def _asked(photographs: list[Path], pairs: Path | None, root: Path | None) -> list[tuple[Path, Path]]:
    """The pairs that the command line names."""
    if pairs is not None:
        from facever.datasets.pair_tables import read_questions
        from facever.errors import SettingError

        if photographs:
            raise SettingError("takes the place of photographs; give one of the two", "pairs")
        return read_questions(pairs, root)
    return list(zip(photographs[::2], photographs[1::2], strict=True))


def _check_even(photographs: list[Path], pairs: Path | None) -> None:
    if pairs is None and (len(photographs) < 2 or len(photographs) % 2):
        raise typer.BadParameter(f"give two photographs, or more, two by two, or --pairs; here: {len(photographs)}")
