"""``racewindow timeline``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from racewindow.cli._arguments import (
    Json,
    case_of,
)
from racewindow.cli._output import print_json, say
from racewindow.cli.codes import CLEAN, UNKNOWN, VIOLATION


def timeline(
    token: Annotated[str, typer.Argument(help="the token")],
    best_effort: Annotated[bool, typer.Option("--best-effort", help="follow the token as far as it goes")] = False,
    svg: Annotated[Path | None, typer.Option("--svg", help="draw it into this file")] = None,
    as_json: Json = False,
) -> int:
    """Tell the story of the schedule that a token describes."""
    from dataclasses import asdict

    from racewindow import charts
    from racewindow.experiments import prepare, replay_and_tell

    if svg is not None:
        prepare(svg.parent)
    run, told = replay_and_tell(case_of(token), token, strict=not best_effort)
    if as_json:
        print_json(asdict(told))
    else:
        print(charts.timeline_text(told))
    if svg is not None:
        svg.write_text(charts.timeline_svg(told))
        say(f"drawn: {svg}")
    return {"failed": VIOLATION, "unknown": UNKNOWN}.get(run.verdict, CLEAN)
