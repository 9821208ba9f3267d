"""Lines as points, for code that has none of its own.

A trace function is told of every line, and of every instruction, of chosen files in controlled threads. Before a line that can touch
something that threads share there is a point; lines that only juggle local variables and constants have none. Within a line there is one
before each store into an attribute, an item, or a variable of an outer scope that comes after a read in the same line, so that
``counter.value += 1`` can come apart as the language allows.
"""

from __future__ import annotations

import dis
import os
import sys
from collections.abc import Callable, Iterable
from functools import cache
from types import CodeType, FrameType
from typing import Any

_HARMLESS = frozenset(
    {"CACHE", "RESUME", "NOP", "EXTENDED_ARG", "PUSH_NULL", "POP_TOP", "COPY", "SWAP", "MAKE_CELL", "COPY_FREE_VARS"}
    | {"LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_BORROW_LOAD_FAST_BORROW", "LOAD_CONST"}
    | {"LOAD_SMALL_INT", "STORE_FAST", "STORE_FAST_STORE_FAST", "STORE_FAST_LOAD_FAST", "DELETE_FAST", "RETURN_VALUE", "RETURN_CONST"}
    | {"LOAD_CLOSURE", "BUILD_TUPLE", "MAKE_FUNCTION", "SET_FUNCTION_ATTRIBUTE", "RETURN_GENERATOR", "PRECALL", "KW_NAMES", "NOT_TAKEN"}
    | {"RERAISE", "PUSH_EXC_INFO", "POP_EXCEPT", "CHECK_EXC_MATCH", "END_FOR", "IS_OP", "UNARY_NOT", "TO_BOOL"}
)  # fmt: skip
_STORES = (
    "STORE_ATTR",
    "STORE_SUBSCR",
    "STORE_SLICE",
    "STORE_GLOBAL",
    "STORE_DEREF",
    "DELETE_ATTR",
    "DELETE_SUBSCR",
    "DELETE_GLOBAL",
)
Trace = Callable[[FrameType, str, Any], Any]


def tracer(files: Iterable[str], point: Callable[[str], None]) -> Trace:
    """A trace function that calls ``point(label)`` where there is one.

    Args:
        files: names that the code objects to watch carry.
        point: given ``function:line``, or ``function:line/name=`` before a store within the line.
    """
    wanted = frozenset(
        name for file in files for name in (file, os.path.abspath(file), os.path.realpath(file), os.path.relpath(file))
    )

    def called(frame: FrameType, event: str, argument: Any) -> Trace | None:
        code = frame.f_code
        if code.co_filename not in wanted:
            return None
        if _places(code)[1]:
            frame.f_trace = moved  # Python 3.13 tells of instructions only in a frame that is traced already
            frame.f_trace_opcodes = True
            sys.settrace(called)  # and 3.12 only when a trace function is set
        return moved

    def moved(frame: FrameType, event: str, argument: Any) -> Trace:
        lines, stores = _places(frame.f_code)
        if event == "line":
            label = lines.get(frame.f_lineno)
            if label is not None:
                point(label)
        elif event == "opcode":
            label = stores.get(frame.f_lasti)
            if label is not None:
                point(label)
        return moved

    return called


@cache
def _places(code: CodeType) -> tuple[dict[int, str], dict[int, str]]:
    """The labels of a function's points: by line, and by offset of a store."""
    lines: dict[int, str] = {}
    stores: dict[int, str] = {}
    line, has_read = code.co_firstlineno, False
    name = "module" if code.co_name == "<module>" else code.co_name.strip("<>")
    for instruction in dis.get_instructions(code):
        position = instruction.positions
        number = position.lineno if position is not None else None
        if number is not None and number != line:
            line, has_read = number, False
        kind = instruction.opname
        if kind in _HARMLESS or kind.startswith(("JUMP", "POP_JUMP")):
            continue
        lines.setdefault(line, f"{name}:{line}")
        if kind in _STORES:
            if has_read:
                target = instruction.argval if isinstance(instruction.argval, str) else "item"
                stores[instruction.offset] = f"{name}:{line}/{target}="
        else:
            has_read = True
    return lines, stores
