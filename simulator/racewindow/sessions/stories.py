"""The catalogue of named scenarios. A new story is one entry in ``_CATALOGUE``.

Where the race is about the commit, a client of its own adds first and the others start after it. Otherwise a random
schedule has the intruder over and done with long before the commit begins (a crash that everybody could draw at every
step fell into the commit in none of 1000 random schedules; after the add, in a third of them). The committing client
reloads, because its handle may be older than the add.
"""

from __future__ import annotations

import dataclasses
import difflib

from racewindow.errors import UsageError
from racewindow.sessions.goals import implied
from racewindow.sessions.scenario import TOPOLOGIES, Scenario, Topology


def _story(
    name: str,
    text: str,
    *goals: str,
    summary: str,
    link: str = "",
    topologies: tuple[Topology, ...] = TOPOLOGIES,
) -> Scenario:
    return Scenario.parse(text, name=name, goals=goals, summary=summary, link=link, topologies=topologies)


_ISSUE = "OpenViking issue 580"

_CATALOGUE = (
    _story(
        "after-completion",
        "a: add m1; commit nowait; wait | b: after a; reload; commit",
        "completed-observed-before-reload",
        "commit-after-completed",
        summary="Once one client has seen its commit completed, another reloads and commits.",
        link=_ISSUE,
    ),
    _story(
        "free-running",
        "a: add m1; commit nowait; wait | b: reload; commit",
        "commits-overlap",
        "stale-commit",
        summary="Two clients commit the same session, each in its own time.",
        link=_ISSUE,
    ),
    _story(
        "reload-during-commit",
        "s: add m1 | a: after s; reload; commit nowait; wait | b: after s; reload; commit",
        "reload-during-commit",
        "commits-overlap",
        summary="Two clients find the same message, and both commit it.",
        link=_ISSUE,
    ),
    _story(
        "two-commits",
        "a: add m1; commit | b: commit",
        "commits-overlap",
        summary="Two commits at once, both waiting: of one handle, of two, or in two stores, as the topology has it.",
    ),
    _story(
        "add-during-commit",
        "a: add m1; add m2 | b: commit nowait; wait",
        "add-during-commit",
        summary="One client adds while another commits: no acknowledged message may fall between live and archive.",
    ),
    _story(
        "add-during-extraction",
        "a: add m1; commit nowait; wait | b: add m2",
        "add-during-extraction",
        summary="A message arrives while the extractor is at work: clearing the live log must not take it away.",
    ),
    _story(
        "add-after-accepted",
        "a: add m1; commit nowait; add m2; wait; commit",
        "add-after-accepted",
        summary="A client goes on as soon as its commit is accepted; the next commit takes the rest.",
    ),
    _story(
        "stale-handle",
        "a: add m1; commit | b: reload; add m2; commit",
        "stale-commit",
        summary="A handle loaded before another client's commit adds and commits what it remembers.",
    ),
    _story(
        "auto-commit",
        "a: add m1; add m2 | b: reload; commit",
        "add-between-reload-and-commit",
        summary="A commit that loaded the session just before an acknowledged add takes the lock just after it.",
    ),
    _story(
        "commit-twice-in-a-row",
        "a: add m1; commit; add m2; commit",
        "commit-after-commit",
        summary="One client commits, adds and commits again: the second commit takes the second message only.",
    ),
    _story(
        "commit-again-at-once",
        "a: add m1; commit nowait; commit nowait; wait",
        "commit-after-commit",
        summary="One client asks again before its first commit has completed.",
    ),
    _story(
        "cancelled-commit",
        "s: add m1 | a: after s; reload; commit | x: after s; cancel a",
        "commit-cancelled",
        summary="The request that commits is cancelled somewhere on its way.",
    ),
    _story(
        "cancelled-then-committed",
        "s: add m1 | a: after s; reload; commit | x: after s; cancel a | b: after x; reload; commit",
        "commit-cancelled",
        summary="A commit is cancelled, and another client commits what it finds.",
    ),
    _story(
        "crash-during-commit",
        "s: add m1 | a: after s; reload; commit nowait; wait | x: after s; crash a",
        "crash-during-commit",
        summary="The process dies while a commit is under way; a new one opens the same storage.",
    ),
    _story(
        "commit-after-crash",
        "s: add m1 | a: after s; reload; commit nowait; wait | x: after s; crash a | b: after x; add m2; commit",
        "crash-during-commit",
        summary="After a crash in a commit, another add and commit still work, and everything ends.",
    ),
    _story(
        "acknowledged-then-power-loss",
        "a: add m1 | p: after a; power-loss",
        "power-loss-after-acknowledged",
        summary="The power goes after an add was acknowledged: it must be there when the light is back.",
    ),
    _story(
        "power-loss-during-commit",
        "s: add m1 | a: after s; reload; commit nowait; wait | p: after s; power-loss",
        "crash-during-commit",
        summary="The power goes while a commit is under way.",
    ),
    _story(
        "completed-then-power-loss",
        "a: add m1; commit nowait; wait | p: after a; power-loss | b: after p; reload; commit",
        "power-loss-fired",
        "completed-observed-before-reload",
        summary="The power goes after a commit was seen completed: the switch must last as long as the promise.",
    ),
    _story(
        "late-write",
        "s: add m1 | a: after s; reload; commit | b: after s; reload; add m2; commit",
        "late-add",
        summary="A handle loaded before a commit writes to what the commit has rotated away.",
    ),
    _story(
        "retried-add",
        "a: add m1; retry m1; commit | b: reload; commit",
        "retry-after-commit",
        summary="A client whose acknowledgement got lost adds again, under the same id; a commit may have come in between.",
    ),
    _story(
        "cancelled-then-retried",
        "a: add m1; retry m1; commit | x: cancel a",
        "retry-after-cancelled-add",
        summary="A client whose add was cancelled does not know whether it happened, and adds again under the same id.",
    ),
    _story(
        "context-during-extraction",
        "s: add m1 | a: after s; reload; commit nowait; wait | b: after s; context",
        "context-during-extraction",
        summary="Somebody reads the context while the extractor is at work: what was archived is still told.",
        link="OpenViking issue 3129",
    ),
    _story(
        "task-after-crash",
        "s: add m1 | a: after s; reload; commit nowait; wait; ask | x: after s; crash a",
        "asked-after-crash",
        summary="The process dies, and a client asks the new one for its task: that must not run for ever.",
    ),
    _story(
        "two-recoverers",
        "s: add m1 | a: after s; reload; commit nowait; wait | b: after s; reload | x: after s; crash a; crash b",
        "two-crashes",
        summary="Both processes die, and two new ones recover the same session at once.",
        topologies=("separate-stores",),
    ),
    _story(
        "extractor-fails",
        "s: add m1 | a: after s; reload; commit nowait; wait | x: after s; extractor fails | b: after a; reload; add m2; commit",
        "extractor-failed",
        "commit-after-commit",
        summary="The extractor fails once; then comes the next commit.",
    ),
    _story(
        "extractor-hangs",
        "s: add m1 | a: after s; reload; commit nowait; reload; add m2; commit nowait; wait | x: after s; extractor hangs",
        "extractor-hung",
        summary="The extractor never answers one of two commits; both tasks still end.",
    ),
    _story(
        "extractor-slow",
        "s: add m1 | a: after s; reload; commit nowait; reload; add m2; commit nowait; wait | x: after s; extractor slows",
        "extractor-slow",
        summary="The extractor takes a minute for one of two commits; the other may overtake it.",
    ),
    _story(
        "storage-fails",
        "s: add m1 | a: after s; reload; commit nowait; wait | x: after s; storage fails | b: after a; reload; commit",
        "storage-failed",
        summary="One call of the storage fails somewhere in a commit; another client commits what it finds.",
    ),
    _story(
        "write-forgotten",
        "s: add m1 | a: after s; reload; commit nowait; wait | x: after s; storage forgets; crash a | b: after x; reload; commit",
        "storage-forgot",
        "crash-during-commit",
        summary="A write of a commit (the clearing of the live log, say) is acknowledged but not durable; a crash undoes it.",
    ),
    _story(
        "queue-loses",
        "s: add m1 | a: after s; reload; commit nowait; reload; add m2; commit nowait; wait | x: after s; queue loses",
        "queue-lost",
        summary="The queue loses the message of one of two commits; the other must still make progress.",
    ),
    _story(
        "queue-repeats",
        "s: add m1 | a: after s; reload; commit nowait; wait | x: after s; queue repeats",
        "queue-repeated",
        summary="The queue delivers the message of a commit twice.",
    ),
    _story(
        "clock-set-back",
        "a: add m1; commit nowait; reload; add m2; commit nowait; wait | x: clock back",
        "clock-set",
        summary="Somebody sets the clock back by an hour between two commits: the order stays.",
    ),
)

STORIES: dict[str, Scenario] = {scenario.name: scenario for scenario in _CATALOGUE}
"""Every named scenario, in the order of the catalogue."""


def story(name_or_text: str) -> Scenario:
    """The story of that name or text, or else the scenario of that text (with the goals that it implies).

    Raises:
        UsageError: no story has that name, or the text is no scenario.
    """
    if name_or_text in STORIES:
        return STORIES[name_or_text]
    if ":" in name_or_text:
        scenario = Scenario.parse(name_or_text)
        known = [each for each in _CATALOGUE if each.text == scenario.text]
        return known[0] if known else dataclasses.replace(scenario, goals=implied(scenario))
    near = difflib.get_close_matches(name_or_text, STORIES, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(STORIES)}"
    raise UsageError(f"there is no story {name_or_text!r}; {hint} (a text names its clients: 'a: add m1; commit')")
