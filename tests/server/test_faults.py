"""Storage that is full, loses what it wrote, or cannot be read: what a client is told, and what is stored then."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import trio

OpenFace = Any
SAID = {"role": "user", "content": "one", "message_id": "m1"}


def told(response: httpx.Response) -> tuple[int, str, str]:
    error = response.json()["error"]
    return response.status_code, error["code"], error["message"]


async def stored(client: httpx.AsyncClient) -> list[str]:
    return [message["message_id"] for message in (await client.get("/sessions/s/messages")).json()["result"]]


def test_a_full_disk_stores_nothing_and_says_so(open_face: OpenFace, faulty: Any) -> None:
    async def main() -> None:
        async with open_face(faulty) as client:
            await client.post("/sessions", json={"session_id": "s"})
            await client.post("/sessions/s/messages", json=SAID)
            faulty.full = True
            for call in (
                client.post("/sessions", json={"session_id": "t"}),
                client.post("/sessions/s/messages", json={**SAID, "message_id": "m2"}),
                client.post("/sessions/s/commit"),
            ):
                status, code, message = told(await call)
                assert (status, code) == (503, "NOT_STORED")
                assert "nothing was" in message
            faulty.full = False
            assert await stored(client) == ["m1"]
            assert (await client.get("/sessions")).json()["result"] == ["s"]
            assert (await client.get("/sessions/s")).json()["result"]["archive_count"] == 0
            # And the store is as good as before.
            assert (await client.post("/sessions/s/messages", json={**SAID, "message_id": "m2"})).status_code == 200
            assert (await client.post("/sessions/s/commit?wait=true")).json()["result"]["status"] == "completed"

    trio.run(main)


def test_after_a_failed_fsync_a_retry_with_the_same_id_is_safe(open_face: OpenFace, faulty: Any) -> None:
    async def main() -> None:
        async with open_face(faulty) as client:
            await client.post("/sessions", json={"session_id": "s"})
            faulty.unsure = True
            for _ in range(2):
                status, code, message = told(await client.post("/sessions/s/messages", json=SAID))
                assert (status, code) == (503, "OUTCOME_UNKNOWN")
                assert "can be repeated" in message
            faulty.unsure = False
            assert (await client.post("/sessions/s/messages", json=SAID)).status_code == 200
            assert await stored(client) == ["m1"]
            assert (await client.post("/sessions/s/commit?wait=true")).json()["result"]["status"] == "completed"
            shown = (await client.get("/sessions/s/archives/1")).json()["result"]
            assert [message["message_id"] for message in shown["messages"]] == ["m1"]

    trio.run(main)


def test_an_extraction_that_storage_refuses_is_interrupted_with_the_task(open_face: OpenFace, faulty: Any) -> None:
    async def extract(messages: object, key: str) -> str:
        faulty.full = True
        return "text"

    async def main() -> None:
        async with open_face(faulty, extract) as client:
            await client.post("/sessions", json={"session_id": "s"})
            await client.post("/sessions/s/messages", json=SAID)
            response = await client.post("/sessions/s/commit?wait=true")
            assert told(response)[:2] == (503, "EXTRACTION_INTERRUPTED")
            assert response.json()["error"]["details"] == {"task_id": "s:1", "session_id": "s", "archive": 1}
            faulty.full = False

    trio.run(main)


@pytest.mark.parametrize(
    "path", ["/sessions", "/sessions/s", "/sessions/s/archives/1", "/tasks/s:1", "http://test/healthz"]
)
def test_storage_that_cannot_be_read(open_face: OpenFace, faulty: Any, path: str) -> None:
    """The message says nothing of the server's files."""

    async def main() -> None:
        async with open_face(faulty) as client:
            await client.post("/sessions", json={"session_id": "s"})
            faulty.unreadable = True
            refused = ("storage failed: Input/output error",)
            assert told(await client.get(path)) == (503, "STORAGE_FAILED", *refused)

    trio.run(main)


def test_a_mistake_of_the_server_is_logged_and_not_shown(
    open_face: OpenFace, faulty: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def chunks(path: str, start: int = 0) -> None:
        raise RuntimeError("a secret of the server")

    async def main() -> None:
        faulty.chunks = chunks
        async with open_face(faulty) as client:
            await client.post("/sessions", json={"session_id": "s"})
            status, code, message = told(await client.get("/sessions/s/messages"))
            assert (status, code) == (500, "INTERNAL")
            assert "secret" not in message
            assert "a secret of the server" in caplog.text

    trio.run(main)
