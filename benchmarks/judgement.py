"""Judge a torture by what is in the files: those of the store, read without its help, and what the workers recorded.

A directory of a torture holds ``store`` (or ``store.sqlite``), ``recordings`` and ``effects``. Each session is one
history for the simulator's invariants; a step is the place of a fact in the merged recordings.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Protocol

from racewindow.kernel.violation import Violation
from racewindow.sessions import Archive, Capabilities, History, Observation, Operation
from racewindow.sessions.history import ArchiveState, Call, Handover
from racewindow.sessions.invariants import judge, report
from racewindow.sessions.invariants.extracted_once import pairs
from recording import Fact, read_recordings
from workload import content

_COUNTED = {
    "nothing-lost": "lost",
    "committed-once": "twice",
    "extracted-once": "twice",
    "nothing-stranded": "stranded",
    "tasks-end": "stranded",
}
_STATUS = {"pending": "accepted", "extracted": "completed", "failed": "failed"}


class Files(Protocol):
    """What a store left, as plain files."""

    def names(self, path: str) -> list[str]:
        """The names in a directory; none where there is no directory."""
        ...

    def content(self, path: str) -> bytes:
        """What is in a file; nothing where there is no file."""
        ...


class Directory:
    """The files of a DirectoryStorage."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self, path: str) -> list[str]:
        place = self._root / path
        return sorted(entry.name for entry in place.iterdir()) if place.is_dir() else []

    def content(self, path: str) -> bytes:
        place = self._root / path
        return place.read_bytes() if place.is_file() else b""


class Database:
    """The files of a SqliteStorage."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)

    def names(self, path: str) -> list[str]:
        query = "SELECT name FROM nodes WHERE parent = ? ORDER BY name"
        return [name for (name,) in self._connection.execute(query, (self._node(path),))]

    def content(self, path: str) -> bytes:
        query = "SELECT data FROM pieces WHERE node = ? ORDER BY start"
        return b"".join(data for (data,) in self._connection.execute(query, (self._node(path),)))

    def _node(self, path: str) -> int | None:
        node: int | None = 0
        for name in path.split("/"):
            query = "SELECT id FROM nodes WHERE parent = ? AND name = ?"
            (node,) = self._connection.execute(query, (node, name)).fetchone() or (None,)
        return node


@dataclass(slots=True, kw_only=True)
class Judgement:
    """Counts of messages, but for ``kills``, ``faults`` and ``other``, and the violations found.

    Attributes:
        kills, faults: how many processes were killed; how many storage calls were made to fail.
        acknowledged: adds that a client was told are stored.
        live, archived, extracted, failed: where they are in the end; extracted and failed ones are archived, too.
        re_extracted: handed over again after a crash, which is allowed; the effect has to be there once.
        lost, twice, stranded: in violations of nothing-lost, of committed-once or extracted-once, of nothing-stranded
            or tasks-end.
        other: violations of the remaining invariants.
    """

    kills: int = 0
    faults: int = 0
    acknowledged: int = 0
    live: int = 0
    archived: int = 0
    extracted: int = 0
    failed: int = 0
    re_extracted: int = 0
    lost: int = 0
    twice: int = 0
    stranded: int = 0
    other: int = 0
    violations: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    def __str__(self) -> str:
        counts = (each.name for each in fields(self) if each.name != "violations")
        return "\n".join([*(f"{name:13}{getattr(self, name):>9,}" for name in counts), *self.violations])


def judge_torture(directory: Path) -> Judgement:
    """Read everything, and judge one session after the other."""
    facts = read_recordings(directory / "recordings")
    root = directory / "store"
    files: Files = Directory(root) if root.is_dir() else Database(root.with_suffix(".sqlite"))
    effects = {path.name for path in (directory / "effects").iterdir()}
    whats = Counter(fact["what"] for fact in facts)
    judgement = Judgement(kills=whats["killed"], faults=whats["fault"])
    for session, events in _by_session(facts).items():
        history = _Historian(session).write(events)
        observation = _observe(files, session, history, effects)
        for archive in observation.archives:
            history.see(archive.task, _STATUS[archive.state], len(facts))
        history.observe(len(facts), "quiescence", observation)
        _count(judgement, session, history, [*judge(history, Capabilities()), *_again_without_need(history)])
    return judgement


def _by_session(facts: Sequence[Fact]) -> dict[str, list[tuple[int, Fact]]]:
    """The facts that concern each session, with their steps; a death or a fault of storage may concern any."""
    sessions: dict[str, list[tuple[int, Fact]]] = defaultdict(list)
    common: list[tuple[int, Fact]] = []
    for step, fact in enumerate(facts):
        if fact["what"] in ("killed", "fault"):
            common.append((step, fact))
        else:
            sessions[fact["session"]].append((step, fact))
    return {session: sorted([*events, *common], key=lambda event: event[0]) for session, events in sessions.items()}


class _Historian:
    """Turns the facts of one session into the history that the invariants are checked on."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._history = History()
        self._adds: dict[str, Call] = {}  # by message: however often it is repeated, it is one add
        self._others: dict[str, Call] = {}  # by client: the commit or reload under way
        self._handovers: dict[tuple[str, str], Handover] = {}  # by worker and key: those under way

    def write(self, events: Sequence[tuple[int, Fact]]) -> History:
        for step, fact in events:
            self._take(step, fact)
        for call in self._history.calls:
            if call.returned is None:
                call.outcome = "lost"
        return self._history

    def _take(self, step: int, fact: Fact) -> None:
        history, client = self._history, fact.get("client", "")
        match fact["what"]:
            case "add":
                operation = Operation(kind="add", argument=fact["message"])
                self._adds[fact["message"]] = history.invoke(client, fact["number"], operation, step)
            case "added":
                history.answer(self._adds[fact["message"]], step, "ok")
            case "refused":
                history.answer(self._adds[fact["message"]], step, "refused")
            case "commit" | "reload":
                operation = Operation(kind=fact["what"], wait=fact.get("wait", True))
                self._others[client] = history.invoke(client, fact["number"], operation, step)
            case "committed":
                call = self._others.pop(client)
                history.answer(call, step, "ok" if fact["task"] else "skipped", task=fact["task"])
                if fact["task"]:
                    history.see(fact["task"], fact["status"], step, client)
            case "reloaded":
                history.answer(self._others.pop(client), step, "ok", messages=fact["messages"])
            case "error":
                if client in self._others:
                    history.answer(self._others.pop(client), step, "error", error=fact["error"])
            case "handed":
                handover = history.hand_over(fact["messages"], step, caller=_caller(fact["worker"]), key=fact["key"])
                self._handovers[fact["worker"], fact["key"]] = handover
            case "extracted" | "unsuccessful":
                handover = self._handovers.pop((fact["worker"], fact["key"]))
                history.end_handover(handover, step, "succeeded" if fact["what"] == "extracted" else "failed")
            case "killed":
                history.fault("process-crash", step, fact["victim"])
                for worker, key in [each for each in self._handovers if each[0] == fact["victim"]]:
                    history.end_handover(self._handovers.pop((worker, key)), step, "lost")
            case "fault":
                # The result of an extraction that cannot be recorded is lost as in a crash.
                if fact["path"].startswith(f"sessions/{self._session}/archives/"):
                    history.fault("crash", step, fact["worker"])


def _caller(worker: str) -> str:
    return f"{worker}/extract"


def _again_without_need(history: History) -> Iterator[Violation]:
    """What the invariant lets pass: it takes any crash for a reason, but only that of who was at it is one."""
    for earlier, later, messages in pairs(history):
        needed = any(
            earlier.step <= crash.step <= later.step and _caller(crash.target) == earlier.caller
            for crash in history.crashes
        )
        if earlier.outcome == "succeeded" and not needed:
            yield Violation(
                kind="extracted-once",
                detail=f"{', '.join(messages)} went to the extractor at step {earlier.step} and again at step "
                f"{later.step}, and {earlier.caller} had not died",
                messages=messages,
                step=later.step,
            )


def _observe(files: Files, session: str, history: History, effects: set[str]) -> Observation:
    home = f"sessions/{session}"
    numbers = sorted(int(name) for name in files.names(f"{home}/archives"))
    keys: dict[str, set[str]] = defaultdict(set)  # by message: under which keys its extraction had an effect
    for handover in history.handovers:
        for message in handover.messages:
            keys[message] |= {handover.key} & effects
    return Observation(
        live=_messages(files, f"{home}/live"),
        archives=tuple(_archive(files, session, number, keys) for number in numbers),
    )


def _archive(files: Files, session: str, number: int, keys: dict[str, set[str]]) -> Archive:
    path = f"sessions/{session}/archives/{number}"
    messages, names = _messages(files, path), files.names(path)
    effects = len(set[str]().union(*(keys[message] for message in messages)))
    state: ArchiveState = "failed" if "failure.json" in names else "pending"
    if "extraction.json" in names:
        text = json.loads(files.content(f"{path}/extraction.json"))["text"]
        # A result that is of other messages, or that had no effect, is none.
        state = "extracted" if effects and text == " ".join(messages) else "pending"
    return Archive(number=number, messages=messages, state=state, effects=effects, task=f"{session}:{number}")


def _messages(files: Files, directory: str) -> tuple[str, ...]:
    """The ids in a log; a line without an end is no message, and one that says something else is another message."""
    *lines, _ = files.content(f"{directory}/messages.jsonl").split(b"\n")
    found = []
    for number, line in enumerate(lines, 1):
        try:
            message = json.loads(line)
            found.append(message["id"] if message["content"] == content(message["id"]) else f"{message['id']}.changed")
        except (ValueError, KeyError):
            found.append(f"line-{number}-of-{directory}")
    return tuple(found)


def _count(judgement: Judgement, session: str, history: History, violations: Sequence[Violation]) -> None:
    assert history.last is not None, "a history ends with an observation"
    archives = history.last.archives
    judgement.acknowledged += len(history.acknowledged_adds)
    judgement.live += len(history.last.live)
    judgement.archived += sum(len(archive.messages) for archive in archives)
    judgement.extracted += sum(len(archive.messages) for archive in archives if archive.state == "extracted")
    judgement.failed += sum(len(archive.messages) for archive in archives if archive.state == "failed")
    judgement.re_extracted += report(history)["re_extracted"]
    for violation in violations:
        name = _COUNTED.get(violation.kind, "other")
        setattr(judgement, name, getattr(judgement, name) + len(violation.messages))
        judgement.violations.append(f"session {session}: {violation}")
