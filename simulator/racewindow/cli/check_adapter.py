"""``racewindow check-adapter``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from racewindow.cli._arguments import Json
from racewindow.cli._output import print_json
from racewindow.cli.codes import CLEAN, VIOLATION


def check_adapter(
    adapter: Annotated[str, typer.Argument(help="module:Class or file.py:Class, or the name of an implementation")],
    as_json: Json = False,
) -> int:
    """Say what an adapter gets wrong: exit code 1 when there is something, 0 when it conforms."""
    from racewindow import adapters
    from racewindow.implementations import implementation

    found = adapters.check_adapter(implementation(adapter))
    if as_json:
        print_json(asdict(found))
    else:
        print(found)
    return VIOLATION if found.findings else CLEAN
