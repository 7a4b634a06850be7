"""`facever embed`: a folder of photographs -> a Parquet dataset of embeddings."""

from __future__ import annotations

import time
from collections.abc import Iterator
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
    TryRotations,
    Weights,
    Workers,
    check_inputs,
    counted,
    print_json,
    rate_text,
    say,
    watched,
)
from facever.files import Kind, check_output_folder, is_url, printable

EXAMPLE = "Example: facever embed photographs/ -o photographs.parquet"
SINGLE_FILES: dict[str, Kind] = {".csv": "csv", ".jsonl": "json"}


def embed(
    photographs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Folders, searched recursively; photographs; patterns such as '2019/*.jpg'; or a list (.parquet).",
            metavar="FOLDER…",
            show_default=False,
            **UNCHECKED,
        ),
    ] = None,
    listed: Annotated[
        Path | None,
        typer.Option(
            "--list", help="Text file of photographs and folders, one a line; - for stdin.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Dataset (a folder) to write or to continue; a single file if it ends in .csv or .jsonl.",
            show_default="FOLDER.parquet, here",
        ),
    ] = None,
    weights: Weights = "default",
    faces: Annotated[str, typer.Option(help="Which faces of a photograph to embed: all, largest or center.")] = "all",
    mirror: Annotated[
        bool,
        typer.Option("--mirror/--no-mirror", help="Average each face with its mirror image; without, twice as fast."),
    ] = True,
    prune: Annotated[bool, typer.Option("--prune", help="Remove the rows of photographs that are gone.")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Embed anew what damaged parts held.")] = False,
    one_file: Annotated[bool, typer.Option("--one-file", help="Write one Parquet file, anew.")] = False,
    force: Force = False,
    min_face: MinFace = "3%",
    try_rotations: TryRotations = False,
    strict: Strict = False,
    device: Device = "auto",
    workers: Workers = None,
    no_path: Annotated[
        bool, typer.Option("--no-path", help="Store keyed hashes of paths instead of paths; needs --path-key.")
    ] = False,
    path_key: Annotated[
        Path | None,
        typer.Option("--path-key", help="File of the key for --no-path; written if missing.", show_default=False),
    ] = None,
    follow_symlinks: Annotated[
        bool, typer.Option("--follow-symlinks", help="Search folders that symbolic links lead to, too, each once.")
    ] = False,
    engine: Annotated[str, typer.Option(help="Where to embed: local, or ray for a cluster.")] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            help="Ray cluster, HOST:PORT or auto; by default one is started on this machine.",
            show_default=False,
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Embed every photograph below a folder into a Parquet dataset: a folder of files that readers take for one table.

    A row per face: where it is, how good it is, its embedding, and its photograph's path, size and time. A photograph
    without a face, or one that can't be read, has a row with its error. Exit code 3 if no face was found.

    Parts are written as they come. Run it again to continue after an interruption, and to embed what is new or changed
    since; unchanged photographs are not read.

    A Parquet file with a column path lists photographs, also elsewhere: s3://, gs://, hdfs://. --engine ray embeds on a
    cluster.
    """
    from facever.errors import OutputError, SettingError
    from facever.faces.folders import find_all, ignored_note, listed_paths, no_photographs
    from facever.faces.workers import FEW, warm_up
    from facever.files import check_output

    named = [*(photographs or []), *([] if listed is None else listed_paths(listed))]
    if not named:
        raise typer.BadParameter("name a folder, photographs, or --list")
    folder, found = find_all(named, follow_symlinks)
    check_inputs([], weights)
    path = out or Path(f"{folder.resolve().name or 'embeddings'}.parquet")
    kind = SINGLE_FILES.get(path.suffix.lower(), "parquet" if one_file else None)
    if kind is None and path.suffix.lower() != ".parquet":
        check_output_folder(path)
    if kind is not None:
        check_output(path, kind, named if path_key is None else [*named, path_key], force)
        if engine != "local":
            raise SettingError("ray writes a dataset; leave out --one-file, and .csv or .jsonl in --out", "engine")
        if prune or repair:
            raise SettingError("is for a dataset; a single file is written anew", "prune" if prune else "repair")
    if is_url(path):
        raise OutputError(f"{path}: a URL, and a dataset is written to this machine's file system; copy it there")
    if no_path != (path_key is not None):
        raise SettingError("go together: the key makes the hashes", "no_path and --path-key")
    if no_path and engine != "local":
        raise SettingError("hashes paths on this machine; leave out --engine ray", "no_path")
    if engine == "local" and device in ("auto", "cpu") and (workers or len(found.paths)) >= (2 if workers else FEW):
        warm_up()  # while this process imports the same

    from dataclasses import asdict, replace
    from itertools import chain

    from facever.engines.choice import check_engine
    from facever.errors import NoFaceError
    from facever.faces.dataset import Update, open_dataset
    from facever.faces.detector_settings import DetectorSettings
    from facever.faces.formats import HEIC_REMEDY
    from facever.faces.names import HashedNames, name_below, read_key
    from facever.faces.parallel import left_out, process_files
    from facever.faces.parquet import schema, write_embeddings
    from facever.faces.sources import Remote
    from facever.verifier import Verifier
    from facever.weights.metadata import made_with

    check_engine(engine, address, device)
    here = device if engine == "local" else "cpu"
    settings = DetectorSettings.parse(min_face, try_rotations)
    verifier = Verifier.load(weights, here, detector=settings, strict=strict)
    start = time.monotonic()
    if not (found.paths or found.uris or found.all_errors()):  # a disk that isn't mounted: nothing to prune by
        raise no_photographs(folder)
    hashed = None if path_key is None else HashedNames(read_key(path_key))
    naming = hashed or name_below
    job = replace(verifier.job(faces, hashes=True), mirrored=mirror)  # type: ignore[arg-type]

    columns = schema(verifier.size, made_with(verifier.info, verifier.weights))

    def process(paths: list[Any]) -> Iterator[Any]:
        if engine == "local":
            sources = [Remote(each) if isinstance(each, str) else each for each in paths]
            yield from counted(process_files(sources, job, workers), len(paths), "embedding")
            return
        from facever.engines.ray import process_on_ray

        there = replace(job, device=device)
        with watched(len(paths), "embedding") as watch:
            yield from process_on_ray(
                paths, there, path, folder, columns, address=address, workers=workers, watch=watch
            )

    if kind is not None:
        results = chain(left_out(found), process([*found.paths, *found.uris]))
        counts = write_embeddings(path, results, folder, verifier.info, verifier.weights, verifier.size, naming)
        update = Update(len(found.paths), 0, [])
    else:
        used = {"weights": asdict(verifier.weights), "folder": str(folder.resolve())}
        if hashed is not None:
            used |= {"folder": hashed.of(str(folder.resolve())), "path_key": hashed.key_id}
        made = {**used, "faces": faces, "min_face": min_face, "mirror": mirror, "try_rotations": try_rotations}
        with open_dataset(path, folder, columns, verifier.info.quality, made, repair, naming) as dataset:
            if dataset.repaired:
                say(f"damaged and removed: {', '.join(dataset.repaired)}")
            update = dataset.update(found, process)
            if prune:
                dataset.remove(update.vanished)
            counts = dataset.counts()
    seconds = time.monotonic() - start
    if update.vanished:
        done = "their rows were removed" if prune else "their rows stay; --prune removes them"
        say(f"{len(update.vanished)} photographs are gone, the first: {update.vanished[0]}; {done}")
    if note := ignored_note(found.ignored):
        say(note)
    if counts.undecodable:
        say(f"{counts.undecodable} HEIC, HEIF or AVIF photographs passed over; {HEIC_REMEDY}")
    if counts.unreadable > counts.undecodable:
        count = counts.unreadable - counts.undecodable
        say(f"not readable: {count} of {counts.photographs} photographs; the column error says why")
    if json_:
        told = {**asdict(counts), **asdict(update), "vanished": len(update.vanished)}
        print_json({**told, "seconds": round(seconds, 2), "file": str(path)})
    else:
        print(
            f"photographs {counts.photographs}: with a face {counts.with_face}, without {counts.without_face}, "
            f"unreadable {counts.unreadable}; faces {counts.faces}\n"
            f"embedded {update.embedded} in {seconds:.1f} s{_rate(update.embedded, seconds)}; "
            f"unchanged {update.unchanged}\n"
            f"{printable(str(path))}"
        )
    if not counts.faces:
        raise NoFaceError(
            f"{folder}: no face found in any photograph; use larger, sharper ones or a smaller --min-face"
        )


def _rate(embedded: int, seconds: float) -> str:
    """Such as ", 34 photographs/s"; empty where nothing was embedded."""
    return f", {rate_text(embedded / seconds)} photographs/s" if embedded else ""
