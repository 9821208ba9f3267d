"""An extractor for servers under test that writes down what it is handed, so that nobody has to believe the server.

``oncestore serve ROOT --port PORT --extractor racewindow.servers.ledger:extract``, and any server that takes a Python function of messages
and an idempotency key. The ledger is the file that ``RACEWINDOW_LEDGER`` names; without it nothing is written.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from racewindow.servers._client import own_id

LEDGER = "RACEWINDOW_LEDGER"
EXTRACT_S = "RACEWINDOW_EXTRACT_S"


def extract(messages: Sequence[Any], key: str) -> str:
    """Take messages (whatever has an ``id``), take some time over them, and give ``SUM(ids)``.

    The time is exponentially distributed; its mean in seconds is in ``RACEWINDOW_EXTRACT_S``.
    """
    began_s = time.monotonic()
    ids = [message.id for message in messages]
    mean = float(os.environ.get(EXTRACT_S, "0"))
    time.sleep(random.expovariate(1 / mean) if mean > 0 else 0.0)
    if LEDGER in os.environ:
        line = (
            json.dumps({"key": key, "messages": ids, "began_s": began_s, "ended_s": time.monotonic()}).encode() + b"\n"
        )
        ledger = os.open(os.environ[LEDGER], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(ledger, line)  # one call: several processes append to it
        finally:
            os.close(ledger)
    return f"SUM({', '.join(ids)})"


class Ledger:
    """Reads a ledger while it grows.

    Args:
        path: of the file; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0
        self._by_session: dict[str, list[dict[str, Any]]] = {}

    @property
    def used(self) -> bool:
        """Whether anybody ever wrote into it."""
        return self.path.exists()

    def take(self, session: str) -> list[dict[str, Any]]:
        """The hand-overs of one session so far, in their order; they are forgotten here."""
        for entry in self._news():
            # The clients here make message ids that begin with their session: "session.message".
            for owner in {id.rpartition(".")[0] for id in entry["messages"]}:
                mine = [own_id(id, owner) for id in entry["messages"] if id.startswith(f"{owner}.")]
                self._by_session.setdefault(owner, []).append({**entry, "messages": mine})
        return self._by_session.pop(session, [])

    def _news(self) -> Iterator[dict[str, Any]]:
        if not self.used:
            return
        with self.path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                yield json.loads(line)
