"""`facever verify`: are these two photographs of the same person?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from facever.cli.common import (
    UNCHECKED,
    Device,
    Force,
    Json,
    MinFace,
    Strict,
    Thresholds,
    TryRotations,
    Weights,
    Workers,
    check_inputs,
    license_notice,
    print_json,
    say,
)

EXAMPLE = "Example: facever verify passport.jpg selfie.jpg"
EXIT_CODES = {"same": 0, "different": 1, "undecided": 4}


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
            "--out",
            "-o",
            help="File for the answers to many pairs, or for all pairs of faces of two photographs with --faces all: "
            ".csv, .jsonl or .parquet.",
            show_default="CSV here",
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
            help="False accept rate whose stored threshold decides for the same person.",
            show_default="0.001, or the rarest stored",
        ),
    ] = None,
    frr: Annotated[
        float | None,
        typer.Option(
            help="False reject rate whose stored threshold decides for different people.", show_default="0.02"
        ),
    ] = None,
    decide: Annotated[
        bool, typer.Option("--decide", help="Two answers, however poor the photographs: by the threshold for --far.")
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(help="Two answers, by this cosine instead of a stored threshold.", show_default=False),
    ] = None,
    thresholds: Thresholds = None,
    prior: Annotated[
        float | None,
        typer.Option(help="Probability of the same person before seeing the photographs.", show_default="0.5"),
    ] = None,
    min_quality: Annotated[
        float | None,
        typer.Option(
            help="Undecided if a photograph's quality is below this percentile, 0 to 100.",
            show_default=False,
            metavar="PERCENTILE",
        ),
    ] = None,
    min_face: MinFace = "3%",
    try_rotations: TryRotations = False,
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

    The answer is undecided between two thresholds, at a stated false accept rate and a stated false reject rate, and
    where a photograph is too poor for either answer; it says why. --decide forces two answers.

    Calibrated weights also give a log-likelihood ratio (natural logarithm), a probability at the prior, and each
    photograph's quality: the percentile of its feature norm among the people of the calibration. --min-quality is
    refused where a low norm was not shown to mean a poor photograph.

    There is no liveness detection: a printed photograph, a screen, a morph or an adversarial pattern passes for a face.

    Exit codes: 0 same person, 1 different people, 2 usage error or bad input, 3 no face found, 4 undecided. With more
    than one pair: a row per pair, with its error where there is no answer, and 0; or 3 if there is no answer at all.
    """
    _check_even(photographs or [], pairs)
    from facever.faces.detector_settings import DetectorSettings

    detector = DetectorSettings.parse(min_face, try_rotations)
    check_inputs(photographs if photographs and len(photographs) == 2 else [], weights)
    from facever.cli.evaluating import through
    from facever.errors import NoFaceError, SettingError
    from facever.question import Question
    from facever.verifier import Verifier

    asked = _asked(photographs or [], pairs, root)
    many = pairs is not None or len(asked) > 1
    if gallery is not None and not many:
        raise SettingError("is for many pairs", "gallery")
    if out is not None:
        from facever.reports.answers import check_answers_file

        if not many and faces != "all":
            raise SettingError("is for the answers to many pairs, or goes with --faces all", "out")
        check_answers_file(out, [*([] if pairs is None else [pairs]), *dict.fromkeys(sum(asked, ()))], force)
    verifier = Verifier.load(weights, device, detector=detector, calibration=thresholds, strict=strict)
    settings: dict[str, Any] = {
        "faces": faces,
        "threshold": threshold,
        "far": far,
        "frr": frr,
        "prior": prior,
        "min_quality": min_quality,
        "two_answers": decide,
    }
    if not quiet:
        license_notice(verifier.info)
    if far is None and threshold is None and (note := verifier.info.default_rate_note()):
        say(note)
    if many:
        from facever.faces.stored import StoredFaces
        from facever.reports.answers import write_answers

        question = Question(verifier.info, verifier.weights, **settings)
        stored = None if gallery is None else StoredFaces(gallery, verifier.weights)
        answers = verifier.verify_pairs(asked, question, workers, through, stored)
        counts = write_answers(out, asked, answers, as_json=json_)
        told = f"same person {counts.same}, different people {counts.different}, undecided {counts.undecided}"
        say(f"pairs {counts.pairs}: {told}, no answer {counts.pairs - counts.answered}")
        if not counts.answered:
            raise NoFaceError("no pair has an answer; the column error says why")
        return
    ((a, b),) = asked
    answer = verifier.verify(a, b, **settings)
    if out is not None and answer.all_faces is not None:
        from facever.reports.answers import write_all_faces

        write_all_faces(out, answer.all_faces)
    if json_:
        print_json(answer.to_json())
    else:
        from facever.reports.answer_text import answer_text

        print(answer_text(answer, faces))
    raise typer.Exit(EXIT_CODES[answer.decision])


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
