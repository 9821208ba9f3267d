"""The OpenAPI document: complete, and true of the running server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from oncestore.server._answers import CODES
from oncestore.server._openapi import document

OpenFace = Any
StartServer = Any


def test_the_document_is_served_as_it_is(open_face: OpenFace) -> None:
    async def main() -> None:
        async with open_face() as client:
            response = await client.get("http://test/openapi.json")
            assert response.headers["content-type"] == "application/json"
            assert response.json() == document()

    trio.run(main)


def test_every_call_of_the_contract_is_in_it() -> None:
    calls = {(method.upper(), path) for path, methods in document()["paths"].items() for method in methods}
    assert calls == {
        ("POST", "/api/v1/sessions"),
        ("GET", "/api/v1/sessions"),
        ("GET", "/api/v1/sessions/{session_id}"),
        ("DELETE", "/api/v1/sessions/{session_id}"),
        ("POST", "/api/v1/sessions/{session_id}/messages"),
        ("GET", "/api/v1/sessions/{session_id}/messages"),
        ("POST", "/api/v1/sessions/{session_id}/commit"),
        ("GET", "/api/v1/sessions/{session_id}/archives/{archive}"),
        ("GET", "/api/v1/tasks/{task_id}"),
        ("POST", "/api/v1/tasks/{task_id}/retry"),
        ("GET", "/healthz"),
        ("GET", "/openapi.json"),
    }


def test_every_code_is_explained_somewhere() -> None:
    text = str(document()["paths"])
    # The document lists no call for a method that a path does not know.
    assert {code for code in CODES if f"`{code}`" not in text} == {"METHOD_NOT_ALLOWED"}


def explore(server: Any, folder: Path, *options: str) -> None:
    """Let schemathesis call the server, with all its checks, and the same calls each time."""
    line = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"]
    line += ["--header", "Authorization: Bearer secret", "--checks", "all", "--generation-deterministic", "--no-color"]
    ran = subprocess.run([*line, *options], capture_output=True, text=True, check=False, cwd=folder)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert '"level": "error"' not in server.log.read_text()
    with httpx.Client(headers={"authorization": "Bearer secret"}) as client:
        assert client.get(f"{server.url}/healthz").status_code == 200
    assert server.stop() == 0


class TestSchemathesis:
    @pytest.fixture(autouse=True)
    def installed(self) -> None:
        pytest.importorskip("schemathesis")

    def test_a_few_calls_of_each_kind(self, start_server: StartServer, tmp_path: Path) -> None:
        explore(start_server("--token", "secret"), tmp_path, "--phases=fuzzing,stateful", "--max-examples=2")

    @pytest.mark.exhaustive
    def test_many_calls_of_each_kind(self, start_server: StartServer, tmp_path: Path) -> None:
        explore(start_server("--token", "secret"), tmp_path, "--max-examples=60")
