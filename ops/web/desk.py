"""What the doors write with: a few connections, and a publisher that writes into their transactions."""

import threading
from collections.abc import Callable
from functools import cached_property
from typing import TypeVar

import psycopg
import structlog
from psycopg import Connection
from psycopg_pool import ConnectionPool, PoolTimeout
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from broker import Publisher, Settings
from broker.errors import CallboardError, EventTooLargeError
from broker.middleware.trace import Trace
from ops.boot import make_publisher, make_transport
from ops.web.answers import refused
from ops.web.live import Live
from schemas import InvalidPayload

CONNECTIONS = 8
"""Each delivery holds one for some milliseconds."""
WAIT_SECONDS = 3.0
"""For a connection. A provider waits for 5 to 10 s and comes again."""
AWAY = "5"
"""Seconds after which to come again."""

Result = TypeVar("Result")
log = structlog.get_logger(__name__)


class Desk:
    """Safe from any thread; connects when it is first used."""

    def __init__(self, settings: Settings, live: Live, trace: Trace | None = None) -> None:
        self._settings = settings
        self._trace = trace
        self._live = live
        self._opening = threading.Lock()
        self._pool: ConnectionPool[Connection] | None = None

    @cached_property
    def publisher(self) -> Publisher:
        """Only for publishing into a transaction: its transport is never connected."""
        return make_publisher(self._settings, make_transport(self._settings), self._trace)

    async def keep(self, write: Callable[[Connection], Result]) -> Result | Response:
        """What `write` returned, or the answer to give because nothing could be kept. `write` must bear to be repeated."""
        try:
            return await run_in_threadpool(self._keep, write)
        except EventTooLargeError as error:
            return refused(413, "too_large", str(error))
        except InvalidPayload as error:
            return refused(400, "invalid", str(error))
        except psycopg.Error as error:
            log.warning("web_cannot_keep", error=type(error).__name__)
        return refused(503, "database", "nothing durable can be reached: come again", retry_after=AWAY)

    def _keep(self, write: Callable[[Connection], Result]) -> Result:
        pool = self._opened()
        try:
            with pool.connection(WAIT_SECONDS) as connection:
                return write(connection)
        except PoolTimeout:
            raise  # nobody answers: a provider does not wait for a second try
        except psycopg.OperationalError:
            # The server was started anew, or ended our sessions: those that are left are made again.
            pool.check()
        with pool.connection(WAIT_SECONDS) as connection:
            return write(connection)

    def _opened(self) -> ConnectionPool[Connection]:
        with self._opening:
            if self._pool is None:
                pool = self._settings.database.pool("web hooks", CONNECTIONS)
                pool.open()
                self._live.at_end(lambda: pool.close(timeout=1))
                self._pool = pool
            return self._pool


def unset(variable: str) -> Response:
    """Who operates this has not said a secret."""
    return refused(503, "not_configured", f"{variable} is not set here")


def misconfigured(error: CallboardError) -> Response:
    log.error("web_misconfigured", error=str(error))
    return refused(503, "not_configured", str(error))
