"""The consumer: one thread that listens, fetches rows for the queues that have room, and writes settlements.

    connect ──> clean up ──> settle ──> fetch ──> nothing came: wait ──┐
       ^                        ^───────────────────────────────────────┘
       └── backoff <── connection lost

What ends the wait: a notification, a nudge, a settlement, or the poll.
"""

import selectors
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import structlog
from psycopg import sql

from broker.database import Database
from broker.telling import describe
from broker.transports.base import Sink
from broker.transports.postgres.backoff import Backoff
from broker.transports.postgres.delivery import PostgresDelivery
from broker.transports.postgres.route import RELEASE_HELD
from broker.transports.postgres.slots import Settlements, Slots, Subscription

LOG = structlog.get_logger(__name__)

CLEAN_UP = timedelta(seconds=10)
"""How often rows are looked for that are ours by the table, not by our books: a fetch whose answer was lost.
Rare enough to cost nothing, and such a row needs a connection to break within one millisecond."""

# The statistics of a queue table are always wrong, empty now, full in a second: no plan may depend on them,
# none is made twice (0.2 of 0.6 ms), and none is compiled because a forbidden node looks dear (before 18).
# A hold needs no flush of its own: a crash that undoes it makes the row ready again, and a claim refuses a
# second copy.
SESSION = """
set enable_seqscan = off; set enable_bitmapscan = off; set enable_hashjoin = off; set enable_mergejoin = off;
set plan_cache_mode = force_generic_plan; set jit = off; set synchronous_commit = off
"""

# Served by delivery_ready. Lateral: each queue is limited by its own room, and a full one starves nobody.
FETCH = """
with asked as (
    select queue, room from unnest(%(queues)s::text[], %(rooms)s::integer[]) as asked (queue, room)
), picked as (
    select ready.id from asked cross join lateral (
        select delivery.id from delivery where delivery.queue = asked.queue and delivery.held_by is null
        order by delivery.id limit asked.room for update skip locked
    ) as ready
)
update delivery set held_by = %(worker)s from picked where delivery.id = picked.id
returning delivery.id, delivery.queue, delivery.body, delivery.headers, delivery.content_type,
          delivery.redelivered
"""

# Whoever holds it now: a message whose claim has committed has no use for another copy.
DELETE = "delete from delivery where id = any(%(ids)s::bigint[])"

# Only what is still ours: after a takeover the row may be in other hands.
GIVE_BACK = """
update delivery set held_by = null, redelivered = true
where id = any(%(ids)s::bigint[]) and held_by = %(worker)s
"""

# Served by delivery_held. Locked in the order of ids, as the claims delete them: no deadlock with a journal.
RELEASE_UNKNOWN = """
with unknown as (
    select id from delivery where held_by = %(worker)s and id <> all(%(known)s::bigint[])
    order by id for update
)
update delivery set held_by = null, redelivered = true from unknown where delivery.id = unknown.id
returning delivery.queue
"""


class Fetcher:
    """Owns the consuming connection and the thread, on which `returned` is told which queues got rows back.

    `own_pid` is the backend of our own notifications: what they say is known here already.
    """

    def __init__(
        self,
        database: Database,
        worker: UUID,
        poll: timedelta,
        channel: str,
        returned: Callable[[Collection[str]], None],
        own_pid: Callable[[], int | None],
    ) -> None:
        self.slots = Slots(self._wake)
        self.statements = 0
        """Fetch, settle and clean-up statements sent so far."""
        self._database = database
        self._worker = worker
        self._poll = poll
        self._channel = channel
        self._returned = returned
        self._own_pid = own_pid
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._bell, self._hammer = socket.socketpair()
        self._bell.setblocking(False)
        self._hammer.setblocking(False)
        self._polled_at = self._cleaned_at = 0.0

    def subscribe(self, queues: Sequence[str], sink: Sink, prefetch: int) -> None:
        """Start with the first call; a later one adds queues or changes theirs."""
        self.slots.subscribe(queues, Subscription(sink, prefetch))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="callboard fetch", daemon=True)
            self._thread.start()

    def close(self, timeout: timedelta) -> None:
        """Write what is settled, give back the rest. Without PostgreSQL rows stay held, for a takeover."""
        self._stopping.set()
        self._wake()
        if self._thread is not None:
            self._thread.join(timeout.total_seconds())
        self.slots.close()

    def _wake(self) -> None:
        try:
            self._hammer.send(b"!")
        except OSError:
            return  # A full pipe already wakes, a closed one has nobody to wake.

    def _run(self) -> None:
        backoff = Backoff()
        while not self._stopping.is_set():
            try:
                with self._connect() as connection:
                    self._serve(connection, backoff)
                    self._leave(connection)
            except Exception as error:
                # Whatever it is: a consumer that has ended in silence would be worse.
                delay = backoff.next()
                LOG.warning("consumer.connection_lost", error=describe(error), retry_in=delay.total_seconds())
                self._stopping.wait(delay.total_seconds())
        self._bell.close()
        self._hammer.close()

    def _connect(self) -> psycopg.Connection:
        """Direct, because LISTEN and the session's settings do not survive a transaction pooler."""
        connection = self._database.connect("consume", direct=True)
        try:
            connection.execute(SESSION)
            connection.execute(sql.SQL("listen {}").format(sql.Identifier(self._channel)))
        except BaseException:
            connection.close()
            raise
        return connection

    def _serve(self, connection: psycopg.Connection, backoff: Backoff) -> None:
        """A server that takes connections may still refuse every statement, as with a full disk: one round must succeed."""
        self._polled_at = self._cleaned_at = 0.0
        with selectors.DefaultSelector() as selector:
            selector.register(connection, selectors.EVENT_READ)
            selector.register(self._bell, selectors.EVENT_READ)
            while not self._stopping.is_set():
                self._listen(connection)
                self._clean_up(connection)
                self._settle(connection)
                fetched = self._fetch(connection)
                backoff.reset()
                if not fetched:
                    selector.select(self._patience())
                    self._silence()

    def _listen(self, connection: psycopg.Connection) -> None:
        """Take in the notifications that have arrived, and hear all queues when the poll is due."""
        own = self._own_pid()
        queues = {heard.payload for heard in connection.notifies(timeout=0) if heard.pid != own}
        if queues:
            self.slots.heard(queues)
        if time.monotonic() >= self._polled_at + self._poll.total_seconds():
            self._polled_at = time.monotonic()
            self.slots.heard()

    def _patience(self) -> float | None:
        """Seconds until the poll is due. A full worker has nothing to poll for: a settlement wakes it."""
        if not self.slots.has_room():
            return CLEAN_UP.total_seconds()
        return max(0.0, self._polled_at + self._poll.total_seconds() - time.monotonic())

    def _silence(self) -> None:
        try:
            while len(self._bell.recv(4096)) == 4096:
                continue
        except BlockingIOError:
            return

    def _fetch(self, connection: psycopg.Connection) -> bool:
        """Whether anything came. Deliveries are offered in the order of their ids."""
        asked = self.slots.ask()
        if not asked:
            return False
        arguments = {"queues": list(asked), "rooms": list(asked.values()), "worker": self._worker}
        rows = self._execute(connection, FETCH, arguments).fetchall()
        rows.sort()
        deliveries = [
            PostgresDelivery(self.slots, row_id, queue, body, headers, content_type, redelivered=redelivered)
            for row_id, queue, body, headers, content_type, redelivered in rows
        ]
        for sink, delivery in self.slots.took(asked, deliveries):
            sink.offer(delivery)
        return bool(rows)

    def _settle(self, connection: psycopg.Connection) -> None:
        due = self.slots.settlements()
        if not due.acked and not due.returned:
            return
        self._write(connection, due)
        self.slots.written(due)
        if due.queues:
            self._returned(due.queues)

    def _write(self, connection: psycopg.Connection, due: Settlements) -> None:
        if due.acked:
            self._execute(connection, DELETE, {"ids": list(due.acked)})
        if due.returned:
            self._execute(connection, GIVE_BACK, {"ids": list(due.returned), "worker": self._worker})

    def _clean_up(self, connection: psycopg.Connection) -> None:
        """Give back what a lost connection left held without our knowing."""
        if self._cleaned_at and time.monotonic() < self._cleaned_at + CLEAN_UP.total_seconds():
            return
        self._cleaned_at = time.monotonic()
        arguments = {"worker": self._worker, "known": self.slots.owned()}
        freed = {row[0] for row in self._execute(connection, RELEASE_UNKNOWN, arguments)}
        if freed:
            self.slots.heard(freed)
            self._returned(freed)

    def _leave(self, connection: psycopg.Connection) -> None:
        self.slots.close()
        self._settle(connection)
        freed = {row[0] for row in self._execute(connection, RELEASE_HELD, {"worker": self._worker})}
        if freed:
            self._returned(freed)

    def _execute(
        self, connection: psycopg.Connection, statement: LiteralString, arguments: Mapping[str, object]
    ) -> psycopg.Cursor[tuple[Any, ...]]:
        self.statements += 1
        # Binary: bodies come as they are, not as hexadecimal text of twice the size.
        cursor = connection.cursor(binary=True)
        return cursor.execute(statement, arguments, prepare=True)
