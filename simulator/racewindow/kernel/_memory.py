"""What suspended tasks remember: their frames, and all that can be reached from there, as one value that can be compared.

Two equal values of one schedule mean that its program stands where it stood, and will do again what it did then. So nothing may be
missing. Whatever is of unknown make (an object of some C library, say) makes the whole value unknown, and so does code that looks at a
real clock or draws at random: it may do something else next time, although it remembers the same. Of code that looks at the virtual
clock, the time is a part of the value; of all other, only how long its timers have to go, which is not told here.
"""

from __future__ import annotations

import gc
import sys
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from contextvars import Context, ContextVar
from dis import get_instructions
from functools import cache, lru_cache, partial, partialmethod
from itertools import chain
from pathlib import Path
from struct import calcsize
from types import (
    AsyncGeneratorType,
    BuiltinFunctionType,
    CellType,
    CodeType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    NoneType,
)
from typing import Any

import trio

Memory = tuple[Hashable, ...]
Name = Callable[[Any], Hashable | None]

_SIZE_MAX = 100_000  # parts of a memory that is too large to be looked at

_VALUES = (NoneType, bool, int, float, complex, str, bytes, range, type(Ellipsis), type(NotImplemented))
_SEQUENCES = (list, tuple, deque)
_ITERABLES: tuple[Any, ...] = ([], (), range(0), "", "\xe4", b"", {}, {}.values(), {}.items())
_ITERATORS: tuple[type[Any], ...] = (
    *(type(iter(each)) for each in _ITERABLES),
    *(type(iter(int, 0)), enumerate, zip, map, filter, reversed, type(reversed([]))),
)
"""Iterators that tell where they are when they are asked for a copy of themselves."""
_FRAMED = (CoroutineType, GeneratorType, AsyncGeneratorType)
_AWAITABLES = ("async_generator_asend", "async_generator_athrow", "anext_awaitable", "coroutine_wrapper")
_BASES = (object, dict, OrderedDict, defaultdict, set, frozenset, *_SEQUENCES, *_VALUES)
_ROOMS = ("__dict__", "__weakref__")
_POINTER = calcsize("P")
_TRIO_FOLDER = str(Path(trio.__file__).parent)


class _Clock:
    """Stands for the virtual clock among what is remembered."""


CLOCK = _Clock()
_CLOCK_NAMES = frozenset(
    {"current_time", "now", "move_on_at", "fail_at", "sleep_until", "deadline", "current_effective_deadline"}
)
"""Names by which code looks at the virtual clock, or waits for a moment of it: then the time is a part of what it remembers."""
_OUTSIDE_NAMES = frozenset(
    {"utcnow", "today", "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"}
    | {"random", "secrets", "urandom", "uuid1", "uuid4"}
)
"""Names by which code looks at what nobody controls."""

_KNOWN = sys.stdlib_module_names | {"trio", "outcome", "sniffio", "attr", "attrs", "sortedcontainers"}


class _CannotTell(Exception):
    """Something is remembered that nobody can compare."""


def memory_of(roots: Iterable[Any], name: Name) -> Memory | None:
    """All that can be reached from ``roots``, in a fixed order; None where that cannot be told.

    Args:
        roots: coroutines, and whatever else tasks have to themselves.
        name: gives a name to what is not to be looked into (the kernel's own things, and :data:`CLOCK`), and None for everything else.
    """
    parts: list[Hashable] = []
    seen: dict[int, int] = {}
    kept: list[Any] = []  # what is made on the way must live until the end, for an address must not be used twice
    pending = list(roots)[::-1]
    try:
        while pending:
            if len(parts) > _SIZE_MAX:
                return None
            one = pending.pop()
            kind = type(one)
            if kind in _VALUES:
                parts.append((kind.__name__, one))
            elif id(one) in seen:
                parts.append(("again", seen[id(one)]))
            else:
                seen[id(one)] = len(seen)
                kept.append(one)
                known = name(one)
                if known is not None:
                    parts.append(known)
                else:
                    told, inside = _told(one, name)
                    parts.append((kind.__qualname__, told))
                    pending += inside[::-1]
    except _CannotTell:
        return None
    return tuple(parts)


def _told(one: Any, name: Name) -> tuple[Hashable, list[Any]]:
    """What an object is, and what is inside it."""
    match one:
        case ModuleType():
            return one.__name__, [] if _is_known(one.__name__) else _public(vars(one))
        case type():
            return one.__qualname__, [] if _is_known(one.__module__) else _public(vars(one))
        case FunctionType():
            return _function(one)
        case MethodType():
            return "", [one.__self__, one.__func__]
        case BuiltinFunctionType():
            owner = one.__self__
            return one.__qualname__, [] if owner is None or isinstance(owner, ModuleType) else [owner]
        case partial() | partialmethod():
            return "", [one.func, one.args, one.keywords]
        case staticmethod() | classmethod():
            return "", [one.__func__]
        case property():
            return "", [one.fget, one.fset, one.fdel]
        case CellType():
            return "", _cell(one)
        case CodeType():
            return one.co_qualname, []
        case MappingProxyType():
            return "", [dict(one)]
        case Context():
            return "", list(chain.from_iterable((variable.name, value) for variable, value in one.items()))
        case ContextVar():
            return one.name, []
        case trio.Nursery():
            return one._closed, [
                _sorted(one.child_tasks, name),
                one.cancel_scope,
                one._pending_starts,
                one._pending_excs,
            ]
    if isinstance(one, _FRAMED):
        return _frame(one)
    if isinstance(one, _ITERATORS):
        return "", list(one.__reduce__()[1:])
    if type(one).__name__ in _AWAITABLES:
        return "", gc.get_referents(one)
    return _instance(one, name)


def _function(function: FunctionType) -> tuple[Hashable, list[Any]]:
    inside = [*(function.__defaults__ or ()), function.__kwdefaults__, *(function.__closure__ or ()), function.__dict__]
    if not _is_known(function.__module__):
        inside += _globals_of(function.__code__, function.__globals__)
    return f"{function.__module__}.{function.__qualname__}", inside


def _frame(one: Any) -> tuple[Hashable, list[Any]]:
    """Where a coroutine stands, its variables, and what it holds halfway through an expression (the iterator of a loop, say)."""
    frame = getattr(one, next(name for name in ("cr_frame", "gi_frame", "ag_frame") if hasattr(one, name)))
    if frame is None:
        return "ended", []
    code = frame.f_code
    stands = (code.co_qualname, frame.f_lasti)
    if code.co_filename.startswith(_TRIO_FOLDER):
        return stands, []  # trio's own waits: what they wait for is known to whoever is waited for
    inside = [each for each in gc.get_referents(one) if not isinstance(each, FrameType | CodeType)]
    if not _is_known(frame.f_globals.get("__name__")):
        inside += _globals_of(code, frame.f_globals)
    return (*stands, tuple(frame.f_locals)), inside


def _globals_of(code: CodeType, variables: dict[str, Any]) -> list[Any]:
    """The global variables that code uses, and the clock if it looks at it. Raises _CannotTell where it looks outside."""
    used, global_names = _names(code)
    if not _OUTSIDE_NAMES.isdisjoint(used):
        raise _CannotTell
    clock = [] if _CLOCK_NAMES.isdisjoint(used) else [CLOCK]
    return [*clock, *(variables[name] for name in global_names if name in variables)]


@cache
def _names(code: CodeType) -> tuple[frozenset[str], tuple[str, ...]]:
    """All names in a piece of code and in those within it, and those of global variables, in order."""
    used = set(code.co_names)
    global_names = dict.fromkeys(each.argval for each in get_instructions(code) if each.opname.endswith("_GLOBAL"))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            more, more_global = _names(constant)
            used |= more
            global_names |= dict.fromkeys(more_global)
    return frozenset(used), tuple(global_names)


def _instance(one: Any, name: Name) -> tuple[Hashable, list[Any]]:
    kind = type(one)
    inside: list[Any] = [kind, *(_slot(one, slot) for slot in _slots(kind))]  # type: ignore[arg-type]  # a class can be hashed
    with suppress(AttributeError):
        inside.append(object.__getattribute__(one, "__dict__"))  # whoever watches the class need not know
    if isinstance(one, dict):
        inside += chain.from_iterable(one.items())
    elif isinstance(one, _SEQUENCES):
        inside += one
    elif isinstance(one, set | frozenset):
        inside.append(_sorted(one, name))
    elif isinstance(one, BaseException):
        inside.append(one.args)
    value: Any = next((base for base in _VALUES if isinstance(one, base)), None)
    return value.__repr__(one) if value else "", inside


@lru_cache(maxsize=1024)
def _slots(kind: type[Any]) -> tuple[MemberDescriptorType, ...]:
    """The slots of its instances. Raises _CannotTell where they have room for more, as those of C libraries do."""
    slots: list[MemberDescriptorType] = []
    for each in kind.__mro__:
        if each in _BASES or issubclass(each, BaseException):
            continue
        mine = [value for value in vars(each).values() if isinstance(value, MemberDescriptorType)]
        shown = len(mine) + sum(name in vars(each) for name in _ROOMS)
        base: type[Any] = each.__base__  # type: ignore[assignment]  # only object has none
        if each.__basicsize__ > base.__basicsize__ + _POINTER * shown:
            raise _CannotTell
        slots += mine
    return tuple(slots)


def _sorted(members: Iterable[Any], name: Name) -> tuple[Any, ...]:
    """A set in an order that does not depend on addresses."""
    members = list(members)
    if any(type(each) not in _VALUES and name(each) is None for each in members):
        raise _CannotTell
    return tuple(sorted(members, key=lambda each: repr(each if type(each) in _VALUES else name(each))))


def _slot(one: Any, slot: MemberDescriptorType) -> Any:
    try:
        return slot.__get__(one)
    except AttributeError:
        return None


def _cell(cell: CellType) -> list[Any]:
    try:
        return [cell.cell_contents]
    except ValueError:  # it is empty
        return []


def _public(variables: Any) -> list[Any]:
    """What a module or class of the subject's keeps, and its functions, whatever they are called."""
    return [
        value
        for name, value in variables.items()
        if not isinstance(value, MemberDescriptorType)
        and (not (name.startswith("__") and name.endswith("__")) or isinstance(value, FunctionType))
        and type(value).__name__ not in ("_abc_data", "getset_descriptor")
    ]


def _is_known(module: object) -> bool:
    """Whether a module keeps nothing that matters here: the libraries that tasks are made of. What is under test is nobody's to trust."""
    text = str(module)
    top = text.partition(".")[0]
    ours = top == __name__.partition(".")[0] and not text.startswith(f"{top}.implementations")
    return ours or top in _KNOWN
