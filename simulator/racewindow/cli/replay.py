"""``racewindow replay``."""

from __future__ import annotations

from typing import Annotated

import typer

from racewindow.cli._arguments import (
    Json,
    case_of,
)
from racewindow.cli._output import one_violation, print_json
from racewindow.cli.codes import CLEAN, UNKNOWN, VIOLATION


def replay(
    token: Annotated[str, typer.Argument(help="the token")],
    best_effort: Annotated[bool, typer.Option("--best-effort", help="follow the token as far as it goes")] = False,
    as_json: Json = False,
) -> int:
    """Run the one schedule that a token describes, and print its trace."""
    from racewindow.experiments import replay_and_tell

    run, told = replay_and_tell(case_of(token), token, strict=not best_effort)
    if as_json:
        print_json(
            {
                "verdict": run.verdict,
                "violations": [one_violation(violation) for violation in run.violations],
                "fingerprint": run.fingerprint,
                "trace": [
                    {
                        "step": step.index,
                        "task": step.task,
                        "label": step.label,
                        "preempted": step.preempted,
                        "notes": step.notes,
                    }
                    for step in run.trace
                ],
            }
        )
    else:
        print(f"{told.title}\n{told.subtitle}")
        for step in run.trace:
            print(step)
        for violation in run.violations:
            print(f"violation: {violation}")
        print(f"verdict: {run.verdict}, fingerprint {run.fingerprint}")
    return {"failed": VIOLATION, "unknown": UNKNOWN}.get(run.verdict, CLEAN)
