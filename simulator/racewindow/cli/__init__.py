"""The command line: a thin face of the experiments.

Machine-readable output (``--json``, traces, timelines) goes to stdout, prose and progress to stderr. Exit codes: 0 clean, 1 a violation
was found, 2 wrong usage, 3 unknown or diverged, 4 an internal error, 130 interrupted (what was found until then is kept and shown).
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import typer

from racewindow.cli import (
    arrivals,
    bench,
    check_adapter,
    compare,
    crashes,
    curve,
    diff,
    first_bug,
    fuzz,
    list_,
    new_adapter,
    prove,
    replay,
    serve_design,
    server,
    timeline,
    windows,
)
from racewindow.cli._output import say
from racewindow.cli.codes import CLEAN, INTERNAL, INTERRUPTED, UNKNOWN, USAGE
from racewindow.errors import RacewindowError, ReplayDiverged

# Typer shows click's base class of wrong arguments through its descendants only (newer ones bring a click of their own).
_BAD_ARGUMENTS: Any = next(each for each in typer.BadParameter.__mro__ if each.__name__ == "ClickException")

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Find, prove, measure and draw race conditions in session stores.",
)
_COMMANDS: dict[str, Callable[..., int]] = {
    "list": list_.list_,
    "fuzz": fuzz.fuzz,
    "first-bug": first_bug.first_bug,
    "prove": prove.prove,
    "windows": windows.windows,
    "crashes": crashes.crashes,
    "arrivals": arrivals.arrivals,
    "replay": replay.replay,
    "timeline": timeline.timeline,
    "curve": curve.curve,
    "bench": bench.bench,
    "compare": compare.compare,
    "new-adapter": new_adapter.new_adapter,
    "check-adapter": check_adapter.check_adapter,
    "diff": diff.diff,
    "server": server.server,
    "serve-design": serve_design.serve_design,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program's name; default: those of the process.

    Returns:
        The exit code.
    """
    # Not app(): typer would turn an interrupt into an exit without a word, and a reader that went away into "violation".
    command = typer.main.get_command(app)
    try:
        with command.make_context("racewindow", list(sys.argv[1:] if argv is None else argv)) as context:
            code = command.invoke(context)
            sys.stdout.flush()
        return code if isinstance(code, int) else CLEAN
    except ReplayDiverged as error:
        say(f"diverged: {error}")
        return UNKNOWN
    except RacewindowError as error:
        say(f"error: {error}")
        return USAGE
    except typer.Exit as stop:
        return stop.exit_code
    except (typer.Abort, KeyboardInterrupt):
        say("interrupted")
        return INTERRUPTED
    except _BAD_ARGUMENTS as error:
        error.show()
        return USAGE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in the buffer goes nowhere
        return CLEAN
    except Exception:
        say(f"internal error, please report it:\n{traceback.format_exc()}")
        return INTERNAL
