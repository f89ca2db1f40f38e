"""Retries, sleeps, postponements and waits are rows with a due time, not messages: the sweep wakes them.

A due run's (id, wake) is sent to its actor's queue, and again after 30 s, 60 s … up to 10 minutes, until a worker has taken it.
Any other `wake` is a duplicate and starts nothing, so sending too often is harmless and losing a wake-up is too. What a leader
had taken but perhaps not sent when it died is due again with its takeover.
"""

from concurrent.futures import Future
from functools import partial
from uuid import UUID

from psycopg import Connection

from broker.codec import encode_wake
from broker.topology import Topology
from broker.transports.base import Transport

# `run_due` serves this; rows another sweep holds are skipped.
_DUE = """
with due as (select id from run where due_at <= clock() order by due_at limit %s for update skip locked)
update run r
set sends = r.sends + 1, swept_by = %s, due_at = clock() + least(interval '30 s' * power(2, least(r.sends, 5)), interval '10 min')
from due where r.id = due.id and r.wake is not null
returning r.id, r.actor, r.wake, r.crashes"""

_AGAIN = """
update run r set due_at = least(r.due_at, clock() + interval '1 s' * r.sends) from unnest(%s::uuid[], %s::uuid[]) as k (id, wake)
where r.id = k.id and r.wake = k.wake and r.due_at is not null"""

QUARANTINE_AFTER = 2
"""From its second crash a run goes to the process with one slot, so that it can kill nobody but itself."""


class Timers:
    """The sweep's timers. Not thread-safe but for the transport's callbacks."""

    def __init__(self, transport: Transport, topology: Topology, worker: UUID, *, size: int = 500) -> None:
        self._worker = worker
        self._transport = transport
        self._topology = topology
        self._size = size
        self._failed: list[tuple[UUID, UUID]] = []

    def sweep(self, connection: Connection) -> int:
        """Wake due runs; returns how many. Raises psycopg errors; what was not sent is due again."""
        self._settle(connection)
        rows = connection.execute(_DUE, (self._size, self._worker)).fetchall()
        for id, actor, wake, crashes in rows:
            queue = (
                self._topology.quarantine if crashes >= QUARANTINE_AFTER else self._topology.queue_of(actor)
            )
            # Each by itself: a queue that is gone must not hold back the others. The transport pipelines them.
            self._transport.publish([encode_wake(queue, id, wake)]).add_done_callback(
                partial(self._noted, id, wake)
            )
        return len(rows)

    def _noted(self, id: UUID, wake: UUID, done: "Future[None]") -> None:
        if done.exception() is not None:
            self._failed.append((id, wake))

    def _settle(self, connection: Connection) -> None:
        failed, self._failed = self._failed, []
        if failed:
            try:
                connection.execute(_AGAIN, ([id for id, _ in failed], [wake for _, wake in failed]))
            except BaseException:
                self._failed += failed
                raise
