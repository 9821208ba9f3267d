"""openai-agents: what the adapter relies on, and what the package really does under it."""

from __future__ import annotations

import asyncio
import inspect
import os
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import racewindow as rw
from racewindow.implementations.packages import PACKAGES
from racewindow.implementations.packages._sqlite import PATIENCE_S, database
from racewindow.implementations.packages.openai_agents import TRIED, OpenAIAgents, _text, package
from racewindow.kernel import Run
from racewindow.sessions.case import Case
from racewindow.sessions.scenario import Topology
from racewindow.sessions.stories import STORIES, story

pytestmark = pytest.mark.skipif(
    not PACKAGES["openai-agents"].installed,
    reason="openai-agents is not installed: pip install 'racewindow[openai-agents]'",
)

SHARED: tuple[Topology, ...] = ("same-store", "separate-stores")


def case_of(name_or_text: str, topology: Topology = "same-store", **options: Any) -> Case:
    """A case of this implementation, with calls that take effect and answer at one instant unless said otherwise."""
    options = {"disk": "atomic"} | options
    return Case(implementation=OpenAIAgents, scenario=story(name_or_text), topology=topology, **options)


def search(case: Case, **options: Any) -> rw.Exploration:
    """Explore a case on its host."""
    options = {"strategy": rw.Bounded(None), "schedules": None} | options
    return rw.explore(
        case.subject(), host="asyncio", limits=case.limits, name=case.name, checksum=case.checksum, **options
    )


def runs_of(case: Case, **options: Any) -> list[Run]:
    """Every schedule of a case."""
    runs: list[Run] = []
    search(case, on_run=runs.append, **options)
    return runs


def kinds_of(runs: Iterable[Run]) -> set[str]:
    """The invariants that were broken."""
    return {violation.kind for run in runs for violation in run.violations}


class TestContract:
    def test_the_version_was_tried(self) -> None:
        """Between the oldest and the newest version that these tests were run against."""

        def number(version: str) -> tuple[int, ...]:
            return tuple(int(part) for part in version.split(".")[:3])

        version = PACKAGES["openai-agents"].version
        assert number(TRIED[0]) <= number(version) <= number(TRIED[-1]), f"try it, and add {version} to TRIED"

    def test_the_private_names(self) -> None:
        """What the adapter reaches for is there, and is what it was."""
        package()
        from agents.memory import openai_responses_compaction_session, sqlite_session

        parameters = inspect.signature(sqlite_session.SQLiteSession).parameters
        assert list(parameters)[:2] == ["session_id", "db_path"]
        parameters = inspect.signature(openai_responses_compaction_session.OpenAIResponsesCompactionSession).parameters
        assert {"session_id", "underlying_session", "client", "model", "compaction_mode"} <= set(parameters)
        session = sqlite_session.SQLiteSession("s", database().path)
        try:
            assert type(session._lock).__name__ == "RLock"
            assert (session.sessions_table, session.messages_table) == ("agent_sessions", "agent_messages")
            client: Any = object()
            wrapper = openai_responses_compaction_session.OpenAIResponsesCompactionSession("s", session, client=client)
            assert isinstance(wrapper._mutation_lock, asyncio.Lock)  # why sharing a wrapper is safe
        finally:
            session.close()
        source = inspect.getsource(sqlite_session)
        assert "asyncio.to_thread(" in source
        assert "sqlite3.connect(" in source

    def test_the_calls_of_each_operation(self) -> None:
        """The labels, in the package's own order."""
        (run,) = runs_of(case_of("a: add m1; commit; reload"))
        labels = [step.label for step in run.trace if step.task == "a"][1:]
        assert labels == [
            "add m1",
            "add/write",
            "commit",
            "commit/read",
            "commit/extract",
            "commit/extract/answer",
            "commit/reread",
            "commit/clear",
            "commit/write",
            "reload",
            "reload/read",
        ]

    def test_results_arrive_at_points_of_their_own(self) -> None:
        """With disk=suspending: when a thread is done, and when the loop hears of it, are two moments."""
        (run,) = runs_of(case_of("a: add m1", disk="suspending"))
        assert [step.label for step in run.trace if step.task == "a"][1:] == ["add m1", "add/write", "add/write/return"]

    def test_the_rows_are_real(self) -> None:
        """A second observer with plain SQL sees the same."""
        (run,) = runs_of(case_of("a: add m1; add m2; commit; add m3"))
        assert run.result.last.live == ("SUM(m1, m2)", "m3")
        with sqlite3.connect(database().path) as connection:
            (count,) = connection.execute("SELECT count(*) FROM agent_messages").fetchone()
        connection.close()
        assert count == 2

    def test_a_summary_that_is_summarised_again_keeps_its_provenance(self) -> None:
        """And is no second extraction of what is in it."""
        (run,) = runs_of(case_of("a: add m1; commit; add m2; commit"))
        assert run.verdict == "passed"
        assert run.result.last.live == ("SUM(SUM(m1), m2)",)

    def test_nothing_to_compact_is_refused(self) -> None:
        """As the service refuses an empty input; nothing is deleted."""
        (run,) = runs_of(case_of("a: commit"))
        assert [call.outcome for call in run.result.calls] == ["refused"]

    def test_what_it_does_not_promise(self) -> None:
        """Stories with a loss of power do not apply, and say why."""
        assert case_of("power-loss-during-commit").not_applicable == "it does not promise to survive a loss of power"
        assert case_of("crash-during-commit").not_applicable == ""

    @pytest.mark.slow
    def test_no_network_no_thread_no_process(self) -> None:
        """Watched from outside, in a process of its own, with another hash seed: and the schedules are the same."""
        code = (
            "import sys, threading\n"
            "seen = []\n"
            "sys.addaudithook(lambda name, args: name.startswith(('socket.', 'subprocess')) and seen.append(name))\n"
            "import racewindow as rw\n"
            "from racewindow.implementations.packages.openai_agents import OpenAIAgents, package\n"
            "from racewindow.sessions.case import Case\n"
            "from racewindow.sessions.stories import story\n"
            "package(); seen.clear()\n"
            "case = Case(implementation=OpenAIAgents, scenario=story('free-running'))\n"
            "found = rw.explore(case.subject(), schedules=30, host='asyncio', name=case.name, checksum=case.checksum)\n"
            "print(seen, threading.active_count(), [one.token for one in found.found])"
        )
        outputs = {
            subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for seed in ("1", "2")
        }
        assert len(outputs) == 1
        assert outputs.pop().startswith("[] 1 ['rw2~")

    def test_outside_of_the_kernel_nothing_changes(self, tmp_path: Path) -> None:
        """The package works as ever in the same process, on files of its own."""
        parts = package()

        async def main() -> list[Any]:
            session = parts.SQLiteSession("s", str(tmp_path / "own.db"))
            try:
                await session.add_items([{"role": "user", "content": "hello"}])
                items: list[Any] = await session.get_items()
                return items
            finally:
                session.close()

        assert asyncio.run(main()) == [{"role": "user", "content": "hello"}]


class TestLockedDatabase:
    @staticmethod
    async def _another_process(world: rw.World, hold: Callable[[], Awaitable[None]]) -> None:
        connection = sqlite3.connect(database().path, isolation_level=None, timeout=0)
        try:
            connection.execute("BEGIN IMMEDIATE")
            await hold()
            connection.execute("COMMIT")
        finally:
            connection.close()

    def _subject(self, hold: Callable[[rw.World], Awaitable[None]]) -> Any:
        async def subject(world: rw.World) -> Any:
            from racewindow.disk import Disk
            from racewindow.sessions.implementation import Environment

            env = Environment(world, Disk(world, "atomic"))
            handle = await OpenAIAgents(env).load()
            outcome: list[str] = []

            async def client() -> None:
                await world.point("call")
                try:
                    await handle.add("m1")
                    outcome.append("added")
                except sqlite3.OperationalError as error:
                    outcome.append(str(error))

            async def other() -> None:
                await self._another_process(world, lambda: hold(world))

            await world.together(client, other)
            return outcome[0], OpenAIAgents.observe(env).live, world.now

        return subject

    def test_a_statement_waits_for_the_lock(self) -> None:
        """It is tried again when something else has happened."""

        async def hold(world: rw.World) -> None:
            await world.point("hold")
            await world.point("hold on")

        runs: list[Run] = []
        rw.prove(self._subject(hold), host="asyncio", on_run=runs.append)
        assert {run.result for run in runs} == {("added", ("m1",), 0.0)}
        assert any("blocked" in step.notes for run in runs for step in run.trace)

    def test_it_gives_up_after_five_virtual_seconds(self) -> None:
        """As the driver does, and in no time."""

        async def hold(world: rw.World) -> None:
            await world.sleep(60)

        runs: list[Run] = []
        rw.prove(self._subject(hold), host="asyncio", on_run=runs.append)
        assert {run.result[:2] for run in runs} == {("database is locked", ())}
        assert PATIENCE_S == 5


class TestWhatItDoes:
    """Findings, each with the schedule that shows it."""

    @pytest.mark.parametrize(
        "name",
        [
            "after-completion",
            "two-commits",
            "add-during-commit",
            "add-during-extraction",
            "auto-commit",
            "add-after-accepted",
        ],
    )
    def test_one_wrapper_is_safe(self, name: str) -> None:
        """Clients that share a wrapper share its lock: nothing is lost or extracted twice, in any schedule."""
        found = search(case_of(name, "same-handle"))
        assert (found.verdict, found.failures) == ("proved", 0)

    @pytest.mark.parametrize("topology", SHARED)
    def test_one_commit_after_another_is_safe(self, topology: Topology) -> None:
        """Once a compaction is over, a reload sees the summary only."""
        assert search(case_of("after-completion", topology)).verdict == "proved"

    @pytest.mark.parametrize("topology", SHARED)
    @pytest.mark.parametrize("name", ["free-running", "two-commits"])
    def test_two_wrappers_extract_twice(self, name: str, topology: Topology) -> None:
        """Each reads before the other has deleted: one preemption."""
        runs = runs_of(case_of(name, topology), strategy=rw.Bounded(1))
        assert kinds_of(runs) == {"extracted-once"}
        assert min(run.preemptions for run in runs if run.violations) == 1

    @pytest.mark.parametrize("topology", SHARED)
    @pytest.mark.parametrize(("name", "preemptions"), [("add-during-extraction", 1), ("auto-commit", 2)])
    def test_an_add_through_another_wrapper_is_lost(self, name: str, topology: Topology, preemptions: int) -> None:
        """What is added between the first read and the deletion is deleted, and in no summary."""
        runs = runs_of(case_of(name, topology), strategy=rw.Bounded(preemptions))
        assert kinds_of(runs) == {"nothing-lost"}
        run = next(run for run in runs if run.violations)
        assert run.violation is not None
        assert run.violation.messages == ("m2",)

    def test_the_lost_add(self) -> None:
        """The story of one lost message, step by step."""
        runs = runs_of(case_of("add-during-extraction"), strategy=rw.Bounded(1))
        run = next(run for run in runs if run.violations)
        steps = [f"{step.task} {step.label}" for step in run.trace]
        assert steps[-8:-1] == [
            "a/compaction commit/extract/answer",
            "a/compaction commit/reread",
            "b add m2",
            "b add/write",
            "a/compaction commit/clear",
            "a/compaction commit/write",
            "a wait/ended",
        ]

    def test_a_crash_between_deleting_and_writing_loses_everything(self) -> None:
        """Two transactions where one was needed."""
        runs = runs_of(case_of("crash-during-commit"), strategy=rw.Bounded(1))
        assert kinds_of(runs) == {"nothing-lost"}
        for run in runs:
            if run.violations:
                labels = [step.label for step in run.trace]
                assert "commit/clear" in labels
                assert "commit/write" not in labels

    def test_a_cancelled_compaction_restores(self) -> None:
        """Wherever the request is cancelled, nothing is lost: the package puts back what it had read."""
        runs = runs_of(case_of("cancelled-commit"))
        assert kinds_of(runs) == set()
        assert any(call.outcome == "cancelled" for run in runs for call in run.result.calls)
        assert {run.result.last.live for run in runs} == {("m1",), ("SUM(m1)",)}

    def test_every_failing_schedule_replays(self) -> None:
        """The same rows, from one line of text."""
        for name in ("two-commits", "crash-during-commit", "cancelled-then-committed"):
            case = case_of(name, disk="suspending")
            found = search(case, strategy=rw.Bounded(1))
            tokens = [one.token for one in found.found if one.token]
            assert tokens
            for token in tokens[:: len(tokens) // 5 or 1]:
                run = rw.replay(
                    case.subject(), token, host="asyncio", limits=case.limits, name=case.name, checksum=case.checksum
                )
                assert run.verdict == "failed"

    def test_it_happens_without_us_too(self, tmp_path: Path) -> None:
        """Ordinary asyncio, real worker threads, no kernel: both wrappers have read before either has its answer."""
        parts = package()

        async def main() -> tuple[list[list[str]], list[str]]:
            seen: list[list[str]] = []
            both = asyncio.Event()

            async def compact(*, model: str, input: list[dict[str, Any]]) -> SimpleNamespace:
                seen.append([_text(item) for item in input])
                if len(seen) == 2:
                    both.set()
                await both.wait()
                text = f"SUM({', '.join(seen[-1])})"
                part = {"type": "output_text", "text": text, "annotations": []}
                message = {"type": "message", "role": "assistant", "status": "completed", "content": [part]}
                return SimpleNamespace(output=[message], usage=None)

            client = SimpleNamespace(responses=SimpleNamespace(compact=compact))
            sessions = [parts.SQLiteSession("s", str(tmp_path / "real.db")) for _ in range(2)]
            wrappers = [
                parts.OpenAIResponsesCompactionSession("s", session, client=client, compaction_mode="input")
                for session in sessions
            ]
            try:
                await wrappers[0].add_items([{"role": "user", "content": "m1"}])
                await asyncio.gather(*(wrapper.run_compaction({"force": True}) for wrapper in wrappers))
                return seen, [_text(item) for item in await wrappers[0].get_items()]
            finally:
                for session in sessions:
                    session.close()

        seen, rows = asyncio.run(main())
        assert seen == [["m1"], ["m1"]]
        assert set(rows) == {"SUM(m1)"}


@pytest.mark.slow
class TestEveryStory:
    """What each named story comes to, with up to two preemptions (one, where two clients have many gaps to be put into)."""

    EXTRACTED, LOST = frozenset({"extracted-once"}), frozenset({"nothing-lost"})
    HANGS = frozenset({"tasks-end"})
    # story: (one wrapper, two wrappers)
    TABLE: dict[str, tuple[frozenset[str], frozenset[str]]] = {  # noqa: RUF012
        "after-completion": (frozenset(), frozenset()),
        "free-running": (frozenset(), EXTRACTED),
        "reload-during-commit": (frozenset(), EXTRACTED),
        "two-commits": (frozenset(), EXTRACTED),
        "add-during-commit": (frozenset(), LOST),
        "add-during-extraction": (frozenset(), LOST),
        "add-after-accepted": (frozenset(), frozenset()),
        "stale-handle": (frozenset(), EXTRACTED | LOST),
        "auto-commit": (frozenset(), LOST),
        "commit-twice-in-a-row": (frozenset(), frozenset()),
        "commit-again-at-once": (frozenset(), frozenset()),
        "cancelled-commit": (frozenset(), frozenset()),
        "cancelled-then-committed": (EXTRACTED, EXTRACTED),
        "crash-during-commit": (LOST, LOST),
        "late-write": (frozenset(), EXTRACTED | LOST),
        "extractor-fails": (frozenset(), frozenset()),
        "extractor-hangs": (HANGS, HANGS),
        "extractor-slow": (frozenset(), frozenset()),
        "clock-set-back": (frozenset(), frozenset()),
    }
    LONG = frozenset({"extractor-hangs", "extractor-slow", "clock-set-back"})

    def test_every_story_is_here(self) -> None:
        """Those that apply."""
        applicable = {name for name in STORIES if not case_of(name).not_applicable}
        assert applicable - set(self.TABLE) <= {"commit-after-crash"}  # which takes minutes

    @pytest.mark.parametrize("topology", ["same-handle", *SHARED])
    @pytest.mark.parametrize("name", TABLE)
    def test_story(self, name: str, topology: Topology) -> None:
        """No more and no less than the table says."""
        runs = runs_of(case_of(name, topology), strategy=rw.Bounded(1 if name in self.LONG else 2))
        assert kinds_of(runs) == self.TABLE[name][topology != "same-handle"]
