"""The catalogue: every story parses, has goals, and a correct store reaches them without being accused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from racewindow.errors import UsageError
from racewindow.sessions.capabilities import Capabilities
from racewindow.sessions.goals import GOALS, reached
from racewindow.sessions.history import Archive, ArchiveState, Call, Handover, History, Observation
from racewindow.sessions.invariants import judge
from racewindow.sessions.scenario import Client, Scenario
from racewindow.sessions.stories import STORIES, story


class Toy:
    """A store so simple that it is right: every operation is one step. One instance is one schedule.

    With ``background`` the extraction follows in two steps of a task of its own; without it a commit is atomic. Its storage forgets
    nothing, an extraction that fails or never ends is begun anew, and a job that the queue lost is still among the jobs.
    """

    def __init__(self, scenario: Scenario, *, background: bool) -> None:
        self.history = History()
        self._clients = {client.name: client for client in scenario.clients}
        self._background = background
        self._at = dict.fromkeys(self._clients, 0)
        self._pending: dict[str, Call] = {}
        self._live: list[str] = []
        self._archives: list[list[str]] = []
        self._extracted: list[int] = []
        self._running: dict[int, Handover] = {}
        self._last_task: dict[str, int] = {}
        self._armed: list[str] = []
        self._step = 0
        self._arrive()

    def runnable(self) -> list[str]:
        """Who can go on, in a stable order."""
        waiting = [name for name, call in self._pending.items() if call.kind == "wait" and not self._ended(name)]
        jobs = [str(job) for job in range(len(self._archives)) if job not in self._extracted]
        return sorted(set(self._pending) - set(waiting)) + jobs

    def step(self, who: str) -> None:
        self._step += 1
        if who.isdigit():
            self._extract(int(who))
        else:
            self._operate(self._pending.pop(who))
        self._arrive()

    def end(self) -> History:
        archives = tuple(
            Archive(number=job, messages=tuple(messages), state=self._state(job), effects=1, task=f"t{job}")
            for job, messages in enumerate(self._archives)
        )
        self.history.observe(self._step, "quiescence", Observation(live=tuple(self._live), archives=archives))
        for job in range(len(self._archives)):
            self.history.see(f"t{job}", "completed" if job in self._extracted else "running", self._step)
        self.history.unfinished = tuple(self._pending)
        return self.history

    def _state(self, job: int) -> ArchiveState:
        return "extracted" if job in self._extracted else "pending"

    def _ended(self, client: str) -> bool:
        return self._last_task.get(client, -1) in (-1, *self._extracted)

    def _arrive(self) -> None:
        """Everybody who is free arrives at the next operation, and so has invoked it."""
        for client in self._clients.values():
            if client.name not in self._pending and self._at[client.name] < len(client.operations):
                self._next(client)

    def _next(self, client: Client) -> None:
        index = self._at[client.name]
        if client.after is not None and index == 0:
            first = self._clients[client.after]
            if self._at[first.name] < len(first.operations) or first.name in self._pending:
                return
            index = 1
        self._at[client.name] = index + 1
        call = self.history.invoke(client.name, index, client.operations[index], self._step)
        self._pending[client.name] = call

    def _operate(self, call: Call) -> None:
        answer = self.history.answer
        match call.kind:
            case "add" | "retry":
                self._add(call.operation.argument)
                answer(call, self._step, "ok")
            case "context":
                archived = [message for archive in self._archives for message in archive]
                answer(call, self._step, "ok", messages=[*archived, *self._live])
            case "ask" if (task := self._last_task.get(call.client)) is not None:
                self.history.see(
                    f"t{task}", "completed" if task in self._extracted else "running", self._step, call.client
                )
                answer(call, self._step, "ok")
            case "ask":
                answer(call, self._step, "skipped")
            case "extractor" | "storage" | "queue":
                self._armed.append(str(call.operation))
                answer(call, self._step, "ok")
            case "clock":
                self.history.fault(str(call.operation), self._step)
                answer(call, self._step, "ok")
            case "reload":
                answer(call, self._step, "ok", messages=self._live)
            case "commit":
                self._commit(call)
            case "wait":
                if (task := self._last_task.get(call.client)) is not None:
                    self.history.see(f"t{task}", "completed", self._step, call.client)
                answer(call, self._step, "ok")
            case "cancel":
                if call.operation.argument in self._pending:
                    answer(self._pending.pop(call.operation.argument), self._step, "cancelled")
                answer(call, self._step, "ok")
            case "crash" | "power-loss":
                self._crash(call)

    def _add(self, message: str) -> None:
        if not any(message in messages for messages in (self._live, *self._archives)):
            self._live.append(message)
        self._strikes("storage fails", "storage forgets")

    def _strikes(self, *faults: str) -> str:
        """The first of these faults that is armed: it is over."""
        for fault in faults:
            if fault in self._armed:
                self._armed.remove(fault)
                self.history.fault(fault, self._step)
                return fault
        return ""

    def _commit(self, call: Call) -> None:
        self._strikes("storage fails", "storage forgets")
        if not self._live:
            self.history.answer(call, self._step, "skipped")
            return
        job = len(self._archives)
        self._archives.append(self._live)
        claimed, self._live = self._live, []
        self._strikes("queue loses", "queue repeats")
        if not self._background or call.operation.wait:
            self._extract(job, 2)
        self._last_task[call.client] = job
        self.history.answer(call, self._step, "ok", messages=claimed, task=f"t{job}")

    def _extract(self, job: int, steps: int = 1) -> None:
        for _ in range(steps):
            if job in self._running:
                fault = self._strikes("extractor fails", "extractor hangs", "extractor slows")
                ended = not fault or fault == "extractor slows"
                handover = self._running.pop(job)
                self.history.end_handover(handover, self._step, "succeeded" if ended else "failed")
                if ended:
                    self._extracted.append(job)
            else:
                self._running[job] = self.history.hand_over(self._archives[job], self._step, caller=f"bg{job}")

    def _crash(self, call: Call) -> None:
        self.history.fault("power-loss" if call.kind == "power-loss" else "process-crash", self._step)
        victims = [call.operation.argument] if call.kind == "crash" else list(self._pending)
        for victim in victims:
            if victim in self._pending:
                self.history.answer(self._pending.pop(victim), self._step, "lost")
        for handover in self._running.values():
            self.history.end_handover(handover, self._step, "lost")
        self._running.clear()
        self.history.answer(call, self._step, "ok")


def schedules(scenario: Scenario, *, background: bool) -> Iterator[History]:
    """Every schedule of the scenario on the toy store, one history each."""
    prefix: list[int] = []
    while True:
        toy = Toy(scenario, background=background)
        widths: list[int] = []
        while who := toy.runnable():
            if len(widths) == len(prefix):
                prefix.append(0)
            toy.step(who[prefix[len(widths)]])
            widths.append(len(who))
        yield toy.end()
        while prefix and prefix[-1] + 1 == widths[len(prefix) - 1]:
            prefix.pop()
        if not prefix:
            return
        prefix[-1] += 1


class TestCatalogue:
    """Every entry."""

    @pytest.mark.parametrize("name", STORIES)
    def test_a_story_is_told_completely(self, name: str) -> None:
        """A name, one line, goals that exist, and a text that is its own canonical form."""
        scenario = STORIES[name]
        assert scenario.name == name == name.lower()
        assert scenario.summary.endswith(".")
        assert "\n" not in scenario.summary
        assert scenario.goals
        assert set(scenario.goals) <= set(GOALS)
        assert Scenario.parse(scenario.text).clients == scenario.clients

    @pytest.mark.parametrize("background", [True, False], ids=["background", "atomic"])
    @pytest.mark.parametrize("name", STORIES)
    def test_a_correct_store_reaches_every_goal_and_is_innocent(self, name: str, background: bool) -> None:
        """Over all schedules: no goal is out of reach, and no invariant accuses what is right."""
        scenario = STORIES[name]
        missing = set(scenario.goals)
        for history in schedules(scenario, background=background):
            missing -= set(reached(history, scenario.goals))
            assert judge(history, Capabilities()) == ()
        assert not missing

    def test_no_two_stories_are_the_same(self) -> None:
        """Two names for one text would be compared twice."""
        assert len({scenario.text for scenario in STORIES.values()}) == len(STORIES)

    def test_the_stories_of_the_issue_are_told_word_for_word(self) -> None:
        """Tokens carry a checksum of the text: a changed story makes old tokens foreign."""
        assert STORIES["after-completion"].text == "a: add m1; commit nowait; wait | b: after a; reload; commit"
        assert STORIES["free-running"].text == "a: add m1; commit nowait; wait | b: reload; commit"
        assert STORIES["add-during-commit"].text == "a: add m1; add m2 | b: commit nowait; wait"
        assert STORIES["after-completion"].link == "OpenViking issue 580"


class TestStory:
    """A name or a text."""

    def test_a_name(self) -> None:
        """The registered scenario itself."""
        assert story("free-running") is STORIES["free-running"]

    def test_a_text(self) -> None:
        """Parsed, with the goals that it implies."""
        scenario = story("a:commit|b:commit")
        assert scenario.name == scenario.text == "a: commit | b: commit"
        assert scenario.goals == ("commits-overlap",)

    def test_the_text_of_a_story(self) -> None:
        """It is that story, with the goals of the catalogue, however it is laid out."""
        assert story("a: add m1; commit|b: commit") is STORIES["two-commits"]

    def test_a_name_that_is_almost_right(self) -> None:
        """The nearest is suggested."""
        with pytest.raises(UsageError) as caught:
            story("free-runing")
        assert str(caught.value) == (
            "there is no story 'free-runing'; did you mean 'free-running'? "
            "(a text names its clients: 'a: add m1; commit')"
        )

    def test_a_name_like_no_other(self) -> None:
        """All of them are listed."""
        with pytest.raises(UsageError, match="expected one of after-completion, free-running, "):
            story("zzz")

    def test_a_text_with_a_mistake(self) -> None:
        """The column is pointed at."""
        with pytest.raises(UsageError, match="column 4: unknown operation 'comit'"):
            story("a: comit")
