"""`facever embed`: a folder of photographs -> one Parquet file of embeddings."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from facever.cli.common import UNCHECKED, Device, Json, MinFace, Weights, Workers, counted, print_json, say

EXAMPLE = "Example: facever embed photographs/ -o photographs.parquet"


def embed(
    folder: Annotated[
        Path, typer.Argument(help="A folder of photographs, searched recursively.", metavar="FOLDER", **UNCHECKED)
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Parquet file to write.", show_default="FOLDER.parquet in the working directory"
        ),
    ] = None,
    weights: Weights = "default",
    faces: Annotated[str, typer.Option(help="Which faces of a photograph to embed: all, largest or center.")] = "all",
    min_face: MinFace = 40,
    device: Device = "auto",
    workers: Workers = None,
    json_: Json = False,
) -> None:
    """Embed every photograph below a folder into one Parquet file.

    A row per face: path, face, box, landmarks, score, norm, quality (null without a calibration), embedding. A
    photograph without a face, or one that can't be read, has a row with its error. Exit code 3 if no face was found.
    """
    from dataclasses import asdict

    from facever.errors import NoFaceError
    from facever.faces.detection import DetectorSettings
    from facever.faces.formats import HEIC_REMEDY
    from facever.faces.parquet import write_embeddings
    from facever.files import check_writable
    from facever.verifier import Verifier

    path = out or Path(f"{folder.resolve().name or 'embeddings'}.parquet")
    check_writable(path)
    verifier = Verifier.load(weights, device, detector=DetectorSettings(min_face))
    start = time.monotonic()
    results = verifier.embed_folder(
        folder,
        faces,  # type: ignore[arg-type]
        workers,
        lambda stream, total: counted(stream, total, "embedding"),
    )
    counts = write_embeddings(path, results, folder, verifier.info, verifier.weights, verifier.size)
    seconds = time.monotonic() - start
    if counts.undecodable:
        say(f"{counts.undecodable} HEIC, HEIF or AVIF photographs passed over; {HEIC_REMEDY}")
    if counts.unreadable > counts.undecodable:
        count = counts.unreadable - counts.undecodable
        say(f"not readable: {count} of {counts.photographs} photographs; the column error says why")
    rate = counts.photographs / seconds
    if json_:
        print_json({**asdict(counts), "seconds": round(seconds, 2), "file": str(path)})
    else:
        print(
            f"photographs {counts.photographs}: with a face {counts.with_face}, without {counts.without_face}, "
            f"unreadable {counts.unreadable}; faces {counts.faces}; {seconds:.1f} s, {rate:.0f} photographs/s\n{path}"
        )
    if not counts.faces:
        raise NoFaceError(
            f"{folder}: no face found in any photograph; use larger, sharper ones or a smaller --min-face"
        )
