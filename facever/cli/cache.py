"""`facever cache`: what is kept to save time."""

from __future__ import annotations

from typing import Annotated

import typer

from facever.cli.common import Json, print_json

EXAMPLE = "Example: facever cache --clear"


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove it all.")] = False,
    json_: Json = False,
) -> None:
    """Show what is kept to save time, and how much it is: crops for trainings, embeddings of evaluations.

    What was not used for longest goes when either takes more than 20 GB, or the FACEVER_CACHE_GB of the environment.
    """
    from datetime import datetime

    from facever.caches import cache_entries, remove, user_cache
    from facever.reports.tables import print_table

    folder = user_cache()
    entries = [e for e in cache_entries(folder) if e.path.name != "crops"] + list(cache_entries(folder / "crops"))
    if clear:
        for entry in entries:
            remove(entry.path)
    if json_:
        found = [{"path": str(e.path), "bytes": e.size, "used": round(e.used)} for e in entries]
        print_json({"folder": str(folder), "entries": found, "cleared": clear})
        return
    rows = [
        (str(e.path.relative_to(folder)), f"{e.size / 1e6:,.1f} MB, used {datetime.fromtimestamp(e.used):%Y-%m-%d}")
        for e in entries
    ]
    total = sum(e.size for e in entries) / 1e6
    print_table([*rows, ("removed" if clear else "in all", f"{total:,.1f} MB")], str(folder))
