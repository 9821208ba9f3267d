"""What every request goes through: token, limits, time, the log; and what happens when a client goes away."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import trio
import trio.testing

from oncestore import MemoryStorage, open_store
from oncestore.server import Limits, create_app

OpenFace = Any


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


class TestToken:
    @pytest.mark.parametrize("header", [None, "", "secret", "Bearer", "Bearer wrong", "Bearer secret2", "Basic secret"])
    def test_without_the_token_nothing_is_told_or_stored(self, open_face: OpenFace, header: str | None) -> None:
        async def main() -> None:
            right = {"authorization": "Bearer secret"}
            async with open_face(token="secret") as client:
                headers = {} if header is None else {"authorization": header}
                for method, path in (
                    ("POST", "/sessions"),
                    ("GET", "/sessions"),
                    ("GET", "/nothing"),
                    ("PUT", "/sessions"),
                ):
                    response = await client.request(method, path, headers=headers)
                    assert code(response) == (401, "UNAUTHENTICATED")
                    assert response.headers["www-authenticate"] == "Bearer"
                assert (await client.get("/sessions", headers=right)).json()["result"] == []

        trio.run(main)

    def test_two_tokens_are_none(self, open_face: OpenFace) -> None:
        async def main() -> None:
            async with open_face(token="secret") as client:
                headers = [("authorization", "Bearer wrong"), ("authorization", "Bearer secret")]
                assert code(await client.get("/sessions", headers=headers)) == (401, "UNAUTHENTICATED")

        trio.run(main)

    def test_with_the_token_all_is_as_without_one(self, open_face: OpenFace) -> None:
        async def main() -> None:
            async with open_face(token="secret") as client:
                for scheme in ("Bearer", "bearer"):
                    headers = {"authorization": f"{scheme} secret"}
                    assert (await client.post("/sessions", json={}, headers=headers)).status_code == 200

        trio.run(main)

    @pytest.mark.parametrize("path", ["/healthz", "/openapi.json"])
    def test_health_and_the_document_need_none(self, open_face: OpenFace, path: str) -> None:
        async def main() -> None:
            async with open_face(token="secret") as client:
                assert (await client.get(f"http://test{path}")).status_code == 200

        trio.run(main)


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)]
)
def test_a_page_of_another_site_gets_nothing(open_face: OpenFace, site: str, status: int) -> None:
    async def main() -> None:
        async with open_face() as client:
            headers = {"sec-fetch-site": site}
            assert (await client.post("/sessions", content=b"{}", headers=headers)).status_code == status
            assert len((await client.get("/sessions")).json()["result"]) == (status == 200)

    trio.run(main)


class TestLimits:
    def test_more_requests_than_the_limit_are_sent_away(self, open_face: OpenFace, extractor: Any) -> None:
        async def main() -> None:
            extractor.gate = trio.Event()
            async with open_face(extract=extractor, limits=Limits(requests_most=1)) as client:
                await client.post("/sessions", json={"session_id": "s"})
                await client.post("/sessions/s/messages", json={"role": "user", "content": "one"})
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(client.post, "/sessions/s/commit?wait=true")
                    await extractor.entered.wait()
                    response = await client.get("/sessions")
                    assert code(response) == (503, "UNAVAILABLE")
                    assert response.headers["retry-after"] == "1"
                    extractor.gate.set()
                assert (await client.get("/sessions")).status_code == 200

        trio.run(main)

    def test_a_body_that_does_not_come_is_not_waited_for(
        self, open_face: OpenFace, autojump_clock: trio.testing.MockClock
    ) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"{"
            await trio.sleep(100)
            yield b"}"

        async def main() -> None:
            async with open_face(limits=Limits(read_timeout_s=10.0)) as client:
                response = await client.post("/sessions", content=pieces())
                assert code(response) == (408, "TOO_SLOW")
                assert response.json()["time"] == 10.0
                assert (await client.get("/sessions")).json()["result"] == []

        trio.run(main, clock=autojump_clock)


@pytest.fixture
def autojump_clock() -> trio.testing.MockClock:
    return trio.testing.MockClock(autojump_threshold=0)


class TestLog:
    def test_a_request_leaves_one_line(self, open_face: OpenFace, caplog: pytest.LogCaptureFixture) -> None:
        async def main() -> None:
            async with open_face(token="secret") as client:
                headers = {"authorization": "Bearer secret"}
                await client.post("/sessions", json={"session_id": "s"}, headers=headers)
                await client.get("/sessions/s/messages?x=secret", headers=headers)
                await client.get("/tasks/s:7", headers=headers)
                await client.get("/nothing%0A")

        caplog.set_level(logging.INFO, "oncestore.server")
        trio.run(main)
        lines: list[Any] = [record for record in caplog.records if record.message == "request"]
        assert [(line.method, line.path, line.status, line.session) for line in lines] == [
            ("POST", "/api/v1/sessions", 200, "s"),
            ("GET", "/api/v1/sessions/s/messages", 400, "s"),
            ("GET", "/api/v1/tasks/s:7", 404, "s"),
            ("GET", "/api/v1/nothing%0A", 401, None),
        ]
        assert all(line.ms >= 0 for line in lines)
        assert "secret" not in caplog.text


class Connection:
    """A client that goes away when it is told to, as a server reports it."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self._to_app, self._receive = trio.open_memory_channel[Any](10)

    async def run(self, app: Any, method: str, path: str) -> None:
        raw, _, query = path.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": raw,
            "raw_path": raw.encode(),
            "query_string": query.encode(),
            "headers": [],
        }

        async def send(message: Any) -> None:
            self.sent.append(message)

        await app(scope, self._receive.receive, send)

    async def tell(self, **message: Any) -> None:
        await self._to_app.send(message)


class TestClientsThatGoAway:
    def test_the_commit_goes_on(self, extractor: Any, caplog: pytest.LogCaptureFixture) -> None:
        async def main() -> None:
            extractor.gate = trio.Event()
            async with open_store(MemoryStorage(), extractor) as store:
                session = await store.create("s")
                await session.add("user", "one")
                connection = Connection()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(connection.run, create_app(store), "POST", "/api/v1/sessions/s/commit?wait=true")
                    await connection.tell(type="http.request", body=b"", more_body=False)
                    await extractor.entered.wait()
                    await connection.tell(type="http.disconnect")
                # The request has ended before the extraction did: nobody waits for those who went away.
                extractor.gate.set()
                assert await (await store.task("s:1")).wait() == "completed"
            assert extractor.seen == [["one"]]

        caplog.set_level(logging.INFO, "oncestore.server")
        trio.run(main)
        assert [record.status for record in caplog.records] == [None]  # type: ignore[attr-defined]

    def test_half_a_request_does_nothing(self, extractor: Any, caplog: pytest.LogCaptureFixture) -> None:
        async def main() -> None:
            async with open_store(MemoryStorage(), extractor) as store:
                connection = Connection()
                await connection.tell(type="http.request", body=b"{", more_body=True)
                await connection.tell(type="http.disconnect")
                await connection.run(create_app(store), "POST", "/api/v1/sessions")
                assert connection.sent == []
                assert await store.sessions() == []

        caplog.set_level(logging.INFO, "oncestore.server")
        trio.run(main)
        assert [record.status for record in caplog.records] == [None]  # type: ignore[attr-defined]


def test_who_waits_when_the_server_ends_is_told_of_the_task(open_face: OpenFace, extractor: Any) -> None:
    async def main() -> None:
        extractor.gate, hurry = trio.Event(), trio.Event()
        async with open_face(extract=extractor, hurry=hurry) as client:
            await client.post("/sessions", json={"session_id": "s"})
            await client.post("/sessions/s/messages", json={"role": "user", "content": "one"})

            async def end() -> None:
                await extractor.entered.wait()
                hurry.set()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(end)
                response = await client.post("/sessions/s/commit?wait=true")
            assert code(response) == (503, "UNAVAILABLE")
            assert response.json()["error"]["details"]["task_id"] == "s:1"
            extractor.gate.set()

    trio.run(main)
