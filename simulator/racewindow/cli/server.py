"""``racewindow server``."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from racewindow.cli._arguments import Json, Seed, TimeLimit
from racewindow.cli._output import print_json, say
from racewindow.cli.codes import CLEAN, INTERRUPTED, UNKNOWN, VIOLATION
from racewindow.errors import UsageError
from racewindow.sessions.scenario import Scenario
from racewindow.sessions.stories import story

if TYPE_CHECKING:
    from racewindow.servers import ServerResult

TRIED = ["after-completion", "free-running", "add-during-commit", "add-during-extraction"]


def server(
    target: Annotated[
        str,
        typer.Argument(
            help="URL of a server that runs (several: separated by commas), or a command line that starts one, "
            "with {root} and {port} in it"
        ),
    ],
    scenario: Annotated[list[str], typer.Option("--scenario", help="story or text; may be repeated")] = TRIED,
    tries: Annotated[int, typer.Option("--tries", min=1, help="of each scenario")] = 200,
    processes: Annotated[int, typer.Option("--processes", min=1, help="servers to start on one root")] = 1,
    at_once: Annotated[int, typer.Option("--at-once", min=1, help="tries under way at a time")] = 4,
    pause: Annotated[float, typer.Option("--pause", min=0.0, help="mean seconds before each operation")] = 0.005,
    settle: Annotated[
        float, typer.Option("--settle", min=0.0, help="seconds without a change after which storage is at rest")
    ] = 0.1,
    extract: Annotated[
        float,
        typer.Option("--extract", min=0.0, help="mean seconds of an extraction by racewindow.servers.ledger:extract"),
    ] = 0.02,
    seed: Seed = 0,
    time_limit: TimeLimit = None,
    as_json: Json = False,
) -> int:
    """Try stories against a running server, or one started here, over HTTP and in wall-clock time."""
    import trio
    from tqdm import tqdm

    from racewindow.servers import TOKEN, Pace, name_of, reach, sample

    if time_limit is not None and time_limit <= 0:
        raise UsageError(f"--time-limit {time_limit}: give a positive number of seconds")
    stories: list[Scenario] = [story(text) for text in scenario]
    name = name_of(target)
    results: list[ServerResult] = []

    async def run() -> None:
        async with reach(target, processes=processes, token=os.environ.get(TOKEN, ""), extract_s=extract) as servers:
            for each in stories:
                with tqdm(total=tries, desc=each.name, unit="try", file=sys.stderr, disable=None, leave=False) as bar:
                    result = await sample(
                        servers,
                        each,
                        name=name,
                        tries=tries,
                        seed=seed,
                        pace=Pace(pause_s=pause, settle_s=settle),
                        at_once=at_once,
                        time_limit_s=None if time_limit is None else time_limit / len(stories),
                        progress=partial(_show, bar),
                    )
                results.append(result)
                if not as_json:
                    print(f"{result.verdict:<14} {name}  {each.name}, {result.topology}: {result.says}")
                if result.interrupted and time_limit is None:
                    return

    trio.run(run)
    if as_json:
        print_json({"results": [{**result.frame.to_dict("records")[0], "says": result.says} for result in results]})
    if any(result.interrupted for result in results):
        say("stopped before the end: these are partial results")
        if time_limit is None:
            return INTERRUPTED
    verdicts = {result.verdict for result in results}
    return VIOLATION if "failed" in verdicts else UNKNOWN if "unknown" in verdicts else CLEAN


def _show(bar: object, done: int) -> None:
    bar.n = done  # type: ignore[attr-defined]
    bar.refresh()  # type: ignore[attr-defined]
