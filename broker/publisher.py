"""Publishing from code that is no actor: a web request, a script, a schedule."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import NAMESPACE_OID, UUID

import psycopg
import structlog
from psycopg import sql

from broker.borrowed import Borrowed, borrowed_cursor
from broker.codec import encode
from broker.database import Database
from broker.errors import EventTooLargeError, PublishError, PublishRefusedError
from broker.journal.intents import Outgoing
from broker.middleware.trace import Trace
from broker.outbox import store
from broker.sizes import SOFT_BYTES, remark
from broker.transports.base import Transport, WireMessage
from schemas import Envelope, Event, derived, uuid7, wrap

log = structlog.get_logger(__name__)

CONFIRM_SECONDS = 15.0
"""How long a publish waits: the transport's own confirm timeout comes first and says why."""


@dataclass(slots=True)
class Publisher:
    """Hands events over durably. `database` is the way out when the transport is away, and the home of delayed events."""

    transport: Transport
    source: str
    database: Database | None = None
    trace: Trace | None = None
    hard_bytes: int = 1024 * 1024
    soft_bytes: int = SOFT_BYTES

    def publish(
        self,
        event: Event,
        *,
        id: str | None = None,
        delay: timedelta | None = None,
        subject: str | None = None,
        time: datetime | None = None,
        connection: Borrowed | None = None,
    ) -> str:
        """Returns the event's id once the event is safe: confirmed, or an outbox row committed.

        With `connection` (of psycopg, SQLAlchemy or Django) it is a row in the caller's own transaction: a rollback means no
        event. With `delay` it waits as a row. `time` is the event's own, if it is not now. Publishing the same (source, id)
        again starts nothing twice.

        Raises PublishError when nothing durable could be reached (publish the same id again), PublishRefusedError where our user
        of RabbitMQ may not publish this type, EventTooLargeError past the hard limit, ConfigurationError for a `connection`
        without a transaction or without psycopg.
        """
        return self.publish_many(
            [event], ids=[id or str(uuid7())], delay=delay, subject=subject, time=time, connection=connection
        )[0]

    def publish_many(
        self,
        events: Sequence[Event],
        *,
        ids: Sequence[str] | None = None,
        delay: timedelta | None = None,
        subject: str | None = None,
        time: datetime | None = None,
        connection: Borrowed | None = None,
    ) -> list[str]:
        """As `publish`, all in one hand-over."""
        names = list(ids) if ids is not None else [str(uuid7()) for _ in events]
        envelopes = [
            self._envelope(event, id, subject, time) for event, id in zip(events, names, strict=True)
        ]
        outgoing = [self._outgoing(envelope, delay) for envelope in envelopes]
        if connection is not None:
            self._store(connection, outgoing)
        elif delay:
            self._store_alone(outgoing, None)
        else:
            self._send(outgoing)
        return names

    def forward(self, envelopes: Sequence[Envelope], connection: Borrowed) -> None:
        """Events of others, as they came, as rows of the caller's transaction. Raises EventTooLargeError."""
        self._store(connection, [self._outgoing(self._traced(each), None) for each in envelopes])

    def deliver(self, message: WireMessage) -> None:
        """Send a raw message again, as it came: for replays. Raises PublishError."""
        self.transport.publish([message]).result(CONFIRM_SECONDS)

    def _traced(self, envelope: Envelope) -> Envelope:
        if self.trace is None:
            return envelope
        traceparent, tracestate = self.trace.traced(envelope.type, envelope.id)
        return replace(envelope, traceparent=traceparent, tracestate=tracestate)

    def _envelope(self, event: Event, id: str, subject: str | None, time: datetime | None) -> Envelope:
        traceparent, tracestate = (None, None)
        if self.trace is not None:
            traceparent, tracestate = self.trace.traced(type(event).event_type, id)
        return wrap(
            event,
            source=self.source,
            id=id,
            subject=subject,
            traceparent=traceparent,
            tracestate=tracestate,
            time=time,
        )

    def _outgoing(self, envelope: Envelope, delay: timedelta | None) -> Outgoing:
        if len(envelope.data) > self.hard_bytes:
            raise EventTooLargeError(
                f"event {envelope.type} is {len(envelope.data)} bytes, the limit is {self.hard_bytes}: "
                "store the large part elsewhere and publish its address"
            )
        remark(envelope, self.soft_bytes, "published")
        return Outgoing(
            _row_id(envelope.source, envelope.id), encode(envelope, max_bytes=self.hard_bytes), delay
        )

    def _send(self, outgoing: Sequence[Outgoing]) -> None:
        try:
            self.transport.publish([out.message for out in outgoing]).result(CONFIRM_SECONDS)
        except PublishRefusedError:
            raise
        except (PublishError, TimeoutError) as error:
            log.warning("published_to_outbox", events=len(outgoing), reason=str(error))
            self._store_alone(outgoing, error)

    def _store_alone(self, outgoing: Sequence[Outgoing], cause: BaseException | None) -> None:
        """Into the outbox in a commit of its own; the same id a second time changes nothing."""
        reason = f"{cause}; " if cause else ""
        if self.database is None:
            raise PublishError(f"{reason}and there is no database to keep the event in") from cause
        try:
            with self.database.connect("publisher", autocommit=False) as connection:
                with connection.cursor() as cursor:
                    store(cursor, outgoing, None)
                connection.commit()
        except psycopg.Error as error:
            raise PublishError(
                f"{reason}the outbox cannot be written either ({type(error).__name__})"
            ) from error

    def _store(self, connection: Borrowed, outgoing: Sequence[Outgoing]) -> None:
        """In the caller's transaction, with its search_path put back afterwards."""
        schema = self.database.schema if self.database is not None else "callboard"
        with borrowed_cursor(connection) as cursor:
            row = cursor.execute("select current_setting('search_path')").fetchone()
            cursor.execute(sql.SQL("set local search_path to {}").format(sql.Identifier(schema)))
            store(cursor, outgoing, None)
            cursor.execute("select set_config('search_path', %s, true)", row)


def _row_id(source: str, id: str) -> UUID:
    """The outbox row of an event: one per (source, id)."""
    return derived(NAMESPACE_OID, source, id)
