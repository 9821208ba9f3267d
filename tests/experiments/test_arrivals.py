"""Arrivals and widths in seconds: against a race whose probability is known, and what is common to all curves."""

from __future__ import annotations

from math import exp, inf, isnan, nan

import pytest
from scipy.stats import binomtest

import racewindow as rw
from racewindow.experiments import Latencies, arrivals, measure, windows
from racewindow.frames import ARRIVALS, MEASURES

TWICE = "a: add m1; commit nowait | b: commit nowait"
AT_ONCE = {"work/clear": 1.0, "*": 0.0}  # nothing takes time but what lies between reading and clearing


class Ticket:
    def __init__(self, name: str) -> None:
        self.id, self.messages = name, ()

    async def wait(self) -> str:
        return "completed"

    async def status(self) -> str:
        return "completed"


class Handle:
    """A commit is accepted at once; its work reads the live log, and a while later archives and clears it."""

    def __init__(self, env: rw.Environment) -> None:
        self.env, self.disk = env, env.disk

    async def add(self, message: str) -> None:
        await self.disk.write("live", " ".join([*await self.reload(), message]).encode())

    async def reload(self) -> list[str]:
        return (await self.disk.read("live")).decode().split() if "live" in self.disk.names("") else []

    async def commit(self, *, wait: bool) -> rw.Ticket:
        self.env.background(self.work, "work", operation="work")
        return Ticket(self.env.serial("commit"))

    async def work(self) -> None:
        await self.env.world.point("read")
        messages = await self.reload()
        await self.env.world.point("clear")
        if not messages:
            return
        number = len(self.disk.names("archives")) + 1 if "archives" in self.disk.names("") else 1
        await self.disk.write(f"archives/{number}", " ".join(messages).encode())
        await self.disk.write("live", b"")
        await self.env.extract(messages)


class Slow(rw.SessionStore):
    """Archives twice whatever is read again before it is cleared."""

    name = "slow-clear"
    capabilities = rw.Capabilities(durable=False)

    async def load(self) -> Handle:
        return Handle(self.env)

    @classmethod
    def observe(cls, env: rw.Environment) -> rw.Observation:
        def ids(path: str) -> tuple[str, ...]:
            return tuple((env.disk.peek(path) or b"").decode().split())

        numbers = env.disk.names("archives") if "archives" in env.disk.names("") else []
        archives = [
            rw.Archive(number=int(name), messages=ids(f"archives/{name}"), state="extracted") for name in numbers
        ]
        return rw.Observation(live=ids("live"), archives=tuple(archives))


class Refusing(Slow):
    """Never accepts anything."""

    name = "refusing"

    async def load(self) -> Handle:
        handle = Handle(self.env)

        async def refuse(*, wait: bool) -> rw.Ticket:
            raise rw.Refused("not today", busy=True)

        handle.commit = refuse  # type: ignore[method-assign]
        return handle


def slow(store: type[rw.SessionStore] = Slow) -> rw.Case:
    return rw.case(store, TWICE, disk="atomic")


class TestProbabilities:
    def test_the_known_one(self) -> None:
        """The second client reads what is not cleared yet exactly if clearing takes longer than the delay: P = exp(-d / mean)."""
        delays = (0.1, 0.7, 2.0)
        frame = arrivals(slow(), latencies=Latencies(means_s=AT_ONCE), delays_s=delays, schedules=150, seed=1).frame
        assert frame["delay_s"].tolist() == list(delays)
        for row in frame.to_dict("records"):
            assert row["schedules"] == 150
            assert row["probability"] == row["failures"] / 150
            assert binomtest(row["failures"], 150, exp(-row["delay_s"])).pvalue > 1e-4
            ends = binomtest(row["failures"], 150).proportion_ci(0.95, method="exact")
            assert (row["low"], row["high"]) == pytest.approx((ends.low, ends.high))
            assert not row["exact"]
            assert "committed-once" in row["violation"]

    def test_fixed_latencies_are_exact(self) -> None:
        """One schedule each, and no interval: before the clearing it fails, after it it does not."""
        latencies = Latencies(means_s=AT_ONCE, distribution="fixed")
        frame = arrivals(slow(), latencies=latencies, delays_s=(0.0, 0.999, 1.001, 5.0), schedules=300).frame
        assert frame["probability"].tolist() == [1.0, 1.0, 0.0, 0.0]
        assert frame["exact"].all()
        assert (frame["schedules"] == 1).all()
        assert (frame["low"] == frame["probability"]).all()
        assert (frame["high"] == frame["probability"]).all()

    def test_a_commit_that_was_not_accepted_does_not_count(self) -> None:
        """P(.|.) is conditional on 'accepted': without one there is no probability."""
        (row,) = arrivals(slow(Refusing), delays_s=(1.0,), schedules=5).frame.to_dict("records")
        assert (row["schedules"], row["not_accepted"], row["failures"]) == (0, 5, 0)
        assert isnan(row["probability"])

    def test_what_the_load_does_to_itself_does_not_count(self) -> None:
        """Only harm to the two clients' messages does; the row says how many there were besides."""
        latencies = Latencies(means_s=AT_ONCE)
        frame = arrivals(slow(), latencies=latencies, delays_s=(20.0,), loads=(0, 3), think_s=0.01, schedules=40).frame
        assert frame["load"].tolist() == [0, 3]
        assert frame["failures"].iloc[0] == 0, "by then the first commit has cleared"
        assert frame["failures"].iloc[1] > 0, "but others came earlier"
        assert "0.01 s of thought" in frame["latency"].iloc[1]
        assert "thought" not in frame["latency"].iloc[0]


class TestCommonNumbers:
    def test_a_later_arrival_never_does_more_harm_here(self) -> None:
        """With the same draws for every delay the curve of this race can only fall, schedule by schedule."""
        delays = tuple(number / 4 for number in range(1, 7))
        frame = arrivals(slow(), latencies=Latencies(means_s=AT_ONCE), delays_s=delays, schedules=30).frame
        assert frame["failures"].is_monotonic_decreasing

    @pytest.mark.exhaustive  # worker processes take a while to start
    def test_the_same_seed_gives_the_same_frame_whatever_runs_beside_it(self) -> None:
        """In one process or two, alone or with other implementations."""
        cases = [rw.case(name, "free-running", topology="separate-stores") for name in ("path-lock", "commit-in-place")]
        one = arrivals(cases, delays_s=(0.0, 2.0), schedules=8, seed=3).frame
        two = arrivals(cases, delays_s=(0.0, 2.0), schedules=8, seed=3, jobs=2).frame
        assert one.equals(two)
        alone = arrivals(cases[0], delays_s=(2.0,), schedules=8, seed=3).frame
        mine = one[(one["implementation"] == "path-lock") & (one["delay_s"] == 2.0)]
        assert alone["failures"].tolist() == mine["failures"].tolist()
        assert alone["token"].tolist() == mine["token"].tolist()

    def test_a_failing_schedule_has_its_story(self) -> None:
        """Its token replays, under load too, where the scenario has more clients than were asked for."""
        case = rw.case("commit-in-place", "free-running", topology="separate-stores")
        result = arrivals(case, delays_s=(0.0,), loads=(0, 1), schedules=4)
        for token in result.frame["token"]:
            assert result.timeline(token).violation
        with pytest.raises(rw.UsageError, match="not asked here"):
            result.timeline(windows(case).widths["token"].item())

    def test_the_frame_is_tidy(self) -> None:
        """The documented columns; the latency model stands in each row."""
        result = arrivals(slow(), delays_s=(0.0,), schedules=1, latencies=Latencies(means_s={"work/*": 2}))
        assert result.frame.columns.tolist() == [column.name for column in ARRIVALS]
        told = "exponential: work/* 2 s, *extract/answer 2.6 s, *summary 2.6 s, *fsync 1 ms, any other step 0.15 ms"
        assert result.frame["latency"].tolist() == [told]
        assert repr(result).startswith("<ArrivalsResult rows=1 failures=")


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"delays_s": (-1.0,)}, "delay -1.0: it is counted from 'accepted' on"),
            ({"delays_s": (nan,)}, "delay nan"),
            ({"delays_s": ()}, "at least one case, one delay and one load"),
            ({"loads": (-1,)}, "load -1: give a number of clients"),
            ({"loads": (1.5,)}, "load 1.5"),
            ({"think_s": -0.1}, "think_s=-0.1"),
            ({"schedules": 0}, "schedules=0"),
            ({"jobs": 0}, "jobs=0"),
        ],
    )
    def test_a_number_that_makes_no_sense(self, options: dict[str, object], message: str) -> None:
        """Said before anything runs."""
        with pytest.raises(rw.UsageError, match=message):
            arrivals(slow(), **options)  # type: ignore[arg-type]

    def test_a_scenario_without_a_second_client(self) -> None:
        """The same line as for windows."""
        with pytest.raises(rw.UsageError, match="no victim and intruder"):
            arrivals(rw.case("reference", "a: add m1; commit"))

    @pytest.mark.parametrize("seconds", [-0.1, nan, inf, "1"])
    def test_a_latency_that_is_none(self, seconds: object) -> None:
        """Negative times above all."""
        with pytest.raises(rw.UsageError, match="no step takes less than no time"):
            Latencies(means_s={"*": seconds})  # type: ignore[dict-item]

    @pytest.mark.parametrize("text", ["extract", "=1", "extract=", "extract=soon"])
    def test_a_text_that_is_no_latency(self, text: str) -> None:
        """With an example of one."""
        with pytest.raises(rw.UsageError, match="write PATTERN=SECONDS"):
            Latencies.parse([text])

    def test_an_unknown_distribution(self) -> None:
        """Names those there are."""
        with pytest.raises(rw.UsageError, match="use exponential or fixed"):
            Latencies.parse([], "normal")


class TestMeasures:
    def test_one_map_in_three_units(self) -> None:
        """Gaps as in the map; the share of all interleavings, counted; seconds as the sum over the steps that end failing gaps."""
        mapped = windows(slow())
        latencies = Latencies(means_s={"work/clear": 7.0, "work/read": 0.5, "*": 0.0})
        frame = measure(mapped, latencies=latencies, states_max=3, schedules=5)
        assert frame.columns.tolist() == [column.name for column in MEASURES]
        (row,) = frame.to_dict("records")
        cells = mapped.frame
        failing = cells[cells["violation"] != ""]
        assert row["failing"] == len(failing) == mapped.widths["failing"].item()
        assert row["seconds"] == 7.0 * (failing["before_step"] == "work/clear").sum() > 0
        assert row["seconds_all"] == 7.5

    def test_where_it_is_small_enough_all_interleavings_are_counted(self) -> None:
        """Then the share is exact, and there is no interval."""
        case = rw.case(Slow, "a: add m1; commit nowait | b: after a; reload", disk="atomic")
        (row,) = measure(windows(case)).to_dict("records")
        runs = rw.explore(case.subject(), strategy=rw.Bounded(None), schedules=None, limits=case.limits)
        assert (row["share_exact"], row["share_how"]) == (True, "counted")
        assert row["interleavings"] == str(runs.schedules)
        assert row["share"] == row["share_low"] == row["share_high"] == runs.failures / runs.schedules

    def test_beyond_the_bound_it_is_a_sample_and_says_so(self) -> None:
        """With the interval of the sampler, and with a word on how far that is uniform: a commit that finds nothing takes fewer steps."""
        (row,) = measure(windows(slow()), states_max=3, schedules=50).to_dict("records")
        assert not row["share_exact"]
        assert row["interleavings"] == "50"
        assert row["share_low"] < row["share"] < row["share_high"]
        assert row["share_how"].endswith("schedules took other counts, so it was not quite uniform")

    def test_a_window_that_never_closes_lasts_for_ever(self) -> None:
        """Where the gap after the last step fails, no time is enough."""
        mapped = windows(rw.case("path-lock", "free-running", topology="separate-stores", disk="atomic"), every=True)
        frame = measure(mapped, schedules=5, states_max=10)
        ends = mapped.spans[mapped.spans["closes"] == "end"]
        assert len(ends)
        key = ["victim", "operation", "intruder", "intrusion"]
        endless = {tuple(row) for row in ends[key].astype("str").to_numpy()}
        for row in frame.to_dict("records"):
            assert (row["seconds"] == inf) is (tuple(row[name] for name in key) in endless)

    def test_no_schedules_make_no_sample(self) -> None:
        """Said before anything is counted."""
        with pytest.raises(rw.UsageError, match="at least one schedule"):
            measure(windows(slow()), schedules=0)
