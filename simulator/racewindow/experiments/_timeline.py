"""The story of one schedule: its steps, what clients learned, and what was in storage after each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from racewindow.frames import Row, Timeline
from racewindow.kernel.hosts import run_on
from racewindow.kernel.run import Run
from racewindow.kernel.task import Task
from racewindow.kernel.token import Token
from racewindow.kernel.violation import Violation
from racewindow.search import check_token, replayed
from racewindow.search.replay import Replay, ReplaySearch
from racewindow.sessions.case import Case
from racewindow.sessions.history import History, Observation, provenance
from racewindow.sessions.implementation import Environment
from racewindow.sessions.invariants.committed_once import archived_twice


class _Stage:
    """Where a schedule is played.

    Apart from :class:`_Watch`, because the schedule holds on to whom it was shown to. What that one notes would be a part of what the
    program remembers, so that it would never come to stand where it stood, and no livelock would be seen.
    """

    env: Environment | None = None

    def set_up(self, env: Environment) -> None:
        self.env = env


class _Watch:
    """Follows a token, and looks into the storage before every step."""

    every_step = True

    def __init__(self, case: Case, search: ReplaySearch, stage: _Stage) -> None:
        self._case = case
        self._search = search
        self._stage = stage
        self.seen: dict[int, Observation] = {}

    def choose(self, enabled: list[Task], current: int) -> int:
        env = self._stage.env
        if env is not None:
            self.seen[env.world.step] = self._case.observe(env)
        return self._search.choose(enabled, current)


def timeline(case: Case, token: str | Token, *, strict: bool = True) -> Timeline:
    """Replay a schedule of ``case`` and tell it.

    Args:
        case: the case that the token belongs to.
        token: the schedule.
        strict: raise at the first divergence; otherwise follow the token as far as it goes.

    Raises:
        UsageError: the text is no token, or belongs to another case.
        ReplayDiverged: the case changed since the token was made.
    """
    return replay_and_tell(case, token, strict=strict)[1]


def replay_and_tell(case: Case, token: str | Token, *, strict: bool = True) -> tuple[Run, Timeline]:
    """Replay a schedule once, for its run and its story; arguments and errors as for :func:`timeline`."""
    token = check_token(token, name=case.name, checksum=case.checksum, strict=strict)
    search = Replay(token.segments, strict).search(0)
    search.begin(0)
    stage = _Stage()
    watch = _Watch(case, search, stage)
    subject = case.subject(stage.set_up)
    run = run_on(case.implementation.host, lambda engine: engine.execute(subject, watch, case.limits))
    replayed(run, token, strict=strict)
    return run, _tell(case, token, run, watch.seen)


def _tell(case: Case, token: Token, run: Run, seen: dict[int, Observation]) -> Timeline:
    clients = [client.name for client in case.scenario.clients]
    begin = next((step.index for step in run.trace if step.task in clients), 0)
    violation = run.violation
    certain = None if violation is None else _certain(violation, run, seen)
    rows: list[Row] = []
    for step in run.trace:
        if step.index < begin or step.task == "main" or (step.label == "start" and step.task in clients):
            continue
        rows.append(
            Row(
                step=step.index,
                task=step.task,
                label=step.label,
                preempted=step.preempted,
                notes=step.notes,
                state=_state(seen.get(step.index)),
                violating=step.index == certain,
            )
        )
    if certain is not None and rows and not any(row.violating for row in rows):
        # It became certain in a step that is not told (the setting of the stage, the last look): mark the last one before it.
        certain = max((row.step for row in rows if row.step <= certain), default=rows[-1].step)
        rows = [replace(row, violating=row.step == certain) for row in rows]
    tasks = dict.fromkeys([*clients, *(row.task for row in rows)])
    text = str(token)
    return Timeline(
        title=f"{case.implementation.name}: {case.scenario.text}",
        subtitle=(
            f"{case.topology}, disk={case.disk}, time={case.time}; "
            f"{_count(run.steps, 'step')}, {_count(run.preemptions, 'preemption')}"
        ),
        tasks=tuple(tasks),
        rows=tuple(rows),
        violation="; ".join(f"{each.kind}: {each.detail}" for each in run.violations),
        violating_step=certain,
        replay=f"racewindow replay {text}",
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _state(observation: Observation | None) -> str:
    if observation is None:
        return ""
    parts = [f"live {' '.join(observation.live) or '-'}"]
    marks = {"extracted": "*", "failed": "!", "pending": ""}
    parts += [
        f"A{archive.number}{marks[archive.state]} {' '.join(archive.messages)}" for archive in observation.ordered
    ]
    return " | ".join(parts)


def _certain(violation: Violation, run: Run, seen: dict[int, Observation]) -> int:
    """The step from which on the violation stood, read off the storage where the history alone does not tell."""
    if violation.step is not None:
        return violation.step
    wrong: Callable[[Observation], bool]
    if violation.kind == "committed-once":
        wrong = lambda there: set(violation.messages) <= set(archived_twice(there))  # noqa: E731
    elif violation.kind == "nothing-lost":
        wrong = lambda there: not set(violation.messages) & provenance(there.everything)  # noqa: E731
    elif violation.kind == "nothing-stranded":
        wrong = lambda there: all(  # noqa: E731
            any(message in archive.messages for archive in there.archives) for message in violation.messages
        )
    else:
        return run.steps - 1
    since = run.steps - 1
    for step in sorted(seen, reverse=True):
        if not wrong(seen[step]):
            break
        since = step
    if violation.kind == "nothing-stranded" and isinstance(run.result, History):
        # In an archive it was before; that nobody will come for it is certain since the crash.
        since = max([since, *(fault.step for fault in run.result.crashes)])
    return since
