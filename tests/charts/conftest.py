"""Made-up frames of a realistic shape. The numbers are invented: nothing here says anything about any store."""

from __future__ import annotations

import pandas as pd
import pytest

from racewindow.frames import Row, Timeline, matrix_frame, windows_frame

AFTER = "after-completion"
FREE = "free-running"
TWICE = "committed-once+extracted-once"
STORIES = {
    AFTER: "a: add m1; commit nowait; wait | b: after a; reload; commit",
    FREE: "a: add m1; commit nowait; wait | b: reload; commit",
    "stale-handle": "a: add m1; commit | b: commit; add m2; commit",
    "add-during-commit": "a: add m1; add m2 | b: commit nowait; wait",
}

# name -> labels of the victim's steps, (accepted after step, completed after step), story -> failing gaps
VICTIMS: dict[str, tuple[list[str], tuple[int, int], dict[str, dict[int, str]]]] = {
    "reference": (
        ["commit/lock.acquire", "commit/claim.rename", "commit/lock.release", "task/extract", "task/result.replace"],
        (3, 5),
        {},
    ),
    "commit-in-place": (
        [
            "commit/live.read",
            "commit/summary",
            "commit/archive.write",
            "commit/mem.clear",
            "task/extract",
            "task/live.clear",
            "task/relations.write",
        ],
        (1, 7),
        {FREE: {1: TWICE, 2: TWICE, 3: TWICE, 4: "extracted-once", 5: "extracted-once"}},
    ),
    "copy-on-write": (
        [
            "commit/session.copy",
            "commit/user.copy",
            "commit/agent.copy",
            "commit/temp.archive.write",
            "commit/mem.clear",
            "commit/extract",
            "commit/temp.live.clear",
            "commit/semantic.enqueue",
            "worker/summary",
            "worker/tree.list",
            "worker/live.delete",
            "worker/move.archive",
            "worker/move.live",
            "worker/temp.remove",
        ],
        (8, 8),
        {
            FREE: dict.fromkeys(range(1, 13), TWICE),
            AFTER: {8: TWICE, 9: TWICE, 10: TWICE, 11: "nothing-lost", 12: TWICE + "+completed-means-switched"},
        },
    ),
    "copy-on-write-early-clear": (
        [
            "commit/session.copy",
            "commit/user.copy",
            "commit/agent.copy",
            "commit/temp.archive.write",
            "commit/mem.clear",
            "commit/extract",
            "commit/live.clear",
            "commit/temp.live.clear",
            "commit/semantic.enqueue",
            "worker/summary",
            "worker/tree.list",
            "worker/live.delete",
            "worker/move.archive",
            "worker/move.live",
            "worker/temp.remove",
        ],
        (9, 9),
        {
            FREE: {2: TWICE, 3: TWICE, 4: TWICE, 5: TWICE, 9: "nothing-stranded", 12: "order-kept"},
            AFTER: {10: "nothing-lost", 12: "nothing-lost"},
        },
    ),
    "path-lock": (
        [
            "commit/mem.read",
            "commit/lock.acquire",
            "commit/mem.recheck",
            "commit/mem.clear",
            "commit/live.clear",
            "commit/lock.release",
            "task/summary",
            "task/archive.write",
            "task/redo.write",
            "task/extract",
            "task/live.write",
            "task/redo.remove",
        ],
        (6, 12),
        {FREE: {8: "committed-once", 9: TWICE, 10: TWICE}},
    ),
    "locked-intent": (
        [
            "commit/lock.acquire",
            "commit/live.read",
            "commit/meta.write",
            "commit/archive.write",
            "commit/enqueue",
            "commit/task.create",
            "commit/live.write",
            "commit/meta.ready",
            "commit/lock.release",
            "task/extract",
            "task/done.write",
            "task/complete",
        ],
        (9, 12),
        {},
    ),
    "reference-without-lock": (
        ["commit/claim.rename", "task/extract", "task/result.replace"],
        (1, 3),
        {FREE: {1: "nothing-stranded"}},
    ),
    "openai-agents": (
        ["compact/items.select", "compact/llm", "compact/items.delete", "compact/items.insert"],
        (4, 4),
        {FREE: {2: "nothing-lost+order-kept", 3: "nothing-lost"}},
    ),
}


def cells(
    name: str, scenario: str, topology: str = "separate-stores", disk: str = "suspending"
) -> list[dict[str, object]]:
    labels, (accepted, completed), stories = VICTIMS[name]
    failing = stories.get(scenario, {})
    rows: list[dict[str, object]] = []
    for gap in range(len(labels) + 1):
        phase = "completed" if gap >= completed else "accepted" if gap >= accepted else "before-accepted"
        waits = "lock" in name or name == "reference"
        held = waits and 0 < gap < accepted and name != "reference-without-lock"
        outcome = "failed" if gap in failing else "ok"
        if held:
            outcome = "blocked-then-" + outcome
        if scenario == AFTER and gap < completed:
            outcome = "infeasible"
        rows.append(
            {
                "implementation": name,
                "scenario": scenario,
                "topology": topology,
                "disk": disk,
                "gap": gap,
                "after_step": labels[gap - 1] if gap else "",
                "before_step": labels[gap] if gap < len(labels) else "",
                "task": "a",
                "phase": phase,
                "outcome": outcome,
                "violation": failing.get(gap, "") if "failed" in outcome else "",
                "token": f"RW1.{name}.{scenario}.{gap}" if "failed" in outcome else "",
            }
        )
    return rows


def atlas_frame(
    scenarios: tuple[str, ...] = (AFTER, FREE), topologies: tuple[str, ...] = ("separate-stores",)
) -> pd.DataFrame:
    return windows_frame(
        row
        for scenario in scenarios
        for topology in topologies
        for name in VICTIMS
        for row in cells(name, scenario, topology)
    )


def comparison() -> pd.DataFrame:
    """Eight implementations by ten rows, with every verdict."""
    rows: list[dict[str, object]] = []
    places = [
        (story, where, disk)
        for story in (AFTER, FREE)
        for where in ("same-store", "separate-stores")
        for disk in ("suspending", "atomic")
    ]
    places += [("stale-handle", "separate-stores", "suspending"), ("add-during-commit", "same-handle", "suspending")]
    for number, (story, where, disk) in enumerate(places):
        for name, (_, _, failing) in VICTIMS.items():
            kinds = list(dict.fromkeys(kind for gap in failing.get(story, {}).values() for kind in gap.split("+")))
            verdict = "failed" if kinds else "proved"
            if not kinds and number in (4, 6):
                verdict = "passed"
            if name == "openai-agents" and where == "same-store":
                verdict, kinds = "not-applicable", []
            if name == "commit-in-place" and story == "stale-handle":
                verdict = "unknown"
            schedules = {"proved": 1204 + 17 * number, "passed": 1000, "failed": 1000, "unknown": 50_000}.get(
                verdict, 0
            )
            rows.append(
                {
                    "scenario": story,
                    "topology": where,
                    "disk": disk,
                    "implementation": name,
                    "verdict": verdict,
                    "violation": "+".join(kinds),
                    "schedules": schedules,
                    "failures": 12 * len(kinds) + number if kinds else 0,
                    "complete": verdict == "proved",
                    "bound": "preemptions<=2" if verdict == "proved" else "",
                    "strategy": "exhaustive" if verdict == "proved" else "random walk",
                    "token": f"RW1.{name}.{story}.8" if kinds else "",
                    "reason": {"unknown": "max_steps=500 was hit", "not-applicable": "one session is one store"}.get(
                        verdict, ""
                    ),
                }
            )
    return matrix_frame(rows)


def story(token: str = "RW1.copy-on-write.after-completion.8") -> Timeline:
    return Timeline(
        title="copy-on-write: m1 is archived twice",
        subtitle=f"{STORIES[AFTER]} (separate-stores, disk=suspending)",
        tasks=("a", "b", "worker"),
        rows=(
            Row(step=0, task="a", label="add/live.write", state="live m1"),
            Row(step=1, task="a", label="commit/session.copy", state="live m1"),
            Row(step=2, task="a", label="commit/temp.archive.write", state="live m1 | temp A1 m1"),
            Row(step=3, task="a", label="commit/mem.clear", state="live m1 | temp A1 m1"),
            Row(step=4, task="a", label="commit/extract", notes=("extract m1",), state="live m1 | temp A1 m1"),
            Row(
                step=5,
                task="a",
                label="commit/semantic.enqueue",
                notes=("accepted", "completed"),
                state="live m1 | temp A1 m1",
            ),
            Row(step=6, task="a", label="wait", notes=("completed seen",), state="live m1 | temp A1 m1"),
            Row(step=7, task="worker", label="worker/summary", state="live m1 | temp A1 m1"),
            Row(
                step=8,
                task="b",
                label="reload/live.read",
                preempted=True,
                notes=("reads m1",),
                state="live m1 | temp A1 m1",
            ),
            Row(step=9, task="b", label="commit/temp.archive.write", state="live m1 | temp A1 m1 | temp-b A1 m1"),
            Row(
                step=10,
                task="b",
                label="commit/extract",
                notes=("extract m1",),
                violating=True,
                state="live m1 | temp A1 m1 | temp-b A1 m1",
            ),
            Row(step=11, task="worker", label="worker/move.archive", state="live m1 | A1 m1 | temp-b A1 m1"),
        ),
        violation="extracted-once: m1 was handed to the extractor again after a successful hand-over (steps 4 and 10)",
        violating_step=10,
        replay=f"racewindow replay {token}",
    )


def timelines() -> dict[str, Timeline]:
    return {
        token: story(token)
        for token in (f"RW1.copy-on-write.{AFTER}.8", f"RW1.copy-on-write.{FREE}.8", f"RW1.path-lock.{FREE}.8")
    }


@pytest.fixture(scope="session")
def gaps() -> pd.DataFrame:
    return atlas_frame()


@pytest.fixture(scope="session")
def one_panel() -> pd.DataFrame:
    return atlas_frame((FREE,))


@pytest.fixture(scope="session")
def compared() -> pd.DataFrame:
    return comparison()


@pytest.fixture(scope="session")
def told() -> Timeline:
    return story()


@pytest.fixture(scope="session")
def told_by_token() -> dict[str, Timeline]:
    return timelines()


@pytest.fixture(scope="session")
def stories() -> dict[str, str]:
    return dict(STORIES)
