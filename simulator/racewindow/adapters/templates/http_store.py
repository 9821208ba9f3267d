"""MyStore under racewindow: a server, as a black box behind HTTP. It speaks the session API, but for what is said otherwise here."""

from __future__ import annotations

import sys

from racewindow.servers import ServerClient

# How your server is started on an empty directory, and killed; in the environment it finds $RACEWINDOW_LEDGER, a file that an extractor
# of yours has to write down each call in (racewindow.servers.ledger:extract does), so that one can tell who was extracted twice.
COMMAND = f"{sys.executable} -m oncestore serve {{root}} --port {{port}} --extractor racewindow.servers.ledger:extract"


class MyStore(ServerClient):
    """Overrides what your server calls by another name: create, add, live, commit, status, observe. These two show how."""

    async def add(self, session: str, message: str) -> None:
        """Return when it is acknowledged. The id says whose message it is: hand it on as it is."""
        body = {"role": "user", "content": message, "message_id": f"{session}.{message}"}
        await self.ask("POST", f"/api/v1/sessions/{session}/messages", body)

    async def commit(self, session: str, *, wait: bool) -> str | None:
        """The task's id, or None when there was nothing to commit; with ``wait`` not before it is extracted."""
        answer = await self.ask("POST", f"/api/v1/sessions/{session}/commit?wait={str(wait).lower()}")
        return None if answer["status"] == "skipped" else str(answer["task_id"])
