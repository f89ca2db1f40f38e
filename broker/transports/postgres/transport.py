"""Messages as rows of `delivery`, no broker beside PostgreSQL: the promises of `rabbitmq` in one server."""

import os
from collections.abc import Collection, Generator, Iterable, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg

from broker.database import Database
from broker.errors import TransportUnavailableError
from broker.topology import Binding, Topology
from broker.transports.base import Sink, WireMessage, refuse_other_process
from broker.transports.postgres.fetch import Fetcher
from broker.transports.postgres.publish import Publisher

CHANNEL_LIMIT_BYTES = 63
"""PostgreSQL cuts a longer identifier in LISTEN and refuses it in pg_notify."""

# Two workers that boot at once would lock the same rows in different order.
LOCK_BINDINGS = "lock table binding in share row exclusive mode"

INSERT_BINDINGS = """
insert into binding (event_type, queue)
select wanted.event_type, wanted.queue
from unnest(%(event_types)s::text[], %(queues)s::text[]) as wanted (event_type, queue)
on conflict (event_type, queue) do nothing
"""

DELETE_STALE = """
delete from binding
where binding.queue = any(%(own)s::text[])
  and not exists (
      select from unnest(%(event_types)s::text[], %(queues)s::text[]) as wanted (event_type, queue)
      where wanted.event_type = binding.event_type and wanted.queue = binding.queue
  )
"""

DELETE_BINDINGS = """
delete from binding using unnest(%(event_types)s::text[], %(queues)s::text[]) as stale (event_type, queue)
where binding.event_type = stale.event_type and binding.queue = stale.queue
"""

# Served by delivery_ready.
DEPTH = "select count(*) from delivery where queue = %(queue)s and held_by is null"


class PostgresTransport:
    """The transport of one process. `worker_id` stands in the rows it holds; a takeover frees them by it."""

    system = "postgresql"

    def __init__(
        self,
        database: Database,
        *,
        worker_id: UUID | None = None,
        poll: timedelta = timedelta(milliseconds=500),
    ) -> None:
        self.worker_id = worker_id or uuid4()
        self._process = os.getpid()
        self._database = database
        self._poll = poll
        self._channel = notification_channel(database.schema)
        self._fetcher: Fetcher | None = None
        self._publisher = Publisher(database, self._channel, f"{database.schema}.unheard", self._hear)

    @property
    def statements(self) -> int:
        """What the consumer has asked of PostgreSQL so far: an idle one asks once a poll."""
        return self._fetcher.statements if self._fetcher else 0

    def declare(self, topology: Topology, stale: Iterable[Binding] = ()) -> None:
        """Bind the topology's queues to what they hear and nothing else, remove `stale`; one commit.

        Queues that the topology does not name keep their bindings: they may belong to another application.
        Raises TransportUnavailableError.
        """
        self._publisher.unheard = topology.unheard
        wanted = _columns(topology.bindings)
        gone = _columns([binding for binding in stale if binding not in topology.bindings])
        with self._once("declare") as connection, connection.transaction():
            connection.execute(LOCK_BINDINGS)
            connection.execute(DELETE_STALE, {**wanted, "own": list(topology.queues)})
            connection.execute(DELETE_BINDINGS, gone)
            connection.execute(INSERT_BINDINGS, wanted)

    def publish(self, messages: Sequence[WireMessage]) -> "Future[None]":
        """Commit the messages with what has gathered. The future's callbacks run on the writer thread."""
        refuse_other_process(self._process)
        return self._publisher.publish(messages)

    def nudge(self, queues: Collection[str]) -> None:
        """Another's commit put rows into these queues: wake our consumer now, other processes soon."""
        self._hear(queues)
        self._publisher.ring(queues)

    def subscribe(self, queues: Sequence[str], sink: Sink, prefetch: int) -> None:
        """May be called again, for more queues or after `unsubscribe`."""
        refuse_other_process(self._process)
        if self._fetcher is None:
            self._fetcher = Fetcher(
                self._database,
                self.worker_id,
                self._poll,
                self._channel,
                returned=self._publisher.ring,
                own_pid=lambda: self._publisher.backend_pid,
            )
        self._fetcher.subscribe(queues, sink, prefetch)

    def unsubscribe(self) -> None:
        if self._fetcher is not None:
            self._fetcher.slots.unsubscribe()

    def depth(self, queue: str) -> int:
        """Raises TransportUnavailableError."""
        with self._once("depth") as connection:
            row = connection.execute(DEPTH, {"queue": queue}).fetchone()
        return int(row[0]) if row else 0

    def close(self, timeout: timedelta = timedelta(seconds=5)) -> None:
        """The consumer first: the publisher then tells other processes what was given back."""
        if self._fetcher is not None:
            self._fetcher.close(timeout)
        self._publisher.close(timeout)

    def _hear(self, queues: Collection[str]) -> None:
        if self._fetcher is not None:
            self._fetcher.slots.heard(queues)

    @contextmanager
    def _once(self, name: str) -> Generator[psycopg.Connection]:
        try:
            with self._database.once(name) as connection:
                yield connection
        except psycopg.OperationalError as error:
            raise TransportUnavailableError(f"PostgreSQL cannot be reached to {name}: {error}") from error


def notification_channel(schema: str) -> str:
    """The LISTEN channel of a namespace."""
    suffix = "_delivery"
    return schema.encode()[: CHANNEL_LIMIT_BYTES - len(suffix)].decode(errors="ignore") + suffix


def _columns(bindings: Sequence[Binding]) -> dict[str, list[str]]:
    return {
        "event_types": [binding.event_type for binding in bindings],
        "queues": [binding.queue for binding in bindings],
    }
