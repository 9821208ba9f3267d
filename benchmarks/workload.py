"""Clients that add, commit and reload, and write down what they asked for and what they were told.

A client outlives its process: whoever takes its place goes on where the recordings say that it stopped, and repeats an
add that was never answered, with the same id, until it is.
"""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from oncestore import (
    AlreadyExists,
    ExtractionInterrupted,
    Message,
    NotStored,
    OutcomeUnknown,
    SessionStore,
)
from recording import Fact, Recording

_TROUBLE = (NotStored, OutcomeUnknown, ExtractionInterrupted, OSError)  # what a failing storage may lead to
_SESSION_S = 2.0  # a session is in use for so long, so that there are many, and each is small enough to be judged
_LONG = "long"  # but this one is used from the beginning to the end
_EXTRACTOR_S = 0.02  # at most


@dataclass(slots=True)
class Place:
    """How far a client has come."""

    number: int = 0  # of its last operation
    session: str = ""
    unanswered: str = ""  # the message id of the add that it repeats


def come_back(place: Place, facts: Sequence[Fact], client: str) -> None:
    """Find out where a client stopped from what its dead process wrote down."""
    for fact in facts:
        if fact.get("client") == client:
            place.number = max(place.number, fact["number"])
            if fact["what"] == "add":
                place.session, place.unanswered = fact["session"], fact["message"]
            elif fact["what"] in ("added", "refused"):
                place.unanswered = ""


def content(message: str) -> str:
    """What a message says: the same whenever it is repeated. Some are longer than a page, so that writes get torn."""
    shape = random.Random(message)
    return f"{message} é\n" + "x" * (shape.randrange(20_000) if shape.random() < 0.05 else shape.randrange(200))


class Client:
    """One client, of one store. After ``ended`` it begins nothing new."""

    def __init__(
        self,
        store: SessionStore,
        recording: Recording,
        name: str,
        place: Place,
        *,
        seed: str,
        began: float,
        ended: Callable[[], bool],
    ) -> None:
        self._store = store
        self._recording = recording
        self._name = name
        self._place = place
        self._random = random.Random(f"{seed} {name} {place.number}")
        self._began = began
        self._ended = ended
        self._created: set[str] = set()  # sessions that are known to be there

    async def run(self) -> None:
        while self._place.unanswered or not self._ended():
            if not self._place.unanswered:
                self._place.number += 1
                self._place.session = self._choose_session()
            try:
                await self._operate()
            except _TROUBLE as error:
                self._note("error", error=f"{type(error).__name__}: {error}")

    def _choose_session(self) -> str:
        if self._random.random() < 0.1:
            return _LONG
        return f"s{int((time.monotonic() - self._began) / _SESSION_S)}-{self._random.randrange(2)}"

    async def _operate(self) -> None:
        if self._place.session not in self._created:
            with suppress(AlreadyExists):
                await self._store.create(self._place.session)
            self._created.add(self._place.session)
        choice = self._random.random()
        if self._place.unanswered or choice < 0.75:
            await self._add()
        elif choice < 0.95:
            await self._commit(wait=choice < 0.85)
        else:
            await self._reload()

    async def _add(self) -> None:
        place, certain = self._place, not self._place.unanswered
        if not place.unanswered:
            place.unanswered = f"{place.session}.{self._name}.{place.number}"
            self._note("add", message=place.unanswered)
        id = place.unanswered
        try:
            await self._store.session(place.session).add("user", content(id), message_id=id)
        except NotStored:
            # It says that nothing was changed. Half of the clients take it at its word, and never ask again.
            if certain and self._random.random() < 0.5:
                self._note("refused", message=id)
                place.unanswered = ""
            raise
        self._note("added", message=id)
        place.unanswered = ""

    async def _commit(self, *, wait: bool) -> None:
        self._note("commit", wait=wait)
        task = await self._store.session(self._place.session).commit(wait=wait)
        self._note("committed", task=task.id if task.archive else None, status=task.status)
        if task.status == "failed":
            await task.retry()

    async def _reload(self) -> None:
        self._note("reload")
        messages = await self._store.session(self._place.session).reload()
        self._note("reloaded", messages=[message.id for message in messages])

    def _note(self, what: str, **members: Any) -> None:
        self._recording.note(what, client=self._name, number=self._place.number, session=self._place.session, **members)


class Extractor:
    """Takes its time, fails now and then, and has its effect under the idempotency key: a file of that name."""

    def __init__(self, recording: Recording, effects: Path, *, seed: str) -> None:
        self._recording = recording
        self._effects = effects
        self._random = random.Random(f"{seed} {recording.name}")

    async def __call__(self, messages: Sequence[Message], key: str) -> str:
        ids = [message.id for message in messages]
        session = ids[0].partition(".")[0]
        self._recording.note("handed", session=session, key=key, messages=ids)
        await trio.sleep(self._random.random() * _EXTRACTOR_S)
        if self._random.random() < 0.05:
            self._recording.note("unsuccessful", session=session, key=key)
            raise ConnectionError("the model is away")
        (self._effects / key).touch()
        self._recording.note("extracted", session=session, key=key)
        return " ".join(ids)


async def come_to_rest(store: SessionStore, *, within_s: float) -> None:
    """Wait until every commit has ended, whoever made it."""
    with trio.move_on_after(within_s):
        for session in await store.sessions():
            info = await store.session(session).info()
            for number in range(1, info.archives + 1):
                await (await store.task(f"{session}:{number}")).wait()
