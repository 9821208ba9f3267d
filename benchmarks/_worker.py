"""One simulator on the benchmark's subject, in an environment of its own: what ``peers.py`` starts.

    python benchmarks/_worker.py detangle

Reads requests from stdin, one line of JSON each, and answers each with one line: ``{"schedules": n, "seed": s}`` runs so many schedules of
the correct subject, and as many as bare coroutines; ``{"variant": v, "seed": s, "cap": c}`` looks for the first bug.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import random
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

SUBJECT = Path(__file__).parents[1] / "simulator" / "racewindow" / "bench" / "subject.py"

Rate = Callable[[int, int], object]
First = Callable[[str, int, int], int | None]
Form = tuple[Rate, First]


def _load_subject() -> Any:
    """By its path: a peer's environment has no racewindow."""
    spec = importlib.util.spec_from_file_location("subject", SUBJECT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["subject"] = module
    spec.loader.exec_module(module)
    return module


subject = _load_subject()


def asyncio_main(variant: str, point: Any = subject.yielding) -> Callable[..., Any]:
    async def main(*_: object) -> None:
        await subject.plain_asyncio(variant, point)

    return main


def racewindow(host: str = "trio", strategy: str = "random-walk") -> Form:
    import racewindow as rw
    from racewindow.search.registry import strategy_named

    form = {"trio": subject.on_trio, "asyncio": subject.on_asyncio}[host]

    def rate(schedules: int, seed: int) -> None:
        assert rw.explore(form("correct"), schedules=schedules, seed=seed, host=host).verdict == "passed"

    def first(variant: str, seed: int, cap: int) -> int | None:
        found = rw.explore(
            form(variant),
            strategy=strategy_named(strategy),
            schedules=cap,
            seed=seed,
            host=host,
            stop_at_first=True,
        )
        return found.schedules if found.failures else None

    return rate, first


def limit() -> Form:
    """Nothing but bare coroutines."""

    def rate(schedules: int, seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(schedules):
            subject.bare_schedule("correct", rng)

    def first(variant: str, seed: int, cap: int) -> int | None:
        raise NotImplementedError("bare coroutines find nothing")

    return rate, first


def detangle() -> Form:
    peer = importlib.import_module("detangle")

    def rate(schedules: int, seed: int) -> None:
        peer.explore(asyncio_main("correct"), runs=schedules, strategy="random", seed=seed, database=False)

    def first(variant: str, seed: int, cap: int) -> int | None:
        try:
            peer.explore(asyncio_main(variant), runs=cap, strategy="random", seed=seed, database=False, shrink=False)
        except peer.BugFound as error:
            return int(error.report.runs)
        return None

    return rate, first


def seedloop() -> Form:
    peer = importlib.import_module("seedloop")

    def scenario(variant: str) -> Callable[[Any], Any]:
        async def run(world: Any) -> None:
            async def access(_: str) -> None:  # it keeps FIFO order, and explores by the latency of storage
                await asyncio.sleep(world.rng.uniform(0.0, 0.001))

            await subject.plain_asyncio(variant, access)

        return run

    def rate(schedules: int, seed: int) -> None:
        start = (seed + 1) * 10**6
        result = peer.check(scenario("correct"), seeds=range(start, start + schedules), on_failure="return")
        assert result.failing_seed is None

    def first(variant: str, seed: int, cap: int) -> int | None:
        start = (seed + 1) * 10**6
        result = peer.check(scenario(variant), seeds=range(start, start + cap), on_failure="return")
        return int(result.checked) if result.failing_seed is not None else None

    return rate, first


def simloom() -> Form:
    peer = importlib.import_module("simloom")

    def explore(variant: str, schedules: int, seed: int, *, stop: bool) -> Any:
        return peer.explore(
            asyncio_main(variant),
            runs=schedules,
            start_seed=(seed + 1) * 10**6,
            scheduler="random",
            world=False,
            stop_on_failure=stop,
        )

    def rate(schedules: int, seed: int) -> None:
        assert not explore("correct", schedules, seed, stop=False).failed

    def first(variant: str, seed: int, cap: int) -> int | None:
        result = explore(variant, cap, seed, stop=True)
        return int(result.runs) if result.failed else None

    return rate, first


def simloop() -> Form:
    peer = importlib.import_module("simloop")

    def explore(variant: str, schedules: int, seed: int) -> Any:
        start = (seed + 1) * 10**6
        return peer.explore(asyncio_main(variant), range(start, start + schedules))

    def rate(schedules: int, seed: int) -> None:
        assert explore("correct", schedules, seed) is None

    def first(variant: str, seed: int, cap: int) -> int | None:
        result = explore(variant, cap, seed)
        return int(result.seeds_passed) + 1 if result else None

    return rate, first


class _SpinLock:
    """For frontrun's random strategy, which takes a task that waits for an ``asyncio.Lock`` for one that hangs."""

    held = False

    async def __aenter__(self) -> None:
        while self.held:
            await asyncio.sleep(0)
        self.held = True

    async def __aexit__(self, *_: object) -> None:
        self.held = False


def frontrun() -> Form:
    peer = importlib.import_module("frontrun")

    def search(variant: str, schedules: int, seed: int) -> Any:
        # It controls its workers, not the tasks they start: background work gets workers that wait for it.
        def setup() -> Any:
            jobs: list[Any] = []
            store = subject.Store(
                subject.yielding, _SpinLock(), lambda function, *args: jobs.append((function, args)), variant
            )
            store.jobs = jobs
            return store

        def background(number: int) -> Callable[[Any], Any]:
            async def worker(store: Any) -> None:
                while len(store.jobs) <= number:
                    await asyncio.sleep(0)
                function, args = store.jobs[number]
                await function(*args)

            return worker

        async def rest(store: Any) -> None:
            # A worker that waits for the extractor's job, while others wait for the lock, is taken for a deadlock: do it here.
            while variant == "correct" and store.jobs:
                function, args = store.jobs.pop()
                await function(*args)

        async def a(store: Any) -> None:
            await store.a()
            await rest(store)

        async def b(store: Any) -> None:
            await store.b()
            await rest(store)

        def holds(store: Any) -> bool:
            archived = store.peek("archive")
            return len(archived) == len(set(archived))

        async def main() -> Any:
            return await peer.explore(
                setup=setup,
                workers=[a, b, *map(background, range(0 if variant == "correct" else 2))],
                invariant=holds,
                strategy="random",
                detect_io=False,
                max_attempts=schedules,
                max_ops=400,
                seed=seed,
            )

        return asyncio.run(main())

    def rate(schedules: int, seed: int) -> None:
        result = search("correct", schedules, seed)
        assert result.property_holds, result.explanation

    def first(variant: str, seed: int, cap: int) -> int | None:
        result = search(variant, cap, seed)
        return None if result.property_holds else int(result.num_explored)

    return rate, first


FORMS: dict[str, Callable[[], Form]] = {
    "limit": limit,
    "racewindow": racewindow,
    "racewindow burst": lambda: racewindow(strategy="burst"),
    "racewindow asyncio": lambda: racewindow("asyncio"),
    "detangle": detangle,
    "seedloop": seedloop,
    "frontrun": frontrun,
    "simloom": simloom,
    "simloop": simloop,
}


def main() -> None:
    warnings.simplefilter("ignore")
    answers, sys.stdout = sys.stdout, sys.stderr  # some peers print what they found
    rate, first = FORMS[sys.argv[1]]()
    rng = random.Random(1)
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, object]
        if "variant" in request:
            answer = {"first": first(request["variant"], request["seed"], request["cap"])}
        else:
            schedules = request["schedules"]
            begun = time.process_time()
            for _ in range(schedules):
                subject.bare_schedule("correct", rng)
            between = time.process_time()
            rate(schedules, request["seed"])
            answer = {"limit_s": between - begun, "form_s": time.process_time() - between}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
