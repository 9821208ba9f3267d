"""Synchronous stores: plain functions, real threads and real files in the same scenarios, under the same invariants."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterable
from typing import Any

import pytest

import racewindow as rw
from racewindow.adapters import check_adapter
from racewindow.experiments import fuzz, prove


class Ticket:
    """A commit in a thread of the store's."""

    messages: tuple[str, ...] = ()

    def __init__(self, name: str) -> None:
        self.id = name
        self._status = "accepted"
        self._ended = threading.Event()

    def end(self, status: str) -> None:
        self._status = status
        self._ended.set()

    def wait(self) -> str:
        self._ended.wait()
        return self._status

    def status(self) -> str:
        return self._status


class Handle:
    """One handle: everything is in one JSON file."""

    def __init__(self, store: Locked) -> None:
        self.store = store

    def add(self, message: str) -> None:
        with self.store.lock():
            state = self.store.read()
            self.store.write({**state, "live": [*state["live"], message]})

    def reload(self) -> list[str]:
        return list(self.store.read()["live"])

    def commit(self, *, wait: bool) -> Ticket:
        ticket = Ticket(self.store.env.serial("task"))
        threading.Thread(target=self._archive, args=(ticket,), name=ticket.id).start()
        if wait:
            ticket.wait()
        return ticket

    def _archive(self, ticket: Ticket) -> None:
        with self.store.lock():
            state = self.store.read()
            if state["live"]:
                self.store.extract(state["live"])
                self.store.write({"live": [], "archives": [*state["archives"], state["live"]]})
        ticket.end("completed")


class Locked(rw.SynchronousStore):
    """One lock around everything."""

    name = "locked"
    capabilities = rw.Capabilities(durable=False, storage=False)

    def start(self) -> None:
        self._lock = threading.Lock()

    def lock(self) -> Any:
        return self._lock

    def session(self) -> Handle:
        return Handle(self)

    def read(self) -> dict[str, Any]:
        path = self.directory / "state.json"
        return dict(json.loads(path.read_text())) if path.exists() else {"live": [], "archives": []}

    def write(self, state: dict[str, Iterable[Any]]) -> None:
        path = self.directory / "state.json"
        fresh = path.with_name(f"{threading.current_thread().name}.new")
        fresh.write_text(json.dumps(state))
        fresh.replace(path)

    @classmethod
    def observe(cls, env: rw.Environment) -> rw.Observation:
        path = env.world.directory() / "state.json"
        state = json.loads(path.read_text()) if path.exists() else {"live": [], "archives": []}
        archives = [
            rw.Archive(number=number, messages=tuple(messages), state="extracted")
            for number, messages in enumerate(state["archives"])
        ]
        return rw.Observation(live=tuple(state["live"]), archives=tuple(archives))


class Racy(Locked):
    """No lock at all."""

    name = "racy"

    def lock(self) -> Any:
        return contextlib.nullcontext()


TWO_ADDS = "a: add m1 | b: add m2"
TWO_COMMITS = "s: add m1 | a: after s; reload; commit | b: after s; reload; commit"


class TestScenarios:
    def test_a_lock_keeps_every_message(self) -> None:
        """Every schedule of two adds, proved; the same without the lock fails, and replays."""
        locked = prove(rw.case(Locked, TWO_ADDS), preemptions=None)
        assert (locked.verdict, locked.kinds) == ("proved", ())
        case = rw.case(Racy, TWO_ADDS)
        racy = prove(case, preemptions=1)
        assert racy.kinds == ("nothing-lost",)
        assert racy.first is not None
        run = rw.replay(
            case.subject(), racy.first.token, host="threads", limits=case.limits, name=case.name, checksum=case.checksum
        )
        assert run.violations == racy.first.violations

    def test_a_lock_commits_every_message_once(self) -> None:
        """In threads that the commits started."""
        assert fuzz(rw.case(Locked, TWO_COMMITS), schedules=60).verdict == "passed"
        racy = fuzz(rw.case(Racy, TWO_COMMITS), schedules=60)
        assert "extracted-once" in racy.kinds

    def test_a_lock_in_memory_is_none_between_processes(self) -> None:
        """Two stores have two locks, and one file."""
        found = fuzz(rw.case(Locked, TWO_ADDS, topology="separate-stores"), schedules=60)
        assert "nothing-lost" in found.kinds

    def test_a_crash_takes_the_threads_along(self) -> None:
        """A commit dies with its process, and the next one finds what storage holds."""
        text = "s: add m1 | a: after s; reload; commit nowait; wait | x: after s; crash a | b: after x; reload; commit"
        found = fuzz(rw.case(Locked, text), schedules=60)
        assert (found.verdict, found.kinds) == ("passed", ())

    def test_what_does_not_apply(self) -> None:
        """A thread cannot be cancelled, whatever an adapter claims."""
        assert rw.case(Locked, "cancelled-commit").not_applicable == "its operations cannot be cancelled"
        assert rw.case(Locked, "two-commits").not_applicable == ""

    @pytest.mark.exhaustive
    @pytest.mark.parametrize("store", [Locked, Racy])
    def test_they_conform(self, store: type[rw.SessionStore]) -> None:
        """A race is no fault of an adapter's."""
        assert check_adapter(store).findings == ()

    def test_a_store_has_to_say_how_a_session_is_opened(self) -> None:
        """Which method is missing."""

        class Empty(rw.SynchronousStore):
            """Nothing."""

            name = "empty"

        (finding,) = check_adapter(Empty).findings
        assert "Empty has to say how a session is opened: def session(self)" in finding.what
