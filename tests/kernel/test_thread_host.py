"""The thread host: real threads, one at a time; ``threading``, queues, sleeps and files are cooperative while a schedule runs."""

from __future__ import annotations

import _thread
import asyncio
import builtins
import concurrent.futures
import json
import os
import queue
import runpy
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable
from functools import partial
from math import comb
from pathlib import Path
from threading import Lock, Thread
from time import sleep
from typing import Any

import pytest

import racewindow as rw
from racewindow.kernel import Run

Subject = Callable[[rw.World], Any]

COUNTER = """
import threading


class Counter:
    def __init__(self):
        self.value = 0
        self.lock = threading.Lock()

    def increment(self):
        self.value += 1

    def increment_locked(self):
        with self.lock:
            self.value += 1


def count(method):
    counter = Counter()
    threads = [threading.Thread(target=getattr(counter, method)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counter.value
"""


def runs_of(subject: Subject, **options: Any) -> list[Run]:
    """Every schedule of the subject."""
    runs: list[Run] = []
    options = {"strategy": rw.Bounded(None), "schedules": None, "host": "threads"} | options
    rw.explore(subject, on_run=runs.append, **options)
    return runs


def results_of(subject: Subject, **options: Any) -> set[Any]:
    """What the subject returns, over all schedules; none of them may fail."""
    runs = runs_of(subject, **options)
    assert [run.violations for run in runs if run.verdict != "passed"] == []
    return {run.result for run in runs}


def kinds_of(subject: Subject, **options: Any) -> set[str]:
    """The violations over all schedules; "" for a schedule that passed."""
    return {run.violation.kind if run.violation else "" for run in runs_of(subject, **options)}


def in_threads(*functions: Callable[[], object]) -> None:
    """Run functions in threads, as any program does."""
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def lost_update(world: rw.World) -> None:
    cell = world.cell(0, name="v")

    def increment() -> None:
        cell.set(cell.get() + 1)

    world.together(increment, increment)
    world.check(cell.value == 2, "lost-update")


class History:
    """A chat history in one JSON file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.Lock()

    def messages(self) -> list[str]:
        return list(json.loads(self.path.read_text())) if self.path.exists() else []

    def add(self, message: str) -> None:
        self.path.write_text(json.dumps([*self.messages(), message]))

    def add_by_rename(self, message: str) -> None:
        text = json.dumps([*self.messages(), message])
        with tempfile.NamedTemporaryFile("w", dir=self.path.parent, delete=False) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(file.name, self.path)

    def add_locked(self, message: str) -> None:
        with self.lock:
            self.add_by_rename(message)


def chat(how: str, world: rw.World) -> None:
    history = History(world.directory() / "chat.json")
    in_threads(*(partial(getattr(history, how), message) for message in ("m1", "m2")))
    world.check(sorted(history.messages()) == ["m1", "m2"], "lost-message")


class TestAcceptance:
    """What the host is for: the races of ordinary programs, found, proved away, and replayed."""

    @pytest.fixture
    def counter(self, tmp_path: Path) -> Path:
        path = tmp_path / "counter.py"
        path.write_text(COUNTER)
        return path

    def test_a_lost_update_in_a_plain_program(self, counter: Path) -> None:
        """A program that knows nothing of the simulator, as it is on disk: lines are points."""

        def subject(world: rw.World) -> None:
            assert runpy.run_path(str(counter))["count"]("increment") == 2

        host = rw.Threads(lines=[counter])
        found = rw.explore(subject, schedules=50, host=host)
        assert found.first is not None
        assert found.first.violation is not None
        assert found.first.violation.kind == "AssertionError"
        assert rw.replay(subject, found.first.token, host=host).verdict == "failed"

    def test_and_the_proof_of_the_locked_one(self, counter: Path) -> None:
        """Every schedule at the granularity of lines; the racy one fails under the same search."""

        def subject(method: str, world: rw.World) -> None:
            made = runpy.run_path(str(counter))["Counter"]()
            world.together(getattr(made, method), getattr(made, method))
            world.check(made.value == 2, "lost-update")

        host = rw.Threads(lines=[counter])
        locked = rw.prove(partial(subject, "increment_locked"), host=host)
        assert (locked.verdict, locked.complete) == ("proved", True)
        assert locked.schedules > 2
        racy = rw.prove(partial(subject, "increment"), host=host, stop_at_first=False)
        assert (racy.schedules, racy.failures) == (comb(4, 2), comb(4, 2) - 2)

    @pytest.mark.parametrize("how", ["add", "add_by_rename"])
    def test_a_lost_message_in_a_file(self, how: str) -> None:
        """Read, change, write back, without a lock: an atomic rename keeps the file whole, and loses the message all the same."""
        subject = partial(chat, how)
        found = rw.explore(subject, schedules=50, host="threads")
        assert found.first is not None
        assert rw.replay(subject, found.first.token, host="threads").violation == found.first.violation
        failed = rw.explore(subject, schedules=50, host="threads", stop_at_first=False)
        kinds = {one.violation.kind for one in failed.found if one.violation}
        assert kinds == {"lost-message"} | ({"JSONDecodeError"} if how == "add" else set())

    def test_none_is_lost_under_a_lock(self) -> None:
        """All schedules of two threads, and of the files they write."""
        found = rw.prove(partial(chat, "add_locked"), host="threads")
        assert (found.verdict, found.complete) == ("proved", True)

    def test_a_token_replays_in_another_process(self, tmp_path: Path) -> None:
        """The same steps, from one line of text, whatever the hash seed."""
        found = rw.explore(partial(chat, "add"), schedules=50, host="threads", name="chat", checksum="0" * 8)
        assert found.first is not None
        trace = rw.replay(partial(chat, "add"), found.first.token, host="threads", name="chat", checksum="0" * 8).trace
        program = """
            import importlib.util, sys
            from functools import partial
            import racewindow as rw
            spec = importlib.util.spec_from_file_location("subject", sys.argv[1])
            module = importlib.util.module_from_spec(spec)
            sys.modules["subject"] = module
            spec.loader.exec_module(module)
            run = rw.replay(partial(module.chat, "add"), sys.argv[2], host="threads", name="chat", checksum="0" * 8)
            print(*run.trace, sep="\\n")
        """
        environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-c", textwrap.dedent(program), __file__, found.first.token]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
        assert result.stdout.splitlines() == [str(step) for step in trace]


class TestChoices:
    @pytest.mark.parametrize(("tasks", "points", "expected"), [(2, 1, 2), (2, 3, comb(6, 3)), (3, 2, 90)])
    def test_counts_are_the_multinomials(self, tasks: int, points: int, expected: int) -> None:
        """Every interleaving of independent tasks, each exactly once."""

        def subject(world: rw.World) -> None:
            def walk() -> None:
                for number in range(points):
                    world.point(f"p{number}")

            world.together(*[walk] * tasks)

        found = rw.prove(subject, host="threads")
        assert (found.schedules, found.verdict) == (expected, "proved")

    def test_the_lost_update_is_that_of_the_other_hosts(self) -> None:
        """Two tasks of two points each: six orders, four of which lose an update; every token replays."""
        found = rw.prove(lost_update, host="threads", stop_at_first=False)
        assert (found.schedules, found.failures, found.verdict) == (6, 4, "failed")
        for one in found.found:
            if one.token:
                assert rw.replay(lost_update, one.token, host="threads").violation == one.violation

    def test_preemption_bound_zero(self) -> None:
        """Run to block only: one order per permutation."""
        runs = runs_of(lost_update, strategy=rw.Bounded(0))
        assert [(run.preemptions, run.verdict) for run in runs] == [(0, "passed")] * 2

    @pytest.mark.parametrize(
        "strategy",
        [rw.RandomWalk(), rw.PCT(depth=2), rw.POS(), rw.URW(), rw.SURW(), rw.Burst(), rw.Bounded(1), rw.DPOR()],
        ids=lambda strategy: strategy.name,
    )
    def test_every_strategy_finds_it(self, strategy: Any) -> None:
        """The same protocol as on the other hosts."""
        found = rw.explore(lost_update, strategy=strategy, schedules=40, host="threads")
        assert found.verdict == "failed"

    def test_a_failure_shrinks(self) -> None:
        """To the one preemption that it takes."""
        found = rw.explore(lost_update, schedules=20, host="threads", seed=3)
        assert found.first is not None
        assert rw.shrink(lost_update, found.first, host="threads").preemptions == 1

    @pytest.mark.parametrize("locked", [False, True])
    def test_a_reduced_proof_agrees_with_an_unreduced_one(self, locked: bool) -> None:
        """With two locks and two cells that everybody declares, fewer schedules have the same outcomes."""

        def subject(world: rw.World) -> tuple[int, int]:
            world.memory_declared()
            cells = [world.cell(0, name="x"), world.cell(0, name="y")]
            locks = [threading.Lock(), threading.Lock()]

            def increment(number: int) -> None:
                if locked:
                    locks[number].acquire()
                cells[number].set(cells[number].get() + 1)
                if locked:
                    locks[number].release()

            world.together(partial(increment, 0), partial(increment, 0), partial(increment, 1))
            return cells[0].value, cells[1].value

        outcomes = {}
        for strategy in (rw.Bounded(None), rw.DPOR()):
            runs = runs_of(subject, strategy=strategy)
            outcomes[strategy.name] = len(runs), {run.result for run in runs}
        assert outcomes["dpor"][1] == outcomes["bounded"][1] == ({(2, 1)} if locked else {(1, 1), (2, 1)})
        assert outcomes["dpor"][0] < outcomes["bounded"][0] / 10

    def test_a_reduced_proof_sees_who_got_the_lock_first(self) -> None:
        """Two orders of two critical sections, also when a thread comes to the lock only after it was taken."""

        def subject(world: rw.World) -> tuple[str, ...]:
            world.memory_declared()
            order: list[str] = []
            lock = threading.Lock()

            def enter(name: str, early: int) -> None:
                for _ in range(early):
                    world.point("before", reads=(), writes=(name,))
                with lock:
                    order.append(name)

            world.together(partial(enter, "a", 0), partial(enter, "b", 2))
            return tuple(order)

        assert results_of(subject, strategy=rw.DPOR()) == results_of(subject) == {("a", "b"), ("b", "a")}


class TestPrimitives:
    """What the standard library promises, in every schedule, without a moment of real waiting."""

    def test_a_lock_excludes(self) -> None:
        """Whoever waits for it is no choice: two sections, two orders."""

        def subject(world: rw.World) -> str:
            lock = threading.Lock()
            log: list[str] = []

            def section(name: str) -> None:
                with lock:
                    log.append(name)
                    world.point("inside")
                    log.append(name)

            in_threads(partial(section, "a"), partial(section, "b"))
            assert not lock.locked()
            return "".join(log)

        assert results_of(subject) == {"aabb", "bbaa"}

    def test_a_lock_asked_for_without_waiting(self) -> None:
        """It is answered at once, and both answers come up."""

        def subject(world: rw.World) -> bool:
            lock = threading.Lock()
            answers: list[bool] = []

            def hold() -> None:
                with lock:
                    world.point("inside")

            def ask() -> None:
                answers.append(lock.acquire(blocking=False))
                if answers[0]:
                    lock.release()

            in_threads(hold, ask)
            return answers[0]

        assert results_of(subject) == {True, False}

    def test_a_lock_asked_for_in_vain(self) -> None:
        """The time that passes is virtual, and a lock that comes free in time is had."""

        def subject(held_s: float, world: rw.World) -> tuple[bool, float]:
            lock = threading.Lock()
            lock.acquire()
            answers: list[bool] = []

            def ask() -> None:
                answers.append(lock.acquire(timeout=5.0))

            thread = threading.Thread(target=ask)
            thread.start()
            time.sleep(held_s)
            lock.release()
            thread.join()
            return answers[0], time.monotonic()

        assert results_of(partial(subject, 60.0)) == {(False, 60.0)}
        assert results_of(partial(subject, 1.0)) == {(True, 1.0)}

    def test_misuse_is_what_it_always_is(self) -> None:
        """Errors of the primitives are theirs, not the kernel's."""

        def subject(world: rw.World) -> None:
            lock, reentrant = threading.Lock(), threading.RLock()
            with pytest.raises(RuntimeError):
                lock.release()
            with pytest.raises(RuntimeError):
                reentrant.release()
            with pytest.raises(ValueError, match="timeout"):
                lock.acquire(blocking=False, timeout=1.0)
            with pytest.raises(ValueError, match="non-negative"):
                time.sleep(-1)
            thread = threading.Thread(target=int)
            with pytest.raises(RuntimeError, match="before it is started"):
                thread.join()
            thread.start()
            with pytest.raises(RuntimeError, match="once"):
                thread.start()
            with pytest.raises(RuntimeError, match="un-acquired"):
                threading.Condition().notify()

        assert results_of(subject) == {None}

    def test_a_reentrant_lock(self) -> None:
        """Its owner comes in again, and the other one when it has left as often."""

        def subject(world: rw.World) -> str:
            lock = threading.RLock()
            log: list[str] = []

            def section(name: str) -> None:
                with lock:
                    with lock:
                        log.append(name)
                    world.point("inside")  # still inside
                    log.append(name)

            in_threads(partial(section, "a"), partial(section, "b"))
            return "".join(log)

        assert results_of(subject) == {"aabb", "bbaa"}

    def test_a_deadlock_is_a_verdict(self) -> None:
        """Two locks in two orders."""

        def subject(world: rw.World) -> None:
            one, two = threading.Lock(), threading.Lock()

            def take(first: Any, second: Any) -> None:
                with first, second:
                    pass

            in_threads(partial(take, one, two), partial(take, two, one))

        found = rw.prove(subject, host="threads", stop_at_first=False)
        assert found.first is not None
        assert found.first.violation is not None
        assert found.first.violation.kind == "deadlock"
        assert "take at Lock.acquire, take.2 at Lock.acquire" in found.first.violation.detail
        assert 0 < found.failures < found.schedules

    def test_a_lost_wake_up(self) -> None:
        """A condition that is notified before anybody waits wakes nobody; one that is asked in a loop is safe."""

        def subject(loop: bool, world: rw.World) -> None:
            condition = threading.Condition()
            ready: list[int] = []

            def consume() -> None:
                with condition:
                    if loop:
                        condition.wait_for(lambda: ready)
                    else:
                        condition.wait()

            def produce() -> None:
                with condition:
                    ready.append(1)
                    condition.notify()

            in_threads(consume, produce)

        assert kinds_of(partial(subject, False)) == {"", "deadlock"}
        assert kinds_of(partial(subject, True)) == {""}

    def test_events_semaphores_and_barriers(self) -> None:
        """The standard library's own, on top of locks that are the kernel's."""

        def subject(world: rw.World) -> int:
            event, semaphore, barrier = threading.Event(), threading.Semaphore(1), threading.Barrier(2)
            inside: list[int] = []
            most: list[int] = [0]

            def worker() -> None:
                barrier.wait()
                with semaphore:
                    inside.append(1)
                    most[0] = max(most[0], len(inside))
                    world.point("inside")
                    inside.pop()
                event.set()

            thread = threading.Thread(target=worker)
            other = threading.Thread(target=worker)
            thread.start()
            other.start()
            assert event.wait()
            return most[0]

        assert results_of(subject, strategy=rw.Bounded(1)) == {1}

    def test_an_event_that_nobody_sets(self) -> None:
        """Its time-out passes at once, and says so."""
        assert results_of(lambda world: (threading.Event().wait(timeout=7.0), time.monotonic())) == {(False, 7.0)}

    @pytest.mark.parametrize("kind", [queue.Queue, queue.LifoQueue, queue.SimpleQueue])
    def test_queues(self, kind: Any) -> None:
        """What was put is got, once, by one of those who wait."""

        def subject(world: rw.World) -> tuple[int, ...]:
            items = getattr(queue, kind.__name__)()
            got: list[int] = []
            in_threads(
                lambda: got.append(items.get()), lambda: got.append(items.get()), lambda: [items.put(n) for n in (1, 2)]
            )
            with pytest.raises(queue.Empty):
                items.get(timeout=1.0)
            return tuple(sorted(got))

        assert results_of(subject, strategy=rw.Bounded(1)) == {(1, 2)}

    def test_a_pool_of_threads(self) -> None:
        """``concurrent.futures``, with results, an exception and a shutdown; both tasks may come first."""

        def subject(world: rw.World) -> tuple[str, ...]:
            order: list[str] = []

            def fail() -> None:
                order.append("fail")
                raise KeyError("x")

            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                futures = [pool.submit(order.append, "ok"), pool.submit(fail)]
                assert futures[0].result() is None
                with pytest.raises(KeyError):
                    futures[1].result()
            return tuple(order)

        found = runs_of(subject, strategy=rw.RandomWalk(), schedules=60)
        assert {run.result for run in found} == {("ok", "fail"), ("fail", "ok")}

    def test_sleeps_are_virtual_and_clocks_follow(self) -> None:
        """An hour costs nothing."""

        def subject(world: rw.World) -> tuple[float, float, float]:
            before = time.time()
            time.sleep(3600)
            return time.time() - before, time.monotonic(), world.now

        assert results_of(subject) == {(3600.0, 3600.0, 3600.0)}

    def test_a_timer_may_fire_early(self) -> None:
        """With adversarial time, while others could still run."""

        def subject(world: rw.World) -> str:
            log: list[str] = []
            threading.Timer(5.0, lambda: log.append("timer")).start()
            world.point("work")
            log.append("work")
            world.sleep(10.0)
            return " ".join(log)

        assert results_of(subject) == {"work timer"}
        assert "timer work" in results_of(subject, limits=rw.Limits(time="adversarial"))

    def test_names_that_were_imported_one_by_one(self) -> None:
        """``from threading import Lock`` and ``from time import sleep``, as at the head of this file."""

        def subject(world: rw.World) -> float:
            lock = Lock()

            def hold() -> None:
                with lock:
                    sleep(2.0)

            thread = Thread(target=hold)
            thread.start()
            thread.join()
            lock.acquire()
            return world.now

        assert results_of(subject) == {2.0}

    def test_threads_know_who_they_are(self) -> None:
        """Names, the current thread, daemons and thread-local values are fresh in every schedule."""
        seen: list[tuple[str, ...]] = []

        def subject(world: rw.World) -> None:
            local = threading.local()
            names: list[str] = []

            def work() -> None:
                assert not hasattr(local, "value")
                local.value = 1
                names.append(threading.current_thread().name)

            assert not threading.current_thread().daemon
            threads = [threading.Thread(target=work), threading.Thread(target=work, name="mine")]
            for thread in threads:
                assert not thread.daemon
                thread.start()
                thread.join()
                assert not thread.is_alive()
            seen.append(tuple(names))

        assert {run.verdict for run in runs_of(subject)} == {"passed"}
        assert set(seen) == {("Thread-1 (work)", "mine")}

    def test_the_end_of_the_subject_is_the_end_of_a_program(self) -> None:
        """It waits for its threads, but for daemons."""

        def subject(daemon: bool, world: rw.World) -> None:
            def late() -> None:
                world.sleep(1.0)
                world.check(False, "late")

            threading.Thread(target=late, daemon=daemon).start()

        assert kinds_of(partial(subject, False)) == {"late"}
        assert kinds_of(partial(subject, True)) == {""}

    def test_an_exception_in_a_thread_fails_the_schedule(self) -> None:
        """It would be a line on stderr otherwise, that nobody reads."""
        assert kinds_of(lambda world: in_threads(lambda: [][0])) == {"IndexError"}
        assert kinds_of(lambda world: in_threads(sys.exit)) == {""}


class TestFiles:
    def test_what_is_written_shows_when_it_is_flushed(self) -> None:
        """Nobody sees what is in a buffer; everybody sees a file that was opened for writing, and is still empty."""

        def subject(world: rw.World) -> str:
            path = world.directory() / "file"
            path.write_text("old")
            seen: list[str] = []

            def write() -> None:
                with open(path, "w") as file:
                    file.write("new")

            in_threads(write, lambda: seen.append(path.read_text()))
            return seen[0]

        assert results_of(subject) == {"old", "", "new"}

    def test_calls_have_names(self) -> None:
        """The file, and the system call."""

        def subject(world: rw.World) -> None:
            path = world.directory() / "a"
            with open(path, "wb", buffering=0) as file:
                file.write(b"x")
                os.fsync(file.fileno())
            os.replace(path, path.with_name("b"))
            assert path.with_name("b").read_bytes() == b"x"
            os.mkdir(path)
            path.rmdir()
            os.listdir(path.parent)
            path.with_name("b").unlink()

        (run,) = runs_of(subject)
        labels = [step.label for step in run.trace]
        calls = "a.open a.write a.fsync a.replace b.open b.read a.mkdir a.rmdir files.listdir b.unlink"
        assert labels == ["start", *calls.split()]

    def test_modes_are_those_of_open(self) -> None:
        """Every one reads and writes what it does outside of the kernel; a wrong one is refused in the same words."""

        def subject(world: rw.World) -> tuple[object, ...]:
            path = world.directory() / "file"
            with open(path, "x", newline="") as file:
                file.write("one\r\n")
            with open(path, "ab") as binary:
                binary.write(b"two")
            with open(path, "r+", encoding="utf-8") as file:
                assert file.readline() == "one\n"
                file.seek(0)
                file.write("ONE")
            with open(path, "w+b") as binary:
                binary.write(b"three")
                binary.truncate(3)
                binary.seek(0)
                read = binary.read()
            with pytest.raises(FileExistsError):
                path.open("x")
            with pytest.raises(ValueError, match="mode"):
                path.open("rw")
            with pytest.raises(ValueError, match="unbuffered"):
                path.open(buffering=0)
            with pytest.raises(FileNotFoundError):
                path.with_name("none").read_text()
            with open(path) as file:
                return read, file.mode, type(file).__name__, list(file)

        assert [run.result for run in runs_of(subject)] == [(b"thr", "r", "TextIOWrapper", ["thr"])]

    def test_a_lock_on_a_file(self) -> None:
        """``fcntl.flock`` excludes, is released by closing, and by the death of whoever holds it."""
        fcntl = pytest.importorskip("fcntl")

        def subject(dies: bool, world: rw.World) -> str:
            path, process = world.directory() / "lock", world.process("store")
            log: list[str] = []

            def section(name: str) -> None:
                with open(path, "w") as file:
                    fcntl.flock(file, fcntl.LOCK_EX)
                    log.append(name)
                    world.point("inside")
                    log.append(name)

            world.start(partial(section, "a"), process=process, name="a")
            world.start(partial(section, "b"), name="b")
            if dies:
                world.sleep(0)
                world.crash(process)
            world.quiet()
            with open(path, "w") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with open(path, "w") as other, pytest.raises(BlockingIOError):
                    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return "".join(log)

        assert results_of(partial(subject, False)) == {"aabb", "bbaa"}
        assert results_of(partial(subject, True)) == {"aabb", "bbaa", "bb", "abb", "bba"}

    def test_the_directory_is_empty_at_the_beginning_and_gone_in_the_end(self) -> None:
        """Whatever a schedule leaves there."""
        paths = set()

        def subject(world: rw.World) -> None:
            home = world.directory()
            paths.add(home)
            assert not list(home.iterdir())
            (home / "folder").mkdir()
            (home / "folder" / "file").write_text("x")
            world.together(lambda: world.point("a"), lambda: world.point("b"))

        assert kinds_of(subject) == {""}
        assert [path.exists() for path in paths] == [False]


PATCHED: list[tuple[Any, str]] = [
    (builtins, "open"),
    (os, "replace"),
    (os, "open"),
    (threading, "Lock"),
    (threading.Thread, "start"),
    (threading.Event, "wait"),
    (time, "sleep"),
    (time, "monotonic"),
    (queue, "SimpleQueue"),
    (tempfile, "_name_sequence"),
    (sys.modules[__name__], "sleep"),
]


class TestEnds:
    """Nothing is left behind, whatever ended the schedule."""

    @pytest.mark.parametrize("how", ["passes", "fails", "refuses", "interrupts"])
    def test_everything_is_put_back(self, how: str) -> None:
        """The module's names, the classes' methods, and the threads."""
        before = [getattr(owner, name) for owner, name in PATCHED]
        threads = _thread._count()

        def subject(world: rw.World) -> None:
            if how == "fails":
                world.check(False, "wrong")
            if how == "refuses":
                raise rw.Unsupported("no")
            if how == "interrupts":
                raise KeyboardInterrupt

        if how == "refuses":
            with pytest.raises(rw.Unsupported):
                rw.explore(subject, schedules=2, host="threads")
        else:
            assert rw.explore(subject, schedules=2, host="threads").interrupted == (how == "interrupts")
        assert [getattr(owner, name) for owner, name in PATCHED] == before
        while _thread._count() > threads:
            os.sched_yield()  # the last thread has said goodbye, and is on its way out

    def test_ctrl_c_stops_at_the_next_point(self) -> None:
        """Only the main thread hears it; what was found until then is kept, and nothing is left behind."""
        threads = _thread._count()
        schedules: list[Run] = []

        def subject(world: rw.World) -> None:
            def work() -> None:
                if len(schedules) == 2:
                    _thread.interrupt_main()
                while len(schedules) == 2:
                    world.sleep(0)

            in_threads(work, work)

        found = rw.explore(
            subject, schedules=100, host="threads", on_run=schedules.append, limits=rw.Limits(max_steps=10**9)
        )
        assert (found.interrupted, found.schedules) == (True, 2)
        while _thread._count() > threads:
            os.sched_yield()

    def test_what_only_claims_to_be_a_module(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As extensions made by cffi do: it is left alone."""

        class Pretender:
            __slots__ = ()
            __class__ = type(sys)  # type: ignore[assignment]

        monkeypatch.setitem(sys.modules, "racewindow_pretender", Pretender())
        assert rw.prove(lost_update, host="threads").verdict == "failed"

    def test_other_threads_notice_nothing(self) -> None:
        """A real thread beside the kernel sleeps, locks and opens for real."""
        done: list[str] = []
        go, stop = threading.Event(), threading.Event()

        def beside() -> None:
            go.wait()
            lock = threading.Lock()
            with lock:
                time.sleep(0.001)
            done.append(type(lock).__module__)
            done.append(Path(__file__).read_text()[:3])
            stop.set()

        thread = threading.Thread(target=beside)
        thread.start()

        def released(run: Run) -> None:
            go.set()
            assert stop.wait(10)

        rw.explore(lost_update, schedules=1, host="threads", on_run=released)
        thread.join()
        assert done == ["_thread", '"""']

    def test_abandoned_threads_end_with_their_finally_blocks(self) -> None:
        """After the verdict; and what they do then counts for nothing, not even for a file."""
        log: list[str] = []

        def subject(world: rw.World) -> None:
            path = world.directory() / "file"
            forever = threading.Event()

            def stuck() -> None:
                try:
                    forever.wait()
                finally:
                    log.append("finally")
                    world.violate(rw.Violation(kind="late", detail="", step=0))
                    path.write_text("late")

            threading.Thread(target=stuck, daemon=True).start()
            world.sleep(1.0)

        assert kinds_of(subject) == {""}
        assert log
        assert set(log) == {"finally"}

    def test_a_thread_that_catches_everything_is_no_match(self) -> None:
        """A loop that swallows every exception is left behind, and the search goes on."""

        def subject(world: rw.World) -> None:
            tried: list[int] = []

            def stubborn() -> None:
                while len(tried) < 50:
                    try:
                        threading.Event().wait()
                    except BaseException:
                        tried.append(1)

            threading.Thread(target=stubborn, daemon=True).start()
            world.sleep(1.0)

        assert kinds_of(subject) == {""}

    def test_a_crash_leaves_no_finally(self) -> None:
        """The threads of a process that crashed never take another step; its buffers are lost, its files stay."""

        def subject(world: rw.World) -> str:
            path = world.directory() / "file"
            process = world.process("store")

            def work() -> None:
                with open(path, "w") as file:
                    file.write("lost")
                    file.flush()
                    file.write(" more")
                    world.point("about to close")

            world.start(work, process=process, name="work")
            world.sleep(0)
            world.sleep(0)
            world.crash(process)
            world.quiet()
            return path.read_text() if path.exists() else "none"

        assert results_of(subject) == {"none", "", "lost", "lost more"}

    @pytest.mark.parametrize("schedules", [300, pytest.param(10_000, marks=pytest.mark.exhaustive)])
    def test_crashes_and_deadlocks_leak_no_thread(self, schedules: int) -> None:
        """The same few threads serve schedule after schedule."""
        most: list[int] = []

        def subject(world: rw.World) -> None:
            process = world.process("store")
            one, two = threading.Lock(), threading.Lock()

            def take(first: Any, second: Any) -> None:
                with first:
                    world.point("between")
                    with second:
                        pass

            world.start(partial(take, one, two), process=process, name="a")
            world.start(partial(take, two, one), process=process, name="b")
            world.sleep(0)
            if world.step % 2:
                world.crash(process)
            else:
                in_threads(partial(take, one, two), partial(take, two, one))

        def count(run: Run) -> None:
            most.append(len(sys._current_frames()))

        before = len(sys._current_frames())
        found = rw.explore(subject, schedules=schedules, host="threads", stop_at_first=False, on_run=count)
        assert 0 < found.failures < schedules
        assert max(most) <= before + 5
        assert len(sys._current_frames()) == before

    @pytest.mark.parametrize(("on", "says"), [("lock", "before.acquire()"), ("loop", "while True:")])
    def test_what_cannot_be_controlled_is_reported(self, on: str, says: str) -> None:
        """A lock from before the schedule that somebody holds, and a loop without a point: said, with the line, and not hung."""

        before = threading.Lock()  # one for each test: the thread that was given up may still get it

        def subject(world: rw.World) -> None:
            def stuck() -> None:
                if on == "lock":
                    before.acquire()
                while True:
                    pass

            threading.Thread(target=stuck, name="stuck").start()
            world.sleep(1.0)

        with before, pytest.raises(rw.Unsupported) as caught:
            rw.explore(subject, schedules=1, host=rw.Threads(step_limit_s=0.1))
        assert "task stuck did not get from start to its next point within 0.1 s" in str(caught.value)
        assert says in str(caught.value) or (on == "loop" and ": pass)" in str(caught.value))

    def test_a_raw_thread_is_refused(self) -> None:
        """It would run beside the schedule."""
        with pytest.raises(rw.Unsupported, match="raw thread"):
            rw.explore(lambda world: _thread.start_new_thread(int, ()), schedules=1, host="threads")

    def test_async_code_that_suspends_is_refused(self) -> None:
        """There is no event loop; async code that only uses the world is welcome."""

        async def sleeps(world: rw.World) -> None:
            await asyncio.sleep(0)

        async def points(world: rw.World) -> float:
            await world.point("p")
            await world.sleep(2.0)
            return world.now

        assert results_of(points) == {2.0}
        with pytest.raises(rw.Unsupported, match="needs an event loop"):
            rw.explore(sleeps, schedules=1, host="threads")

    def test_synchronous_points_need_this_host(self) -> None:
        """Elsewhere they are said to be what they are."""

        async def subject(world: rw.World) -> None:
            world.cell(0).get()

        with pytest.raises(rw.UsageError, match="host='threads'"):
            rw.explore(subject, schedules=1)

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"lines": "counter.py"}, "a list"),
            ({"lines": ["no/such.py"]}, "there is no file"),
            ({"lines": [sys]}, "no file of Python text"),
            ({"step_limit_s": 0}, "positive"),
        ],
    )
    def test_options_that_make_no_sense(self, options: Any, says: str) -> None:
        """Said at once."""
        with pytest.raises(rw.UsageError, match=says):
            rw.Threads(**options)
