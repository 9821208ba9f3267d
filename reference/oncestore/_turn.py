"""Taking turns, among the tasks of one process."""

import trio


async def take(turn: trio.Lock | trio.Semaphore, *, wait: bool = True) -> None:
    """Acquire it, without a turn of the event loop where it is free: that would cost a lonely client a tenth of its add.

    Raises BlockingIOError with ``wait=False``, when it is not free.
    """
    await trio.lowlevel.checkpoint_if_cancelled()
    try:
        turn.acquire_nowait()
    except trio.WouldBlock:
        if not wait:
            raise BlockingIOError("another task holds it") from None
        await turn.acquire()
