"""What the commands that evaluate share: options in one object, embeddings, tables, scores and reports."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facever.cli.common import counted, print_json, say

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facever.datasets.pairs import PairList
    from facever.evaluation import PairsResult, Photographs
    from facever.faces.sources import Source
    from facever.reports.pairs_page import Saved
    from facever.weights.records import Threshold


@dataclass(frozen=True, slots=True)
class Model:
    """What is evaluated, and how its embeddings are made: options of all commands that evaluate."""

    weights: str
    embeddings: Path | None
    thresholds: Path | None
    faces: str
    cache: bool
    min_face: int
    device: str
    precision: str
    workers: int | None

    def check(self) -> None:
        """Raises FaceverError."""
        from facever.errors import FaceverError

        if self.faces not in ("center", "largest"):
            raise FaceverError(f"--faces is center or largest, not {self.faces!r}")
        if self.embeddings is not None and self.thresholds is not None:
            raise FaceverError("--thresholds belong to weights, and --embeddings come without; leave one of them out")


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Embeddings, the thresholds stored with them, the model's name and hash.

    `settings`: how weights made them, as JSON; empty for embeddings made elsewhere.
    """

    embedded: Photographs
    thresholds: list[Threshold]
    named: dict[str, str]
    settings: dict[str, Any]


def check_pairs(file: Path, listed: PairList) -> None:
    """Find out before the photographs are embedded whether there is anything to evaluate. Raises DataError."""
    from facever.errors import DataError

    if len({pair.fold for pair in listed.pairs}) < 2:
        raise DataError(f"{file}: a single fold, where each fold's threshold comes from others; use a longer list")
    if len({pair.same for pair in listed.pairs}) < 2:
        raise DataError(f"{file}: pairs of one kind only; list pairs of the same and of different people")
    for kind, words in ((True, "the same person"), (False, "different people")):
        folds = {pair.fold for pair in listed.pairs if pair.same == kind}
        if len(folds) == 1:
            raise DataError(
                f"{file}: all pairs of {words} stand in fold {folds.pop()}, whose threshold comes from the others; "
                "spread them over the folds"
            )


def evaluate(
    title: str,
    listed: PairList,
    root: Path,
    model: Model,
    scores: Path | None,
    report: Path | None,
    compare: list[Path] | None,
    json_: bool,
) -> None:
    """Evaluate weights, or embeddings made elsewhere, on a list of pairs."""
    import numpy as np

    from facever.datasets.pairs import photographs
    from facever.errors import FaceverError
    from facever.evaluation import evaluate_embedded
    from facever.files import check_writable
    from facever.reports.tables import pairs_rows, print_roc, print_table

    model.check()
    if compare and report is None:
        raise FaceverError("--compare draws into a page; name its folder with --report")
    if scores is not None:
        check_writable(scores)
    others = _others(report, compare)
    start = time.monotonic()
    found = embed(photographs(listed.pairs), root, model)
    scoring = time.monotonic()
    result = evaluate_embedded(listed.pairs, found.embedded, found.thresholds, listed.notes)
    times = (time.monotonic() - scoring, time.monotonic() - start)
    if scores is not None:
        _write_scores(scores, root, result)
    if report is not None:
        page = _write_report(report, title, result, root, model, found, made_by(model, found, times), others)
        say(f"report: {page}")
    for note in listed.notes:
        say(note)
    say_missing(result.images_without_face, model.embeddings)
    if json_:
        print_json({**result.to_json(), **json_of(found, times)})
    else:
        print_table(pairs_rows(result, found.named["name"]), title)
        print_roc(result.cosines, np.array([pair.same for pair in result.pairs]))


def embed(paths: Sequence[Source], root: Path, model: Model) -> Evaluated:
    """Embeddings of photographs by weights, or made elsewhere."""
    from facever.datasets.external import ForeignEmbeddings
    from facever.evaluation import embed_each, foreign_photographs
    from facever.faces.cache import EmbeddingCache, default_cache_file
    from facever.files import sha256_of
    from facever.verifier import Verifier

    if model.embeddings is not None:
        foreign = foreign_photographs(ForeignEmbeddings.read(model.embeddings), paths, root)
        return Evaluated(foreign, [], {"name": model.embeddings.name, "sha256": sha256_of(model.embeddings)}, {})
    verifier = Verifier.load(
        model.weights, model.device, model.min_face, calibration=model.thresholds, precision=model.precision
    )
    embedded = embed_each(
        verifier,
        paths,
        model.faces,  # type: ignore[arg-type]
        model.workers,
        lambda stream, total: counted(stream, total, "embedding"),
        EmbeddingCache(default_cache_file()) if model.cache else None,
        root,
    )
    named = {"name": model.weights, "sha256": sha256_of(verifier.path)}
    made = {"device": str(verifier.embedder.device), "precision": verifier.embedder.precision}
    settings = {"faces": model.faces, "min_face": model.min_face, **made}
    return Evaluated(embedded, verifier.info.thresholds, named, settings)


def json_of(found: Evaluated, times: tuple[float, float]) -> dict[str, Any]:
    """What every evaluation tells beside its figures; `times` are the seconds to score and those in all."""
    from facever.weights.metadata import versions

    stages = found.embedded.times
    seconds = {"score": times[0], **(stages.seconds if stages is not None and stages.embedded else {})}
    return {
        "weights": found.named,
        "settings": found.settings,
        "seconds": round(times[1], 1),
        "stages": {name: round(value, 2) for name, value in seconds.items()},
        "photographs_embedded": stages.embedded if stages is not None else 0,
        "photographs_from_cache": stages.cached if stages is not None else 0,
        "versions": versions(),
    }


def made_by(model: Model, found: Evaluated, times: tuple[float, float]) -> dict[str, str]:
    """Settings, times and versions, for the end of a report."""
    from facever.reports.tables import timing_rows
    from facever.weights.metadata import versions

    return {
        "model": f"{found.named['name']}, sha256 {found.named['sha256']}",
        "face of a photograph": model.faces,
        "smallest face": f"{model.min_face} pixels",
        **({"computed in": found.settings["precision"]} if found.settings else {}),
        **({"thresholds from": model.thresholds.name} if model.thresholds is not None else {}),
        **dict(timing_rows(found.embedded.times, *times)),
        **versions(),
    }


def say_missing(names: Sequence[str], embeddings: Path | None) -> None:
    """Name the photographs without a face, or without an embedding made elsewhere."""
    for name in names:
        say(f"{name}: no face found, so its centre crop was used" if embeddings is None else f"{name}: no embedding")


def crops_of(photographs: Sequence[Source], model: Model) -> Mapping[Source, NDArray[np.uint8]]:
    """The aligned crop of each photograph that has one, for a report."""
    from facever.faces.parallel import process_files
    from facever.faces.pipeline import Job
    from facever.weights.file import read_info
    from facever.weights.shipped import find_weights

    # Embeddings made elsewhere come without crops; the default weights' alignment shows the same faces.
    alignment = read_info(find_weights(model.weights if model.embeddings is None else "default")).alignment
    crops = {}
    job = Job(alignment, rule=model.faces, centre_fallback=True, min_face=model.min_face)  # type: ignore[arg-type]
    for photograph, found in zip(photographs, process_files(photographs, job), strict=True):
        chosen = found.faces[0] if found.faces else found.centre
        if chosen is not None:
            crops[photograph] = chosen.crop
    return crops


def _others(report: Path | None, compare: list[Path] | None) -> list[Saved]:
    if report is None:
        return []
    from facever.files import check_writable
    from facever.reports.pairs_page import Saved

    check_writable(report / "index.html")
    return [Saved.read(path) for path in compare or []]


def _write_report(
    folder: Path,
    title: str,
    result: PairsResult,
    root: Path,
    model: Model,
    found: Evaluated,
    made: dict[str, str],
    others: list[Saved],
) -> Path:
    from facever.reports.pairs_page import wanted_crops, write_report

    crops = crops_of(wanted_crops(result), model)
    return write_report(folder, title, found.named["name"], result, root, crops, made, others)


def _write_scores(path: Path, root: Path, result: PairsResult) -> None:
    import csv

    from facever.evaluation import name_below
    from facever.files import written_whole

    without = set(result.images_without_face)
    # Names that are no text are written as the bytes that they are, so that they can be opened again.
    with (
        written_whole(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["path_a", "path_b", "same", "fold", "cosine", "without_face"])
        for pair, score in zip(result.pairs, result.cosines, strict=True):
            names = [name_below(photograph, root) for photograph in (pair.path_a, pair.path_b)]
            missing = sum(name in without for name in names)
            writer.writerow([*names, int(pair.same), pair.fold, f"{score:.7f}", missing])
