"""`facever card`: a model card from the records of a training and of evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.common import Force, Json, print_json
from facever.files import printable

EXAMPLE = "Example: facever card runs/mine/weights.safetensors --about about.toml --training runs/mine -o card.md"


def card(
    weights: Annotated[
        str | None, typer.Argument(help="A weights file, or the name of shipped weights.", show_default=False)
    ] = None,
    template: Annotated[
        Path | None,
        typer.Option(help="Write the file to fill in for --about (.toml), with examples.", show_default=False),
    ] = None,
    about: Annotated[
        Path | None, typer.Option(help="TOML with the words of the card, from --template.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Markdown file to write; the training curve goes beside it.", show_default=False
        ),
    ] = None,
    training: Annotated[Path | None, typer.Option(help="Folder that facever train wrote.", show_default=False)] = None,
    evaluation: Annotated[
        list[Path] | None,
        typer.Option(help="JSON of eval-lfw or eval-all; may be repeated.", show_default=False),
    ] = None,
    held_out: Annotated[Path | None, typer.Option(help="JSON of benchmarks/held_out.py.", show_default=False)] = None,
    force: Force = False,
    json_: Json = False,
) -> None:
    """Write a model card, with front matter for model hubs and the training curve as a picture.

    What only a person knows comes from a file: --template writes one, in which each word has an example to replace.
    """
    from facever.errors import FaceverError, OutputError
    from facever.files import check_output, write_bytes
    from facever.reports.card import template as words
    from facever.reports.card import write_card
    from facever.weights.shipped import find_weights

    if template is not None:
        if weights is not None or about is not None:
            raise FaceverError("--template only writes the file to fill in; give weights and --about afterwards")
        check_output(template, "text", force=force)
        if template.exists() and not force:
            raise OutputError(f"{template} is there, perhaps filled in; name another file, or --force")
        write_bytes(template, words().encode())
        written = [str(template)]
    else:
        lacking = {"weights": weights, "--about FILE": about, "--out FILE": out}
        if weights is None or about is None or out is None:
            names = ", ".join(name for name, value in lacking.items() if value is None)
            raise typer.BadParameter(f"give {names}; facever card --template about.toml writes the file for --about")
        found = find_weights(weights)
        inputs = [path for path in (found, about, training, *(evaluation or []), held_out) if path is not None]
        check_output(out, "text", inputs, force)
        if training is not None:
            check_output(out.with_suffix(".svg"), "text", inputs, force)
        written = [str(path) for path in write_card(out, found, about, training, evaluation or [], held_out)]
    if json_:
        print_json({"written": written})
    else:
        print("\n".join(map(printable, written)))
