"""MyStore: does the server keep what it was given? Run with pytest. A sample, in wall-clock time: no proof."""

from __future__ import annotations

import pytest
import trio

from racewindow import servers
from racewindow.adapters.templates.http_store import COMMAND, MyStore
from racewindow.sessions import story


@pytest.mark.parametrize("name", ["after-completion", "free-running"])
def test_no_message_is_lost_or_committed_twice(name: str) -> None:
    async def tries() -> servers.ServerResult:
        async with servers.start(COMMAND, client=MyStore) as fleet:
            return await servers.sample(fleet, story(name), name="my_store", tries=30)

    found = trio.run(tries)
    assert found.verdict == "sampled", found.says
