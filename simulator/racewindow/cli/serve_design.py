"""``racewindow serve-design``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from racewindow.cli._arguments import Implementation
from racewindow.cli.codes import CLEAN


def serve_design(
    implementation: Implementation,
    root: Annotated[Path, typer.Argument(help="folder of the sessions; made when it is missing")],
    host: Annotated[str, typer.Option("--host", help="where to listen")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="0: any free port")] = 0,
    latency: Annotated[
        list[str], typer.Option("--latency", help="POINT=SECONDS, the mean of what such points take; may be repeated")
    ] = [],  # noqa: B006 - typer wants a list
    seed: Annotated[int, typer.Option("--seed", help="of the latencies")] = 0,
) -> int:
    """Serve a design on the real disk over HTTP, as 'oncestore serve' serves the reference."""
    import trio

    from racewindow.experiments import Latencies
    from racewindow.implementations import implementation as named
    from racewindow.serving import serve_design as serve

    design = named(implementation)
    last = (
        [] if any(text.startswith("*=") for text in latency) else ["*=0"]
    )  # what nobody gave takes no time of its own
    say = partial(print, flush=True)
    trio.run(
        partial(
            serve,
            design,
            root,
            host=host,
            port=port,
            latency_s=Latencies.parse([*latency, *last]).means_s,
            seed=seed,
            ready=lambda url: say(f"{design.name} serves {root} at {url}"),
        )
    )
    return CLEAN
