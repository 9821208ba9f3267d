"""Bad input: 400 INVALID_ARGUMENT with the field named, and nothing stored."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import trio

from oncestore.server import Limits

OpenFace = Any
SAID = {"role": "user", "content": "x"}
JSON = {"content-type": "application/json"}


async def send(client: httpx.AsyncClient, method: str, path: str, **more: Any) -> httpx.Response:
    """To this path, encoded as it is written."""
    url = client.base_url.copy_with(raw_path=f"/api/v1{path}".encode())
    return await client.request(method, url, **more)


def check(open_face: OpenFace, field: str, method: str, path: str, **more: Any) -> str:
    """The request is refused for this field; the message."""

    async def main() -> str:
        async with open_face(limits=Limits(body_most_bytes=1000)) as client:
            await client.post("/sessions", json={"session_id": "s"})
            await client.post("/sessions/s/messages", json=SAID)
            before = await everything(client)
            response = await send(client, method, path, **more)
            envelope = response.json()
            assert response.status_code == 400, envelope
            assert (envelope["error"]["code"], envelope["error"]["details"]) == ("INVALID_ARGUMENT", {"field": field})
            assert await everything(client) == before
            message: str = envelope["error"]["message"]
            return message

    return trio.run(main)


async def everything(client: httpx.AsyncClient) -> list[Any]:
    sessions = (await client.get("/sessions")).json()["result"]
    parts = ("", "/messages")
    return [(await client.get(f"/sessions/{id}{part}")).json()["result"] for id in sessions for part in parts]


NO_IDS = ["%2e", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%2e%2e%2fs", "s%2fmessages", "a%20b", "a%00", "%C3%A4", "%FF"]


@pytest.mark.parametrize("id", [*NO_IDS, "x" * 129, "s%0A", "~", "a:b", "s%252f"])
@pytest.mark.parametrize(
    ("method", "path", "more"),
    [
        ("GET", "/sessions/{}", {}),
        ("DELETE", "/sessions/{}", {}),
        ("GET", "/sessions/{}/messages", {}),
        ("POST", "/sessions/{}/messages", {"json": SAID}),
        ("POST", "/sessions/{}/commit", {}),
        ("GET", "/sessions/{}/archives/1", {}),
    ],
)
def test_no_path_escapes_the_root(open_face: OpenFace, id: str, method: str, path: str, more: Any) -> None:
    check(open_face, "session_id", method, path.format(id), **more)


@pytest.mark.parametrize("id", ["..%2f..%2fetc", "a%20b", "%FF", "x" * 257])
def test_a_task_id_is_one_that_a_commit_can_have_returned(open_face: OpenFace, id: str) -> None:
    check(open_face, "task_id", "GET", f"/tasks/{id}")
    check(open_face, "task_id", "POST", f"/tasks/{id}/retry")


@pytest.mark.parametrize("number", ["0", "-1", "one", "1.0", "01", "9" * 30, "%D9%A3"])
def test_an_archive_is_a_positive_integer(open_face: OpenFace, number: str) -> None:
    check(open_face, "archive", "GET", f"/sessions/s/archives/{number}")


@pytest.mark.parametrize(
    ("field", "members"),
    [
        ("session_id", {"session_id": ""}),
        ("session_id", {"session_id": ".."}),
        ("session_id", {"session_id": "../up"}),
        ("session_id", {"session_id": "a/b"}),
        ("session_id", {"session_id": "a\n"}),
        ("session_id", {"session_id": "x" * 129}),
        ("session_id", {"session_id": 7}),
        ("session_id", {"session_id": ["a"]}),
        ("session_id", {"session_id": True}),
        ("sesion_id", {"sesion_id": "a"}),
    ],
)
def test_a_new_session(open_face: OpenFace, field: str, members: object) -> None:
    check(open_face, field, "POST", "/sessions", json=members)


@pytest.mark.parametrize(
    ("field", "members"),
    [
        ("role", {"content": "x"}),
        ("role", {"role": "", "content": "x"}),
        ("role", {"role": None, "content": "x"}),
        ("role", {"role": 1, "content": "x"}),
        ("content", {"role": "user"}),
        ("content", {"role": "user", "content": None}),
        ("content", {"role": "user", "content": {"text": "x"}}),
        ("content", {"role": "user", "content": 1.5}),
        ("message_id", {**SAID, "message_id": ""}),
        ("message_id", {**SAID, "message_id": "a b"}),
        ("message_id", {**SAID, "message_id": 1}),
        ("parts", {**SAID, "parts": []}),
        ("mesage_id", {**SAID, "mesage_id": "m1"}),
    ],
)
def test_a_new_message(open_face: OpenFace, field: str, members: object) -> None:
    check(open_face, field, "POST", "/sessions/s/messages", json=members)


@pytest.mark.parametrize("field", ["role", "content"])
def test_half_of_a_surrogate_pair(open_face: OpenFace, field: str) -> None:
    body = json.dumps({**SAID, field: "\ud83d"}).encode()
    assert "surrogate" in check(open_face, field, "POST", "/sessions/s/messages", content=body, headers=JSON)


@pytest.mark.parametrize("path", ["/sessions", "/sessions/s/messages"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{}}",
        b"nonsense",
        b"null",
        b"[]",
        b'"text"',
        b"NaN",
        b'{"session_id": NaN}',
        b'{"session_id": Infinity}',
        b"\xff\xfe{\x00}\x00",
        b'{"role": "\xff"}',
        b"\xef\xbb\xbf{}",
        b"[" * 900,
        b'{"a":' * 190,
    ],
)
def test_a_body_that_is_no_json_object(open_face: OpenFace, path: str, body: bytes) -> None:
    check(open_face, "body", "POST", path, content=body, headers=JSON)


@pytest.mark.parametrize("path", ["/sessions/s/commit", "/tasks/s:1/retry"])
def test_a_request_without_members_has_none(open_face: OpenFace, path: str) -> None:
    check(open_face, "wait", "POST", path, json={"wait": True})
    check(open_face, "body", "POST", path, content=b"wait", headers=JSON)


def test_a_member_given_twice(open_face: OpenFace) -> None:
    body = b'{"role": "user", "content": "one", "content": "two"}'
    assert "twice" in check(open_face, "content", "POST", "/sessions/s/messages", content=body, headers=JSON)


def test_a_body_that_says_it_is_something_else(open_face: OpenFace) -> None:
    """So does every form that a page in a browser can send without asking first."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json"):
        check(open_face, "content-type", "POST", "/sessions", content=b"{}", headers={"content-type": kind})


@pytest.mark.parametrize("kind", [None, "application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_a_body_that_says_it_is_json_or_says_nothing(open_face: OpenFace, kind: str | None) -> None:
    async def main() -> None:
        async with open_face() as client:
            headers = {"content-type": kind} if kind else None
            assert (await client.post("/sessions", content=b"{}", headers=headers)).status_code == 200

    trio.run(main)


@pytest.mark.parametrize("wait", ["", "True", "1", "yes", "true ", "false&wait=true", "true&wait=true", "%FF"])
def test_unknown_and_repeated_waits(open_face: OpenFace, wait: str) -> None:
    check(open_face, "wait", "POST", f"/sessions/s/commit?wait={wait}")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/sessions/s/commit?"),
        ("GET", "/sessions?"),
        ("GET", "/sessions/s/messages?"),
        ("DELETE", "/sessions/s?"),
    ],
)
def test_unknown_parameters(open_face: OpenFace, method: str, path: str) -> None:
    assert "misspelt" in check(open_face, "wiat", method, f"{path}wiat=true")


class TestOversize:
    def test_a_body_that_says_how_large_it_is(self, open_face: OpenFace) -> None:
        large = {**SAID, "content": "x" * 1000}
        assert "1000 bytes" in check(open_face, "body", "POST", "/sessions/s/messages", json=large)

    def test_a_body_that_does_not_say(self, open_face: OpenFace) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield b'{"role": "user", "content": "'
            for _ in range(1000):
                yield b"x" * 100
            yield b'"}'

        check(open_face, "body", "POST", "/sessions/s/messages", content=pieces(), headers=JSON)

    def test_the_limit_is_the_last_size_that_is_taken(self, open_face: OpenFace) -> None:
        async def main() -> None:
            async with open_face(limits=Limits(body_most_bytes=1000)) as client:
                await client.post("/sessions", json={"session_id": "s"})
                for spare, status in ((0, 200), (1, 400)):
                    body = json.dumps(SAID).encode()
                    body += b" " * (1000 - len(body) + spare)
                    assert (await client.post("/sessions/s/messages", content=body)).status_code == status

        trio.run(main)


class TestPaths:
    @pytest.mark.parametrize(
        "path",
        ["", "/", "/sessions/", "/sessions//messages", "/nothing", "/sessions/s/messages/", "/Sessions", "/tasks"],
    )
    def test_what_is_no_path_is_not_found(self, open_face: OpenFace, path: str) -> None:
        async def main() -> None:
            async with open_face() as client:
                response = await send(client, "GET", path)
                assert (response.status_code, response.json()["error"]["code"]) == (404, "NOT_FOUND")

        trio.run(main)

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("PUT", "/sessions", "GET, HEAD, POST"),
            ("OPTIONS", "/sessions", "GET, HEAD, POST"),
            ("PATCH", "/sessions/s", "DELETE, GET, HEAD"),
            ("DELETE", "/sessions/s/messages", "GET, HEAD, POST"),
            ("GET", "/sessions/s/commit", "POST"),
            ("GET", "/tasks/s:1/retry", "POST"),
            ("NONSENSE", "/tasks/s:1", "GET, HEAD"),
        ],
    )
    def test_a_method_that_a_path_does_not_know(
        self, open_face: OpenFace, method: str, path: str, allowed: str
    ) -> None:
        async def main() -> None:
            async with open_face() as client:
                response = await send(client, method, path)
                assert (response.status_code, response.json()["error"]["code"]) == (405, "METHOD_NOT_ALLOWED")
                assert response.headers["allow"] == allowed

        trio.run(main)

    def test_head_is_answered_as_get_is(self, open_face: OpenFace) -> None:
        async def main() -> None:
            async with open_face() as client:
                for path, status in (("/sessions", 200), ("/sessions/nobody", 404), ("/sessions/a%20b", 400)):
                    assert (await send(client, "HEAD", path)).status_code == status

        trio.run(main)
