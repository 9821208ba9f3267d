"""``oncestore serve`` as its users see it: a process, a port, signals. The clients know the table of calls, and no more."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import trio.testing

from oncestore import UsageError
from oncestore._cli import main
from oncestore.server._command import find_extractor

StartServer = Any
SLOW_EXTRACTOR = """
import pathlib, trio

async def extract(messages, key):
    with open("begun", "a") as file:
        file.write(key + "\\n")
    while not pathlib.Path("go").exists():
        await trio.sleep(0.01)
    return "extracted"
"""


def client_of(url: str, **options: Any) -> httpx.Client:
    return httpx.Client(base_url=f"{url}/api/v1", timeout=60, **options)


def until_it_ended(client: httpx.Client, task: str) -> Any:
    while (described := client.get(f"/tasks/{task}").json()["result"])["status"] in ("accepted", "running"):
        pass
    return described


def until_begun(folder: Path, extractions: int = 1) -> None:
    while not (path := folder / "begun").exists() or path.read_text().count("\n") < extractions:
        pass


# Run in a process of its own, with nothing but httpx.
REPRODUCTION = """
import sys, httpx
with httpx.Client(base_url=sys.argv[1] + "/api/v1", timeout=60) as client:
    def result(response):
        assert response.status_code == 200, response.text
        return response.json()["result"]
    session = result(client.post("/sessions", json={}))["session_id"]
    for content in ("one", "two"):
        result(client.post(f"/sessions/{session}/messages", json={"role": "user", "content": content}))
    task = result(client.post(f"/sessions/{session}/commit", params={"wait": "false"}))["task_id"]
    while (status := result(client.get(f"/tasks/{task}"))["status"]) != "completed":
        assert status in ("accepted", "running"), status
    assert result(client.get(f"/sessions/{session}/messages")) == []
    again = result(client.post(f"/sessions/{session}/commit", params={"wait": "true"}))
    assert (again["status"], again["task_id"]) == ("skipped", None), again
    print(task)
"""


@pytest.mark.parametrize("options", [(), ("--sqlite",)], ids=["directory", "sqlite"])
def test_after_completed_a_reload_is_empty_and_a_commit_is_skipped(
    start_server: StartServer, options: tuple[str, ...], tmp_path: Path
) -> None:
    """And the task survives a restart."""
    server = start_server(*options)
    assert (tmp_path / "store").is_file() == bool(options)
    line = [sys.executable, "-c", REPRODUCTION, server.url]
    ran = subprocess.run(line, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    with client_of(server.url) as client:
        described = client.get(f"/tasks/{ran.stdout.strip()}").json()["result"]
    assert server.stop() == 0
    with client_of(start_server().url) as client:
        assert client.get(f"/tasks/{ran.stdout.strip()}").json()["result"] == described
    requests = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert {"method": "POST", "path": "/api/v1/sessions", "status": 200}.items() <= requests[0].items()


@pytest.fixture
def slow(tmp_path: Path) -> tuple[str, str]:
    """Options for an extractor that goes on when the file ``go`` appears."""
    (tmp_path / "slow_extractor.py").write_text(SLOW_EXTRACTOR)
    return "--extractor", "slow_extractor:extract"


class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_lets_requests_and_extractions_end(
        self, start_server: StartServer, slow: Any, tmp_path: Path, number: int
    ) -> None:
        server = start_server(*slow)
        with client_of(server.url) as client, client_of(server.url) as other, ThreadPoolExecutor() as threads:
            for session in ("s", "t"):
                client.post("/sessions", json={"session_id": session})
                client.post(f"/sessions/{session}/messages", json={"role": "user", "content": "one"})
            client.post("/sessions/t/commit")
            waiting = threads.submit(other.post, "/sessions/s/commit?wait=true")
            until_begun(tmp_path, extractions=2)
            server.process.send_signal(number)
            while is_open(server.url):
                pass
            assert not waiting.done()
            (tmp_path / "go").touch()
            assert waiting.result().json()["result"]["status"] == "completed"
        assert server.wait() == 0
        for session in ("s", "t"):
            assert (tmp_path / f"store/sessions/{session}/archives/1/extraction.json").exists()

    @pytest.mark.slow
    def test_the_grace_has_an_end_and_who_waits_is_told_of_the_task(
        self, start_server: StartServer, slow: Any, tmp_path: Path
    ) -> None:
        server = start_server(*slow, "--grace-s", "0.2")
        with client_of(server.url) as client, ThreadPoolExecutor() as threads:
            client.post("/sessions", json={"session_id": "s"})
            client.post("/sessions/s/messages", json={"role": "user", "content": "one"})
            waiting = threads.submit(client.post, "/sessions/s/commit?wait=true")
            until_begun(tmp_path)
            server.process.send_signal(signal.SIGTERM)
            response = waiting.result()
            assert response.status_code == 503
            assert response.json()["error"]["details"]["task_id"] == "s:1"
        assert server.wait() == 0
        (tmp_path / "go").touch()
        with client_of(start_server(*slow).url) as client:
            assert until_it_ended(client, "s:1")["status"] == "completed"
        first, second = (tmp_path / "begun").read_text().splitlines()
        assert first == second

    def test_a_second_signal_ends_at_once(self, start_server: StartServer, slow: Any, tmp_path: Path) -> None:
        server = start_server(*slow)
        with client_of(server.url) as client:
            client.post("/sessions", json={"session_id": "s"})
            client.post("/sessions/s/messages", json={"role": "user", "content": "one"})
            client.post("/sessions/s/commit")
            until_begun(tmp_path)
        server.process.send_signal(signal.SIGTERM)
        while is_open(server.url):
            pass
        assert server.stop(signal.SIGTERM) == -signal.SIGTERM

    @pytest.mark.slow
    def test_a_client_that_does_not_read_holds_nobody_up(self, start_server: StartServer) -> None:
        server = start_server("--grace-s", "0.2", "--body-most-bytes", "9000000")
        with client_of(server.url) as client:
            client.post("/sessions", json={"session_id": "s"})
            client.post("/sessions/s/messages", json={"role": "user", "content": "x" * 8_000_000})
        with connect(server.url) as deaf:
            deaf.sendall(b"GET /api/v1/sessions/s/messages HTTP/1.1\r\nhost: x\r\n\r\n")
            assert deaf.recv(1) == b"H"
            assert server.stop() == 0

    def test_what_was_pending_when_it_was_killed_is_extracted_by_the_next_one(
        self, start_server: StartServer, slow: Any, tmp_path: Path
    ) -> None:
        server = start_server(*slow)
        with client_of(server.url) as client:
            client.post("/sessions", json={"session_id": "s"})
            client.post("/sessions/s/messages", json={"role": "user", "content": "one", "message_id": "m1"})
            assert client.post("/sessions/s/commit").json()["result"]["status"] == "accepted"
            until_begun(tmp_path)
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        (tmp_path / "go").touch()
        with client_of(start_server(*slow).url) as client:
            # Nobody asks for it by its task.
            while client.get("/sessions/s").json()["result"]["pending_commits"]:
                pass
            shown = client.get("/sessions/s/archives/1").json()["result"]
            assert (shown["status"], shown["extracted"]) == ("completed", "extracted")
            assert [message["message_id"] for message in shown["messages"]] == ["m1"]
            assert client.post("/sessions/s/commit").json()["result"]["status"] == "skipped"


class TestRefusals:
    @pytest.fixture
    def client(self, start_server: StartServer) -> Iterator[httpx.Client]:
        with client_of(start_server("--body-most-bytes", "2000").url) as client:
            yield client
            assert client.get("/sessions").json()["result"] == ["s"], "nothing else was stored"
            assert client.get("/sessions/s/messages").json()["result"] == []

    @pytest.fixture(autouse=True)
    def session(self, client: httpx.Client) -> None:
        client.post("/sessions", json={"session_id": "s"})

    @pytest.mark.parametrize("chunked", [False, True])
    def test_oversize(self, client: httpx.Client, chunked: bool) -> None:
        body = json.dumps({"role": "user", "content": "x" * 5_000_000}).encode()
        content: Any = (body[place : place + 10_000] for place in range(0, len(body), 10_000)) if chunked else body
        response = client.post("/sessions/s/messages", content=content, headers={"content-type": "application/json"})
        assert (response.status_code, response.json()["error"]["details"]) == (400, {"field": "body"})

    @pytest.mark.parametrize("id", ["..", ".", "%2e%2e", "..%2f..%2fup", "%2e%2e%2f%2e%2e%2fup", "a%00b"])
    def test_path_traversal(self, client: httpx.Client, id: str) -> None:
        """On a bare socket, for clients take dots out of a path."""
        for method, rest in (
            ("GET", ""),
            ("DELETE", ""),
            ("GET", "/messages"),
            ("POST", "/messages"),
            ("POST", "/commit"),
        ):
            with connect(str(client.base_url)) as connection, connection.makefile("rb") as answer:
                head = f"{method} /api/v1/sessions/{id}{rest} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
                body = '{"role":"user","content":"x"}' if rest == "/messages" else ""
                connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
                response = answer.read()
            assert response.startswith(b"HTTP/1.1 400 ")
            assert b'"field":"session_id"' in response

    def test_bad_json_and_an_id_in_use(self, client: httpx.Client) -> None:
        assert client.post("/sessions", content=b"{").json()["error"]["code"] == "INVALID_ARGUMENT"
        assert client.post("/sessions", json={"session_id": "s"}).status_code == 409


def test_of_many_who_make_one_session_at_once_one_succeeds(start_server: StartServer) -> None:
    """Also when they come to different servers on the root."""
    with client_of(start_server().url) as client, client_of(start_server().url) as other:

        def make(number: int) -> int:
            return (client, other)[number % 2].post("/sessions", json={"session_id": "s"}).status_code

        with ThreadPoolExecutor(8) as threads:
            assert sorted(threads.map(make, range(8))) == [200] + [409] * 7


class TestTheWire:
    """What clients of HTTP do not do."""

    def test_who_sends_nothing_or_half_a_request_is_let_go(self, start_server: StartServer) -> None:
        server = start_server("--read-timeout-s", "0.2")
        for sent, answer in (
            (b"", b""),
            (b"GET /healthz HT", b""),
            (b"GET /healthz HTTP/1.1\r\nhost: x\r\nx: ", b""),
            (b"POST /api/v1/sessions HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{", b"HTTP/1.1 408 "),
        ):
            with connect(server.url) as connection, connection.makefile("rb") as received:
                connection.sendall(sent)
                assert received.read().startswith(answer)

    @pytest.mark.parametrize(
        ("request_", "answer"),
        [
            (b"GET /healthz HTTP/1.1\r\nhost: x\r\nx: " + b"x" * 99_999 + b"\r\n\r\n", b"HTTP/1.1 431 "),
            (b"nonsense\r\n\r\n", b"HTTP/1.1 400 "),
            (
                b"GET http://elsewhere/api/v1/sessions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
                b"HTTP/1.1 404 ",
            ),
            (
                b"GET /api/v1/sessions HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
                b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                b"HTTP/1.1 403 ",
            ),
        ],
        ids=["large-headers", "nonsense", "proxy", "websocket"],
    )
    def test_it_is_refused_and_the_server_goes_on(
        self, start_server: StartServer, request_: bytes, answer: bytes
    ) -> None:
        server = start_server()
        with connect(server.url) as connection, connection.makefile("rb") as received:
            connection.sendall(request_)
            assert received.readline().startswith(answer)
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        assert server.stop() == 0
        assert '"level": "error"' not in server.log.read_text()

    def test_several_requests_on_one_connection(self, start_server: StartServer) -> None:
        """Sent before the first one is answered."""
        one = b"GET /healthz HTTP/1.1\r\nhost: x\r\n"
        with connect(start_server().url) as connection, connection.makefile("rb") as received:
            connection.sendall((one + b"\r\n") * 3 + one + b"connection: close\r\n\r\n")
            assert received.read().count(b'{"healthy":true}') == 4


class TestToken:
    @pytest.mark.parametrize("given", ["option", "environment"])
    def test_a_token(self, start_server: StartServer, given: str) -> None:
        options = ("--token", "secret") if given == "option" else ()
        server = start_server(*options, environment={"ONCESTORE_TOKEN": "secret"} if not options else None)
        with client_of(server.url) as client:
            assert client.post("/sessions", json={}).status_code == 401
            assert client.get("/sessions", headers={"authorization": "Bearer wrong"}).status_code == 401
            right = client.get("/sessions", headers={"authorization": "Bearer secret"})
            assert right.json()["result"] == []
        assert "secret" not in server.log.read_text()

    @pytest.mark.parametrize("token", ["", "two words", "käse", "line\n"])
    def test_a_token_that_no_header_can_hold_is_refused(
        self, tmp_path: Path, token: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["serve", str(tmp_path / "store"), "--token", token]) == 2
        assert "the token is empty, or" in capsys.readouterr().err
        assert not (tmp_path / "store").exists()


class TestAddresses:
    def test_beyond_loopback_without_a_token_there_is_a_warning(self, start_server: StartServer) -> None:
        for options, warned in (
            ((), False),
            (("--host", "0.0.0.0"), True),
            (("--host", "0.0.0.0", "--token", "t"), False),
        ):
            server = start_server(*options)
            assert server.stop() == 0
            assert ("give the server a token" in server.log.read_text()) == warned
            server.log.unlink()

    def test_an_address_in_use(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as taken:
            port = str(taken.getsockname()[1])
            assert main(["serve", str(tmp_path / "store"), "--port", port]) == 1
        assert "Address already in use" in capsys.readouterr().err
        assert not (tmp_path / "store").exists()

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("--port", "65536"),
            ("--port", "-1"),
            ("--body-most-bytes", "0"),
            ("--requests-most", "0"),
            ("--read-timeout-s", "nan"),
            ("--grace-s", "-1"),
        ],
    )
    def test_a_number_that_makes_no_sense(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
    ) -> None:
        assert main(["serve", str(tmp_path / "root"), "--host", "no host", option, value]) == 2
        assert option in capsys.readouterr().err
        assert not (tmp_path / "root").exists()

    def test_a_root_that_cannot_be_made(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "file").touch()
        assert main(["serve", str(tmp_path / "file" / "store"), "--port", "0"]) == 1
        assert "nothing was stored" in capsys.readouterr().err


class TestExtractors:
    @pytest.mark.parametrize(
        ("place", "why"),
        [
            ("nothing_like_it:extract", "No module"),
            ("os", "module:function"),
            ("os:nothing", "no attribute"),
            ("os:sep", "is a str"),
            (":extract", "module:function"),
        ],
    )
    def test_what_is_no_extractor(self, place: str, why: str) -> None:
        with pytest.raises(UsageError, match=re.escape(why)):
            find_extractor(place)

    def test_a_plain_function_is_run_in_a_thread(self, start_server: StartServer, tmp_path: Path) -> None:
        (tmp_path / "plain.py").write_text("def extract(messages, key): return messages[0].content.upper()\n")
        with client_of(start_server("--extractor", "plain:extract").url) as client:
            client.post("/sessions", json={"session_id": "s"})
            client.post("/sessions/s/messages", json={"role": "user", "content": "one"})
            client.post("/sessions/s/commit?wait=true")
            assert client.get("/sessions/s/archives/1").json()["result"]["extracted"] == "ONE"

    def test_plain_functions_that_hang_leave_storage_its_threads(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "hanging.py").write_text(
            "import threading\nend = threading.Event()\n\ndef extract(messages, key):\n    end.wait()\n"
        )
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", list(sys.path))

        async def main() -> None:
            extract = find_extractor("hanging:extract")
            threads = trio.to_thread.current_default_thread_limiter()
            try:
                async with trio.open_nursery() as nursery:
                    for _ in range(int(threads.total_tokens)):
                        nursery.start_soon(extract, [], "key")
                    await trio.testing.wait_all_tasks_blocked()
                    assert threads.borrowed_tokens == 0
                    nursery.cancel_scope.cancel()
            finally:
                sys.modules.pop("hanging").end.set()

        trio.run(main)


def test_without_the_extra_the_line_that_installs_it_is_said(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['starlette'] = None; from oncestore._cli import main; "
        f"sys.exit(main(['serve', {str(tmp_path)!r}]))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "pip install 'racewindow[server]'" in ran.stderr


def connect(url: str) -> socket.socket:
    at = httpx.URL(url)
    return socket.create_connection((at.host, at.port))


def is_open(url: str) -> bool:
    try:
        connect(url).close()
    except (ConnectionRefusedError, ConnectionResetError):  # reset: it was in the queue of a listener that closes
        return False
    return True
