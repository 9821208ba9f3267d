"""One client speaks to both servers, and says what is wrong with a third."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from racewindow.errors import Unsupported, UsageError
from racewindow.implementations import DESIGNS
from racewindow.servers import ServerClient, connect, start
from racewindow.sessions.implementation import Refused

from .conftest import Serving


@pytest.fixture(params=["reference", *(design.name for design in DESIGNS)])
def server(request: pytest.FixtureRequest, design: Serving, reference: Serving) -> Serving:
    return reference if request.param == "reference" else partial(design, request.param)


class TestContract:
    def test_a_message_is_added_committed_and_archived(self, server: Serving) -> None:
        async def run() -> None:
            async with server() as fleet:
                client: ServerClient = fleet.client(0)
                await client.create("s")
                await client.add("s", "m1")
                await client.add("s", "m2")
                assert await client.live("s") == ("m1", "m2")
                task = await client.commit("s", wait=True)
                assert task is not None
                assert await client.status(task) == "completed"
                with trio.fail_after(10):
                    # Completed does not mean switched, with every design.
                    while (seen := await client.observe("s")).live or not seen.archives:
                        await trio.sleep(0.01)
                assert [archive.messages for archive in seen.archives] == [("m1", "m2")]
                assert await client.commit("s", wait=True) is None

        trio.run(run)

    def test_a_commit_in_the_background_ends(self, server: Serving) -> None:
        async def run() -> None:
            async with server() as fleet:
                client: ServerClient = fleet.client(0)
                await client.create("s")
                await client.add("s", "m1")
                task = await client.commit("s", wait=False)
                assert task is not None
                with trio.fail_after(10):
                    while await client.status(task) != "completed":
                        await trio.sleep(0.005)

        trio.run(run)

    def test_two_sessions_of_one_id_an_unknown_one_and_a_deleted_one_are_refused(self, server: Serving) -> None:
        async def run() -> None:
            async with server() as fleet:
                client: ServerClient = fleet.client(0)
                await client.create("s")
                with pytest.raises(Refused, match="ALREADY_EXISTS"):
                    await client.create("s")
                with pytest.raises(Refused, match="NOT_FOUND"):
                    await client.add("other", "m1")
                with pytest.raises(Refused, match="NOT_FOUND"):
                    await client.status("s:9")
                with pytest.raises(Refused, match="INVALID_ARGUMENT"):
                    await client.create("../s")
                await client.delete("s")
                with pytest.raises(Refused, match="NOT_FOUND"):
                    await client.live("s")

        trio.run(run)


@asynccontextmanager
async def _answering(answer: bytes) -> AsyncIterator[str]:
    """A server that says the same to everything."""

    async def talk(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(answer)
        await stream.send_all(head + answer)
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, talk, 0, host="127.0.0.1"))
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


class TestBadServers:
    @pytest.mark.parametrize(
        ("answer", "told"),
        [
            (b"<html>", "which is not the session API"),
            (b'{"status": "ok"}', "which is not the session API"),
            (b"[]", "which is not the session API"),
            (b'{"status": "ok", "result": {}}', "where the session API has a list of messages"),
            (b'{"status": "ok", "result": [{}]}', "without 'message_id'"),
        ],
    )
    def test_nonsense_is_called_so(self, answer: bytes, told: str) -> None:
        async def run() -> None:
            async with _answering(answer) as url, connect([url]) as fleet:
                await fleet.client(0).live("s")

        with pytest.raises((Unsupported, ExceptionGroup)) as caught:
            trio.run(run)
        assert told in _message(caught.value)

    def test_nobody_there(self) -> None:
        async def run() -> None:
            async with connect(["http://127.0.0.1:1"]):
                raise AssertionError("nobody answers")

        with pytest.raises(Unsupported, match=r"nobody answers at http://127\.0\.0\.1:1"):
            trio.run(run)

    def test_no_url(self) -> None:
        async def run() -> None:
            async with connect(["localhost"]):
                raise AssertionError("that is no URL")

        with pytest.raises(UsageError, match="give http://host:port"):
            trio.run(run)

    @pytest.mark.parametrize(
        ("command", "told"),
        [
            ("oncestore serve {root}", "has no {port}"),
            ("no-such-program {port}", "cannot start no-such-program"),
            ("false {port}", "does not answer"),
        ],
    )
    def test_a_command_that_starts_no_server(self, command: str, told: str) -> None:
        async def run() -> None:
            async with start(command):
                raise AssertionError("there is no server")

        with pytest.raises(UsageError, match=told):
            trio.run(run)


def _message(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)
