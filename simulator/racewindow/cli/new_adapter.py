"""``racewindow new-adapter``."""

from __future__ import annotations

from typing import Annotated

import typer

from racewindow.cli.codes import CLEAN


def new_adapter(
    name: Annotated[str, typer.Argument(help="name of your store, for example chat_log")],
    style: Annotated[str, typer.Option("--style", help="trio, asyncio, threads or http")] = "trio",
) -> int:
    """Write an adapter of your own and its test into the current directory."""
    from racewindow import adapters

    adapter, test = adapters.new_adapter(name, style=style)
    print(f"{adapter.name}  {adapters.STYLES[style].summary}")
    print(f"{test.name}  run it with: pytest {test.name}")
    if adapters.STYLES[style].conforms:
        line = next(line for line in adapter.read_text().splitlines() if line.startswith("class "))
        class_name = line.split()[1].partition("(")[0]
        print(f"check it with: racewindow check-adapter {adapter.name}:{class_name}")
    return CLEAN
