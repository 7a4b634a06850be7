"""`facever card`: a model card from the records of a training and of evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.common import Force, Json, print_json
from facever.files import printable

EXAMPLE = "Example: facever card runs/mine/weights.safetensors --about about.toml --training runs/mine -o card.md"


def card(
    weights: Annotated[str, typer.Argument(help="A weights file, or the name of shipped weights.")],
    about: Annotated[Path, typer.Option(help="TOML with the words of the card; see facever.reports.card.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Markdown file to write; the training curve goes beside it.")
    ],
    training: Annotated[Path | None, typer.Option(help="Folder that facever train wrote.", show_default=False)] = None,
    evaluation: Annotated[
        list[Path] | None,
        typer.Option(help="JSON of eval-lfw or eval-all; may be repeated.", show_default=False),
    ] = None,
    held_out: Annotated[Path | None, typer.Option(help="JSON of benchmarks/held_out.py.", show_default=False)] = None,
    force: Force = False,
    json_: Json = False,
) -> None:
    """Write a model card, with front matter for model hubs and the training curve as a picture."""
    from facever.files import check_output
    from facever.reports.card import write_card
    from facever.weights.shipped import find_weights

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
