"""Requests: what may be in them, and how that is checked. Whatever is not known is refused, not ignored: a member with a
typing error in its name would be a message that is stored without it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import trio

from ._answers import invalid

# The same as a file name that cannot leave the root. "." and ".." fit the characters, and would.
ID = r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,128}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One part of a request: a piece of text in the path, in the query or in the body."""

    description: str
    schema: Mapping[str, object] = field(default_factory=lambda: {"type": "string"})
    pattern: str = r".*"
    rule: str = "text"  # for people
    required: bool = True

    def check(self, name: str, value: object) -> str:
        """The value itself. Raises Refused."""
        if not isinstance(value, str):
            raise invalid(name, f"{name} is {_kind(value)}; it has to be {self.rule}")
        if not re.fullmatch(self.pattern, value, re.DOTALL):
            raise invalid(name, f"{name} is {_shown(value)}; it has to be {self.rule}")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise invalid(
                name, f"{name} holds half of a surrogate pair, probably cut out of longer text; cut at whole characters"
            ) from None
        return value


@dataclass(slots=True, kw_only=True)
class Call:
    """One request on its way."""

    began: float  # by the clock of trio
    body: bytes = b""
    disconnected: trio.Event = field(default_factory=trio.Event)
    session: str | None = None  # for the log

    @property
    def took_s(self) -> float:
        return trio.current_time() - self.began


def check_query(pairs: list[tuple[str, str]], fields: Mapping[str, Field]) -> dict[str, str]:
    """The parameters of a query. Raises Refused for one that is unknown, given twice or wrong."""
    return _check(_once(pairs, "is given twice in the query; give it once"), fields, "query parameter")


def check_body(body: bytes, fields: Mapping[str, Field]) -> dict[str, str]:
    """The members of a body: a JSON object, which only a request without required members may leave out.

    Raises Refused for anything else. An optional member may be null, which says the same as leaving it out.
    """
    if not body:
        if fields:
            raise invalid("body", f"the body is empty; send a JSON object with {' and '.join(fields)}")
        return {}

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return _once(pairs, "is twice in one JSON object; give it once")

    def constant(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    try:
        # Not from bytes: json would guess at other encodings, and JSON between programs is UTF-8.
        value = json.loads(body.decode(), object_pairs_hook=members, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        raise invalid("body", f"the body is not JSON in UTF-8 ({error}); send a JSON object") from error
    if not isinstance(value, dict):
        raise invalid("body", f"the body is {_kind(value)}; send a JSON object")
    return _check({name: part for name, part in value.items() if not _left_out(name, part, fields)}, fields, "member")


def _left_out(name: str, value: object, fields: Mapping[str, Field]) -> bool:
    return value is None and name in fields and not fields[name].required


def _check(given: Mapping[str, object], fields: Mapping[str, Field], kind: str) -> dict[str, str]:
    for name in given:
        if name not in fields:
            known = ", ".join(fields) or "there are none here"
            raise invalid(name, f"{_shown(name)} is no {kind} of this request, perhaps misspelt; known: {known}")
    for name, part in fields.items():
        if part.required and name not in given:
            raise invalid(name, f"{name} is missing; it has to be {part.rule}")
    return {name: fields[name].check(name, value) for name, value in given.items()}


def _once(pairs: list[tuple[str, Any]], complaint: str) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            # Which of the two is meant, another program may decide differently.
            raise invalid(name, f"{_shown(name)} {complaint}")
        members[name] = value
    return members


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 48 else f"{text[:47]}…")


def _kind(value: object) -> str:
    kinds = {type(None): "null", bool: "a boolean", dict: "an object", list: "a list", str: "text"}
    return kinds.get(type(value), "a number")
