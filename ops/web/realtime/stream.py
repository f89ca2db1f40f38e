"""One listener's stream: what it has missed, then what comes, a heartbeat in silence, and an end with its token."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import psycopg
import structlog
from psycopg import Connection
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from broker.realtime import rows
from broker.realtime.rows import PAGE, Told
from ops.web.realtime.hub import Hub, Listener

HEARTBEAT = timedelta(seconds=15)
"""Below the 30 to 60 s after which proxies take a silent connection for dead."""
FAREWELL_SECONDS = 0.2
TOGETHER = 64
"""Broadcasts in one write."""
AGAIN = "retry: 1000\n\n"
"""Milliseconds until a browser comes back."""
EXPIRED = "event: callboard.expired\ndata: {}\n\n"
GAP = "event: callboard.gap\ndata: {}\n\n"
EVERYWHERE = {"access_control_allow_origin": "*"}
"""A page of any origin may listen: what opens a channel is the token, and no cookie is looked at."""
HEADERS = {
    "cache-control": "no-store",
    "x-accel-buffering": "no",
    "x-content-type-options": "nosniff",
    "access-control-allow-origin": "*",
}

log = structlog.get_logger(__name__)


class EventStream(Response):
    """`last` is the id with which it resumes; None begins with now."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, listener: Listener, last: int | None, expires_at: datetime) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._hub = hub
        self._listener = listener
        self._last = last
        self._expires_at = expires_at

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Until the reader has gone, is too slow, or has been told everything. A reader that does not read holds the writing
        task; that is why it is a task."""
        writing = asyncio.create_task(self._write(send))
        others = [asyncio.create_task(_gone(receive)), asyncio.create_task(self._listener.dropped.wait())]
        try:
            await asyncio.wait([writing, *others], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.leave(self._listener)
            for task in (writing, *others):
                task.cancel()
            await asyncio.gather(writing, *others, return_exceptions=True)
        if self._listener.dropped.is_set():
            log.warning("realtime_reader_dropped", reason="too slow")
        if not writing.cancelled() and (error := writing.exception()) is not None:
            raise error
        with contextlib.suppress(TimeoutError, RuntimeError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await send(_chunk("", more=False))

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        with contextlib.suppress(
            psycopg.Error
        ):  # the stream ends, and its reader comes back with its last id
            async for text in self._texts():
                await send(_chunk(text))

    async def _texts(self) -> AsyncIterator[str]:
        yield AGAIN
        async for text in self._beginning():
            yield text
        while (left := (self._expires_at - datetime.now(UTC)).total_seconds()) > 0:
            try:
                # Not wait_for: that of Python 3.11 swallows a cancellation that comes with the result.
                async with asyncio.timeout(min(HEARTBEAT.total_seconds(), left)):
                    told = await self._listener.waiting.get()
            except TimeoutError:
                yield ":\n\n"
                continue
            together = self._together(told)
            yield "".join(map(written, filter(None, together)))
            if None in together:
                return
        yield EXPIRED

    def _together(self, first: Told | None) -> list[Told | None]:
        """What waits already, up to the end of the stream."""
        found = [first]
        while found[-1] is not None and len(found) < TOGETHER and not self._listener.waiting.empty():
            found.append(self._listener.waiting.get_nowait())
        return found

    async def _beginning(self) -> AsyncIterator[str]:
        """What came since `last`; or the id from which to come back, so that nothing is missed before the first broadcast."""
        joined, last = self._listener.after, self._last
        if last is not None:
            # Another process may have told it more than this one has seen.
            self._listener.after = max(joined, last)
            gap = await self._hub.read(lambda c: rows.forgotten(c, last))
            if not gap:
                async for text in self._missed(last, joined):
                    yield text
                return
            self._listener.after = joined
            yield GAP
        yield f"id: {joined}\n\n"

    async def _missed(self, last: int, until: int) -> AsyncIterator[str]:
        while last < until:
            begin = last

            def read(connection: Connection, begin: int = begin) -> list[Told]:
                return rows.missed(connection, self._listener.channel, begin, until)

            found = await self._hub.read(read)
            if found:
                yield "".join(map(written, found))
            if len(found) < PAGE:
                return
            last = found[-1].position


def written(told: Told) -> str:
    """As EventSource reads it. JSON text has no line breaks, and names were checked when they were said."""
    name = "" if told.name == "message" else f"event: {told.name}\n"
    return f"id: {told.position}\n{name}data: {told.data}\n\n"


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _chunk(text: str, *, more: bool = True) -> dict[str, object]:
    return {"type": "http.response.body", "body": text.encode(), "more_body": more}
