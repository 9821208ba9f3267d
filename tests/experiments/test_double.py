"""Two preemptions, and what closes windows: against schedules written out choice by choice, and against every schedule there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import pytest

import racewindow as rw
from racewindow.disk import Granularity
from racewindow.experiments import Section, closing, double, windows
from racewindow.experiments._intrusion import Intrusion, Pair, play
from racewindow.frames import DOUBLE, FAILING
from racewindow.implementations import DESIGNS
from racewindow.kernel import Engine, Run, Task, Token, token_of
from racewindow.kernel.hosts import run_on
from racewindow.kernel.token import outcome_of

COMMIT = "commit nowait"  # of client a, the victim, in both stories; client b is the intruder


def root_of(task: Task) -> str:
    """The client at the top of a task's ancestors, below the subject's own task."""
    while task.parent is not None and task.parent.parent is not None:
        task = task.parent
    return task.name


class Script:
    """Follows a list of roles, one for each choice; after it, one side goes first, run to block, and a before its background work."""

    every_step = True

    def __init__(self, roles: list[str], first: Callable[[str], bool]) -> None:
        self.roles = roles
        self.first = first
        self.log: list[str] = []
        self.labels: list[str] = []
        self.tasks: dict[str, Task] = {}
        self.second_alone = False  # after the list, only the other side could go on while a or its work was not done

    def choose(self, enabled: list[Task], current: int) -> int:
        self.tasks.update((task.name, task) for task in enabled)
        if len(self.log) < len(self.roles):
            chosen = [task.name for task in enabled].index(self.roles[len(self.log)])
        else:
            mine = [place for place, task in enumerate(enabled) if self.first(root_of(task))]
            if not mine:
                living = any(task.alive for name, task in self.tasks.items() if name.split("/")[0] == "a")
                self.second_alone = self.second_alone or living
                mine = list(range(len(enabled)))
            client = [place for place in mine if enabled[place].name == "a"]
            chosen = current if current in mine else [*client, *mine][0]
        self.log.append(enabled[chosen].name)
        self.labels.append(enabled[chosen].point.label)
        return chosen


def of_b(root: str) -> bool:
    return root == "b"


def not_of_b(root: str) -> bool:
    return root != "b"


def brute_force(case: rw.Case) -> list[dict[str, object]]:
    def draw(engine: Engine) -> list[dict[str, object]]:
        def run(roles: list[str], first: Callable[[str], bool]) -> tuple[Run, Script]:
            script = Script(roles, first)
            return engine.execute(case.subject(), script, case.limits), script

        def is_b(name: str) -> bool:
            return name.split("/")[0] == "b"

        _, alone = run([], not_of_b)
        start = next(at for at, name in enumerate(alone.log) if (name, alone.labels[at]) == ("a", COMMIT))
        end = next((at for at in range(start, len(alone.log)) if is_b(alone.log[at])), len(alone.log))
        ends = [start, *(at + 1 for at in range(start, end) if alone.log[at] != "main")]
        rows: list[dict[str, object]] = []

        def row(gap: int, steps: int, told: Run, waited: bool) -> dict[str, object]:
            failed = "failed" if told.verdict == "failed" else "ok"
            return {
                "gap": gap,
                "intruder_steps": steps,
                "outcome": f"blocked-then-{failed}" if waited else failed,
                "violation": "+".join(dict.fromkeys(each.kind for each in told.violations)),
                "token": str(token_of(told, subject=case.name, checksum=case.checksum)),
            }

        for gap, at in enumerate(ends):
            prefix = alone.log[:at]
            whole, script = run(prefix, of_b)
            steps = [place for place in range(at, len(script.log)) if is_b(script.log[place])]
            after = case.scenario.client("b").after is not None
            if not steps or (after and "a" in script.log[at : steps[0]]):
                # It cannot start here: then nothing is different from the schedule without an intrusion.
                told, _ = run(prefix, not_of_b)
                rows.append(row(gap, 0, told, False) | {"outcome": "infeasible", "violation": ""})
                continue
            for count, place in enumerate(steps, 1):
                roles = script.log[: place + 1]
                waited = any(not is_b(name) for name in roles[at:])
                if count == len(steps):
                    rows.append(row(gap, count, whole, waited))
                else:
                    told, second = run(roles, not_of_b)
                    rows.append(row(gap, count, told, waited or second.second_alone))
        return rows

    return run_on("trio", draw)


def case_of(name: str, scenario: str, disk: Granularity = "atomic") -> rw.Case:
    return rw.case(name, scenario, topology="separate-stores", disk=disk)


class TestCells:
    @pytest.mark.parametrize("name", [design.name for design in DESIGNS])
    @pytest.mark.parametrize("scenario", ["after-completion", "free-running"])
    @pytest.mark.parametrize("disk", ["atomic", pytest.param("suspending", marks=pytest.mark.exhaustive)])
    def test_every_cell_is_what_a_written_out_schedule_does(self, name: str, scenario: str, disk: Granularity) -> None:
        """The same outcome, the same violations and the same schedule, for all designs."""
        case = case_of(name, scenario, disk)
        expected = brute_force(case)
        found = double(case).frame
        assert found[list(expected[0])].to_dict("records") == expected

    @pytest.mark.parametrize("name", ["commit-in-place", "path-lock"])
    def test_among_all_schedules_with_two_preemptions_are_those_of_the_matrix(self, name: str) -> None:
        """An exhaustive search, which knows nothing of victims and intruders, runs each of them, with the same end."""
        case = case_of(name, "after-completion")
        ends: set[str] = set()
        rw.explore(
            case.subject(),
            strategy=rw.Bounded(2),
            schedules=None,
            limits=case.limits,
            name=case.name,
            checksum=case.checksum,
            on_run=lambda run: ends.add(outcome_of(run)),
        )
        frame = double(case).frame
        assert {Token.parse(token).fingerprint for token in frame["token"]} <= ends

    @pytest.mark.exhaustive
    @pytest.mark.parametrize("name", ["commit-in-place", "path-lock", "locked-intent"])
    def test_where_one_preemption_is_all_there_is_the_map_has_every_schedule(self, name: str) -> None:
        """Of every schedule with at most one preemption, those in which b runs in one piece while a commits are the cells of the map."""
        case = case_of(name, "free-running")
        found: dict[str, set[tuple[int, str]]] = {}

        def note(run: Run) -> None:
            roles = [point.task.name for point in run.points if point.task is not None and point.task.name != "main"]
            labels = [point.label for point in run.points if point.task is not None and point.task.name != "main"]
            mine = [at for at, role in enumerate(roles) if role.split("/")[0] == "b" and labels[at] != "start"]
            others = [
                (role, label) for at, (role, label) in enumerate(zip(roles, labels, strict=True)) if at not in mine
            ]
            gap = mine[0] - others.index(("a", COMMIT)) if mine else -1
            if gap >= 0 and mine == list(range(mine[0], mine[-1] + 1)):
                found.setdefault(outcome_of(run), set()).add((gap, run.verdict))

        rw.explore(
            case.subject(),
            strategy=rw.Bounded(1),
            schedules=None,
            limits=case.limits,
            name=case.name,
            checksum=case.checksum,
            on_run=note,
        )
        frame = windows(case).frame
        whole = frame[frame["outcome"].astype("str").isin(["ok", "failed"])]
        for cell in whole.to_dict("records"):
            verdict = "failed" if cell["outcome"] == "failed" else "passed"
            assert (cell["gap"], verdict) in found[Token.parse(cell["token"]).fingerprint]

    def test_an_uninterrupted_intruder_is_the_single_map(self) -> None:
        """The last cell of each gap is its cell of `windows`."""
        case = case_of("path-lock", "free-running")
        frame, single = double(case).frame, windows(case).frame
        whole = frame[frame["whole"] | (frame["outcome"] == "infeasible")]
        for column in ("gap", "outcome", "violation", "token", "before_step"):
            assert whole[column].astype("str").tolist() == single[column].astype("str").tolist()

    def test_two_preemptions_find_what_one_does_not(self) -> None:
        """b reads before a commits, and commits what it read after that: no whole intrusion does so in the first gaps."""
        result = double(case_of("path-lock", "free-running"))
        assert result.widths["only_double"].item() > 0
        alone = result.frame[(result.frame["gap"] == 0) & result.frame["outcome"].isin(FAILING)]
        assert len(alone)
        assert not alone["whole"].any()
        assert result.timeline(result.widths["token"].item()).violation

    def test_who_waited_is_told(self) -> None:
        """With a lock, the intruder that holds it makes the victim wait, and the other way round."""
        waited = set(double(case_of("locked-intent", "free-running")).frame["waited"])
        assert {"victim", "intruder"} <= waited

    def test_the_frame_is_tidy(self) -> None:
        """The documented columns, and a short repr."""
        result = double(case_of("path-lock", "free-running"))
        assert result.frame.columns.tolist() == [column.name for column in DOUBLE]
        assert repr(result).endswith(f"{result.widths['failing'].item()} of {len(result.frame)} cells>")

    def test_without_a_pair_there_is_nothing_to_map(self) -> None:
        """One line, as for windows."""
        with pytest.raises(rw.UsageError, match="no victim and intruder"):
            double(case_of("reference", "a: add m1; commit"))

    def test_where_the_scenario_does_not_apply_the_matrix_is_empty(self) -> None:
        """Nothing is run."""
        assert len(double(case_of("path-lock", "a: add m1; commit | p: power-loss")).frame) == 0


class Handle:
    """Reads the live log, archives it, clears it: each after a point, unless the store says that these are one step."""

    def __init__(self, store: Store) -> None:
        self.store, self.disk, self.world = store, store.env.disk, store.env.world

    async def add(self, message: str) -> None:
        await self.world.point("write")
        messages = [*await self.reload(), message]
        await self.disk.write("live", " ".join(messages).encode())
        if len(messages) > 1:
            self.store.second.set()

    async def reload(self) -> list[str]:
        return (await self.disk.read("live")).decode().split() if "live" in self.disk.names("") else []

    async def commit(self, *, wait: bool) -> rw.EndedTicket:
        await self.world.point("prepare")
        await self.world.point("read")
        messages = await self.reload()
        if self.store.waits_inside:
            await self.world.wait(self.store.second, "another-add")
        elif not self.store.one_step:
            await self.world.point("archive")
        number = len(self.disk.names("archives")) + 1
        if messages:
            await self.disk.write(f"archives/{number}", " ".join(messages).encode())
        if not self.store.one_step:
            await self.world.point("clear")
        await self.disk.write("live", b"")
        await self.store.env.extract(messages)
        return rw.EndedTicket(f"commit-{number}")


class Store(rw.SessionStore):
    """Three steps that should be one."""

    name = "three-steps"
    capabilities = rw.Capabilities(background=False, tasks=False, durable=False)
    one_step: ClassVar[bool] = False
    waits_inside: ClassVar[bool] = False

    def __init__(self, env: rw.Environment) -> None:
        super().__init__(env)
        self.second = env.world.event()

    async def load(self) -> Handle:
        return Handle(self)

    @classmethod
    def observe(cls, env: rw.Environment) -> rw.Observation:
        def ids(path: str) -> tuple[str, ...]:
            return tuple((env.disk.peek(path) or b"").decode().split())

        numbers = env.disk.names("archives") if "archives" in env.disk.names("") else []
        archives = [
            rw.Archive(number=int(name), messages=ids(f"archives/{name}"), state="extracted") for name in numbers
        ]
        return rw.Observation(live=ids("live"), archives=tuple(archives))


class OneStep(Store):
    """The same with the repair made in its code."""

    name = "one-step"
    one_step = True


class WaitsInside(Store):
    """Waits in the middle for what another client does."""

    name = "waits-inside"
    waits_inside = True


def own(store: type[Store], text: str = "a: add m1; commit | b: add m2") -> rw.Case:
    return rw.case(store, text, topology="same-store", disk="atomic")


class TestClosing:
    def test_the_section_found_is_the_repair_that_works_in_the_code(self) -> None:
        """What is to be atomic is named by its points; with these points gone from the code there is no window."""
        result = closing(own(Store))
        (row,) = result.frame.to_dict("records")
        assert (row["opens"], row["closes"], row["width"]) == ("commit/read", "commit/clear", 2)
        assert (row["atomic_from"], row["atomic_to"], row["atomic_gaps"]) == ("commit/read", "commit/clear", 2)
        assert row["closed"]
        assert result.closed
        assert (row["left"], row["double_left"], row["token"]) == (0, 0, "")
        assert row["double"] > 0
        assert windows(own(OneStep)).widths["failing"].item() == 0
        assert double(own(OneStep)).widths["failing"].item() == 0
        assert repr(result).endswith("1 of 1 windows>")

    def test_nothing_smaller_would_do(self) -> None:
        """Each section with one gap less leaves a gap that fails."""
        case = own(Store)
        pair = rw.experiments.pair_of(case)
        smaller = [
            Section(("commit/read", 1), ("commit/archive", 1)),
            Section(("commit/archive", 1), ("commit/clear", 1)),
        ]

        def failing(section: Section) -> int:
            def run(engine: Engine) -> int:
                plays = [
                    play(engine, case, Intrusion(case, pair, gap=gap, sections=[section]), "a gap") for gap in range(6)
                ]
                return sum(run.verdict == "failed" for run in plays)

            return run_on("trio", run)

        assert all(failing(section) > 0 for section in smaller)
        assert failing(Section(("commit/read", 1), ("commit/clear", 1))) == 0

    def test_a_section_that_waits_for_somebody_outside_cannot_be_atomic(self) -> None:
        """It is not closed by decree: the other client goes on, and does its harm."""
        (row,) = closing(own(WaitsInside), double=False).frame.to_dict("records")
        assert not row["closed"]
        assert row["reason"].endswith("for the victim waits there for somebody outside")
        assert row["atomic_from"] == ""
        assert row["left"] > 0
        assert row["double"] == row["double_left"] == -1
        assert row["token"]

    def test_a_window_up_to_the_end_cannot_be_closed(self) -> None:
        """What fails one after the other is no matter of steps that should be one."""
        case = case_of("path-lock", "free-running")
        pair = Pair(victim="a", index=1, intruder="b", intrusion=1)
        (row,) = closing(case, pair=pair, double=False).frame.to_dict("records")
        assert not row["closed"]
        assert row["closes"] == "end"
        assert "after the last step too" in row["reason"]

    @pytest.mark.parametrize("name", ["commit-in-place", "copy-on-write", "path-lock"])
    def test_windows_of_designs_are_closed_by_their_own_steps(self, name: str) -> None:
        """For one preemption; what two of them still do is counted, and has a token."""
        result = closing(case_of(name, "free-running"))
        assert result.closed
        for row in result.frame.to_dict("records"):
            assert (row["atomic_from"], row["atomic_to"]) == (row["opens"], row["closes"])
            assert row["double_left"] < row["double"]
            assert bool(row["token"]) is (row["double_left"] > 0)
            if row["token"]:
                assert result.timeline(row["token"]).violation

    def test_no_window_no_row(self) -> None:
        """A store without windows needs no repair."""
        result = closing(case_of("locked-intent", "free-running"), double=False)
        assert len(result.frame) == 0
        assert result.closed
