"""One look at the database for all who listen, four times a second, and only while somebody does."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import psycopg
import structlog
from psycopg import Connection
from psycopg_pool import ConnectionPool
from starlette.concurrency import run_in_threadpool

from broker import Settings
from broker.errors import CallboardError
from broker.realtime import rows
from broker.realtime.rows import PAGE, Told
from ops.web.live import Live

LOOK = timedelta(milliseconds=250)
LONGEST_PAUSE = timedelta(seconds=2)
"""Between looks while PostgreSQL is away."""
ROOM = 256
"""Broadcasts that wait for one reader. Who is further behind is dropped, and comes back with its last id."""
CONNECTIONS = 4
"""One looks; the others read what somebody has missed."""
WAIT_SECONDS = 5.0

Result = TypeVar("Result")
log = structlog.get_logger(__name__)


class FullError(CallboardError):
    """As many listen as may."""


@dataclass(eq=False, slots=True)
class Listener:
    """Somebody who listens. `after` is the position up to which it has been told, or need not be."""

    channel: str
    after: int = 0
    waiting: "asyncio.Queue[Told | None]" = field(default_factory=lambda: asyncio.Queue(ROOM + 1))
    dropped: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, told: Told) -> None:
        if told.position > self.after and self.waiting.qsize() < ROOM:
            self.waiting.put_nowait(told)
        elif told.position > self.after:
            self.dropped.set()

    def end(self) -> None:
        """After what waits; its place in the queue is kept free."""
        if not self.waiting.full():
            self.waiting.put_nowait(None)


class Hub:
    """Lives on the server's event loop; reads in its threads."""

    def __init__(self, settings: Settings, live: Live) -> None:
        self._settings = settings
        self._live = live
        self._key = rows.lock_key(settings.namespace)
        self._listeners: set[Listener] = set()
        self._position = 0
        self._joining = asyncio.Lock()
        self._watch: asyncio.Task[None] | None = None
        self._pool: ConnectionPool[Connection] | None = None

    async def join(self, channel: str) -> Listener:
        """From now on: what is broadcast after this. Raises FullError; also while the database cannot be read."""
        async with self._joining:
            if len(self._listeners) >= self._settings.realtime_listeners:
                raise FullError("as many listen as may: come again, or raise CALLBOARD_REALTIME_LISTENERS")
            if self._watch is None or self._watch.done():
                try:
                    self._position = await self.read(lambda c: rows.now(c, self._key))
                except psycopg.Error as error:
                    raise FullError("what is broadcast cannot be read at the moment: come again") from error
                self._watch = asyncio.create_task(self._look(), name="realtime")
            listener = Listener(channel, self._position)
            self._listeners.add(listener)
            return listener

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    async def read(self, what: Callable[[Connection], Result]) -> Result:
        """Raises psycopg errors."""
        return await run_in_threadpool(self._read, what)

    def _read(self, what: Callable[[Connection], Result]) -> Result:
        if self._pool is None:
            pool = self._settings.database.pool("web realtime", CONNECTIONS)
            pool.open()
            self._live.at_end(lambda: pool.close(timeout=1))
            self._pool = pool
        with self._pool.connection(WAIT_SECONDS) as connection:
            return what(connection)

    async def _look(self) -> None:
        """Until nobody listens or the server stops."""
        pause = LOOK
        while self._listeners and not self._live.over:
            found: list[Told] = []
            try:
                found = await self.read(lambda c: rows.after(c, self._key, self._position))
                pause = LOOK
            except psycopg.Error as error:
                if pause == LOOK and not self._live.over:
                    log.warning("realtime_interrupted", error=type(error).__name__)
                pause = min(pause * 2, LONGEST_PAUSE)
            self._tell(found)
            if len(found) < PAGE:
                await asyncio.sleep(pause.total_seconds())
        for listener in self._listeners:
            listener.end()

    def _tell(self, found: list[Told]) -> None:
        by_channel: dict[str, list[Listener]] = {}
        for listener in self._listeners:
            by_channel.setdefault(listener.channel, []).append(listener)
        for told in found:
            for listener in by_channel.get(told.channel, ()):
                listener.tell(told)
        if found:
            self._position = found[-1].position
