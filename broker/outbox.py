"""Messages that leave a commit: kept as rows until they are confirmed, so that neither a crash nor an outage loses one."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import timedelta
from functools import partial
from typing import Protocol
from uuid import UUID

import structlog
from psycopg import Connection, Cursor

from broker.codec import LATE
from broker.errors import JournalError
from broker.journal.intents import Intent, Outgoing, Sent, Unsent
from broker.journal.records import columns
from broker.transports.base import Transport, WireMessage

log = structlog.get_logger(__name__)

HOLD = timedelta(seconds=30)
"""How long a row belongs to the worker that committed it before the sweep sends it. Longer than a confirm timeout with its
reconnects; a dead worker's rows are freed at once by its takeover."""

_STORE = """
insert into outbox (id, routing_key, direct, body, headers, content_type, created_at, send_at, held_by)
select o.id, o.routing_key, o.direct, o.body, o.headers::jsonb, o.content_type, clock(), clock() + o.delay, o.held_by
from unnest(%b::uuid[], %b::text[], %b::bool[], %b::bytea[], %b::text[], %b::text[], %b::interval[], %b::uuid[])
     as o (id, routing_key, direct, body, headers, content_type, delay, held_by)
on conflict (id) do nothing"""

_TAKE = """
update outbox o set send_at = clock() + %s, held_by = %s
from (select id from outbox where send_at <= clock() order by send_at limit %s for update skip locked) due
where o.id = due.id
returning o.id, o.routing_key, o.direct, o.body, o.headers, o.content_type"""

# In a second: what cannot be delivered (a queue that is gone) must not be tried at every look.
_AGAIN = "update outbox set send_at = clock() + interval '1 s', held_by = null where id = any(%s)"


class Ledger(Protocol):
    def submit(self, intent: Intent, settle: Callable[[object], None]) -> None: ...


def store(cursor: Cursor, messages: Sequence[Outgoing], held_by: UUID | None) -> None:
    """Insert rows in the caller's transaction. A repeat of the same id is left alone. Delayed rows are held by nobody."""
    rows = [
        (
            out.id,
            out.message.routing_key,
            out.message.direct,
            out.message.body,
            json.dumps({**out.message.headers, LATE: "delayed"} if out.delay else dict(out.message.headers)),
            out.message.content_type,
            out.delay if out.delay else (HOLD if held_by else timedelta(0)),
            None if out.delay else held_by,
        )
        for out in messages
    ]
    cursor.execute(_STORE, columns(rows))


class StoredOutbox:
    """For the `rabbitmq` transport: rows held by this worker, sent at once after the commit, deleted once confirmed."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.ledger: Ledger | None = None

    def write(self, connection: Connection, worker: UUID, messages: Sequence[Outgoing]) -> None:
        store(connection.cursor(), messages, worker)

    def committed(self, messages: Sequence[Outgoing]) -> None:
        """Send what is due now. What is not confirmed is left to the sweep, at once."""
        now = [out for out in messages if not out.delay]
        if not now:
            return
        future = self._transport.publish([out.message for out in now])
        future.add_done_callback(lambda done: self._confirmed([out.id for out in now], done))

    def _confirmed(self, ids: Sequence[UUID], done: "Future[None]") -> None:
        if self.ledger is None:
            return
        try:
            self.ledger.submit(Sent(ids) if done.exception() is None else Unsent(ids), lambda _: None)
        except JournalError:
            log.info("outbox_left_to_sweep", rows=len(ids))


class Relay:
    """The sweep's half: due rows are taken in a short transaction, sent outside any, deleted after their confirms."""

    def __init__(self, transport: Transport, worker: UUID, *, size: int = 500) -> None:
        self._transport = transport
        self._worker = worker
        self._size = size
        self._sent: list[UUID] = []
        self._failed: list[UUID] = []

    def sweep(self, connection: Connection) -> int:
        """Settle earlier sends and send what is due; returns how many rows were taken. Raises psycopg errors."""
        self._settle(connection)
        rows = connection.execute(_TAKE, (HOLD, self._worker, self._size)).fetchall()
        for id, key, direct, body, headers, kind in rows:
            # Each by itself: one that cannot be delivered must not hold back the others. The transport pipelines them.
            message = WireMessage(key, bytes(body), headers, kind, direct)
            self._transport.publish([message]).add_done_callback(partial(self._noted, id))
        return len(rows)

    def _noted(self, id: UUID, done: "Future[None]") -> None:
        (self._sent if done.exception() is None else self._failed).append(id)

    def _settle(self, connection: Connection) -> None:
        sent, self._sent = self._sent, []
        failed, self._failed = self._failed, []
        try:
            if sent:
                connection.execute("delete from outbox where id = any(%s)", (sent,))
            if failed:
                connection.execute(_AGAIN, (failed,))
        except BaseException:
            self._sent += sent
            self._failed += failed
            raise
