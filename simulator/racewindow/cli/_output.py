"""What commands print: results, maps, JSON on stdout; prose on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from racewindow.cli.codes import CLEAN, INTERRUPTED, UNKNOWN, VIOLATION


def examine(results: Iterable[Any], *, shrink_executions: int, as_json: bool) -> int:
    """Run the cases, shrink what fails, report each, and end with the story of the first violation.

    Args:
        shrink_executions: the budget of each shrinking; 0: failures are shown as they were found.
    """
    from racewindow import charts

    seen = []
    interrupted = False
    try:
        for result in results:
            seen.append(result)
            interrupted = result.interrupted
            if shrink_executions and not interrupted:
                seen[-1] = result = result.shrink(max_executions=shrink_executions)
            if not as_json:
                print_result(result)
            if interrupted:
                break
    except KeyboardInterrupt:  # between two cases, where there is nothing partial
        interrupted = True
    if as_json:
        print_json({"results": [plain(result) for result in seen]})
    failed = next((result for result in seen if result.verdict == "failed"), None)
    if failed is not None and not as_json:
        print()
        print(charts.timeline_text(failed.timeline()))
    if interrupted:
        say("interrupted: these are partial results")
        return INTERRUPTED
    if failed is not None:
        return VIOLATION
    return UNKNOWN if any(result.verdict == "unknown" for result in seen) else CLEAN


def print_result(result: Any) -> None:
    """One line for a case, and what there is to add to it."""
    print(line_of(result))
    for note in result.notes:
        print(f"  {note}")
    if result.shrunk is not None:
        print(f"  shrunk to {result.shrunk.case.scenario.text}\n  {result.shrunk.says}")


def line_of(result: Any) -> str:
    """What a case showed, and how sure that is, in one line."""
    from racewindow.statistics import interval, upper_bound

    case = result.case
    sampled = 0 if result.sampled_from is None else max(0, result.schedules - result.sampled_from)
    line = f"{result.verdict:<14} {case.implementation.name}  {case.topology}, disk={case.disk}, time={case.time}: "
    if result.verdict == "proved":
        bound = f" within {result.bound}" if result.bound else ""
        line += f"every schedule{bound}, {result.schedules} executions"
        line += f" ({result.reason})" if result.reason else ""
        line += _reduction(result) if result.classes is not None else ""
    elif result.verdict == "failed":
        how = f"{result.strategy} {result.bound}".rstrip()
        line += f"{'+'.join(result.kinds)} in {result.failures} of {result.schedules} schedules ({how})"
        if sampled == result.schedules:
            low, high = interval(result.schedules, result.failures)
            line += f", {low:.2%} to {high:.2%} of them (95 %)"
    elif result.verdict == "passed":
        line += f"no violation in {result.schedules} schedules"
        if sampled:
            line += f", so at most {upper_bound(sampled):.2%} of them (95 %) under {result.strategy}"
    else:
        line += result.reason
    if result.noted.get("re_extracted"):
        line += f"; re-extracted after a crash in {result.noted['re_extracted']}"
    if result.noted.get("errors"):
        line += f"; operations raised in {result.noted['errors']}"
    return line


def _reduction(result: Any) -> str:
    """What one execution stands for, and what that rests on."""
    factor = ""
    if result.interleavings is not None:
        factor = f" of {result.interleavings} interleavings, 1 in {result.interleavings / result.schedules:.3g}"
    return f"{factor}; {result.classes} happens-before classes, footprints {result.footprints}"


def plain(result: Any) -> dict[str, Any]:
    seconds = round(result.seconds, 2)
    shrunk = None if result.shrunk is None else result.shrunk.row
    told = {"goals": result.goals, "noted": result.noted, "notes": result.notes, "seconds": seconds}
    return {**result.row, "shrunk": shrunk, **told}


def one_violation(violation: Any) -> dict[str, object]:
    """A violation as plain values."""
    return {
        "kind": violation.kind,
        "detail": violation.detail,
        "messages": list(violation.messages),
        "step": violation.step,
    }


def print_json(value: object) -> None:
    """A value to stdout."""
    print(json.dumps(value, indent=1, default=str))


def say(text: str) -> None:
    """A line of prose to stderr."""
    print(text, file=sys.stderr)
