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
        Path, typer.Argument(help="A folder; photographs in folders below it count too.", metavar="FOLDER", **UNCHECKED)
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Parquet file to write.", show_default="FOLDER.parquet, here"),
    ] = None,
    weights: Weights = "default",
    faces: Annotated[str, typer.Option(help="Which faces of a photograph: all, largest or center.")] = "all",
    min_face: MinFace = 40,
    device: Device = "auto",
    workers: Workers = None,
    json_: Json = False,
) -> None:
    """Embed every photograph below a folder.

    One row a face: path, face, box, landmarks, score, norm, quality (null where the weights hold no record of
    it), embedding; a photograph without a face or that can't be read has a row with its error. Exit code 3 if no face
    was found at all.
    """
    from dataclasses import asdict

    from facever.errors import FaceverError, NoFaceError
    from facever.faces.parquet import write_embeddings
    from facever.faces.pipeline import FACE_RULES
    from facever.files import check_writable
    from facever.verifier import Verifier

    if faces not in FACE_RULES:
        raise FaceverError(f"--faces is one of {', '.join(FACE_RULES)}, not {faces!r}")
    path = out or Path(f"{folder.resolve().name or 'embeddings'}.parquet")
    check_writable(path)
    verifier = Verifier.load(weights, device, min_face)
    start = time.monotonic()
    rows = verifier.embed_folder(
        folder,
        faces,  # type: ignore[arg-type]
        workers,
        lambda stream, total: counted(stream, total, "embedding"),
    )
    counts = write_embeddings(path, rows, folder, verifier.info, verifier.size)
    seconds = time.monotonic() - start
    if counts.unreadable:
        say(f"not readable: {counts.unreadable} of {counts.photographs} photographs; the column error says why")
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
