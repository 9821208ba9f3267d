"""Stories against real servers."""

from __future__ import annotations

import json
import sys
from math import isnan
from pathlib import Path

import pytest
import trio

from racewindow.errors import UsageError
from racewindow.frames import MATRIX, TRIES
from racewindow.servers import Pace, ServerResult, sample, start
from racewindow.servers.ledger import LEDGER, Ledger, extract
from racewindow.sessions.scenario import Scenario
from racewindow.sessions.stories import story

from .conftest import Serving

QUICK = Pace(pause_s=0.001, settle_s=0.02)
SLOW_SWITCH = {"worker/*": 0.02, "*": 0.0}


class TestVerdicts:
    def test_copy_on_write_shows_after_completion_what_it_committed(self, design: Serving) -> None:
        async def run() -> ServerResult:
            async with design("copy-on-write", SLOW_SWITCH) as fleet:
                return await sample(fleet, story("after-completion"), tries=4, pace=Pace(pause_s=0.0, settle_s=0.3))

        result = trio.run(run)
        assert result.verdict == "failed"
        assert "completed-means-switched" in result.kinds
        assert result.frame["failures"].tolist() == [result.failures]

    def test_the_reference_stands_the_same(self, reference: Serving) -> None:
        async def run() -> ServerResult:
            async with reference() as fleet:
                return await sample(fleet, story("after-completion"), tries=6, pace=QUICK)

        result = trio.run(run)
        assert result.verdict == "sampled", result.tries
        assert "at most 39.3" in result.says  # 1 - 0.05 ** (1 / 6)
        assert list(result.frame.columns) == [column.name for column in MATRIX]
        assert list(result.runs.columns) == [column.name for column in TRIES]
        assert len(result.runs) == 6

    def test_a_goal_that_no_try_reached_makes_it_unknown(self, reference: Serving) -> None:
        never = Scenario.parse("a: add m1; commit | b: after a; reload", goals=("commits-overlap",))

        async def run() -> ServerResult:
            async with reference() as fleet:
                return await sample(fleet, never, tries=2, pace=QUICK)

        result = trio.run(run)
        assert (result.verdict, result.missed) == ("unknown", ("commits-overlap",))
        assert "commits-overlap" in result.says

    @pytest.mark.parametrize(
        ("name", "told"),
        [("crash-during-commit", "not started here"), ("acknowledged-then-power-loss", "not switched off")],
    )
    def test_what_cannot_be_done_to_a_server_does_not_apply(self, reference: Serving, name: str, told: str) -> None:
        async def run() -> ServerResult:
            async with reference() as fleet:
                return await sample(fleet, story(name), tries=2)

        result = trio.run(run)
        assert result.verdict == "not-applicable"
        assert told in result.says

    def test_a_client_with_a_delay_begins_that_long_after_the_first_commit(self, reference: Serving) -> None:
        async def run() -> ServerResult:
            async with reference() as fleet:
                scenario = Scenario.parse("a: add m1; commit nowait | b: reload; commit")
                return await sample(fleet, scenario, tries=4, pace=QUICK, delays_s={"b": (0.0, 0.3)})

        result = trio.run(run)
        frame = result.runs.set_index("try")
        assert frame["delay_s"].tolist() == [0.0, 0.3, 0.0, 0.3]
        assert frame.loc[[1, 3], "seconds"].min() >= 0.3
        assert result.verdict == "sampled"

    def test_without_a_delay_the_frame_says_so(self, reference: Serving) -> None:
        async def run() -> ServerResult:
            async with reference() as fleet:
                return await sample(fleet, story("two-commits"), tries=1, pace=QUICK)

        assert isnan(trio.run(run).runs["delay_s"].iloc[0])

    @pytest.mark.parametrize("options", [{"tries": 0}, {"at_once": 0}, {"time_limit_s": 0.0}])
    def test_numbers_that_make_no_sense(self, reference: Serving, options: dict[str, float]) -> None:
        async def run() -> None:
            async with reference() as fleet:
                await sample(fleet, story("two-commits"), **options)  # type: ignore[arg-type]

        with pytest.raises((UsageError, ExceptionGroup)) as caught:
            trio.run(run)
        assert caught.group_contains(UsageError) if isinstance(caught.value, ExceptionGroup) else True


class TestProcesses:
    @pytest.mark.exhaustive
    def test_two_servers_on_one_root_survive_kills(self) -> None:
        command = f"{sys.executable} -m oncestore serve {{root}} --port {{port}} --extractor racewindow.servers.ledger:extract"

        async def run() -> ServerResult:
            async with start(command, processes=2, extract_s=0.02) as fleet:
                return await sample(
                    fleet, story("crash-during-commit"), tries=3, pace=Pace(pause_s=0.02, settle_s=0.05)
                )

        result = trio.run(run)
        assert result.topology == "separate-stores"
        assert not result.failures, result.tries
        assert len(result.tries) == 3

    @pytest.mark.exhaustive
    def test_a_server_that_goes_away_leaves_partial_results(self) -> None:
        command = f"{sys.executable} -m oncestore serve {{root}} --port {{port}}"

        async def run() -> ServerResult:
            async with start(command) as fleet, trio.open_nursery() as nursery:

                def watch(done: int) -> None:
                    if done == 2:
                        nursery.start_soon(fleet.kill, 0)

                return await sample(fleet, story("two-commits"), tries=500, pace=QUICK, at_once=1, progress=watch)

        result = trio.run(run)
        assert 2 <= len(result.tries) < 500
        assert result.interrupted
        assert "went away" in result.reason


class _Message:
    def __init__(self, id: str) -> None:
        self.id = id


class TestLedger:
    def test_what_was_handed_over_is_found_by_session(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "ledger"
        ledger = Ledger(path)
        assert not ledger.used
        assert ledger.take("s") == []
        monkeypatch.setenv(LEDGER, str(path))
        assert extract([_Message("s.m1"), _Message("s.m2")], "k1") == "SUM(s.m1, s.m2)"
        extract([_Message("other.m1")], "k2")
        extract([_Message("s.m3")], "k3")
        assert [entry["messages"] for entry in ledger.take("s")] == [["m1", "m2"], ["m3"]]
        assert ledger.take("s") == []
        assert [entry["key"] for entry in ledger.take("other")] == ["k2"]

    def test_half_a_line_is_read_when_it_is_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "ledger"
        line = json.dumps({"key": "k", "messages": ["s.m1"]}) + "\n"
        path.write_text(line[:9])
        ledger = Ledger(path)
        assert ledger.take("s") == []
        path.write_text(line)
        assert [entry["key"] for entry in ledger.take("s")] == ["k"]
