"""The gate that every request goes through: it is read within limits, let in or not, and leaves one line in the log."""

import hmac
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import unquote

import trio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ._answers import Refused, failure, invalid
from ._requests import Call

_logger = logging.getLogger("oncestore.server")
OPEN = ("/healthz", "/openapi.json")  # without a token: for monitors and tools, and neither says what is stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a client may ask for: the size of a body, requests at once, and the time for a body to arrive."""

    body_most_bytes: int = 1 << 20
    requests_most: int = 1000
    read_timeout_s: float = 30.0


class _Left(Exception):
    """The client went away before the request was complete."""


class Gate:
    """An application around another one, to which it hands requests that are complete, as ``scope["oncestore.call"]``."""

    def __init__(self, app: ASGIApp, *, token: str | None, limits: Limits) -> None:
        self._app = app
        self._token = token
        self._limits = limits
        self._requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = Call(began=trio.current_time())
        scope["oncestore.call"] = call
        # Split first, then decoded: an encoded slash is part of an id, where it is refused, and no way to another path.
        raw = scope["raw_path"].decode("ascii", "replace")
        scope["path"] = "/".join(unquote(part).replace("/", "%2F") for part in raw.split("/"))
        status: int | None = None

        async def answer(message: Message) -> None:
            nonlocal status
            if not call.disconnected.is_set():
                status = message.get("status", status)
            await send(message)

        self._requests += 1
        try:
            app: ASGIApp = self._app
            try:
                await self._admit(Headers(scope=scope), scope, receive, call)
            except Refused as refused:
                app = failure(refused, call.took_s)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_hear, receive, call.disconnected)
                await _guarded(app, scope, receive, answer)
                nursery.cancel_scope.cancel()
        except _Left:
            pass
        finally:
            self._requests -= 1
            _logger.info(
                "request",
                extra={
                    "method": scope["method"],
                    "path": raw,
                    "status": status,  # null: there was nobody left to answer
                    "ms": round(1000 * call.took_s, 3),
                    "session": call.session,
                },
            )

    async def _admit(self, headers: Headers, scope: Scope, receive: Receive, call: Call) -> None:
        """Read the body, and raise Refused for what may not go on."""
        busy = self._requests > self._limits.requests_most
        body = await self._read(receive, keep_bytes=0 if busy else self._limits.body_most_bytes)
        if busy:
            raise Refused(
                "UNAVAILABLE",
                f"{self._limits.requests_most} requests are under way, which is the limit; come again",
                headers={"Retry-After": "1"},
            )
        if self._token is not None and scope["path"] not in OPEN and not self._knows(headers):
            raise Refused(
                "UNAUTHENTICATED",
                "the bearer token is missing or wrong; send 'Authorization: Bearer <token>'",
                headers={"WWW-Authenticate": "Bearer"},
            )
        # A server on loopback without a token is within reach of every page that a browser on this machine shows.
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise Refused("FORBIDDEN", "a page of another site asked; this interface is for programs")
        if body is None:
            most = self._limits.body_most_bytes
            raise invalid("body", f"the body is larger than {most} bytes, which is the limit; send less")
        if body and (kind := headers.get("content-type")) and kind.partition(";")[0].strip().lower() != _JSON:
            raise invalid("content-type", f"the body is said to be {kind!a}; send JSON, and 'Content-Type: {_JSON}'")
        call.body = body

    async def _read(self, receive: Receive, keep_bytes: int) -> bytes | None:
        """The body; None when it is larger than ``keep_bytes``. Raises Refused when it takes too long, and _Left.

        A body is read to its end also when it is refused: to a client that is still sending, a connection that closes
        is a broken one, and the answer would be lost.
        """
        body: list[bytes] = []
        size = 0
        with trio.move_on_after(self._limits.read_timeout_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Left
                body.append(message.get("body", b""))
                size += len(body[-1])
                if size > keep_bytes:
                    body.clear()
                if not message.get("more_body", False):
                    return b"".join(body) if size <= keep_bytes else None
        raise Refused("TOO_SLOW", f"the body did not arrive within {self._limits.read_timeout_s:g} s; send it faster")

    def _knows(self, headers: Headers) -> bool:
        given = headers.getlist("authorization")
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        # In a time that does not tell how much of the token was right.
        return scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), (self._token or "").encode())


_JSON = "application/json"


async def _hear(receive: Receive, disconnected: trio.Event) -> None:
    """Listen to the end: a server that cannot get rid of what it has received cannot close the connection either."""
    while (await receive())["type"] != "http.disconnect":
        pass
    disconnected.set()
    await trio.sleep_forever()


async def _guarded(
    app: Callable[[Scope, Receive, Send], Awaitable[None]], scope: Scope, receive: Receive, send: Send
) -> None:
    try:
        await app(scope, receive, send)
    except Exception:
        # Answered already, as INTERNAL, by the application's own handler. The log is where it belongs now.
        _logger.exception("a mistake of the server")
