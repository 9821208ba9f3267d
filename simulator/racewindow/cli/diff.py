"""``racewindow diff``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from racewindow.cli._arguments import Json
from racewindow.cli._output import print_json, say
from racewindow.cli.codes import CLEAN, VIOLATION


def diff(
    old: Annotated[Path, typer.Argument(help="folder that 'racewindow compare' wrote", show_default=False)],
    new: Annotated[Path, typer.Argument(help="another one, of the same implementations later on", show_default=False)],
    as_json: Json = False,
) -> int:
    """What changed from one comparison to the next: verdicts, and windows that opened, closed or moved."""
    from racewindow import experiments

    result = experiments.diff(old, new)
    rows = result.frame.to_dict("records")
    if as_json:
        print_json({"cells": result.cells, "ribbons": result.ribbons, "worse": result.worse, "changes": rows})
        return VIOLATION if result.worse else CLEAN
    for row in rows:
        if row["change"] in ("added", "removed"):
            continue
        where = f"{row['scenario']}  {row['topology']}, disk={row['disk']}"
        print(
            f"{'worse  ' if row['worse'] else '       '}{row['what']} {row['change']}: {row['implementation']}  {where}"
        )
        if row["ribbon"]:
            print(f"         {row['ribbon']}")
        print(f"         {row['old'] or '(none)'}  ->  {row['new'] or '(none)'}")
        if row["token"]:
            print(f"         racewindow timeline {row['token']}")
    for change, side in (("added", new), ("removed", old)):
        if count := sum(row["change"] == change for row in rows):
            say(f"{count} cells are only in {side}")
    moved = sum(row["change"] not in ("added", "removed") for row in rows)
    print(f"{moved} changes in {result.cells} cells and {result.ribbons} ribbons, {result.worse} for the worse")
    return VIOLATION if result.worse else CLEAN
