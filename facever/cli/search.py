"""`facever search`: who of a dataset does a photograph show?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.common import (
    UNCHECKED,
    Device,
    Force,
    GalleryWeights,
    Json,
    MinFace,
    Thresholds,
    Workers,
    print_json,
    say,
)

EXAMPLE = "Example: facever search photographs.parquet who.jpg"


def search(
    faces: Annotated[
        Path,
        typer.Argument(
            help="What `facever embed` wrote, a folder of photographs, or embeddings made elsewhere.",
            metavar="FACES",
            show_default=False,
            **UNCHECKED,
        ),
    ],
    photographs: Annotated[
        list[Path],
        typer.Argument(
            help="Photographs to search for, folders of them, or patterns.",
            metavar="PHOTO…",
            show_default=False,
            **UNCHECKED,
        ),
    ],
    k: Annotated[int, typer.Option("-k", help="How many matches of each face.", min=1, metavar="N")] = 5,
    by: Annotated[str, typer.Option(help="Search among faces, or among people: face or person.")] = "face",
    people: Annotated[
        Path | None,
        typer.Option(
            help="CSV file of people: face_id or path, and person.",
            show_default="a photograph's folder is its person",
            **UNCHECKED,
        ),
    ] = None,
    fpir: Annotated[
        float | None,
        typer.Option(
            help="False positive identification rate: how often a face of nobody in FACES may find somebody.",
            show_default="0.01",
        ),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Decide at this cosine instead of by --fpir.", show_default=False)
    ] = None,
    exclude_self: Annotated[
        bool, typer.Option("--exclude-self", help="Leave out the same photograph: by its path or its content.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="File for the matches, a row each: .csv, .jsonl or .parquet.", show_default=False
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="HTML page to write: each face and its matches, with pictures.", show_default=False),
    ] = None,
    index: Annotated[
        bool,
        typer.Option("--index", help="Search in an approximate index beside FACES, built at first; needs usearch."),
    ] = False,
    weights: GalleryWeights = None,
    thresholds: Thresholds = None,
    min_face: MinFace = "3%",
    device: Device = "auto",
    workers: Workers = None,
    force: Force = False,
    json_: Json = False,
) -> None:
    """Search a dataset of faces for the faces of a photograph.

    For each face the most alike ones: cosine, log-likelihood ratio (natural logarithm), probability of the same person,
    and whether it is, by a threshold that knows how many are searched among. With --by person several photographs of
    one person count as one: the mean of their embeddings.

    The prior of each match is 1 / (N + 1) for N faces, or people: each of them, and nobody, equally likely.

    Exit codes: 0 searched, 2 usage error or bad input, 3 no face in any photograph.
    """
    from facever.cli.evaluating import open_gallery, through
    from facever.errors import NoFaceError
    from facever.faces.folders import find_all
    from facever.files import check_output
    from facever.gallery.rates import check_settings
    from facever.reports.matches import check_matches_file, matches_text, search_summary, write_matches
    from facever.reports.matches_page import write_matches_page

    check_settings(k, by, fpir, threshold)
    _, found = find_all(photographs)
    inputs = [path for path in (faces, people, thresholds) if path is not None] + found.paths
    if out is not None:
        check_matches_file(out, inputs, force)
    if report is not None:
        check_output(report, "page", inputs, force)
    gallery = open_gallery(faces, weights, thresholds, min_face, device, workers, people=people, index=index)
    result = gallery.search_photographs(
        found.paths,
        k,
        by,  # type: ignore[arg-type]
        fpir,
        threshold,
        exclude_self,
        workers,
        through,
    )
    if gallery.index_note:
        say(gallery.index_note)
    for error in found.all_errors():
        say(str(error))
    for line in [*result.problems, *result.notes]:
        say(line)
    if not result.faces:
        raise NoFaceError("no face in any photograph; use larger, sharper ones or a smaller --min-face")
    if out is not None:
        write_matches(out, result)
    if report is not None:
        write_matches_page(report, f"Search in {faces.name}", result, gallery.root)
        say(f"report: {report}; it shows photographs, so take care whom you share it with")
    if json_:
        print_json(result.to_json())
    elif out is None:
        print(matches_text(result))
    say(search_summary(result))
