"""The simulated disk: what survives which fault, who may be interrupted where. (What it answers: test_storage_contract.py.)"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

import racewindow as rw
from racewindow.disk import GRANULARITIES, Disk, DiskFile, Granularity, LockBusy, Persistence, send
from racewindow.kernel import Run

Main = Callable[[rw.World, Disk], Awaitable[None]]

both = pytest.mark.parametrize("granularity", GRANULARITIES)


def on_disk(main: Main, granularity: Granularity = "suspending", *, schedules: int = 1) -> list[Run]:
    """Run ``main`` in so many random schedules; every assertion in it must hold in all of them."""
    runs: list[Run] = []

    async def subject(world: rw.World) -> None:
        await main(world, Disk(world, granularity))

    found = rw.explore(subject, schedules=schedules, seed=0, on_run=runs.append)
    assert found.first is None, found.first and found.first.violations
    assert found.verdict == "passed"
    return runs


async def put(disk: Disk, path: str, data: bytes, *, sync: bool = False) -> None:
    file = await disk.open(path, "append")
    await file.write(data)
    if sync:
        await file.fsync()
    await file.close()


class TestPowerLoss:
    @both
    def test_what_nobody_synced_is_gone(self, granularity: Granularity) -> None:
        async def main(world: rw.World, disk: Disk) -> None:
            await disk.make_directory("d")
            await put(disk, "d/f", b"x")
            disk.power_loss()
            assert disk.names("") == []

        on_disk(main, granularity)

    @both
    def test_keep_all_keeps_what_nobody_synced(self, granularity: Granularity) -> None:
        async def main(world: rw.World, disk: Disk) -> None:
            await disk.make_directory("d")
            await put(disk, "d/f", b"x")
            disk.power_loss("keep-all")
            assert disk.peek("d/f") == b"x"
            disk.power_loss()  # and from then on it is on the platters
            assert disk.peek("d/f") == b"x"

        on_disk(main, granularity)

    def test_a_synced_file_without_its_entry_is_gone(self) -> None:
        async def main(world: rw.World, disk: Disk) -> None:
            await put(disk, "f", b"x", sync=True)
            disk.power_loss()
            assert disk.names("") == []

        on_disk(main)

    def test_a_synced_entry_of_an_unsynced_file_is_an_empty_file(self) -> None:
        async def main(world: rw.World, disk: Disk) -> None:
            await put(disk, "f", b"x")
            await disk.fsync_directory("")
            disk.power_loss()
            assert disk.peek("f") == b""

        on_disk(main)

    def test_a_synced_directory_whose_own_entry_is_not_synced_is_gone(self) -> None:
        async def main(world: rw.World, disk: Disk) -> None:
            await disk.make_directory("d")
            await put(disk, "d/f", b"x", sync=True)
            await disk.fsync_directory("d")
            disk.power_loss()
            assert disk.names("") == []

        on_disk(main)

    def test_file_entry_and_the_way_to_it_synced_survives(self) -> None:
        async def main(world: rw.World, disk: Disk) -> None:
            await disk.make_directory("d")
            await disk.fsync_directory("")
            await put(disk, "d/f", b"x", sync=True)
            await disk.fsync_directory("d")
            await put(disk, "d/f", b"lost")
            disk.power_loss()
            assert disk.peek("d/f") == b"x"

        on_disk(main)

    def test_fsync_makes_durable_what_another_handle_wrote(self) -> None:
        async def main(world: rw.World, disk: Disk) -> None:
            await put(disk, "f", b"by one, ")
            await put(disk, "f", b"synced by the other", sync=True)
            await disk.fsync_directory("")
            disk.power_loss()
            assert disk.peek("f") == b"by one, synced by the other"

        on_disk(main)

    def test_a_removal_comes_back_until_the_directory_is_synced(self) -> None:
        async def main(world: rw.World, disk: Disk) -> None:
            await put(disk, "f", b"x", sync=True)
            await disk.fsync_directory("")
            await disk.remove("f")
            disk.power_loss()
            assert disk.peek("f") == b"x"
            await disk.remove("f")
            await disk.fsync_directory("")
            disk.power_loss()
            assert disk.peek("f") is None

        on_disk(main)

    def test_truncation_and_whole_file_writes_are_volatile(self) -> None:
        async def main(world: rw.World, disk: Disk) -> None:
            await put(disk, "f", b"old", sync=True)
            await disk.fsync_directory("")
            await (await disk.open("f", "replace")).write(b"new")
            disk.power_loss()
            assert disk.peek("f") == b"old"
            await disk.write("f", b"newer")
            assert disk.peek("f") == b"newer"
            disk.power_loss()
            assert disk.peek("f") == b"old"

        on_disk(main)

    def test_a_second_loss_finds_what_the_first_one_left(self) -> None:
        async def main(world: rw.World, disk: Disk) -> None:
            await put(disk, "kept", b"x", sync=True)
            await disk.fsync_directory("")
            await put(disk, "lost", b"x")
            disk.power_loss()
            await put(disk, "later", b"x", sync=True)
            await disk.fsync_directory("")
            disk.power_loss()
            assert disk.names("") == ["kept", "later"]

        on_disk(main)

    def test_an_unknown_policy_is_refused(self) -> None:
        async def main(world: rw.World, disk: Disk) -> None:
            with pytest.raises(rw.UsageError, match=r"'keep-some'.*lose-unsynced, keep-all, torn"):
                disk.power_loss("keep-some")  # type: ignore[arg-type]

        on_disk(main)


class TestRename:
    @pytest.mark.parametrize("synced", ["source", "target"])
    def test_is_durable_in_both_parents_as_soon_as_one_is_synced(self, synced: str) -> None:
        async def main(world: rw.World, disk: Disk) -> None:
            for directory in ("source", "target"):
                await disk.make_directory(directory)
            await put(disk, "source/f", b"x", sync=True)
            await disk.fsync_directory("")
            await disk.fsync_directory("source")
            await disk.rename("source/f", "target/f")
            await disk.fsync_directory(synced)
            disk.power_loss()
            assert (disk.names("source"), disk.names("target")) == ([], ["f"])

        on_disk(main)

    def test_has_happened_in_neither_parent_when_none_is_synced(self) -> None:
        async def main(world: rw.World, disk: Disk) -> None:
            for directory in ("source", "target"):
                await disk.make_directory(directory)
            await put(disk, "source/f", b"x", sync=True)
            await disk.fsync_directory("")
            await disk.fsync_directory("source")
            await disk.rename("source/f", "target/f")
            disk.power_loss()
            assert (disk.names("source"), disk.names("target")) == (["f"], [])

        on_disk(main)

    def test_takes_the_operations_it_depends_on_with_it(self) -> None:
        """A file that was made and moved within the cache: syncing its new home must not lose how it came to be."""

        async def main(world: rw.World, disk: Disk) -> None:
            for directory in ("a", "b", "c"):
                await disk.make_directory(directory)
            await disk.fsync_directory("")
            await put(disk, "a/f", b"x", sync=True)
            await disk.rename("a/f", "b/f")
            await disk.rename("b/f", "c/f")
            await disk.fsync_directory("c")
            disk.power_loss()
            assert [disk.names(each) for each in ("a", "b", "c")] == [[], [], ["f"]]

        on_disk(main)

    def test_leaves_later_operations_to_their_fate(self) -> None:
        async def main(world: rw.World, disk: Disk) -> None:
            for directory in ("a", "b", "c"):
                await disk.make_directory(directory)
            await disk.fsync_directory("")
            await put(disk, "a/f", b"x", sync=True)
            await disk.rename("a/f", "b/f")
            await disk.rename("b/f", "c/f")
            await disk.fsync_directory("a")
            disk.power_loss()
            assert [disk.names(each) for each in ("a", "b", "c")] == [[], ["f"], []]

        on_disk(main)

    def test_over_a_file_keeps_the_old_or_the_new_one(self) -> None:
        async def main(world: rw.World, disk: Disk) -> None:
            await put(disk, "f", b"old", sync=True)
            await disk.fsync_directory("")
            await put(disk, "f.new", b"new", sync=True)
            await disk.rename("f.new", "f")
            disk.power_loss()
            assert disk.peek("f") == b"old"
            await put(disk, "f.new", b"new", sync=True)
            await disk.rename("f.new", "f")
            await disk.fsync_directory("")
            disk.power_loss()
            assert (disk.peek("f"), disk.names("")) == (b"new", ["f"])

        on_disk(main)

    def test_a_handle_follows_and_its_fsync_counts_at_the_new_place(self) -> None:
        async def main(world: rw.World, disk: Disk) -> None:
            await disk.make_directory("live")
            file = await disk.open("live/f", "append")
            await disk.fsync_directory("live")
            await disk.rename("live", "archive")
            await disk.fsync_directory("")
            await file.write(b"late")
            await file.fsync()
            disk.power_loss()
            assert disk.peek("archive/f") == b"late"

        on_disk(main)

    def test_a_handle_of_a_replaced_file_writes_to_nobody(self) -> None:
        async def main(world: rw.World, disk: Disk) -> None:
            file = await disk.open("f", "append")
            await put(disk, "g", b"new")
            await disk.rename("g", "f")
            await file.write(b"into the void")
            assert disk.peek("f") == b"new"

        on_disk(main)

    def test_move_makes_the_way_to_the_target_but_only_when_its_turn_has_come(self) -> None:
        async def main(world: rw.World, disk: Disk) -> None:
            await put(disk, "f", b"x")
            mover = world.process("mover")

            async def move() -> None:
                await disk.move("f", "a/b/f")

            world.start(move, process=mover, advance=True)  # stands at its point, and has done nothing
            await world.point("look")
            if disk.peek("f") is not None:
                assert disk.names("") == ["f"]
                world.crash(mover)
                assert disk.names("") == ["f"]
            else:
                assert disk.peek("a/b/f") == b"x"

        runs = on_disk(main, schedules=20)
        assert {any(step.label == "f.move" for step in run.trace) for run in runs} == {True, False}


class TestProcessCrash:
    def test_keeps_the_page_cache(self) -> None:
        """Losing it under a surviving machine would invent bugs."""

        async def main(world: rw.World, disk: Disk) -> None:
            process = world.process("store")
            written = world.event()

            async def store() -> None:
                await put(disk, "f", b"unsynced")
                written.set()
                await world.wait(world.event(), "for ever")

            world.start(store, process=process)
            await written.wait()
            world.crash(process)
            assert await disk.read("f") == b"unsynced"

        on_disk(main)

    @both
    def test_releases_the_lock_of_the_dead_and_only_that(self, granularity: Granularity) -> None:
        async def main(world: rw.World, disk: Disk) -> None:
            processes = {name: world.process(name) for name in ("dies", "lives")}
            inside = {name: world.event() for name in processes}

            async def hold(name: str) -> None:
                async with disk.lock(name):
                    inside[name].set()
                    await world.wait(world.event(), "for ever")

            async def dies() -> None:
                await hold("dies")

            async def lives() -> None:
                await hold("lives")

            for function in (dies, lives):
                world.start(function, process=processes[function.__name__])
            for event in inside.values():
                await event.wait()
            world.crash(processes["dies"])
            async with disk.lock("dies", wait=False):
                pass
            with pytest.raises(LockBusy):
                async with disk.lock("lives", wait=False):
                    pass
            world.crash(processes["lives"])

        on_disk(main, granularity, schedules=5)

    def test_hands_the_lock_to_who_waited_for_it(self) -> None:
        async def main(world: rw.World, disk: Disk) -> None:
            process = world.process("store")
            held, got = world.event(), world.event()

            async def holder() -> None:
                async with disk.lock("l"):
                    held.set()
                    await world.wait(world.event(), "for ever")

            async def waiter() -> None:
                await held.wait()
                async with disk.lock("l"):
                    got.set()

            world.start(holder, process=process)
            world.start(waiter)
            await world.quiet()
            assert not got.is_set()
            world.crash(process)
            await world.quiet()
            assert got.is_set()

        on_disk(main, schedules=20)

    def test_a_waiter_that_died_is_passed_over(self) -> None:
        async def main(world: rw.World, disk: Disk) -> None:
            process = world.process("store")
            held, release, got = world.event(), world.event(), world.event()

            async def holder() -> None:
                async with disk.lock("l"):
                    held.set()
                    await release.wait()

            async def doomed() -> None:
                async with disk.lock("l"):
                    raise AssertionError("it is dead")

            async def heir() -> None:
                async with disk.lock("l"):
                    got.set()

            world.start(holder)
            await held.wait()
            world.start(doomed, process=process)
            world.start(heir)
            await world.quiet()
            world.crash(process)
            release.set()
            await world.quiet()
            assert got.is_set()

        on_disk(main, schedules=20)


class TestLocks:
    @both
    def test_exclude_and_let_whoever_waits_go_on_in_any_order(self, granularity: Granularity) -> None:
        orders: set[str] = set()

        async def main(world: rw.World, disk: Disk) -> None:
            inside, order = 0, ""

            def enter(name: str) -> Callable[[], Awaitable[None]]:
                async def work() -> None:
                    nonlocal inside, order
                    async with disk.lock("l"):
                        inside += 1
                        assert inside == 1
                        order += name
                        await world.point("inside")
                        inside -= 1

                return work

            await world.together(enter("a"), enter("b"), enter("c"))
            orders.add(order)

        on_disk(main, granularity, schedules=100)
        assert orders == {"abc", "acb", "bac", "bca", "cab", "cba"}

    def test_busy_is_said_at_once_and_never_to_who_is_alone(self) -> None:
        said: set[tuple[str, ...]] = set()

        async def main(world: rw.World, disk: Disk) -> None:
            outcomes = []

            async def attempt() -> None:
                try:
                    async with disk.lock("l", wait=False):
                        await world.point("inside")
                        outcomes.append("in")
                except LockBusy:
                    outcomes.append("busy")

            await world.together(attempt, attempt)
            said.add(tuple(outcomes))

        on_disk(main, schedules=50)
        assert said == {("in", "in"), ("busy", "in")}

    def test_a_cancelled_waiter_does_not_take_the_lock_away_from_others(self) -> None:
        async def main(world: rw.World, disk: Disk) -> None:
            got = False

            async def wait(scope: trio.CancelScope) -> None:
                nonlocal got
                with scope:
                    async with disk.lock("l"):
                        got = True

            cancelled, patient = trio.CancelScope(), trio.CancelScope()
            async with trio.open_nursery() as nursery:
                async with disk.lock("l"):
                    nursery.start_soon(wait, cancelled)
                    nursery.start_soon(wait, patient)
                    await world.quiet()
                    cancelled.cancel()
                    await world.point("hold on")
                    assert not got
            assert got

        on_disk(main, schedules=20)

    def test_power_loss_frees_them_all(self) -> None:
        async def main(world: rw.World, disk: Disk) -> None:
            process, held = world.process("store"), world.event()

            async def holder() -> None:
                async with disk.lock("l"):
                    held.set()
                    await world.wait(world.event(), "for ever")

            world.start(holder, process=process)
            await held.wait()
            world.crash(process)
            disk.power_loss()
            async with disk.lock("l", wait=False):
                pass

        on_disk(main)


class TestGranularity:
    @staticmethod
    async def everything(world: rw.World, disk: Disk) -> None:
        await disk.make_directory("d")
        file = await disk.open("d/f", "create")
        await file.write(b"x")
        await file.fsync()
        await file.close()
        await disk.read("d/f")
        await disk.list("d")
        await disk.rename("d/f", "d/g")
        await disk.fsync_directory("d")
        await disk.write("w/f", b"x")
        await disk.move("w/f", "v/f")
        await disk.remove("d/g")
        async with disk.lock("l"):
            pass

    def test_suspending_every_call_but_close_is_a_labelled_point(self) -> None:
        (run,) = on_disk(self.everything, "suspending")
        labels = [step.label for step in run.trace]
        assert labels[1:] == [
            *("d.mkdir", "d/f.open", "d/f.append", "d/f.fsync", "d/f.read", "d.list", "d/f.rename", "d.fsync"),
            *("w/f.write", "w/f.move", "d/g.remove", "lock:l"),
        ]

    def test_atomic_only_locks_are_points(self) -> None:
        (run,) = on_disk(self.everything, "atomic")
        assert [step.label for step in run.trace][1:] == ["lock:l"]

    def test_both_touch_the_same_resources(self) -> None:
        """What a reduction may rely on must not depend on where the points are."""
        touched = []
        for granularity in GRANULARITIES:
            (run,) = on_disk(self.everything, granularity)
            touched.append(
                (
                    {resource for step in run.trace for resource in step.reads or ()},
                    {resource for step in run.trace for resource in step.writes or ()},
                )
            )
        suspending, atomic = touched
        assert suspending[1] >= {"entry:d", "entries:", "entry:d/g", "entry:w", "entry:v", "lock:l"}
        # A file that is created is written without having been there before; its number is not known at the point.
        assert atomic == suspending

    def test_labels_given_and_the_hidden_prefix(self) -> None:
        labels: list[str] = []

        async def subject(world: rw.World) -> None:
            disk = Disk(world, hide="sessions/s/")
            await disk.write("sessions/s/live", b"")
            await disk.read("sessions/s/live", label="live.read")
            await disk.list("")

        rw.explore(subject, schedules=1, on_run=lambda run: labels.extend(step.label for step in run.trace))
        assert labels[1:] == ["live.write", "live.read", "/.list"]

    def test_another_granularity_is_refused(self) -> None:
        async def subject(world: rw.World) -> None:
            with pytest.raises(rw.UsageError, match=r"'coarse'.*suspending, atomic"):
                Disk(world, "coarse")  # type: ignore[arg-type]

        assert rw.explore(subject, schedules=1).verdict == "passed"

    def test_two_writers_lose_an_update_only_where_storage_calls_are_points(self) -> None:
        async def subject(world: rw.World, granularity: Granularity) -> None:
            disk = Disk(world, granularity)
            await disk.write("n", b"0")

            async def increment() -> None:
                await world.point("increment")
                await disk.write("n", b"%d" % (int(await disk.read("n")) + 1))

            await world.together(increment, increment)
            world.check(disk.peek("n") == b"2", "lost-update")

        async def suspending(world: rw.World) -> None:
            await subject(world, "suspending")

        async def atomic(world: rw.World) -> None:
            await subject(world, "atomic")

        assert rw.prove(suspending).verdict == "failed"
        assert rw.prove(atomic).verdict == "proved"


# -- the model ---------------------------------------------------------------------------------------------------------
#
# Written from the sentences in DESIGN.md, not from the code: the whole log of metadata operations is kept for ever, each with a mark
# "durable"; a state is what replaying some of them from nothing gives.

DIRECTORIES = ("", "d", "e", "d/e")
FILES = ("f", "d/f", "e/f", "d/e/f")


class Model:
    def __init__(self) -> None:
        self.numbers = count(1)
        self.log: list[tuple[dict[tuple[int, str], int | None], bool]] = []  # what each operation sets, and its mark
        self.kind: dict[int, str] = {0: "directory"}
        self.cached: dict[int, bytes] = {}
        self.platter: dict[int, bytes] = {}

    def state(self, *, durable: bool = False) -> dict[tuple[int, str], int]:
        entries: dict[tuple[int, str], int | None] = {}
        for sets, marked in self.log:
            if marked or not durable:
                entries |= sets
        return {place: node for place, node in entries.items() if node is not None}

    def at(self, path: str) -> int | None:
        node: int | None = 0
        for name in path.split("/") if path else ():
            node = None if node is None else self.state().get((node, name))
        return node

    def tree(self, *, durable: bool = False) -> dict[str, bytes | None]:
        data, entries = (self.platter if durable else self.cached), self.state(durable=durable)
        seen: dict[str, bytes | None] = {}

        def walk(directory: int, path: str) -> None:
            for (parent, name), node in entries.items():
                if parent == directory:
                    seen[f"{path}{name}"] = None if self.kind[node] == "directory" else data[node]
                    if self.kind[node] == "directory":
                        walk(node, f"{path}{name}/")

        walk(0, "")
        return seen

    def place(self, path: str) -> tuple[int, str] | None:
        parent, _, name = path.rpartition("/")
        node = self.at(parent)
        return None if node is None else (node, name)

    def make(self, path: str, kind: str) -> int | None:
        place = self.place(path)
        if place is None or place in self.state():
            return None
        node = next(self.numbers)
        self.kind[node] = kind
        if kind == "file":
            self.cached[node] = self.platter[node] = b""
        self.log.append(({place: node}, False))
        return node

    def file(self, path: str) -> int | None:
        node = self.at(path)
        return node if node is not None else self.make(path, "file")

    def rename(self, source: str, target: str) -> None:
        node, here, there = self.at(source), self.place(source), self.place(target)
        if node is None or here is None or there is None:
            return
        replaced = self.state().get(there)
        if replaced is not None and "directory" in (self.kind[replaced], self.kind[node]):
            return
        self.log.append(({here: None, there: node}, False))

    def remove(self, path: str) -> None:
        if (place := self.place(path)) is not None and place in self.state():
            self.log.append(({place: None}, False))

    def fsync_directory(self, path: str) -> None:
        node = self.at(path)
        wanted = {index for index, (sets, _) in enumerate(self.log) if any(place[0] == node for place in sets)}
        while True:  # whatever an operation stands on comes with it
            more = {
                earlier
                for later in wanted
                for earlier in range(later)
                if {place[0] for place in self.log[earlier][0]} & {place[0] for place in self.log[later][0]}
            }
            if more <= wanted:
                break
            wanted |= more
        self.log = [(sets, marked or index in wanted) for index, (sets, marked) in enumerate(self.log)]

    def power_loss(self, persistence: Persistence) -> None:
        if persistence == "keep-all":
            self.log = [(sets, True) for sets, _ in self.log]
            self.platter = dict(self.cached)
        self.log = [(sets, True) for sets, marked in self.log if marked]
        self.cached = dict(self.platter)


def tree(disk: Disk, path: str = "") -> dict[str, bytes | None]:
    seen: dict[str, bytes | None] = {}
    for name in disk.names(path):
        inner = f"{path}/{name}" if path else name
        seen[inner] = disk.peek(inner)
        seen |= tree(disk, inner) if seen[inner] is None else {}
    return seen


steps = st.one_of(
    st.tuples(st.sampled_from(["make"]), st.sampled_from(DIRECTORIES[1:])),
    st.tuples(st.sampled_from(["append", "append and sync", "replace", "hold", "remove"]), st.sampled_from(FILES)),
    st.tuples(st.just("fsync"), st.sampled_from(DIRECTORIES)),
    st.tuples(st.just("rename"), st.sampled_from(FILES), st.sampled_from(FILES)),
    st.tuples(st.just("rename"), st.sampled_from(DIRECTORIES[1:]), st.sampled_from(DIRECTORIES[1:])),
    st.tuples(st.sampled_from(["late append", "late sync"])),
    st.tuples(st.just("power"), st.sampled_from(["lose-unsynced", "keep-all"])),
)


async def follow(disk: Disk, model: Model, program: list[tuple[str, ...]]) -> None:
    """Do every step to both; after each, what is cached and what would survive must agree."""
    held: tuple[DiskFile, int] | None = None
    for number, (verb, *paths) in enumerate(program):
        data = b"%d;" % number
        path = paths[0] if paths else ""
        try:
            if verb == "make":
                model.make(path, "directory")
                await disk.make_directory(path)
            elif verb in ("append", "append and sync", "replace", "hold"):
                node = model.file(path)
                file = await disk.open(path, "replace" if verb == "replace" else "append")
                assert node is not None
                if verb == "replace":
                    model.cached[node] = b""
                if verb == "hold":
                    held = file, node
                else:
                    model.cached[node] += data
                    await file.write(data)
                if verb == "append and sync":
                    model.platter[node] = model.cached[node]
                    await file.fsync()
            elif verb == "rename":
                model.rename(*paths)
                await disk.rename(*paths)
            elif verb == "remove":
                model.remove(path)
                await disk.remove(path)
            elif verb == "fsync" and (path == "" or model.at(path) is not None):
                model.fsync_directory(path)
                await disk.fsync_directory(path)
            elif verb == "late append" and held is not None:
                model.cached[held[1]] += data
                await held[0].write(data)
            elif verb == "late sync" and held is not None:
                model.platter[held[1]] = model.cached[held[1]]
                await held[0].fsync()
            elif verb == "power":
                model.power_loss(path)  # type: ignore[arg-type]
                disk.power_loss(path)  # type: ignore[arg-type]
                held = None
        except OSError:
            pass  # the model must have done nothing either, which the next line sees
        assert tree(disk) == model.tree(), (number, program)
    surviving = model.tree(durable=True)
    disk.power_loss()
    assert tree(disk) == surviving, program


class TestModel:
    @given(program=st.lists(steps, max_size=25), granularity=st.sampled_from(GRANULARITIES))
    @settings(max_examples=120, deadline=None)
    def test_disk_and_model_agree_after_every_step(
        self, program: list[tuple[str, ...]], granularity: Granularity
    ) -> None:
        program = [step for step in program if step[0] != "rename" or not step[2].startswith(step[1])]

        async def main(world: rw.World, disk: Disk) -> None:
            await follow(disk, Model(), program)

        on_disk(main, granularity)

    def test_the_model_sees_a_disk_that_forgets_to_sync_the_other_parent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A model that agrees with everything proves nothing."""

        def shallow(self: Disk, directories: set[object]) -> None:
            for change in list(self._pending):
                for directory, name, node in change.entries:
                    if directory in directories:
                        if node is None:
                            directory.durable_entries.pop(name, None)
                        else:
                            directory.durable_entries[name] = node

        monkeypatch.setattr(Disk, "_commit", shallow)
        program = [("make", "d"), ("append", "f"), ("fsync", ""), ("rename", "f", "d/f"), ("fsync", "d")]

        async def subject(world: rw.World) -> None:
            await follow(Disk(world), Model(), program)

        assert rw.explore(subject, schedules=1).verdict == "failed"


def fates_of(prepare: Main) -> dict[tuple[tuple[str, str], ...], dict[str, bytes | None]]:
    """Every combination of fates after ``prepare``, and what is then found on the disk."""
    found: dict[tuple[tuple[str, str], ...], dict[str, bytes | None]] = {}
    scripts: list[list[int]] = [[]]

    async def main(world: rw.World, disk: Disk) -> None:
        await prepare(world, disk)
        script, asked = list(scripts[0]), []
        settling = disk.losing_power()
        unsynced = next(settling, None)
        while unsynced is not None:
            asked.append(len(unsynced.fates))
            fate = script[len(asked) - 1] if len(asked) <= len(script) else 0
            unsynced = send(settling, fate)
        found[tuple(disk.settled)] = tree(disk)
        taken = (script + [0] * len(asked))[: len(asked)]
        for place in range(len(script), len(asked)):
            scripts.extend([*taken[:place], other] for other in range(1, asked[place]))

    while scripts:
        on_disk(main)
        scripts.pop(0)
    return found


class TestFates:
    def test_entries_survive_in_any_combination(self) -> None:
        async def two(world: rw.World, disk: Disk) -> None:
            await disk.open("a", "create")
            await disk.open("b", "create")

        left = sorted(sorted(each) for each in fates_of(two).values())
        assert left == [[], ["a"], ["a", "b"], ["b"]]

    def test_what_makes_no_sense_without_an_earlier_operation_goes_with_it(self) -> None:
        async def inside(world: rw.World, disk: Disk) -> None:
            await disk.make_directory("d")
            await disk.open("d/f", "create")
            await disk.remove("d/f")

        assert {frozenset(each) for each in fates_of(inside).values()} == {
            frozenset(),
            frozenset({"d"}),
            frozenset({"d", "d/f"}),
        }

    def test_a_rename_is_in_both_places_or_in_neither(self) -> None:
        async def moved(world: rw.World, disk: Disk) -> None:
            await disk.make_directory("d")
            await put(disk, "f", b"x", sync=True)
            await disk.fsync_directory("")
            await disk.rename("f", "d/g")

        assert list(fates_of(moved).values()) == [{"d": None, "f": b"x"}, {"d": None, "d/g": b"x"}]

    def test_of_a_file_there_is_left_what_was_written_up_to_some_write_or_its_middle(self) -> None:
        async def written(world: rw.World, disk: Disk) -> None:
            await put(disk, "f", b"1234", sync=True)
            await disk.fsync_directory("")
            await put(disk, "f", b"ab")
            await put(disk, "f", b"cdef")

        left = [each["f"] for each in fates_of(written).values()]
        assert left == [b"1234", b"1234a", b"1234ab", b"1234abc", b"1234abcd", b"1234abcdef"]

    def test_a_file_that_was_replaced_may_be_empty_or_what_it_was(self) -> None:
        async def replaced(world: rw.World, disk: Disk) -> None:
            await put(disk, "f", b"old", sync=True)
            await disk.fsync_directory("")
            await disk.write("f", b"newer")

        assert [each["f"] for each in fates_of(replaced).values()] == [b"old", b"", b"ne", b"newer"]

    def test_nobody_asks_for_the_content_of_a_file_whose_name_is_lost(self) -> None:
        async def new(world: rw.World, disk: Disk) -> None:
            await put(disk, "f", b"ab")

        assert list(fates_of(new)) == [
            (("f.create", "lost"),),
            (("f.create", "kept"), ("f", "lost")),
            (("f.create", "kept"), ("f", "torn at 1")),
            (("f.create", "kept"), ("f", "kept")),
        ]

    def test_the_note_of_a_lock_comes_through_or_an_earlier_one_or_none(self) -> None:
        async def noted(world: rw.World, disk: Disk) -> None:
            for note in ("one", "two"):
                async with disk.lock("l") as lock:
                    lock.note = note

        assert list(fates_of(noted)) == [(("lock:l", fate),) for fate in ("lost", "earlier", "kept")]

    def test_what_was_synced_is_left_to_no_chance(self) -> None:
        async def synced(world: rw.World, disk: Disk) -> None:
            await put(disk, "f", b"x", sync=True)
            await disk.fsync_directory("")

        assert fates_of(synced) == {(): {"f": b"x"}}

    @pytest.mark.parametrize("policy", ["lose-unsynced", "keep-all", "torn"])
    def test_each_policy_is_one_of_the_combinations(self, policy: Persistence) -> None:
        async def much(world: rw.World, disk: Disk) -> None:
            await disk.make_directory("d")
            await put(disk, "d/f", b"abcd")
            await disk.rename("d", "e")

        after: list[dict[str, bytes | None]] = []

        async def main(world: rw.World, disk: Disk) -> None:
            await much(world, disk)
            disk.power_loss(policy)
            after.append(tree(disk))

        on_disk(main)
        assert after[0] in list(fates_of(much).values())

    def test_chance_is_no_policy_that_can_be_asked_at_once(self) -> None:
        async def main(world: rw.World, disk: Disk) -> None:
            with pytest.raises(rw.UsageError, match=r"losing_power"):
                disk.power_loss("any")

        on_disk(main)


class TestState:
    def test_disks_that_nobody_can_tell_apart_have_equal_states(self) -> None:
        states = []

        async def one(world: rw.World, disk: Disk) -> None:
            await put(disk, "f", b"x", sync=True)
            await disk.fsync_directory("")
            states.append(disk.state)

        async def other(world: rw.World, disk: Disk) -> None:
            await disk.open("g", "create")
            await disk.remove("g")
            await put(disk, "f", b"x", sync=True)
            await disk.fsync_directory("")
            async with disk.lock("l"):
                pass
            states.append(disk.state)

        on_disk(one)
        on_disk(other)
        assert states[0] == states[1]
        assert hash(states[0]) == hash(states[1])

    def test_every_call_that_changes_anything_changes_the_state(self) -> None:
        async def main(world: rw.World, disk: Disk) -> None:
            states = [disk.state]
            file = await disk.open("f", "create")
            states.append(disk.state)
            await file.write(b"x")
            states.append(disk.state)
            await file.fsync()
            states.append(disk.state)
            await disk.fsync_directory("")
            states.append(disk.state)
            async with disk.lock("l") as lock:
                states.append(disk.state)
                lock.note = "held"
            states.append(disk.state)
            await disk.rename("f", "g")
            states.append(disk.state)
            disk.fail_fsyncs()
            states.append(disk.state)
            assert len(set(states)) == len(states)

        on_disk(main)
