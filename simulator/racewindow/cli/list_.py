"""``racewindow list``."""

from __future__ import annotations

from typing import Annotated

import typer

from racewindow.cli._arguments import (
    Json,
)
from racewindow.cli._output import print_json
from racewindow.cli.codes import CLEAN
from racewindow.sessions.stories import STORIES


def list_(
    designs: Annotated[bool, typer.Option("--designs", help="only the designs")] = False,
    as_json: Json = False,
) -> int:
    """Show implementations and stories, with one line each."""
    from racewindow.implementations import BUILT_IN, DESIGNS, PACKAGES

    shown = [design.name for design in DESIGNS] if designs else list(BUILT_IN)
    rows = [{"name": name, "summary": BUILT_IN[name].summary(), "installed": True} for name in shown]
    if not designs:
        rows += [
            {"name": each.name, "summary": each.summary, "installed": each.installed} for each in PACKAGES.values()
        ]
    stories = (
        []
        if designs
        else [{"name": each.name, "text": each.text, "summary": each.summary} for each in STORIES.values()]
    )
    if as_json:
        print_json({"implementations": rows, "stories": stories})
        return CLEAN
    print("implementations")
    for row in rows:
        print(f"  {row['name']:<34} {row['summary']}{'' if row['installed'] else '  [not installed]'}")
    if stories:
        print("\nstories")
        for each in stories:
            print(f"  {each['name']:<34} {each['text']}\n  {'':<34} {each['summary']}")
    return CLEAN
