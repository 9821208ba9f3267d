"""Where a schedule's work is done: bytecodes per schedule, by part.

    python benchmarks/bytecodes.py

Counts what Python executes in the subject of ``racewindow bench``, function by function; the same in every run on one version of
Python. What is done in C (the scanner of ``json``, asyncio's tasks, entering a context) is not in it.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from racewindow.bench._speed import FORMS

PARTS = {  # folders or files, the first that fits
    "racewindow/bench/": "subject",
    "racewindow/search/": "search",
    "racewindow/kernel/": "kernel",
    "/json/": "json",
    "/trio/": "host's library",
    "/asyncio/": "host's library",
    "attrs generated": "host's library",
}
ORDER = ("subject", "json", "host's library", "kernel", "search", "the rest")
WARM_UP = 60


def executed(run: Callable[[], object]) -> Counter[CodeType]:
    """How many bytecodes of each function a call executes.

    It is called twice and counted the second time: since Python 3.12 bytecodes are seen only once it is known that somebody asks.
    """
    counts: Counter[CodeType] = Counter()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            counts[frame.f_code] += 1
        return trace

    before = sys.gettrace()
    try:
        for _ in range(2):
            counts.clear()
            sys.settrace(trace)
            run()
    finally:
        sys.settrace(before)
    return counts


def part_of(code: CodeType) -> str:
    """The part of the program that a function belongs to."""
    path = Path(code.co_filename).as_posix()
    return next((part for piece, part in PARTS.items() if piece in path), "the rest")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=200)
    parser.add_argument("--functions", type=int, default=0, help="show so many functions of each form, too")
    options = parser.parse_args()
    print(f"{'':<16}" + "".join(f"{form:>18}" for form in FORMS))
    of = {}
    for form, run in FORMS.items():
        run(WARM_UP, 0)  # imports, caches
        of[form] = executed(partial(run, options.schedules, 0))
    total = {form: sum(counts.values()) for form, counts in of.items()}
    for part in ORDER:
        line = f"{part:<16}"
        for form, counts in of.items():
            here = sum(count for code, count in counts.items() if part_of(code) == part)
            line += f"{here / options.schedules:>11,.0f}{here / total[form]:>7.0%}"
        print(line)
    print(f"{'all':<16}" + "".join(f"{total[form] / options.schedules:>11,.0f}{'':>7}" for form in FORMS))
    for form, counts in of.items():
        for code, count in counts.most_common(options.functions):
            print(f"{form:<9}{count / options.schedules:>9,.0f}  {Path(code.co_filename).name}: {code.co_qualname}")


if __name__ == "__main__":
    main()
