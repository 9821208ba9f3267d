"""A scenario is a named workload: clients, each a list of operations. Its text is its identity.

::

    a: add m1; commit nowait; wait | b: after a; reload; commit
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, NoReturn

from racewindow.disk import PERSISTENCE
from racewindow.errors import UsageError

Topology = Literal["same-handle", "same-store", "separate-stores"]
TOPOLOGIES: tuple[Topology, ...] = ("same-handle", "same-store", "separate-stores")

CrashFault = Literal["process-crash", "power-loss", "cancel"]
CRASH_FAULTS: tuple[CrashFault, ...] = ("process-crash", "power-loss", "cancel")
"""What can strike a store, or one of its operations."""

_CLIENT = re.compile(r"[a-z][a-z0-9]*")
_RESERVED = re.compile(r"main|time|crash|store\d+")
ON_A_STORE = ("add", "retry", "commit", "reload", "context", "wait", "ask")
"""The operations that need a store; a client without any is a bystander, who makes faults happen."""
FAULTS = ("cancel", "crash", "power-loss", "extractor", "storage", "queue", "clock")
"""The operations that are faults. Each happens when the schedule has it happen."""
# "SUM" is what a summary is made of, so an id may not contain it: the ids inside SUM(m1, m2) stay readable.
_MESSAGE = re.compile(r"(?!.*SUM)[A-Za-z0-9._-]+")


def is_client(text: str) -> bool:
    """Whether the text can name a client."""
    return _CLIENT.fullmatch(text) is not None


def is_message(text: str) -> bool:
    """Whether the text can be a message id."""
    return _MESSAGE.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """What may follow the name of an operation."""

    usage: str
    accepts: Callable[[str], bool] = lambda argument: not argument
    names_client: bool = False


def _one_word_of(kind: str, *words: str) -> _Kind:
    return _Kind(usage=f"{kind} {'|'.join(words)}", accepts=lambda argument: argument in words)


KINDS = {
    "add": _Kind(usage="add ID, the id made of letters, digits and . _ - but not SUM", accepts=is_message),
    "retry": _Kind(usage="retry ID, an id that the client has added before", accepts=is_message),
    "commit": _Kind(usage="commit [wait|nowait]"),
    "reload": _Kind(usage="reload"),
    "context": _Kind(usage="context"),
    "wait": _Kind(usage="wait"),
    "ask": _Kind(usage="ask"),
    "after": _Kind(usage="after CLIENT", accepts=is_client, names_client=True),
    "cancel": _Kind(usage="cancel CLIENT", accepts=is_client, names_client=True),
    "crash": _Kind(usage="crash [CLIENT]", accepts=lambda text: not text or is_client(text), names_client=True),
    "power-loss": _Kind(usage=f"power-loss [{'|'.join(PERSISTENCE)}]", accepts=lambda text: text in PERSISTENCE),
    "extractor": _one_word_of("extractor", "fails", "hangs", "slows"),
    "storage": _one_word_of("storage", "fails", "forgets"),
    "queue": _one_word_of("queue", "loses", "repeats"),
    "clock": _one_word_of("clock", "ahead", "back"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing a client does, or makes happen.

    ``retry`` adds a message again, as one does whose acknowledgement got lost. ``ask`` looks the client's last commit up by the id of
    its task, from whatever store serves the client by now, and waits for its end. ``context`` reads what is remembered of the session.

    The faults of the extractor, the storage and the queue strike at the next occasion after they were made to happen: one answer of the
    extractor is a failure, never comes, or comes late; one call of the storage fails, or one write is undone by the next crash although
    it was acknowledged; one message of the queue is lost or delivered twice. ``clock`` sets the wall clock by an hour.

    Attributes:
        kind: one of ``KINDS``.
        argument: the message (add, retry), the client (after, cancel, crash; "" is the own one), what goes wrong (extractor, storage,
            queue, clock) or the persistence policy (power-loss; "" becomes the default ``lose-unsynced``, so that one meaning has one
            text).
        wait: for a commit, whether the call waits for the extraction.

    Raises:
        UsageError: the operation does not exist or does not take that argument.
    """

    kind: str
    argument: str = ""
    wait: bool = True

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"unknown operation {self.kind!r}{_nearest(self.kind)}; expected {_one_of(KINDS)}")
        if self.kind == "power-loss" and not self.argument:
            object.__setattr__(self, "argument", PERSISTENCE[0])
        if not KINDS[self.kind].accepts(self.argument):
            problem = f"cannot take {self.argument!r}" if self.argument else "needs an argument"
            raise UsageError(f"{self.kind!r} {problem}; expected {KINDS[self.kind].usage}")
        if not self.wait and self.kind != "commit":
            raise UsageError(f"{self.kind!r} cannot be 'nowait'; only a commit can")

    def __str__(self) -> str:
        if self.kind == "commit":
            return "commit" if self.wait else "commit nowait"
        if self.kind == "power-loss" and self.argument == PERSISTENCE[0]:
            return self.kind
        return f"{self.kind} {self.argument}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A named list of operations, done one after the other."""

    name: str
    operations: tuple[Operation, ...]

    @property
    def after(self) -> str | None:
        """The client that has to end before this one starts."""
        first = self.operations[0] if self.operations else None
        return first.argument if first is not None and first.kind == "after" else None

    def __str__(self) -> str:
        return f"{self.name}: {'; '.join(map(str, self.operations))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A workload, and what must have happened in some schedule before a pass means anything.

    Attributes:
        name: what to call it; the text itself when it has no other name.
        clients: who does what.
        goals: names in ``racewindow.sessions.goals.GOALS``.
        summary: one line for a person.
        link: where the story comes from, if it has a source.
        topologies: in which it means something.

    Raises:
        UsageError: the clients do not fit together (an unknown client, a message added twice, a cycle of ``after``).

    >>> Scenario.parse("a: add m1;commit   wait|b: after a; reload").text
    'a: add m1; commit | b: after a; reload'
    """

    name: str
    clients: tuple[Client, ...]
    goals: tuple[str, ...] = ()
    summary: str = ""
    link: str = ""
    topologies: tuple[Topology, ...] = TOPOLOGIES

    def __post_init__(self) -> None:
        for _, _, mistake in _mistakes(self.clients):
            raise UsageError(f"scenario {self.text!r}: {mistake}")
        if not self.name:
            object.__setattr__(self, "name", self.text)

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        name: str = "",
        goals: tuple[str, ...] = (),
        summary: str = "",
        link: str = "",
        topologies: tuple[Topology, ...] = TOPOLOGIES,
    ) -> Scenario:
        """Read a scenario from its text.

        Raises:
            UsageError: the text is no scenario; the message points at the column.
        """
        clients, columns = _Reader(text).clients()
        for client, operation, mistake in _mistakes(clients):
            _refuse(text, columns[client][operation], mistake)
        return cls(name=name, clients=clients, goals=goals, summary=summary, link=link, topologies=topologies)

    @classmethod
    def generate(cls, *, seed: int, clients: int = 2, operations: int = 3, faults: int = 0) -> Scenario:
        """A random scenario; the same arguments give the same one, everywhere.

        Args:
            seed: of the random numbers.
            clients: how many, at least one.
            operations: of each, at least one; a client may start after another one besides.
            faults: how many a bystander makes happen.

        Raises:
            UsageError: for a size that makes no sense.

        >>> Scenario.generate(seed=1, faults=1).text
        'c1: add m1; commit nowait; wait | c2: commit nowait; add m5; wait | x: extractor hangs'
        """
        for name, value, least in (("clients", clients, 1), ("operations", operations, 1), ("faults", faults, 0)):
            if value < least:
                raise UsageError(f"{name}={value}: a scenario needs at least {least}")
        random = Random(f"{seed} {clients} {operations} {faults}")
        names = [f"c{number}" for number in range(1, clients + 1)]
        made: list[Client] = []
        messages = 0
        for name in names:
            done: list[Operation] = []
            if made and random.random() < _AFTER:
                done.append(Operation(kind="after", argument=random.choice(made).name))
            for _ in range(operations):
                messages += 1
                choices = [choice for choice in _choices(messages) if not has_lost_its_meaning(choice, done)]
                done.append(random.choice(choices))
            made.append(Client(name=name, operations=tuple(done)))
        struck = tuple(random.choice(_faults(names)) for _ in range(faults))
        return cls(name="", clients=(*made, Client(name="x", operations=struck)) if struck else tuple(made))

    @property
    def text(self) -> str:
        """The canonical text: ``parse`` gives an equal scenario back."""
        return " | ".join(map(str, self.clients))

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of operations in it."""
        return frozenset(operation.kind for client in self.clients for operation in client.operations)

    @property
    def retried(self) -> frozenset[str]:
        """The messages that a client adds again."""
        return frozenset(
            operation.argument
            for client in self.clients
            for operation in client.operations
            if operation.kind == "retry"
        )

    @property
    def messages(self) -> tuple[str, ...]:
        """The id of every message that is added, in the order of the text."""
        return tuple(
            operation.argument for client in self.clients for operation in client.operations if operation.kind == "add"
        )

    def client(self, name: str) -> Client:
        """The client of that name; KeyError if there is none."""
        for client in self.clients:
            if client.name == name:
                return client
        raise KeyError(name)

    def __repr__(self) -> str:
        return f"<Scenario {self.name}>" if self.name == self.text else f"<Scenario {self.name}: {self.text}>"


_AFTER = 0.25  # how often a generated client starts after another one


def _choices(message: int) -> list[Operation]:
    """What a generated client may do next; adds and commits are twice as likely as the rest."""
    add = Operation(kind="add", argument=f"m{message}")
    commits = [Operation(kind="commit"), Operation(kind="commit", wait=False)]
    return [add, add, *commits, Operation(kind="reload"), Operation(kind="wait")]


def _faults(names: Sequence[str]) -> list[Operation]:
    """What may go wrong in a generated scenario: what every store may meet with."""
    return [
        *(Operation(kind="cancel", argument=name) for name in names),
        *(Operation(kind="crash", argument=name) for name in names),
        *(Operation(kind="extractor", argument=word) for word in ("fails", "hangs", "slows")),
        *(Operation(kind="storage", argument=word) for word in ("fails", "forgets")),
        *(Operation(kind="clock", argument=word) for word in ("ahead", "back")),
    ]


# In columns, index 0 is the client's name and index n + 1 its n-th operation; _mistakes speaks the same way.
_NAME = 0


def _mistakes(clients: tuple[Client, ...]) -> Iterator[tuple[int, int, str]]:
    """What is wrong with the clients taken together: (client, 0 for its name or operation + 1, what)."""
    if not clients:
        yield 0, _NAME, "there is no client; expected 'name: operation; operation'"
    names = [client.name for client in clients]
    added: set[str] = set()
    for at, client in enumerate(clients):
        if not is_client(client.name):
            yield at, _NAME, f"{client.name!r} cannot name a client; expected a small letter, then letters or digits"
        if _RESERVED.fullmatch(client.name):
            yield at, _NAME, f"{client.name!r} is a name that the simulator uses in its timelines; choose another one"
        if client.name in names[:at]:
            yield at, _NAME, f"a second client is called {client.name!r}; give each client its own name"
        if not client.operations:
            yield at, _NAME, f"client {client.name!r} does nothing; expected {_one_of(KINDS)}"
        for index, operation in enumerate(client.operations):
            for mistake in _operation_mistakes(client, index, operation, names):
                yield at, index + 1, mistake
            if operation.kind == "add":
                if operation.argument in added:
                    yield at, index + 1, f"message {operation.argument!r} is added twice; give each message its own id"
                added.add(operation.argument)
    for at, client in enumerate(clients):
        if cycle := _cycle(client, {each.name: each.after for each in clients}):
            yield at, 1, f"nobody can start: {' is after '.join(cycle)}; remove one 'after'"


def has_lost_its_meaning(operation: Operation, before: Sequence[Operation]) -> bool:
    """Whether there is nothing to wait for, to ask for, or to retry, after what the same client did before."""
    if operation.kind in ("wait", "ask"):
        return not any(each.kind == "commit" for each in before)
    return operation.kind == "retry" and not any(
        each.kind == "add" and each.argument == operation.argument for each in before
    )


def _operation_mistakes(client: Client, index: int, operation: Operation, names: list[str]) -> Iterator[str]:
    kind, argument = operation.kind, operation.argument
    if KINDS[kind].names_client and argument and argument not in names:
        yield f"there is no client {argument!r} for {kind!r}{_nearest(argument, names)}; expected {_one_of(names)}"
    if kind == "after" and index:
        yield "'after' says when a client starts; expected it only as the first operation"
    if kind == "crash" and not argument and not any(each.kind in ON_A_STORE for each in client.operations):
        yield f"client {client.name!r} uses no store that could crash; expected 'crash CLIENT', with a client that does"
    if kind == "cancel" and argument == client.name:
        yield "a client that cancels is in no other operation; expected the name of another client"
    if has_lost_its_meaning(operation, client.operations[:index]):
        if kind == "retry":
            yield f"client {client.name!r} has not added {argument!r}; expected 'add {argument}' before 'retry {argument}'"
        else:
            yield f"client {client.name!r} has nothing to {kind} for; expected a commit before {kind!r}"


def _cycle(client: Client, after: dict[str, str | None]) -> tuple[str, ...]:
    path = [client.name]
    while (before := after.get(path[-1])) is not None:
        path.append(before)
        if before == client.name:
            return tuple(path)
        if before in path[:-1]:
            break  # A cycle further on: its own members report it.
    return ()


class _Reader:
    """Splits the text at | and : and ; and remembers where every piece began."""

    def __init__(self, text: str) -> None:
        self._text = text

    def clients(self) -> tuple[tuple[Client, ...], list[list[int]]]:
        if not self._text.strip():
            _refuse(self._text, 0, "the scenario is empty; expected 'name: operation; operation | name: ...'")
        clients, columns = [], []
        for start, end in self._pieces(0, len(self._text), "|"):
            client, places = self._client(start, end)
            clients.append(client)
            columns.append(places)
        return tuple(clients), columns

    def _client(self, start: int, end: int) -> tuple[Client, list[int]]:
        if start == end:
            _refuse(self._text, start, "a client is missing; expected 'name: operation; operation'")
        colon = self._text.find(":", start, end)
        if colon < 0:
            _refuse(self._text, start, "a client has no name; expected 'name: operation; operation'")
        name = self._text[start:colon].rstrip()
        pieces = list(self._pieces(colon + 1, end, ";"))
        operations = tuple(self._operation(*piece) for piece in pieces)
        return Client(name=name, operations=operations), [start, *(piece[0] for piece in pieces)]

    def _operation(self, start: int, end: int) -> Operation:
        if start == end:
            _refuse(self._text, start, f"an operation is missing; expected {_one_of(KINDS)}")
        (at, kind), *rest = [(start + w.start(), w.group()) for w in re.finditer(r"\S+", self._text[start:end])]
        if len(rest) > 1:
            _refuse(self._text, rest[1][0], f"{rest[1][1]!r} is one word too many; expected {_usage(kind)}")
        argument_at, argument = rest[0] if rest else (end, "")
        wait = True
        if kind == "commit" and argument in ("wait", "nowait"):
            wait, argument = argument == "wait", ""
        try:
            return Operation(kind=kind, argument=argument, wait=wait)
        except UsageError as mistake:
            _refuse(self._text, argument_at if kind in KINDS else at, str(mistake))

    def _pieces(self, start: int, end: int, separator: str) -> Iterator[tuple[int, int]]:
        """The stretches between separators, without the blanks around them."""
        while True:
            stop = self._text.find(separator, start, end)
            piece = self._text[start : end if stop < 0 else stop]
            left = start + len(piece) - len(piece.lstrip())
            right = start + len(piece.rstrip())
            yield (left, right) if left < right else (left, left)
            if stop < 0:
                return
            start = stop + 1


def _refuse(text: str, column: int, mistake: str) -> NoReturn:
    """Raise, pointing at the column (a newline is a blank like any other, so the caret stays under its word)."""
    line = re.sub(r"\s", " ", text)
    raise UsageError(f"scenario, column {column + 1}: {mistake}\n  {line}\n  {' ' * column}^") from None


def _usage(kind: str) -> str:
    return KINDS[kind].usage if kind in KINDS else _one_of(KINDS)


def _nearest(word: str, words: list[str] | dict[str, _Kind] = KINDS) -> str:
    near = difflib.get_close_matches(word, list(words), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _one_of(words: list[str] | dict[str, _Kind]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last
