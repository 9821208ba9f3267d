"""Serving a design."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from statistics import mean

import httpx
import pytest
import trio

from racewindow.cli import main
from racewindow.cli.codes import USAGE
from racewindow.errors import UsageError
from racewindow.implementations import implementation
from racewindow.serving import serve_design
from racewindow.serving._wall import PointTimes

from .conftest import Serving


class TestPoints:
    def test_they_take_the_time_that_the_model_gives_and_say_how_long_they_took(self, design: Serving) -> None:
        async def run() -> Mapping[str, list[float]]:
            async with design("path-lock", {"commit/extract*": 0.05, "*": 0.0}) as fleet:
                client = fleet.client(0)
                for number in range(8):
                    await client.create(f"s{number}")
                    await client.add(f"s{number}", "m1")
                    await client.commit(f"s{number}", wait=True)
                told: Mapping[str, list[float]] = await client.latencies_s()
                return told

        told = trio.run(run)
        assert {"add/live.read", "add/live.write", "commit/lock.acquire", "commit/live.clear"} <= set(told)
        assert len(told["commit/extract"]) == 8
        # Both points of the extractor: 16 draws with mean 0.05 lie below 0.01 in all with a chance of 1e-11.
        assert mean(told["commit/extract"] + told["commit/extract/answer"]) > 0.01
        assert mean(told["commit/extract"]) > mean(told["add/live.read"])

    def test_a_model_may_leave_points_out(self) -> None:
        times = PointTimes({"a*": 0.5})
        assert times.draw_s("ab") > 0
        assert times.draw_s("b") == 0

    def test_the_first_pattern_that_fits_holds(self) -> None:
        assert PointTimes({"a": 0.0, "*": 9.0}).draw_s("a") == 0

    @pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
    def test_a_latency_is_a_number_of_seconds(self, seconds: float) -> None:
        with pytest.raises(UsageError, match="0 or more"):
            PointTimes({"*": seconds})


class TestRequests:
    @pytest.mark.parametrize(
        ("method", "path", "body", "status"),
        [
            ("POST", "/api/v1/sessions", b"{", 400),
            ("POST", "/api/v1/sessions", b"[]", 400),
            ("POST", "/api/v1/sessions", b'{"session_id": ".."}', 400),
            ("POST", "/api/v1/sessions", b'{"session_id": 7}', 400),
            ("POST", "/api/v1/sessions/none/messages", b'{"role": "user", "content": "x"}', 404),
            ("POST", "/api/v1/sessions/s/messages", b'{"role": "user"}', 400),
            ("POST", "/api/v1/sessions/s/messages", b" " * (1 << 20) + b" ", 400),
            ("POST", "/api/v1/sessions/s/commit?wait=perhaps", b"", 400),
            ("GET", "/api/v1/sessions/s/archives/1", b"", 404),
            ("PUT", "/api/v1/sessions", b"", 405),
            ("GET", "/api/v2", b"", 404),
        ],
    )
    def test_bad_ones_get_the_documented_error(
        self, design: Serving, method: str, path: str, body: bytes, status: int
    ) -> None:
        async def run() -> httpx.Response:
            async with design("path-lock") as fleet:
                await fleet.client(0).create("s")
                async with httpx.AsyncClient(base_url=fleet.client(0).url) as http:
                    return await http.request(method, path, content=body)

        response = trio.run(run)
        assert response.status_code == status
        assert response.json()["status"] == "error"
        assert response.json()["error"]["message"]

    def test_sessions_of_an_earlier_life_are_there_again(self, design: Serving) -> None:
        async def life(first: bool) -> tuple[str, ...]:
            async with design("path-lock") as fleet:
                if first:
                    await fleet.client(0).create("s")
                    await fleet.client(0).add("s", "m1")
                seen: tuple[str, ...] = await fleet.client(0).live("s")
                return seen

        assert trio.run(life, True) == ("m1",)
        assert trio.run(life, False) == ("m1",)


class TestCommand:
    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["no-such-design", "ROOT"], "no implementation"),
            (["path-lock", "ROOT", "--latency", "soon"], "'soon' is no latency"),
            (["path-lock", "ROOT", "--latency", "*=-1"], "less than no time"),
            (["path-lock", "ROOT", "--port", "99999"], "from 0 to 65535"),
            (["path-lock", os.devnull], "cannot serve"),
        ],
    )
    def test_bad_arguments(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
    ) -> None:
        given = [str(tmp_path / "root") if each == "ROOT" else each for each in arguments]
        assert main(["serve-design", *given]) == USAGE
        assert told in capsys.readouterr().err

    def test_stores_of_another_host_are_refused(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "elsewhere.py").write_text(
            "from racewindow.implementations import implementation\n"
            "class Elsewhere(implementation('path-lock')):\n"
            "    host = 'asyncio'\n"
        )
        name = f"{tmp_path / 'elsewhere.py'}:Elsewhere"

        async def run() -> None:
            await serve_design(implementation(name), tmp_path)

        with pytest.raises(UsageError, match="runs on asyncio"):
            trio.run(run)
        assert main(["serve-design", name, str(tmp_path / "root")]) == USAGE
        assert "runs on asyncio" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["http://127.0.0.1:1"], "nobody answers"),
            (["serve {root}"], "has no {port}"),
            (["http://127.0.0.1:1", "--scenario", "nonsense"], "nonsense"),
            (["http://127.0.0.1:1", "--time-limit", "0"], "positive number"),
        ],
    )
    def test_servers_that_cannot_be_tried(
        self, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
    ) -> None:
        assert main(["server", *arguments]) == USAGE
        assert told in capsys.readouterr().err
