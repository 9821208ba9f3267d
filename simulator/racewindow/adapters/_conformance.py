"""The conformance suite: is this adapter one, whatever store stands behind it?

It does not look for races. It asks what every later verdict takes for granted: that one client alone gets what a session store promises,
that the observer and the store tell the same story, that there is something to interleave, that a schedule repeats itself, that a crash
ends what it should, and that the adapter can do what it claims. What a store does wrong in *some* schedules is what the experiments are
for; the checks of a client alone report what is wrong in all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from racewindow.adapters._finding import Finding
from racewindow.adapters._probe import Seen, probe, repeat
from racewindow.errors import RacewindowError
from racewindow.kernel import Point, Task
from racewindow.sessions.history import Call, provenance, raw
from racewindow.sessions.implementation import SessionStore

ALONE = "a: add m1; add m2; reload; commit; reload; commit; add m3; reload; commit; reload"
_SCHEDULES = 10
_RACES = 40
_ADDED = ("m1", "m2", "m3")

Check = Callable[[type[SessionStore]], Iterator[Finding]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conformance:
    """What the suite found.

    Attributes:
        adapter: its name.
        checks: names of the checks that were made.
        findings: what is wrong; none: it is an adapter.
    """

    adapter: str
    checks: tuple[str, ...]
    findings: tuple[Finding, ...]

    def __str__(self) -> str:
        count = f"{len(self.findings)} finding{'' if len(self.findings) == 1 else 's'}" if self.findings else "conforms"
        return "\n".join([f"{self.adapter}: {count} in {len(self.checks)} checks", *map(str, self.findings)])

    def __repr__(self) -> str:
        return f"<Conformance {self.adapter} checks={len(self.checks)} findings={len(self.findings)}>"


def check_adapter(adapter: type[SessionStore]) -> Conformance:
    """Run every check on an adapter, and say what it gets wrong.

    Args:
        adapter: the implementation's class.
    """
    findings: list[Finding] = []
    made: list[str] = []
    for name, check in CHECKS.items():
        made.append(name)
        try:
            findings += check(adapter)
        except RacewindowError as error:
            findings.append(_uncontrolled(name, error))
        if findings and name in ("described", "runs"):
            break  # whatever else could be said follows from that
    return Conformance(adapter=adapter.name, checks=tuple(made), findings=tuple(_once(findings)))


def _uncontrolled(check: str, error: RacewindowError) -> Finding:
    if "could not say what is in its storage" in str(error):
        return Finding(
            check="observe",
            what=str(error),
            why="storage is looked at after every schedule, also after one that went wrong",
            do="let observe() report what it can read of half a file or of none; a store that leaves such a file loses what was in it",
        )
    return Finding(
        check=check,
        what=f"{type(error).__name__}: {error}",
        why="a verdict is worth something only if every schedule can be run, looked at, and run again",
        do="take out what the message names: the clock, random ids, threads and sockets belong to the environment (env.serial makes ids, "
        "env.world.now is the time), and state belongs to the store, not to the module or the class",
    )


def _once(findings: list[Finding]) -> list[Finding]:
    """The same fact may come out of several checks."""
    first: dict[str, Finding] = {}
    for finding in findings:
        first.setdefault(finding.what, finding)
    return list(first.values())


# -- what it is ----------------------------------------------------------------------------------------------------------


def _described(adapter: type[SessionStore]) -> Iterator[Finding]:
    if not adapter.name or not adapter.summary():
        missing = "a name" if not adapter.name else "a docstring"
        yield Finding(
            check="described",
            what=f"{adapter.__name__} has no {missing.partition(' ')[2]}",
            why="tokens, tables and charts call it by its name, and 'racewindow list' by the first line of its docstring",
            do=f"give the class {missing}",
        )


def _runs(adapter: type[SessionStore]) -> Iterator[Finding]:
    for seen in probe(adapter, "a: reload", 1):
        if seen.history is None:
            yield Finding(
                check="runs",
                what=f"a store could not be opened, loaded and reloaded: {seen.failure}",
                why="nothing can be said about a store that does not start",
                do="look at running(), load() and reload(); on an empty storage they have to work",
            )


# -- one client alone ----------------------------------------------------------------------------------------------------


def _alone(adapter: type[SessionStore]) -> Iterator[Finding]:
    """What is wrong in every schedule of a client that has the store to itself."""
    found = [list(_alone_in(adapter, seen)) for seen in probe(adapter, ALONE, _SCHEDULES)]
    for finding in found[0]:
        if all(any(other.what == finding.what for other in others) for others in found):
            yield finding


def _sequential(what: str, do: str) -> Finding:
    why = "a client that is alone must get what a session store promises; what is wrong here is wrong in every race as well"
    return Finding(check="sequential", what=what, why=why, do=do)


def _alone_in(adapter: type[SessionStore], seen: Seen) -> Iterator[Finding]:
    history = seen.history
    if history is None or history.last is None:
        yield _sequential(f"a client alone did not come to its end: {seen.failure}", "see that every wait can end")
        return
    for call in history.calls:
        if call.outcome not in ("ok", "skipped"):
            said = f" ({call.error})" if call.error else ""
            yield _sequential(
                f"'{call.operation}' of a client that is alone ended as {call.outcome}{said}",
                "let it succeed, or return None from commit where there is nothing to commit",
            )
    yield from _reloads(adapter, seen)
    yield from _commits(adapter, seen)
    yield from _invented(seen)
    yield from _observed(adapter, seen)


def _reloads(adapter: type[SessionStore], seen: Seen) -> Iterator[Finding]:
    expected = (("m1", "m2"), (), ("m3",), ())
    for number, (call, live) in enumerate(zip(seen.calls("reload"), expected, strict=False)):
        got = raw(call.messages)
        after = "after the adds" if number in (0, 2) else "after the commit"
        lost = [message for message in live if message not in got]
        left = [message for message in got if message in _ADDED and message not in live]
        if lost:
            yield _sequential(
                f"reload {after} does not show {' '.join(lost)}", "write what add acknowledges, and read it in reload"
            )
        elif left and not adapter.capabilities.partial:
            yield _sequential(
                f"reload {after} still shows {' '.join(left)}",
                "let commit(wait=True) return when its messages have left live; claim partial=True if a commit takes only a part",
            )
        elif not left and adapter.capabilities.order and got != live and set(got) == set(live):
            yield _sequential(
                f"reload {after} shows {' '.join(got)}: not the order in which they were added",
                "keep the order, or claim order=False",
            )


def _commits(adapter: type[SessionStore], seen: Seen) -> Iterator[Finding]:
    history = seen.history
    assert history is not None
    assert history.last is not None
    first, second, _ = (*seen.calls("commit"), None, None, None)[:3]
    if first is not None and first.outcome == "skipped":
        yield _sequential(
            "commit said that there was nothing to commit (it returned None), and two messages were live",
            "return a ticket: rw.EndedTicket(id) where commits are no tasks",
        )
    handed = Counter(message for handover in history.handovers for message in raw(handover.messages))
    if not history.handovers:
        yield _sequential(
            "the extractor never got anything",
            "have the store's extraction call env.extract(messages): its ledger is how double extraction is seen",
        )
    else:
        twice = [message for message, count in handed.items() if count > 1]
        never = [message for message in _ADDED if message not in handed]
        if twice:
            yield _sequential(
                f"the extractor got {' '.join(twice)} more than once", "extract what a commit took, and only that"
            )
        if never and not adapter.capabilities.partial:
            yield _sequential(f"the extractor never got {' '.join(never)}", "extract all that a commit took")
    if second is not None and _handed_over_in(second, seen):
        yield _sequential(
            "a second commit, with nothing new to commit, handed messages over again",
            "return None when nothing is live",
        )
    if adapter.capabilities.archives:
        archived = [message for archive in history.last.ordered for message in raw(archive.messages)]
        if not archived:
            yield _claim("archives", "observe() shows none after two commits", "list them in observe()")
        elif len(archived) != len(set(archived)):
            yield _sequential("a message is in two archives", "archive what a commit took, and only that")
        elif adapter.capabilities.order and archived != sorted(archived):
            yield _sequential(
                f"the archives hold {' '.join(archived)}: not the order in which they were added",
                "number the archives in the order of their commits, or claim order=False",
            )
    if adapter.capabilities.tasks:
        ids = [call.task for call in seen.calls("commit") if call.outcome == "ok"]
        if len(ids) != len(set(ids)) or not all(ids):
            yield _claim(
                "tasks", "two commits have the same task id, or none", "give each ticket an id: env.serial('task')"
            )
        unfinished = {each.status for each in history.seen if not each.client} - {"completed", "failed"}
        if unfinished:
            yield _claim(
                "tasks",
                f"the status of a commit that was waited for is {' '.join(sorted(unfinished))!r} when all is over",
                "let status() say 'completed' or 'failed' in the end",
            )


def _handed_over_in(call: Call, seen: Seen) -> bool:
    assert seen.history is not None
    end = call.returned if call.returned is not None else call.invoked
    return any(call.invoked < each.step <= end and raw(each.messages) for each in seen.history.handovers)


def _invented(seen: Seen) -> Iterator[Finding]:
    history = seen.history
    assert history is not None
    assert history.last is not None
    places = {
        "reload": [message for call in seen.calls("reload") for message in call.messages],
        "observe": list(history.last.everything),
        "the extractor": [message for handover in history.handovers for message in handover.messages],
    }
    for place, messages in places.items():
        invented = sorted(provenance(messages) - set(_ADDED))
        if invented:
            yield Finding(
                check="ids",
                what=f"{place} shows {' '.join(invented[:3])}, which nobody added",
                why="messages are told apart by their ids: with an invented one nothing can be said of the one that was added",
                do="give add's argument to the store as it is (its text is its id), and hand the same text back",
            )


def _observed(adapter: type[SessionStore], seen: Seen) -> Iterator[Finding]:
    history = seen.history
    assert history is not None
    assert history.last is not None
    why = "loss and duplicates are judged by what observe() says, races by what reload says: they must speak of one storage"
    if seen.again != history.last:
        yield Finding(
            check="observe",
            what="observe() says something else when it is asked again",
            why="it is asked at any moment, and must change nothing",
            do="let it read, and neither write nor keep anything",
        )
    reloads = seen.calls("reload")
    if reloads and raw(reloads[-1].messages) != raw(history.last.live):
        shown = " ".join(raw(history.last.live)) or "nothing"
        yield Finding(
            check="observe",
            what=f"observe() shows {shown} live, and reload showed {' '.join(raw(reloads[-1].messages)) or 'nothing'}",
            why=why,
            do="let observe() read the same storage that reload reads, with code of its own",
        )
    if not seen.again or not provenance(history.last.everything):
        yield Finding(
            check="observe",
            what="observe() shows no message at all after three adds and two commits",
            why=why,
            do="return Observation(live=..., archives=...) of what is in storage",
        )


# -- what can be interleaved -----------------------------------------------------------------------------------------------


def _points(adapter: type[SessionStore]) -> Iterator[Finding]:
    (seen, *_) = probe(adapter, "a: add m1; reload; commit", 1)
    for kind in ("add", "reload", "commit"):
        own = [point for point in seen.points if point.label.startswith(f"{kind}/") and not _extracts(point)]
        if not own:
            yield Finding(
                check="points",
                what=f"{kind} never reaches a point: it happens at one stroke",
                why="nothing can come in between, so no race in it can be found, and a pass says nothing",
                do="use env.disk, await the package's own I/O, or put 'await env.point(\"label\")' where the real store can be interrupted",
            )


def _extracts(point: Point) -> bool:
    return "/extract" in point.label or point.label.endswith("/start")


def _control(adapter: type[SessionStore]) -> Iterator[Finding]:
    yield from ()
    repeat(adapter, "a: add m1; commit | b: add m2; reload; commit", _SCHEDULES)


# -- crashes ---------------------------------------------------------------------------------------------------------------


def _fence(adapter: type[SessionStore]) -> Iterator[Finding]:
    if not adapter.capabilities.crash:
        return
    text = (
        "s: add m1 | a: after s; reload; commit nowait; wait | x: after s; crash a | b: after x; add m2; reload; commit"
    )
    for seen in probe(adapter, text, _RACES):
        survivor = next((point for point in seen.points if _outlives(point.task)), None)
        if survivor is not None and survivor.task is not None:
            yield Finding(
                check="fence",
                what=f"after the crash of its store, {survivor.task.name} still takes steps ({survivor.label})",
                why="a dead process writes nothing: what it still does makes duplicates and losses that no real crash makes",
                do="start background work with env.background(...), in a nursery, or in threads of the store's own: it dies with the store",
            )
            return
        if seen.history is not None and "b" in seen.history.unfinished:
            yield Finding(
                check="fence",
                what="after a crash the next store never gets to its end: something is still held by the dead one",
                why="locks and leases are released when their process dies",
                do="use env.disk.lock(...), or add what releases it to env.world.task.process.on_crash",
            )
            return


def _outlives(task: Task | None) -> bool:
    """Whether it was started by a process that crashed, and did not die with it, though it is no part of the scenario."""
    if task is None or task.process.crashed:
        return False
    parent = task.parent
    return parent is not None and parent.process.crashed


def _survives(adapter: type[SessionStore]) -> Iterator[Finding]:
    if not adapter.capabilities.crash:
        return
    for seen in probe(adapter, "a: add m1 | x: after a; crash a | b: after x; reload", _SCHEDULES):
        if seen.history is None:
            continue
        after = [observation for _, when, observation in seen.history.observations if when == "after-crash"]
        reloads = [call for call in seen.calls("reload") if call.acknowledged]
        if after and reloads and raw(reloads[-1].messages) != raw(after[-1].live):
            yield Finding(
                check="memory",
                what=f"after a crash storage holds {' '.join(raw(after[-1].live)) or 'nothing'} live, and the next store shows "
                f"{' '.join(raw(reloads[-1].messages)) or 'nothing'}",
                why="memory dies with its process: a store that remembers what it never wrote hides every loss",
                do="keep state in the store and its handles, not in the module, the class or env.shared; env.shared is for storage",
            )
            return
        if "nothing-lost" in seen.kinds:
            yield Finding(
                check="memory",
                what="m1 was acknowledged, and is gone after a crash of the process",
                why="what was acknowledged must survive; if the store does not promise that, nothing can be judged after a crash",
                do="let add return when storage has it, or claim crash=False",
            )
            return


# -- claims ----------------------------------------------------------------------------------------------------------------


def _claim(capability: str, what: str, do: str) -> Finding:
    return Finding(
        check="claims",
        what=f"it claims {capability}=True, but {what}",
        why="what is claimed is judged: a claim too many makes violations that are none, or a pass that says nothing",
        do=f"{do}, or say Capabilities({capability}=False)",
    )


def _claims(adapter: type[SessionStore]) -> Iterator[Finding]:
    claimed = adapter.capabilities
    if claimed.background:
        runs = [
            seen
            for seen in probe(adapter, "a: add m1; commit nowait; wait", 2 * _SCHEDULES)
            if seen.history is not None
        ]
        if runs and not any(_answered_early(seen) for seen in runs):
            yield _claim(
                "background",
                "commit(wait=False) never returns before its extraction has ended",
                "start the commit with env.background(...) and return its ticket",
            )
        waits = [seen.history.seen for seen in runs if seen.history is not None]
        if claimed.tasks and not any(each.status == "completed" for looks in waits for each in looks):
            yield _claim("tasks", "no ticket ever says 'completed'", "let wait() and status() say how the commit ended")
    if claimed.durable:
        runs = probe(adapter, "a: add m1 | p: after a; power-loss | b: after p; reload", _SCHEDULES)
        if any("nothing-lost" in seen.kinds for seen in runs):
            yield _claim("durable", "an acknowledged message is gone after a loss of power", "fsync before add returns")
        elif not any(seen.on_disk for seen in runs):
            yield _claim(
                "durable", "nothing of it is on the simulated disk, whose power can be lost", "store it on env.disk"
            )
    if claimed.storage and not any(seen.on_disk for seen in probe(adapter, "a: add m1", 1)):
        yield _claim("storage", "nothing of it is on the simulated disk, which can fail", "store it on env.disk")
    if claimed.cancel:
        for seen in probe(adapter, "s: add m1 | a: after s; reload; commit | x: after s; cancel a", _RACES):
            if seen.history is None:
                yield _claim(
                    "cancel", f"a cancelled commit ends everything: {seen.failure}", "let Cancelled pass through"
                )
                return


def _answered_early(seen: Seen) -> bool:
    assert seen.history is not None
    (commit,) = seen.calls("commit")
    ends = [handover.ended for handover in seen.history.handovers if handover.ended is not None]
    return commit.returned is not None and (not ends or commit.returned < min(ends))


CHECKS: dict[str, Check] = {
    "described": _described,
    "runs": _runs,
    "sequential": _alone,
    "points": _points,
    "control": _control,
    "fence": _fence,
    "memory": _survives,
    "claims": _claims,
}
"""Every check by its name, in the order in which they are made."""
