"""The order of the points of each design, against the table of the public history that it re-models (COMMIT_DESIGNS.md).

One client adds one message and commits it, nobody interferes, and every storage call is a point. What the table calls "index++",
"copy mem" and "mem.clear" happens in memory, between points.
"""

from __future__ import annotations

import pytest

import racewindow as rw
from racewindow.implementations import implementation
from racewindow.kernel import Run, Step
from racewindow.sessions import Case, story
from racewindow.sessions.scenario import Topology

LOAD = ["live.read", "archives.list"]  # what a background commit does first: a handle of its own
EXTRACT = ["extract", "extract/answer"]
COPY = ["temp.copy", "live.list", "copy.read", "copy.write", "temp.archive.write"]
# The worker lists both trees; the archive is new; the live log has changed, and is removed before it is moved.
WORKER = ["queue.get", "summary", "live.list", "temp.list"]

IN_PLACE = [
    *("summary", "archive.write", "archive.abstract", "archive.overview"),
    *EXTRACT,
    *("live.clear", "relations.write", "counts.write"),
]
PATH_LOCK = [
    *("lock.acquire", "live.clear", "summary", "archive.write", "redo.pending"),
    *EXTRACT,
    *("live.rewrite", "redo.done"),
]
REDO_LOG = [
    *("summary", "archive.write", "archive.abstract", "archive.overview", "live.clear", "redo.pending"),
    *EXTRACT,
    *("live.rewrite", "semantic.put", "redo.done"),
]
PHASE_TWO = [
    *("redo.pending", "summary", "archive.abstract", "archive.overview"),
    *EXTRACT,
    *("redo.done", "meta.write", "done.write"),
]
TWO_PHASE = ["lock.acquire", "live.clear", "archive.write", "meta.write", *PHASE_TWO]
ARCHIVE_THEN_CLEAR = ["lock.acquire", "archive.write", "live.clear", "meta.write", "task.create", *PHASE_TWO]
DURABLE_QUEUE = [
    *("lock.acquire", "archive.write", "live.clear", "meta.write", "queue.put", "task.create"),
    *("queue.get", *LOAD, "archive.list", "archive.read"),
    *EXTRACT,
    *("meta.write", "done.write"),
]
COW = [*COPY, *EXTRACT, "temp.live.clear", "queue.put", *WORKER, "switch.remove", "switch.move", "switch.move"]
EARLY = [*COPY, *EXTRACT, "temp.live.clear", "live.clear", "queue.put", *WORKER, "switch.move", "temp.remove"]
INTENT = [
    *("lock.acquire", "live.read", "meta.read", "archives.list"),
    *("intent.write", "archive.write", "queue.put", "task.create", "live.clear", "meta.write", "intent.ready"),
    *("queue.get", "intent.read", "archive.read"),
    *EXTRACT,
    *("progress", "done.write"),
]
AFTER_UNLOCK = [
    *("lock.acquire", "live.read", "meta.read", "archives.list"),
    *("intent.write", "archive.write", "live.clear", "meta.write", "lease.acquire", "intent.ready"),
    *("task.create", "queue.put", "queue.get", "intent.read", "archive.read"),
    *EXTRACT,
    *("progress", "done.write"),
]

SEQUENCES = {
    ("commit-in-place", "commit"): IN_PLACE,
    ("commit-in-place", "commit nowait"): [*LOAD, *IN_PLACE],
    ("copy-on-write", "commit"): COW,
    ("copy-on-write", "commit nowait"): [*LOAD, *COW],
    ("copy-on-write-early-clear", "commit"): EARLY,
    ("copy-on-write-early-clear", "commit nowait"): [*LOAD, *EARLY],
    ("path-lock", "commit"): PATH_LOCK,
    ("path-lock", "commit nowait"): [*LOAD, *PATH_LOCK],
    ("redo-log", "commit"): REDO_LOG,
    ("redo-log", "commit nowait"): [*LOAD, *REDO_LOG],
    ("two-phase", "commit"): TWO_PHASE,
    ("two-phase", "commit nowait"): TWO_PHASE,
    ("two-phase-chained", "commit"): TWO_PHASE,
    ("two-phase-chained", "commit nowait"): TWO_PHASE,
    ("archive-then-clear", "commit"): ARCHIVE_THEN_CLEAR,
    ("archive-then-clear", "commit nowait"): ARCHIVE_THEN_CLEAR,
    ("durable-queue", "commit"): DURABLE_QUEUE,
    ("durable-queue", "commit nowait"): DURABLE_QUEUE,
    ("enqueue-after-unlock", "commit"): AFTER_UNLOCK,
    ("enqueue-after-unlock", "commit nowait"): AFTER_UNLOCK,
    ("locked-intent", "commit"): INTENT,
    ("locked-intent", "commit nowait"): INTENT,
}
LOCKED_ADD = ["lock.acquire", "live.read", "live.write", "meta.write"]
ADD = {"locked-intent": LOCKED_ADD, "enqueue-after-unlock": LOCKED_ADD}
KERNEL = ("start", "wait", "wait_task_rescheduled", "task.end")  # the client's own business, and the end


def steps_of(name: str, scenario: str, disk: str = "suspending") -> list[Step]:
    case = Case(implementation=implementation(name), scenario=story(scenario), disk=disk)  # type: ignore[arg-type]
    runs: list[Run] = []
    found = rw.explore(case.subject(), strategy=rw.Bounded(0), schedules=1, on_run=runs.append)
    assert found.failures == 0
    return list(runs[0].trace)


def labels_of(name: str, scenario: str, since: str, disk: str = "suspending") -> list[str]:
    labels = [step.label for step in steps_of(name, scenario, disk)]
    inner = [label.split("/", 1)[1] if "/" in label and label != "extract/answer" else label for label in labels]
    return [label for label in inner[labels.index(since) + 1 :] if label not in KERNEL]


@pytest.mark.parametrize(("name", "commit"), SEQUENCES)
def test_a_commit_happens_in_the_order_of_the_table(name: str, commit: str) -> None:
    waiting = "; wait" if commit == "commit nowait" else ""
    assert labels_of(name, f"a: add m1; {commit}{waiting}", commit) == SEQUENCES[name, commit]


@pytest.mark.parametrize("name", sorted({name for name, _ in SEQUENCES}))
def test_an_add_reads_all_and_writes_all_with_a_lock_only_where_the_table_has_one(name: str) -> None:
    assert labels_of(name, "a: add m1", "add m1") == ADD.get(name, ["live.read", "live.write"])


@pytest.mark.parametrize(("name", "commit"), SEQUENCES)
def test_atomic_leaves_locks_waits_and_the_slow_calls(name: str, commit: str) -> None:
    """What the table marks with ~, locks, and the durable queue are points in every granularity; storage calls are not."""
    slow = {
        "summary",
        "extract",
        "extract/answer",
        "lock.acquire",
        "lease.acquire",
        "queue.put",
        "queue.get",
        "semantic.put",
    }
    listings = {"temp.copy", "live.list", "temp.list"}  # a copy takes its time: marked ~ as well
    waiting = "; wait" if commit == "commit nowait" else ""
    labels = labels_of(name, f"a: add m1; {commit}{waiting}", commit, "atomic")
    expected = SEQUENCES[name, commit]
    assert labels == [label for label in expected if label in slow | (listings if "copy" in name else set())]


@pytest.mark.parametrize(
    "name", ["commit-in-place", "copy-on-write", "copy-on-write-early-clear", "redo-log", "path-lock"]
)
def test_designs_of_the_first_kind_commit_in_the_background_with_a_handle_of_their_own(name: str) -> None:
    tasks = [step.task for step in steps_of(name, "a: add m1; commit nowait; wait") if step.label == "commit/live.read"]
    assert tasks == ["a/commit"]
    assert "commit/live.read" not in [step.label for step in steps_of(name, "a: add m1; commit")]


def outcomes_of(case: Case) -> set[str]:
    """The outcomes of all commits and the ends of all their tasks, over many random schedules."""
    seen: set[str] = set()

    def look(run: Run) -> None:
        seen.update(call.outcome for call in run.result.of_kind("commit"))
        seen.update(f"task {task.status}" for task in run.result.seen)

    rw.explore(case.subject(), schedules=100, seed=0, on_run=look)
    return seen


@pytest.mark.parametrize("name", ["commit-in-place", "two-phase"])
@pytest.mark.parametrize(
    ("ungated", "topology", "refused"),
    [("", "same-store", True), ("", "separate-stores", False), ("-ungated", "same-store", False)],
)
def test_a_gate_keeps_a_second_commit_out_of_one_store_only(
    name: str, ungated: str, topology: Topology, refused: bool
) -> None:
    scenario = story("a: add m1; commit nowait; wait | b: add m2; commit nowait; wait")
    case = Case(implementation=implementation(name + ungated), scenario=scenario, topology=topology, disk="atomic")
    # Where two handles want the lock of two-phase at once, one is refused for another reason; here its holder does not yield.
    assert ("busy" in outcomes_of(case)) is refused


def test_a_second_phase_polls_for_the_first_archive_before_it_begins() -> None:
    labels = labels_of("two-phase-chained", "a: add m1; commit; add m2; commit", "add m2")
    assert labels[labels.index("meta.write") + 1 :][:3] == ["archive.list", "redo.pending", "overview.read"]


def test_a_failed_archive_refuses_a_commit_of_two_phase_chained_and_is_skipped_by_the_next_design() -> None:
    scenario = story("extractor-fails")
    assert "refused" in outcomes_of(Case(implementation=implementation("two-phase-chained"), scenario=scenario))
    assert "refused" not in outcomes_of(Case(implementation=implementation("archive-then-clear"), scenario=scenario))


def test_path_lock_refuses_the_loser_and_locked_intent_lets_it_wait() -> None:
    scenario = story("reload-during-commit")
    losers = {"busy", "task failed"}
    assert outcomes_of(Case(implementation=implementation("path-lock"), scenario=scenario)) & losers == losers
    assert not outcomes_of(Case(implementation=implementation("locked-intent"), scenario=scenario)) & losers
