"""What leaves a commit on the `postgres` transport: routed into deliveries by the same commit, no second one."""

import threading
from collections.abc import Sequence
from uuid import UUID

from psycopg import Connection

from broker.journal.intents import Outgoing
from broker.outbox import store
from broker.transports.postgres.route import route
from broker.transports.postgres.transport import PostgresTransport


class RoutedOutbox:
    """Due messages become deliveries at once; delayed ones wait in the outbox like everywhere."""

    def __init__(self, transport: PostgresTransport, unheard_queue: str) -> None:
        self._transport = transport
        self._unheard = unheard_queue
        self._routed: set[str] = set()
        self._lock = threading.Lock()

    def write(self, connection: Connection, worker: UUID, messages: Sequence[Outgoing]) -> None:
        delayed = [out for out in messages if out.delay]
        if delayed:
            store(connection.cursor(), delayed, None)
        queues = route(connection.cursor(), [out.message for out in messages if not out.delay], self._unheard)
        with self._lock:
            self._routed |= queues

    def committed(self, messages: Sequence[Outgoing]) -> None:
        """Wake who consumes what was routed; a queue of a commit that failed is woken in vain."""
        with self._lock:
            queues, self._routed = self._routed, set()
        if queues:
            self._transport.nudge(queues)
