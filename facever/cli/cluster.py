"""`facever cluster`: faces -> people."""

from __future__ import annotations

from dataclasses import asdict
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
    counted,
    print_json,
    say,
)

MOST = 20
EXAMPLE = "Example: facever cluster photographs.parquet -o people.csv --report people/"


def cluster(
    faces: Annotated[
        Path,
        typer.Argument(
            help="What `facever embed` wrote, a folder of photographs, or embeddings made elsewhere.",
            metavar="FACES",
            show_default=False,
            **UNCHECKED,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File to write, a row a face: .csv, .jsonl or .parquet.", show_default=False),
    ] = None,
    people: Annotated[
        Path | None,
        typer.Option(
            help="What this command or its page wrote before: ids stay, and decisions hold.",
            show_default=False,
            **UNCHECKED,
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Folder for a page of people, to name, merge and correct them.", show_default=False),
    ] = None,
    folders: Annotated[
        Path | None,
        typer.Option(help="Folder to write: one folder of links to photographs per person.", show_default=False),
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy photographs into --folders, instead of links.")] = False,
    read_xmp: Annotated[
        bool,
        typer.Option("--read-xmp", help="Take names from regions in side-cars (.xmp) and in JPEGs, as decisions."),
    ] = False,
    xmp: Annotated[
        bool,
        typer.Option("--xmp", help="Write the faces of people with a name into side-cars, PHOTO.jpg.xmp."),
    ] = False,
    fpir: Annotated[
        float | None,
        typer.Option(
            help="False positive identification rate: how often a stranger's face may be linked to anybody.",
            show_default="as the data allow: one false link in 16",
        ),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Merge at this mean cosine instead.", show_default=False)
    ] = None,
    weights: GalleryWeights = None,
    thresholds: Thresholds = None,
    min_face: MinFace = "3%",
    device: Device = "auto",
    workers: Workers = None,
    force: Force = False,
    json_: Json = False,
) -> None:
    """Group faces into people.

    How alike two faces must be follows the data: it is estimated from the cosines how many pairs are of one person.
    Two faces of one photograph count against being one person. Poor faces (small, blurred, cut off) join a person, and
    found none.

    Name people on the page of --report, correct them there, and give the file it saves to --people: a person keeps the
    id and the name, decisions hold, and whoever moves is listed.

    Names go to and from other programs as XMP: --read-xmp takes those that digiKam, Lightroom and others gave, --xmp
    writes them. Regions of other programs stay as they are.

    Exit codes: 0 grouped, 2 usage error or bad input, or side-cars that can't be written.
    """
    from facever.cli.evaluating import open_gallery
    from facever.errors import OutputError, SettingError
    from facever.files import check_output, check_output_folder
    from facever.gallery.clustering import check_settings, cluster_faces, listed_faces
    from facever.gallery.decisions import People
    from facever.gallery.sidecars import check_places, names_in_xmp
    from facever.reports.matches import check_matches_file
    from facever.reports.people import conflict_text, people_summary, people_text, to_json, write_people
    from facever.reports.people_folders import check_folders, write_folders
    from facever.reports.people_page import write_people_page
    from facever.reports.sidecars import Written, write_sidecars

    check_settings(fpir, threshold)
    if copy and folders is None:
        raise SettingError("copies into --folders; name that folder", "copy")
    inputs = [path for path in (faces, people, thresholds) if path is not None]
    if out is not None:
        check_matches_file(out, inputs, force)
    if report is not None:
        check_output_folder(report)
        check_output(report / "index.html", "page", inputs, force)
    if folders is not None:
        check_folders(folders, inputs)
    before = People() if people is None else People.read(people)
    gallery = open_gallery(faces, weights, thresholds, min_face, device, workers)
    if read_xmp or xmp:
        check_places(gallery.faces)
    if read_xmp:
        names, problems = names_in_xmp(
            listed_faces(gallery.faces),
            gallery.root,
            written=people is None,
            watched=lambda photographs, total: counted(photographs, total, "reading XMP"),
        )
        before, contradicted = before.named(names)
        _say_some(problems, "photographs and side-cars that can't be read")
        say(
            f"xmp: {len(names):,} faces have a name there, {len(contradicted):,} of them decided otherwise before, "
            f"{len(problems):,} problems"
        )
    info = None if gallery.verifier is None else gallery.verifier.info
    found = cluster_faces(gallery.faces, info, before, fpir, threshold)
    if out is not None:
        write_people(out, found)
    if report is not None:
        page = write_people_page(report / "index.html", f"People in {faces.name}", found, gallery.root)
        say(f"report: {page}; it shows photographs, so take care whom you share it with")
    if folders is not None:
        count, problems = write_folders(folders, found, gallery.root, copy)
        _say_some(problems, "photographs that can't be copied")
        say(f"folders: {count:,} {'copies' if copy else 'links'} below {folders}")
    written = Written()
    if xmp:
        written = write_sidecars(
            found, gallery.root, lambda photographs, total: counted(photographs, total, "writing XMP")
        )
        _say_some(written.problems, "problems with side-cars")
        say(
            f"xmp: {written.files:,} side-cars written, {written.current:,} were up to date, {len(written.problems):,} "
            "problems"
        )
    for line in [*found.notes, *(f"moved: {move}" for move in found.moves)]:
        say(line)
    _say_some([conflict_text(*pair) for pair in found.conflicts], "photographs that show somebody twice")
    if json_:
        print_json({**to_json(found), **({"xmp": asdict(written)} if xmp else {})})
    elif out is None:
        print(people_text(found))
    say(people_summary(found))
    if written.problems and not written.files + written.current:
        raise OutputError("no side-car was written; the reasons are above")


def _say_some(lines: list[str], what: str) -> None:
    for line in lines[:MOST]:
        say(line)
    if len(lines) > MOST:
        say(f"and {len(lines) - MOST:,} more {what}")
