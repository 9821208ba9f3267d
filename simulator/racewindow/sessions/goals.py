"""What must have happened in some schedule before a pass means anything.

Every goal is about the intervals between invocation and answer (and about faults), so that a store whose commit is one
atomic step reaches it too: a client that has arrived at an operation has invoked it. That is also why nothing here asks
for a first operation to be invoked *after* something: every client arrives at its first operation at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from math import inf
from typing import NamedTuple

from racewindow.errors import UsageError
from racewindow.sessions.history import ENDED, Call, History
from racewindow.sessions.scenario import Scenario


class Goal(NamedTuple):
    """One line for a person, and whether a history reached it."""

    says: str
    reached: Callable[[History], bool]


def end_of(call: Call, history: History) -> float:
    """The step at which a call was over; infinite if it never returned.

    A commit in the background is over when a client first saw that its task had ended.
    """
    if call.returned is None:
        return inf
    if call.kind != "commit" or call.task is None or call.operation.wait:
        return call.returned
    ends = [seen.step for seen in history.seen if seen.task == call.task and seen.status in ENDED and seen.client]
    return max(call.returned, min(ends, default=call.returned))


def _foreign(history: History, first: str, second: str) -> Iterator[tuple[Call, Call]]:
    """Pairs of calls of the two kinds by different clients."""
    for one in history.of_kind(first):
        for other in history.of_kind(second):
            if one.client != other.client:
                yield one, other


def _overlap(one: Call, other: Call, history: History) -> bool:
    return one.invoked <= end_of(other, history) and other.invoked <= end_of(one, history)


def _reload_during_commit(history: History) -> bool:
    return any(_overlap(reload, commit, history) for reload, commit in _foreign(history, "reload", "commit"))


def _commits_overlap(history: History) -> bool:
    return any(_overlap(one, other, history) for one, other in _foreign(history, "commit", "commit"))


def _add_during_commit(history: History) -> bool:
    return any(_overlap(add, commit, history) for add, commit in _foreign(history, "add", "commit"))


def _add_during_extraction(history: History) -> bool:
    return any(
        add.invoked <= (inf if handover.ended is None else handover.ended) and handover.step <= end_of(add, history)
        for add in history.of_kind("add")
        for handover in history.handovers
        if add.operation.argument not in handover.messages
    )


def _add_after_accepted(history: History) -> bool:
    accepted = [call for call in history.of_kind("commit") if call.acknowledged and not call.operation.wait]
    return _any_after(history.of_kind("add"), (call.returned for call in accepted))


def _add_between_reload_and_commit(history: History) -> bool:
    return any(
        add.client != commit.client and add.returned is not None and loaded <= add.returned <= end_of(commit, history)
        for commit, loaded in _loaded(history)
        for add in history.acknowledged_adds
    )


def _late_add(history: History) -> bool:
    return any(
        commit.client != add.client and loaded <= (commit.returned or 0) <= end_of(add, history)
        for add, loaded in _loaded(history, "add")
        for commit in history.of_kind("commit")
        if commit.acknowledged
    )


def _context_during_extraction(history: History) -> bool:
    return any(
        context.invoked <= (inf if handover.ended is None else handover.ended)
        and handover.step <= end_of(context, history)
        for context in history.of_kind("context")
        for handover in history.handovers
    )


def _retry_after_commit(history: History) -> bool:
    return any(
        commit.client != retry.client
        and add.index < retry.index
        and add.client == retry.client
        and (add.returned or inf) <= (commit.returned or inf) <= end_of(retry, history)
        for add in history.acknowledged_adds
        for commit in history.of_kind("commit")
        if commit.acknowledged
        for retry in history.of_kind("retry")
    )


def _retry_after_cancelled_add(history: History) -> bool:
    cancelled = {call.operation.argument for call in history.of_kind("add") if call.outcome == "cancelled"}
    return any(retry.acknowledged and retry.operation.argument in cancelled for retry in history.of_kind("retry"))


def _stale_commit(history: History) -> bool:
    return any(
        other.client != commit.client and loaded <= (other.returned or 0) <= end_of(commit, history)
        for commit, loaded in _loaded(history)
        for other in history.of_kind("commit")
        if other.acknowledged
    )


def _loaded(history: History, kind: str = "commit") -> Iterator[tuple[Call, int]]:
    """Every such call by a client that has reloaded, and the step of its last reload before."""
    for call in history.of_kind(kind):
        mine = [
            other for other in history.of_kind("reload") if other.client == call.client and other.index < call.index
        ]
        if mine and mine[-1].returned is not None:
            yield call, mine[-1].returned


def _any_after(calls: Iterable[Call], steps: Iterable[int | None]) -> bool:
    first = min((step for step in steps if step is not None), default=None)
    return first is not None and any(call.invoked >= first for call in calls)


def _completed(history: History) -> list[int]:
    """The steps at which a client learned that a commit was over: also where there are no tasks to look at."""
    done = [step for _, step in history.completions()]
    waits = [call.returned for call in history.of_kind("wait") if call.acknowledged]
    commits = [call.returned for call in history.of_kind("commit") if call.acknowledged and call.operation.wait]
    return done + [step for step in waits + commits if step is not None]


def _fired(history: History, *kinds: str) -> bool:
    return any(fault.kind in kinds for fault in history.faults)


def _crash_during_commit(history: History) -> bool:
    return any(
        commit.invoked <= crash.step <= end_of(commit, history)
        for commit in history.of_kind("commit")
        for crash in history.crashes
    )


def _two_crashes(history: History) -> bool:
    return len(history.crashes) > 1 and _crash_during_commit(history)


def _power_loss_after_add(history: History) -> bool:
    losses = [fault.step for fault in history.faults if fault.kind == "power-loss"]
    return any((add.returned or 0) <= step for add in history.acknowledged_adds for step in losses)


GOALS: dict[str, Goal] = {
    "reload-during-commit": Goal("a reload and another client's commit are under way at once", _reload_during_commit),
    "commits-overlap": Goal("two clients' commits are under way at once", _commits_overlap),
    "commit-after-commit": Goal(
        "a commit is invoked after another was acknowledged",
        lambda history: _any_after(
            history.of_kind("commit"), (call.returned for call in history.of_kind("commit") if call.acknowledged)
        ),
    ),
    "completed-observed-before-reload": Goal(
        "a reload is invoked after a commit was seen to be completed",
        lambda history: _any_after(history.of_kind("reload"), _completed(history)),
    ),
    "commit-after-completed": Goal(
        "a commit is invoked after another was seen to be completed",
        lambda history: _any_after(history.of_kind("commit"), _completed(history)),
    ),
    "stale-commit": Goal(
        "another client's commit was answered between a reload and the commit after it", _stale_commit
    ),
    "add-during-commit": Goal("an add and another client's commit are under way at once", _add_during_commit),
    "add-during-extraction": Goal("an add is under way while the extractor works on others", _add_during_extraction),
    "add-after-accepted": Goal("an add is invoked after a commit in the background was accepted", _add_after_accepted),
    "add-between-reload-and-commit": Goal(
        "another client's add is acknowledged between a reload and the answer to the commit after it",
        _add_between_reload_and_commit,
    ),
    "crash-fired": Goal("a store crashed", lambda history: _fired(history, "crash", "process-crash")),
    "power-loss-fired": Goal("the power went", lambda history: _fired(history, "power-loss")),
    "crash-during-commit": Goal("a crash or power loss fell into a commit", _crash_during_commit),
    "power-loss-after-acknowledged": Goal("the power went after an add was acknowledged", _power_loss_after_add),
    "cancel-fired": Goal(
        "an operation was cancelled", lambda history: any(call.outcome == "cancelled" for call in history.calls)
    ),
    "commit-cancelled": Goal(
        "a commit was cancelled",
        lambda history: any(call.outcome == "cancelled" for call in history.of_kind("commit")),
    ),
    "late-add": Goal(
        "another client's commit was answered between a reload and the end of the add after it", _late_add
    ),
    "context-during-extraction": Goal("the context is read while the extractor is at work", _context_during_extraction),
    "retry-after-commit": Goal("a commit was answered between an add and its retry", _retry_after_commit),
    "retry-after-cancelled-add": Goal("an add was cancelled, and its retry acknowledged", _retry_after_cancelled_add),
    "asked-after-crash": Goal(
        "a task is asked for after a store crashed",
        lambda history: _any_after(history.of_kind("ask"), (crash.step for crash in history.crashes)),
    ),
    "two-crashes": Goal("two stores crashed, and one of them in a commit", _two_crashes),
    "extractor-failed": Goal("the extractor failed", lambda history: _fired(history, "extractor fails")),
    "extractor-hung": Goal("the extractor hung", lambda history: _fired(history, "extractor hangs")),
    "extractor-slow": Goal("the extractor was slow", lambda history: _fired(history, "extractor slows")),
    "storage-failed": Goal("a call of the storage failed", lambda history: _fired(history, "storage fails")),
    "storage-forgot": Goal("a write was acknowledged and not kept", lambda history: _fired(history, "storage forgets")),
    "queue-lost": Goal("the queue lost a message", lambda history: _fired(history, "queue loses")),
    "queue-repeated": Goal("the queue delivered a message twice", lambda history: _fired(history, "queue repeats")),
    "clock-set": Goal("the clock was set", lambda history: _fired(history, "clock ahead", "clock back")),
}
"""Every goal by name."""


def reached(history: History, goals: Iterable[str]) -> tuple[str, ...]:
    """Those of the goals that this history reached.

    Raises:
        UsageError: there is no goal of that name.
    """
    return tuple(goal for goal in goals if _goal(goal).reached(history))


def implied(scenario: Scenario) -> tuple[str, ...]:
    """Goals for a scenario that names none: what its text is obviously about.

    Clients that wait for each other say what may overlap; there only the faults are obvious.
    """
    free = not any(client.after for client in scenario.clients)
    commits = sum(any(operation.kind == "commit" for operation in client.operations) for client in scenario.clients)
    done = {str(operation) for client in scenario.clients for operation in client.operations} | scenario.kinds
    faults = tuple(dict.fromkeys(goal for fault, goal in _FAULTS.items() if fault in done))
    return ("commits-overlap", *faults) if free and commits > 1 else faults


_FAULTS = {
    "crash": "crash-fired",
    "power-loss": "power-loss-fired",
    "cancel": "cancel-fired",
    "extractor fails": "extractor-failed",
    "extractor hangs": "extractor-hung",
    "extractor slows": "extractor-slow",
    "storage fails": "storage-failed",
    "storage forgets": "storage-forgot",
    "queue loses": "queue-lost",
    "queue repeats": "queue-repeated",
    "clock": "clock-set",
}


def _goal(name: str) -> Goal:
    if name not in GOALS:
        near = difflib.get_close_matches(name, GOALS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(GOALS)}"
        raise UsageError(f"there is no goal {name!r}; {hint}")
    return GOALS[name]
