"""The atlas against a second drawing of it: the same maps, made by a chooser that shares nothing with the experiment."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import racewindow as rw
from racewindow.disk import GRANULARITIES, Granularity
from racewindow.experiments import Pair, double, pairs_of, windows
from racewindow.frames import OUTCOMES, WINDOWS
from racewindow.implementations import BUILT_IN, implementation
from racewindow.kernel import Engine, Limits, Run, Task, token_of
from racewindow.kernel.hosts import run_on
from racewindow.sessions import Case, story
from racewindow.sessions.scenario import Topology

COMMIT = "commit nowait"  # of client a, the victim, in both stories; client b is the intruder


def of_intruder(task: Task) -> bool:
    roots = [task]
    while roots[-1].parent is not None:
        roots.append(roots[-1].parent)
    return any(each.name == "b" for each in roots)


class Recorder:
    """Lets everybody but the intruder run to block, and writes down who stepped from where."""

    every_step = True

    def __init__(self) -> None:
        self.log: list[tuple[str, str]] = []

    def choose(self, enabled: list[Task], current: int) -> int:
        chosen = self.pick(enabled, current)
        self.log.append((enabled[chosen].name, enabled[chosen].point.label))
        return chosen

    def pick(self, enabled: list[Task], current: int) -> int:
        mine = [index for index, task in enumerate(enabled) if not of_intruder(task)]
        if not mine:
            return max(current, 0)
        client = [index for index in mine if enabled[index].name == "a"]
        return current if current in mine else [*client, *mine][0]


class Intruder(Recorder):
    """Repeats the first steps of a record by name, then lets the intruder go first for the rest of the schedule."""

    def __init__(self, record: list[tuple[str, str]], after: bool) -> None:
        super().__init__()
        self.record = record
        self.after = after  # the intruder starts after the victim's client has ended
        self.tasks: dict[str, Task] = {}
        self.feasible: bool | None = None
        self.had_to_wait = False

    def pick(self, enabled: list[Task], current: int) -> int:
        self.tasks.update((task.name, task) for task in enabled)
        if len(self.log) < len(self.record):
            (index,) = [
                i for i, task in enumerate(enabled) if (task.name, task.point.label) == self.record[len(self.log)]
            ]
            return index
        if self.feasible is None:
            started = not (self.after and self.tasks["a"].alive)
            self.feasible = started and ("b" not in self.tasks or self.tasks["b"].alive)
        theirs = [index for index, task in enumerate(enabled) if of_intruder(task)]
        if self.feasible and theirs:
            return current if current in theirs else theirs[0]
        if self.feasible and self.tasks["b"].alive:
            self.had_to_wait = True
        return super().pick(enabled, current)


def brute_force(case: Case) -> list[dict[str, object]]:
    def draw(engine: Engine) -> list[dict[str, object]]:
        def play(chooser: Recorder) -> Run:
            return engine.execute(case.subject(), chooser, Limits(max_steps=case.max_steps))

        alone = Recorder()
        play(alone)
        start = alone.log.index(("a", COMMIT))
        ends = [start]  # after how many entries of the record each of the victim's steps was done
        names = {name for name, _ in alone.log}
        for index in range(start, len(alone.log)):
            name, _ = alone.log[index]
            if name == "b" or name.startswith("b/"):
                break  # a is done: nothing but b could go on
            if name != "main":
                ends.append(index + 1)
        assert "b" in names, "alone, the intruder comes last"
        labels = [alone.log[end - 1][1] for end in ends[1:]]
        rows: list[dict[str, object]] = []
        for gap, end in enumerate(ends):
            chooser = Intruder(alone.log[:end], after=case.scenario.client("b").after is not None)
            run = play(chooser)
            failed = run.verdict == "failed"
            outcome = (
                f"blocked-then-{'failed' if failed else 'ok'}" if chooser.had_to_wait else "failed" if failed else "ok"
            )
            rows.append(
                {
                    "gap": gap,
                    "after_step": labels[gap - 1] if gap else "",
                    "before_step": labels[gap] if gap < len(labels) else "",
                    "outcome": outcome if chooser.feasible else "infeasible",
                    "violation": "+".join(dict.fromkeys(each.kind for each in run.violations))
                    if chooser.feasible
                    else "",
                    "token": str(token_of(run, subject=case.name, checksum=case.checksum)),
                }
            )
        return rows

    return run_on("trio", draw)


def case_of(name: str, scenario: str, topology: Topology = "separate-stores", disk: Granularity = "suspending") -> Case:
    return Case(implementation=implementation(name), scenario=story(scenario), topology=topology, disk=disk)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.exhaustive] if BUILT_IN[name].mutant else []) for name in BUILT_IN]
)
@pytest.mark.parametrize("scenario", ["after-completion", "free-running"])
@pytest.mark.parametrize(
    "topology", [pytest.param("same-handle", marks=pytest.mark.exhaustive), "same-store", "separate-stores"]
)
@pytest.mark.parametrize("disk", GRANULARITIES)
def test_every_cell_is_what_brute_force_finds(name: str, scenario: str, topology: Topology, disk: Granularity) -> None:
    case = case_of(name, scenario, topology, disk)
    expected = brute_force(case)
    found = windows(case).frame[list(expected[0])].to_dict("records")
    assert found == expected


@pytest.mark.parametrize("scenario", ["after-completion", "free-running"])
def test_every_token_of_a_map_replays_its_cell(scenario: str) -> None:
    case = case_of("copy-on-write", scenario)
    for cell in windows(case).frame.to_dict("records"):
        run = rw.replay(case.subject(), cell["token"], limits=case.limits, name=case.name, checksum=case.checksum)
        if cell["outcome"] != "infeasible":
            assert (run.verdict == "failed") is (cell["outcome"] in ("failed", "blocked-then-failed"))
            assert "+".join(dict.fromkeys(each.kind for each in run.violations)) == cell["violation"]


def test_an_intruder_that_may_not_have_started_yet_makes_infeasible_cells() -> None:
    frame = windows(case_of("reference", "after-completion")).frame
    outcomes = frame["outcome"].astype("str").tolist()
    assert outcomes.index("ok") > 1, "b starts after a"
    assert set(outcomes[: outcomes.index("ok")]) == {"infeasible"}
    assert set(outcomes[outcomes.index("ok") :]) <= {"ok", "infeasible"}
    assert (frame.loc[frame["outcome"] == "infeasible", "violation"] == "").all()


def test_an_intruder_that_meets_a_lock_makes_blocked_cells_as_long_as_the_lock_is_held() -> None:
    result = windows(case_of("reference", "free-running"))
    blocked = result.frame[result.frame["outcome"] == "blocked-then-ok"]
    # The claim under the lock, and the intruder's wait for the extraction; nothing in between is left out.
    assert blocked["after_step"].iloc[0] == "commit/lock:locks/s"
    assert result.widths["blocked"].item() == len(blocked) > 5
    gap = int(blocked["gap"].iloc[0])
    assert result.frame["outcome"].iloc[gap - 1] == "ok", "before the lock is taken nobody waits"


def test_phases_follow_the_commit() -> None:
    frame = windows(case_of("copy-on-write", "free-running", "same-store")).frame
    phases = frame["phase"].astype("str").tolist()
    assert list(dict.fromkeys(phases)) == ["before-accepted", "accepted", "completed"]
    # Accepted is said before anything was done; completed is seen at the end of the wait, with the worker still to come.
    assert frame.loc[frame["phase"] == "accepted", "after_step"].iloc[0] == COMMIT
    assert "task.end" in frame.loc[frame["phase"] == "completed", "after_step"].iloc[0]
    waiting = windows(case_of("reference", "a: add m1; commit | b: add m2; commit")).frame
    assert "accepted" not in set(waiting["phase"].astype("str")), "who waits for the commit learns both at once"


class Roles:
    """Follows a list of roles, then lets one side go first, run to block, client a before its background work."""

    every_step = True

    def __init__(self, roles: list[str], intruder_first: bool) -> None:
        self.roles, self.intruder_first = roles, intruder_first
        self.log: list[tuple[str, str]] = []

    def choose(self, enabled: list[Task], current: int) -> int:
        if len(self.log) < len(self.roles):
            chosen = [task.name for task in enabled].index(self.roles[len(self.log)])
        else:
            mine = [at for at, task in enumerate(enabled) if of_intruder(task) is self.intruder_first]
            mine = mine or list(range(len(enabled)))
            chosen = current if current in mine else [*(at for at in mine if enabled[at].name == "a"), *mine][0]
        self.log.append((enabled[chosen].name, enabled[chosen].point.label))
        return chosen


@pytest.mark.parametrize("name", ["path-lock", "commit-in-place", "reference"])
@pytest.mark.parametrize("victim", ["add m1", COMMIT])
def test_one_operation_as_the_intruder_is_what_a_written_out_schedule_does(name: str, victim: str) -> None:
    """b has reloaded when a's operation begins; its commit alone comes in the gaps."""
    case = case_of(name, "free-running", disk="atomic")
    pair = Pair(victim="a", index=0 if victim == "add m1" else 1, intruder="b", intrusion=1)

    def draw(engine: Engine) -> list[tuple[str, str]]:
        def run(roles: list[str], intruder_first: bool) -> tuple[Run, list[tuple[str, str]]]:
            chooser = Roles(roles, intruder_first)
            return engine.execute(case.subject(), chooser, case.limits), chooser.log

        log = run([], False)[1]
        before = [role for role, _ in log[: log.index(("a", victim))]]
        log = run(before, True)[1]
        before += [role for role, _ in log[len(before) : log.index(("b", "commit"))]]
        log = run(before, False)[1]
        labels = [label for _, label in log]
        last = (
            labels.index(COMMIT)
            if victim == "add m1"
            else next(at for at, (role, _) in enumerate(log) if role == "b" and at >= len(before))
        )
        ends = [at for at in range(len(before), last + 1) if log[at - 1][0] != "main"]
        cells = []
        for end in ends:
            told = run([role for role, _ in log[:end]], True)[0]
            cells.append((str(told.verdict), str(token_of(told, subject=case.name, checksum=case.checksum))))
        return cells

    expected = run_on("trio", draw)
    frame = windows(case, pairs=[pair]).frame
    verdicts = ["failed" if "failed" in outcome else "passed" for outcome in frame["outcome"].astype("str")]
    assert list(zip(verdicts, frame["token"], strict=True)) == expected


def test_every_operation_against_every_other_client() -> None:
    """A map for each victim's operation and each intruder, as a whole and operation by operation; the usual one is among them."""
    case = case_of("path-lock", "free-running", disk="atomic")
    result = windows(case, every=True)
    names = [
        tuple(row) for row in result.widths[["victim", "operation", "intruder", "intrusion"]].astype("str").to_numpy()
    ]
    of_a = [("a", operation, "b", unit) for operation in ("add m1", COMMIT) for unit in ("", "reload", "commit")]
    of_b = [("b", operation, "a", unit) for operation in ("reload", "commit") for unit in ("", "add m1", COMMIT)]
    assert names == of_a + of_b
    usual = windows(case).frame
    mine = result.frame[
        (result.frame["operation"] == COMMIT) & (result.frame["intrusion"] == "") & (result.frame["victim"] == "a")
    ]
    assert mine["token"].tolist() == usual["token"].tolist()
    assert repr(result).startswith("<WindowsResult path-lock/free-running/separate-stores/atomic 12 maps ")


def test_whoever_is_waited_for_does_not_come_in_between() -> None:
    case = case_of("reference", "after-completion", disk="atomic")
    assert {(pair.victim, pair.intruder) for pair in pairs_of(case)} == {("a", "b")}
    with pytest.raises(rw.UsageError, match="adds, commits or reloads"):
        windows(case_of("reference", "a: add m1; commit"), every=True)


def test_operations_with_the_same_text_are_told_apart() -> None:
    result = windows(case_of("path-lock", "a: add m1; commit; add m2; commit | b: add m3", disk="atomic"), every=True)
    operations = result.widths.loc[result.widths["victim"].astype("str") == "a", "operation"].astype("str").tolist()
    assert operations == ["add m1", "commit #1", "add m2", "commit #2"]


@pytest.mark.parametrize(
    "pair",
    [
        Pair(victim="a", index=1, intruder="a"),
        Pair(victim="a", index=7, intruder="b"),
        Pair(victim="a", index=2, intruder="b"),
        Pair(victim="z", index=0, intruder="b"),
        Pair(victim="b", index=1, intruder="a"),
        Pair(victim="a", index=1, intruder="b", intrusion=0),
    ],
)
@pytest.mark.parametrize(
    "experiment", [lambda case, pair: windows(case, pairs=[pair]), lambda case, pair: double(case, pair=pair)]
)
def test_a_pair_that_the_scenario_does_not_have(pair: Pair, experiment: Callable[[Case, Pair], object]) -> None:
    with pytest.raises(rw.UsageError, match="is no pair of the scenario"):
        experiment(case_of("reference", "after-completion"), pair)


def test_disconnected_windows_are_kept_apart() -> None:
    spans = windows(case_of("path-lock", "free-running", disk="atomic"), every=True).spans
    assert (spans["width"] == spans["last"] - spans["first"] + 1).all()
    assert spans.loc[spans["opens"] != "start", "opens"].tolist()


def test_the_frame_is_tidy_and_the_result_short() -> None:
    result = windows(case_of("path-lock", "free-running"))
    assert result.frame.columns.tolist() == [column.name for column in WINDOWS]
    assert result.frame["gap"].tolist() == list(range(len(result.frame)))
    assert set(result.frame["outcome"].cat.categories) == set(OUTCOMES)
    failing = result.widths["failing"].item()
    assert (
        repr(result)
        == f"<WindowsResult path-lock/free-running/separate-stores/suspending {failing} of {len(result.frame)} gaps>"
    )
    assert (result.victim, result.operation, result.intruder) == ("a", COMMIT, "b")


def test_a_cell_has_its_story() -> None:
    result = windows(case_of("copy-on-write", "after-completion"))
    told = result.timeline(result.widths["token"].item())
    assert "extracted-once" in told.violation or "committed-once" in told.violation
    assert told.replay == f"racewindow replay {result.widths['token'].item()}"


@pytest.mark.parametrize("text", ["a: add m1; commit", "a: add m1 | b: add m2", "a: commit | b: add m1"])
def test_without_a_pair_there_is_nothing_to_map(text: str) -> None:
    with pytest.raises(rw.UsageError, match="no victim and intruder"):
        windows(case_of("reference", text))


def test_where_the_scenario_does_not_apply_the_map_is_empty() -> None:
    text = "a: add m1; commit | p: power-loss"
    assert len(windows(case_of("path-lock", text)).frame) == 0


def test_a_schedule_cut_short_is_never_drawn_as_ok() -> None:
    case = Case(implementation=implementation("reference"), scenario=story("free-running"), max_steps=45)
    with pytest.raises(rw.Unsupported, match="max_steps=45 was reached"):
        windows(case)
