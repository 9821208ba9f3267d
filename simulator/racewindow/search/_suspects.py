"""What in a subject's own text may make it behave differently in the same schedule."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from functools import partial

from racewindow.kernel.engine import Subject
from racewindow.search._subject import NOT_REPEATED

_CALLS = {
    "the wall clock": r"time\.(time|monotonic|perf_counter)(_ns)?|(datetime\.)?(datetime|date)\.(now|utcnow|today)",
    "random numbers": r"random\.\w+|secrets\.\w+|os\.urandom|(uuid\.)?uuid[14]",
    "a real thread": r"(threading\.)?(Thread|Timer)|(concurrent\.futures\.)?ThreadPoolExecutor|_thread\.start_new_thread",
    "the order of a set": r"set|frozenset",
    "an address": r"id|hash",
}


_CONTROLLED = {
    "threads": re.compile(r"time\.\w+|(threading\.)?(Thread|Timer)|(concurrent\.futures\.)?ThreadPoolExecutor"),
}
"""What is no cause on a host, for there it is the kernel's."""


def likely_cause(subject: Subject, host: str) -> str:
    """A sentence that names what the subject uses of the usual causes; where it uses none, all of them."""
    found = list(dict.fromkeys(_suspects(subject, _CONTROLLED.get(host))))
    return f"Likely cause: it uses {' and '.join(found)}" if found else NOT_REPEATED


def _suspects(subject: Subject, controlled: re.Pattern[str] | None) -> Iterator[str]:
    while isinstance(subject, partial):
        subject = subject.func
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(subject)))
    except (OSError, TypeError, SyntaxError):  # no text of its own, or a piece of an expression
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Set | ast.SetComp):
            yield f"the order of a set ({ast.unparse(node)})"
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if controlled is not None and controlled.fullmatch(called):
                continue
            for cause, pattern in _CALLS.items():
                if re.fullmatch(pattern, called):
                    yield f"{cause} ({called}())"
