"""What the commands that evaluate pairs share: run the protocol, print it, write its scores."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facever.cli.common import counted, print_json, say

if TYPE_CHECKING:
    from facever.datasets.pair_tables import PairList
    from facever.pages.evaluation import Saved
    from facever.photographs import Source
    from facever.protocols import PairsResult, Photographs
    from facever.weights import Threshold


def check_pairs(file: Path, listed: PairList) -> None:
    """Find out before the photographs are embedded whether there is anything to evaluate. Raises DataError."""
    from facever.errors import DataError

    if len({pair.fold for pair in listed.pairs}) < 2:
        raise DataError(f"{file}: a single fold, where each fold's threshold comes from others; use a longer list")
    if len({pair.same for pair in listed.pairs}) < 2:
        raise DataError(f"{file}: pairs of one kind only; list pairs of the same and of different people")


def evaluate(
    title: str,
    listed: PairList,
    root: Path,
    weights: str,
    embeddings: Path | None,
    scores: Path | None,
    report: Path | None,
    compare: list[Path] | None,
    faces: str,
    cache: bool,
    min_face: int,
    device: str,
    workers: int | None,
    json_: bool,
) -> None:
    """Evaluate weights, or embeddings made elsewhere, on a list of pairs."""
    from facever.datasets.pairs import photographs
    from facever.errors import FaceverError
    from facever.files import check_writable
    from facever.protocols import evaluate_embedded
    from facever.report import pairs_rows, print_table
    from facever.weights import versions

    if faces not in ("center", "largest"):
        raise FaceverError(f"--faces is center or largest, not {faces!r}")
    if compare and report is None:
        raise FaceverError("--compare draws into a page; name its folder with --report")
    if scores is not None:
        check_writable(scores)
    others = []
    if report is not None:
        from facever.pages.evaluation import Saved

        check_writable(report / "index.html")
        others = [Saved.read(path) for path in compare or []]
    start = time.monotonic()
    embedded, thresholds, model = embedded_photographs(
        photographs(listed.pairs), root, weights, embeddings, faces, cache, min_face, device, workers
    )
    result = evaluate_embedded(listed.pairs, embedded, thresholds, listed.notes)
    seconds = time.monotonic() - start
    if scores is not None:
        _write_scores(scores, root, result)
    if report is not None:
        settings = {
            "model": f"{model['name']}, sha256 {model['sha256']}",
            "face of a photograph": faces,
            "smallest face": f"{min_face} pixels",
            "seconds": f"{seconds:.1f}",
            **versions(),
        }
        page = _write_report(report, title, model["name"], result, root, weights, embeddings, faces, settings, others)
        say(f"report: {page}")
    for note in listed.notes:
        say(note)
    say_missing(result.images_without_face, embeddings)
    if json_:
        print_json({**result.to_json(), "weights": model, "seconds": round(seconds, 1), "versions": versions()})
    else:
        print_table(pairs_rows(result, model["name"]), title)


def embedded_photographs(
    paths: Sequence[Source],
    root: Path,
    weights: str,
    embeddings: Path | None,
    faces: Any,
    cache: bool,
    min_face: int,
    device: str,
    workers: int | None,
) -> tuple[Photographs, list[Threshold], dict[str, str]]:
    """Embeddings of photographs by weights, or made elsewhere; the thresholds stored with them; name and hash."""
    from facever.datasets.foreign import ForeignEmbeddings
    from facever.embedding_cache import EmbeddingCache, default_cache_file
    from facever.files import sha256_of
    from facever.protocols import embed_each, foreign_photographs
    from facever.verifier import Verifier

    if embeddings is not None:
        found = foreign_photographs(ForeignEmbeddings.read(embeddings), paths, root)
        return found, [], {"name": embeddings.name, "sha256": sha256_of(embeddings)}
    verifier = Verifier.load(weights, device, min_face)
    found = embed_each(
        verifier,
        paths,
        faces,
        workers,
        lambda stream, total: counted(stream, total, "embedding"),
        EmbeddingCache(default_cache_file()) if cache else None,
        root,
    )
    return found, verifier.info.thresholds, {"name": weights, "sha256": sha256_of(verifier.path)}


def say_missing(names: Sequence[str], embeddings: Path | None) -> None:
    """Name the photographs without a face, or without an embedding made elsewhere."""
    for name in names:
        say(f"{name}: no face found, so its centre crop was used" if embeddings is None else f"{name}: no embedding")


def _write_report(
    folder: Path,
    title: str,
    model: str,
    result: PairsResult,
    root: Path,
    weights: str,
    embeddings: Path | None,
    faces: Any,
    settings: dict[str, str],
    others: list[Saved],
) -> Path:
    from facever.pages.evaluation import wanted_crops, write_report
    from facever.pipeline import Job, process_files
    from facever.weights import find_weights, read_info

    # Embeddings made elsewhere come without crops; the default weights' alignment shows the same faces.
    alignment = read_info(find_weights(weights if embeddings is None else "default")).alignment
    photographs = wanted_crops(result)
    crops = {}
    done = process_files(photographs, Job(alignment, rule=faces, centre_fallback=True))
    for photograph, found in zip(photographs, done, strict=True):
        chosen = found.faces[0] if found.faces else found.centre
        if chosen is not None:
            crops[photograph] = chosen.crop
    return write_report(folder, title, model, result, root, crops, settings, others)


def _write_scores(path: Path, root: Path, result: PairsResult) -> None:
    import csv

    from facever.files import written_whole
    from facever.protocols import name_below

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
