"""Tokens: one line of text that replays one schedule exactly.

Format, fields separated by ``~``, with frequent words as ``=x`` (``_token_text.py``)::

    rw2 ~ subject ~ segments ~ steps.checks

*subject* names what was run, *segments* is the schedule: ``role`` runs until it blocks or ends, ``role@label`` until it stands at that
point, ``role@label+3`` until it stands there for the third time in the schedule; ``time`` lets the next timer fire early, once. After
the last segment the default order holds: the running task goes on while it can, then the runnable task created first.

*checks* are three times six characters: one that covers the definition of the subject and its granularity; one that covers the steps
and the kinds of the violations; and one over everything before it, so that a truncated or altered token is known as such.

Version ``rw1`` had ``rw1 ~ subject ~ definition ~ segments ~ steps.outcome ~ crc`` with eight hex digits for each check, subjects written
out, and ``role@label*3``. It is read as ever.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from racewindow.errors import UsageError
from racewindow.kernel._token_text import PLACE, SUBJECT, pack, unpack
from racewindow.kernel.run import Run
from racewindow.kernel.task import CLOCK_ROLE, DEFAULT, FORCED, FREE, PREEMPTION, Point

VERSION = "rw2"
_CHECK = 6  # characters of each check


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch in which one task runs.

    Attributes:
        role: the task.
        label: the point at which it is left although it could go on; empty: it runs until it blocks or ends.
        occurrence: which time it stands at that point in this schedule, from 1.
    """

    role: str
    label: str = ""
    occurrence: int = 1

    def __str__(self) -> str:
        text = PLACE.shorten(self.role)
        if self.label:
            text += f"@{PLACE.shorten(self.label)}"
            if self.occurrence > 1:
                text += f"+{self.occurrence}"
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A parsed token; ``str(token)`` is its text.

    Attributes:
        subject: name of the subject.
        checksum: 8 hex digits over its definition.
        segments: the schedule.
        steps: number of steps of the recorded run.
        fingerprint: 8 hex digits over their roles and labels and over the kinds of the violations.
    """

    subject: str
    checksum: str
    segments: tuple[Segment, ...]
    steps: int
    fingerprint: str

    def __str__(self) -> str:
        schedule = ",".join(map(str, self.segments))
        head = f"{VERSION}~{SUBJECT.shorten(self.subject)}~{schedule}~{self.steps}.{pack(self.checksum)}{pack(self.fingerprint)}"
        return head + pack(_crc(head))

    @classmethod
    def parse(cls, text: str) -> Token:
        """Read a token, of this version or the one before.

        Raises:
            UsageError: it is no token, is of another version, or was cut or altered.
        """
        text = text.strip()
        if not text.startswith("rw"):
            raise UsageError(
                f"{_short(text)} is not a racewindow token: tokens start with '{VERSION}~'; copy the whole line"
            )
        version = text.partition("~")[0]
        if version not in _READERS:
            raise UsageError(
                f"{_short(text)} has the token version {version!r}, and this racewindow reads {' and '.join(_READERS)}; "
                "replay it with the release that made it"
            )
        token = _READERS[version](text)
        if token is None:
            raise UsageError(f"{_short(text)} is truncated or altered (its checksum does not fit); copy the whole line")
        return token


def _read_rw2(text: str) -> Token | None:
    """The token, or None: it was cut or altered."""
    head, crc = text[:-_CHECK], text[-_CHECK:]
    fields = head.split("~")
    if len(fields) != 4 or pack(_crc(head)) != crc:
        return None
    _, subject, schedule, ending = fields
    steps, _, checks = ending.partition(".")
    return Token(
        subject=SUBJECT.lengthen(subject),
        checksum=unpack(checks[:_CHECK]),
        segments=_segments(schedule, "+", PLACE.lengthen),
        steps=int(steps),
        fingerprint=unpack(checks[_CHECK:]),
    )


def _read_rw1(text: str) -> Token | None:
    head, _, crc = text.rpartition("~")
    fields = head.split("~")
    if len(fields) != 5 or _crc(head) != crc:
        return None
    _, subject, checksum, schedule, ending = fields
    steps, _, fingerprint = ending.partition(".")
    return Token(
        subject=unquote(subject),
        checksum=checksum,
        segments=_segments(schedule, "*", unquote),
        steps=int(steps),
        fingerprint=fingerprint,
    )


_READERS = {VERSION: _read_rw2, "rw1": _read_rw1}


def token_of(run: Run, *, subject: str, checksum: str) -> Token:
    """The token that replays ``run``."""
    stretches = _stretches(run)
    segments: list[Segment] = []
    stood: Counter[tuple[str, str]] = Counter()
    keep = 0
    for number, stretch in enumerate(stretches):
        role = _role(stretch[0])
        for point in stretch:
            stood[role, point.label] += 1
        segment = Segment(role=role)
        held_back = number + 1 < len(stretches) and stretches[number + 1][0].choice == PREEMPTION
        if held_back and role != CLOCK_ROLE:
            label = stretches[number + 1][0].held
            segment = Segment(role=role, label=label, occurrence=stood[role, label] + 1)
        segments.append(segment)
        if stretch[0].choice in (FREE, PREEMPTION):
            keep = number + 1
    return Token(
        subject=subject,
        checksum=checksum,
        segments=tuple(segments[:keep]),
        steps=run.steps,
        fingerprint=outcome_of(run),
    )


def outcome_of(run: Run) -> str:
    """Eight hex digits over the roles and labels of all steps and over what the schedule was found guilty of."""
    kinds = ",".join(violation.kind for violation in run.violations)
    return f"{zlib.crc32(kinds.encode(), int(run.fingerprint, 16)):08x}"


def _stretches(run: Run) -> list[list[Point]]:
    """The steps that were up to the strategy, cut wherever a task was chosen anew; every firing of a timer stands alone."""
    stretches: list[list[Point]] = []
    runner = ""
    for point in run.points:
        role = _role(point)
        goes_on = point.choice == FORCED and role == runner
        if goes_on and _role(stretches[-1][0]) == role:
            stretches[-1].append(point)
        elif goes_on or point.choice in (DEFAULT, FREE, PREEMPTION):
            stretches.append([point])
        if goes_on or point.choice in (DEFAULT, FREE, PREEMPTION):
            runner = runner if role == CLOCK_ROLE else role
    return stretches


def _role(point: Point) -> str:
    return point.task.name if point.task else ""


def _segments(schedule: str, times: str, read: Callable[[str], str]) -> tuple[Segment, ...]:
    """Read a schedule in which ``times`` stands before the occurrence, and whose roles and labels ``read`` reads."""
    segments = []
    for part in schedule.split(",") if schedule else ():
        role, _, place = part.partition("@")
        label, _, occurrence = place.partition(times)
        segments.append(Segment(role=read(role), label=read(label), occurrence=int(occurrence or 1)))
    return tuple(segments)


def _crc(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
