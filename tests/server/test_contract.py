"""What a client is told: every call of the contract, and every error of each."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import trio

from oncestore import DirectoryStorage, MemoryStorage, open_store

OpenFace = Any


def result(response: httpx.Response) -> Any:
    """What is in the envelope of a success."""
    envelope = response.json()
    assert response.status_code == 200, envelope
    assert envelope.keys() == {"status", "result", "time"}
    assert envelope["status"] == "ok"
    assert envelope["time"] >= 0
    return envelope["result"]


def error(response: httpx.Response, status: int, code: str) -> Any:
    """What is in the envelope of an error."""
    envelope = response.json()
    assert (response.status_code, envelope["error"]["code"]) == (status, code), envelope
    assert envelope.keys() == {"status", "error", "time"}
    assert envelope["error"].keys() == {"code", "message", "details"}
    assert envelope["status"] == "error"
    return envelope["error"]


async def make(client: httpx.AsyncClient, *contents: str) -> None:
    """Session s, with these messages."""
    result(await client.post("/sessions", json={"session_id": "s"}))
    for number, content in enumerate(contents, 1):
        message = {"role": "user", "content": content, "message_id": f"m{number}"}
        result(await client.post("/sessions/s/messages", json=message))


async def ended(client: httpx.AsyncClient, task: str) -> Any:
    """The task, once it has ended."""
    while (described := result(await client.get(f"/tasks/{task}")))["status"] in ("accepted", "running"):
        await trio.lowlevel.checkpoint()
    return described


class TestSessions:
    def test_a_session_is_made_under_the_id_asked_for(self, open_face: OpenFace) -> None:
        async def main() -> None:
            async with open_face() as client:
                assert result(await client.post("/sessions", json={"session_id": "a.B-1_"})) == {"session_id": "a.B-1_"}
                assert result(await client.get("/sessions")) == ["a.B-1_"]

        trio.run(main)

    @pytest.mark.parametrize("body", [{}, {"session_id": None}])
    def test_without_an_id_one_is_made_up(self, open_face: OpenFace, body: object) -> None:
        async def main() -> None:
            async with open_face() as client:
                made = [result(await client.post("/sessions", json=body))["session_id"] for _ in range(2)]
                assert result(await client.get("/sessions")) == sorted(made)
                assert len(set(made)) == 2

        trio.run(main)

    def test_an_id_is_used_once(self, open_face: OpenFace) -> None:
        async def main() -> None:
            async with open_face() as client:
                await make(client)
                error(await client.post("/sessions", json={"session_id": "s"}), 409, "ALREADY_EXISTS")
                result(await client.delete("/sessions/s"))
                error(await client.post("/sessions", json={"session_id": "s"}), 409, "ALREADY_EXISTS")

        trio.run(main)

    def test_of_two_who_make_the_same_session_one_succeeds(self, open_face: OpenFace) -> None:
        async def main() -> None:
            answers: list[int] = []

            async def create(client: httpx.AsyncClient) -> None:
                answers.append((await client.post("/sessions", json={"session_id": "s"})).status_code)

            storage = MemoryStorage()
            async with open_face(storage) as client, open_face(storage) as other:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(create, client)
                    nursery.start_soon(create, other)
            assert sorted(answers) == [200, 409]

        trio.run(main)

    def test_a_session_is_described_by_counts(self, open_face: OpenFace, extractor: Any) -> None:
        async def main() -> None:
            extractor.gate = trio.Event()
            async with open_face(extract=extractor) as client:
                await make(client, "one", "two")
                await client.post("/sessions/s/commit")
                await client.post("/sessions/s/messages", json={"role": "user", "content": "three"})
                described = {"session_id": "s", "message_count": 1, "archive_count": 1, "pending_commits": 1}
                assert result(await client.get("/sessions/s")) == described
                extractor.gate.set()
                await ended(client, "s:1")
                assert result(await client.get("/sessions/s")) == described | {"pending_commits": 0}

        trio.run(main)

    def test_a_session_is_deleted_once_no_commit_is_pending(self, open_face: OpenFace, extractor: Any) -> None:
        async def main() -> None:
            extractor.gate = trio.Event()
            async with open_face(extract=extractor) as client:
                await make(client, "one")
                await client.post("/sessions/s/commit")
                assert "pending" in error(await client.delete("/sessions/s"), 409, "CONFLICT")["message"]
                extractor.gate.set()
                await ended(client, "s:1")
                # The extraction holds its lease a moment longer than it takes to record the result.
                while (deleted := await client.delete("/sessions/s")).status_code == 409:
                    await trio.lowlevel.checkpoint()
                assert result(deleted) == {"session_id": "s"}
                assert result(await client.get("/sessions")) == []
                error(await client.get("/tasks/s:1"), 404, "NOT_FOUND")

        trio.run(main)

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("GET", "/sessions/nobody", None),
            ("DELETE", "/sessions/nobody", None),
            ("GET", "/sessions/nobody/messages", None),
            ("POST", "/sessions/nobody/messages", {"role": "user", "content": "x"}),
            ("POST", "/sessions/nobody/commit", None),
            ("POST", "/sessions/nobody/commit?wait=true", None),
            ("GET", "/sessions/nobody/archives/1", None),
            ("GET", "/sessions/s/archives/1", None),
            ("GET", "/tasks/nobody:1", None),
            ("GET", "/tasks/s:1", None),
            ("GET", "/tasks/s:0", None),
            ("GET", "/tasks/s:01", None),
            ("GET", "/tasks/s:-1", None),
            ("GET", "/tasks/s", None),
            ("POST", "/tasks/s:1/retry", None),
        ],
    )
    def test_what_is_missing_is_not_found_and_not_made(
        self, open_face: OpenFace, method: str, path: str, body: object
    ) -> None:
        async def main() -> None:
            async with open_face() as client:
                await make(client)
                error(await client.request(method, path, json=body), 404, "NOT_FOUND")
                assert result(await client.get("/sessions")) == ["s"]

        trio.run(main)


class TestMessages:
    def test_an_added_message_is_live(self, open_face: OpenFace) -> None:
        async def main() -> None:
            async with open_face() as client:
                await make(client)
                said = {"role": "assistant", "content": "zwei\n\u2028 \x18 💡", "message_id": "m1"}
                added = result(await client.post("/sessions/s/messages", json=said))
                assert added == {**said, "created_at": added["created_at"]}
                assert result(await client.get("/sessions/s/messages")) == [added]

        trio.run(main)

    def test_the_server_makes_up_ids(self, open_face: OpenFace) -> None:
        async def main() -> None:
            async with open_face() as client:
                await make(client)
                said = {"role": "user", "content": "", "message_id": None}
                one = result(await client.post("/sessions/s/messages", json=said))
                two = result(await client.post("/sessions/s/messages", json=said))
                assert one["message_id"] != two["message_id"]

        trio.run(main)

    @pytest.mark.parametrize("committed", [False, True])
    def test_a_repetition_gets_the_same_answer_and_is_written_once(self, open_face: OpenFace, committed: bool) -> None:
        async def main() -> None:
            async with open_face() as client:
                await make(client)
                said = {"role": "user", "content": "one", "message_id": "m1"}
                first = result(await client.post("/sessions/s/messages", json=said))
                if committed:
                    await client.post("/sessions/s/commit?wait=true")
                assert result(await client.post("/sessions/s/messages", json=said)) == first
                assert result(await client.get("/sessions/s/messages")) == ([] if committed else [first])
                for other in ({"content": "two"}, {"role": "assistant"}):
                    refused = error(await client.post("/sessions/s/messages", json=said | other), 409, "CONFLICT")
                    assert "'m1' is taken" in refused["message"]

        trio.run(main)


class TestCommitting:
    def test_a_commit_is_accepted_at_once_and_completes(self, open_face: OpenFace, extractor: Any) -> None:
        async def main() -> None:
            extractor.gate = trio.Event()
            async with open_face(extract=extractor) as client:
                await make(client, "one", "two")
                committed = result(await client.post("/sessions/s/commit?wait=false"))
                assert committed == {"session_id": "s", "status": "accepted", "task_id": "s:1", "archive": 1}
                assert result(await client.get("/sessions/s/messages")) == []
                await extractor.entered.wait()
                task = result(await client.get("/tasks/s:1"))
                assert task == {
                    "task_id": "s:1",
                    "session_id": "s",
                    "archive": 1,
                    "status": "running",
                    "created_at": task["created_at"],
                }
                extractor.gate.set()
                done = await ended(client, "s:1")
                assert done == task | {"status": "completed", "finished_at": done["finished_at"]}
                assert done["finished_at"] >= done["created_at"]
            assert extractor.seen == [["one", "two"]]

        trio.run(main)

    @pytest.mark.parametrize("query", ["", "?wait=false", "?wait=true"])
    def test_nothing_live_is_skipped(self, open_face: OpenFace, extractor: Any, query: str) -> None:
        async def main() -> None:
            async with open_face(extract=extractor) as client:
                await make(client)
                skipped = {"session_id": "s", "status": "skipped", "task_id": None, "archive": None}
                assert result(await client.post(f"/sessions/s/commit{query}")) == skipped
                assert result(await client.post(f"/sessions/s/commit{query}", json={})) == skipped
            assert extractor.seen == []

        trio.run(main)

    def test_who_waits_is_told_of_completion_and_the_next_commit_is_skipped(self, open_face: OpenFace) -> None:
        async def main() -> None:
            async with open_face() as client:
                await make(client, "one")
                committed = result(await client.post("/sessions/s/commit?wait=true"))
                assert committed == {"session_id": "s", "status": "completed", "task_id": "s:1", "archive": 1}
                assert result(await client.get("/sessions/s/messages")) == []
                assert result(await client.post("/sessions/s/commit?wait=true"))["status"] == "skipped"

        trio.run(main)

    def test_who_waits_is_told_of_failure_with_the_task_and_can_retry(
        self, open_face: OpenFace, extractor: Any
    ) -> None:
        async def main() -> None:
            extractor.failures = 1
            async with open_face(extract=extractor) as client:
                await make(client, "one")
                refused = error(await client.post("/sessions/s/commit?wait=true"), 500, "EXTRACTION_FAILED")
                assert refused["details"] == {"task_id": "s:1", "session_id": "s", "archive": 1}
                assert "ConnectionError: the model is away" in refused["message"]
                failed = result(await client.get("/tasks/s:1"))
                assert (failed["status"], failed["error"]) == ("failed", "ConnectionError: the model is away")
                assert failed["finished_at"] >= failed["created_at"]
                assert result(await client.post("/sessions/s/commit"))["status"] == "skipped"
                # Somebody who only looks starts nothing.
                assert result(await client.get("/sessions/s/archives/1"))["extracted"] is None
                assert len(extractor.seen) == 1
                retried = result(await client.post("/tasks/s:1/retry"))
                assert retried["status"] in ("accepted", "running")
                assert "error" not in retried
                assert (await ended(client, "s:1"))["status"] == "completed"
                # Retrying what is completed leaves it alone.
                assert result(await client.post("/tasks/s:1/retry"))["status"] == "completed"
            assert extractor.seen == [["one"], ["one"]]

        trio.run(main)

    def test_an_archive_shows_its_messages_and_what_was_extracted(self, open_face: OpenFace) -> None:
        async def main() -> None:
            async with open_face() as client:
                await make(client, "one", "two")
                messages = result(await client.get("/sessions/s/messages"))
                await client.post("/sessions/s/commit?wait=true")
                shown = result(await client.get("/sessions/s/archives/1"))
                assert shown == {
                    **result(await client.get("/tasks/s:1")),
                    "messages": messages,
                    "extracted": "2 messages, 6 characters\nby role: user 2\nfirst: user: one\nlast: user: two",
                }

        trio.run(main)

    def test_what_an_extractor_returns_need_not_be_utf_8(self, open_face: OpenFace) -> None:
        async def extract(messages: object, key: str) -> str:
            return "half of a pair: \ud83d"

        async def main() -> None:
            async with open_face(extract=extract) as client:
                await make(client, "one")
                await client.post("/sessions/s/commit?wait=true")
                shown = await client.get("/sessions/s/archives/1")
                assert result(shown)["extracted"] == "half of a pair: \ud83d"

        trio.run(main)

    def test_a_task_is_good_on_every_server_on_the_root(self, open_face: OpenFace, tmp_path: Any) -> None:
        async def main() -> None:
            async with open_face(tmp_path) as client:
                await make(client, "one")
                await client.post("/sessions/s/commit?wait=true")
                task = result(await client.get("/tasks/s:1"))
            async with open_face(tmp_path) as client:
                assert result(await client.get("/tasks/s:1")) == task

        trio.run(main)


class TestCorruption:
    def test_a_file_that_makes_no_sense_is_named_with_its_line(self, open_face: OpenFace, tmp_path: Any) -> None:
        async def main() -> None:
            async with open_face(tmp_path) as client:
                await make(client, "one", "two")
                path = "sessions/s/live/messages.jsonl"
                data = await DirectoryStorage(tmp_path).read(path)
                await DirectoryStorage(tmp_path).write(path, data.replace(b"one", b"0ne"))
                refused = error(await client.get("/sessions/s/messages"), 500, "CORRUPT")
                assert refused["details"] == {"file": path, "line": 1}

        trio.run(main)

    def test_a_store_that_was_left_says_so(self, open_face: OpenFace) -> None:
        from oncestore.server import create_app, digest

        async def main() -> None:
            async with open_store(MemoryStorage(), digest) as store:
                app = create_app(store)
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test/api/v1") as client:
                error(await client.get("/sessions"), 503, "UNAVAILABLE")

        trio.run(main)
