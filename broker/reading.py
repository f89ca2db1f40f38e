"""What a delivery means: a claim, a wake-up, a wait for newer code, or a dead letter that names the field at fault. No I/O."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog

from broker.attributes import told
from broker.broker import CallboardBroker
from broker.codec import LATE, PARENT, WakeUp, decode
from broker.digest import digest
from broker.errors import EventError, EventTooLargeError, UndecodableError
from broker.journal.intents import Claim, DeadLetter, Defer, Hear, Intent, Park, Resume
from broker.matching import keys_of
from broker.patience import Patience
from broker.seldom import Seldom
from broker.sizes import remark
from broker.topology import Topology
from broker.transports.base import Delivery
from schemas import Envelope, Event, InvalidPayload, UnknownType, UnknownVersion, find, normalise, validate

log = structlog.get_logger(__name__)


class Reader:
    """Reads the deliveries of one process. `pipelines` names the pipeline of an (actor, event type)."""

    def __init__(
        self,
        broker: CallboardBroker,
        topology: Topology,
        *,
        max_bytes: int,
        dedup_window: timedelta,
        pipelines: dict[tuple[str, str], str],
        patience: Patience,
        soft_bytes: int,
    ) -> None:
        self._broker = broker
        self._topology = topology
        self._max_bytes = max_bytes
        self._dedup_window = dedup_window
        self._pipelines = pipelines
        self._patience = patience
        self._soft_bytes = soft_bytes
        self._said = Seldom()

    def read(self, delivery: Delivery) -> Intent:
        """What to ask of the journal. Never raises: what cannot be a run is parked."""
        try:
            return self._read(delivery)
        except Exception as error:
            # A validator of the author's may raise anything; its text may hold the payload.
            broken = UndecodableError(f"its validation raised {type(error).__name__}", field="data")
            return park(delivery, "invalid payload", broken)

    def _read(self, delivery: Delivery) -> Intent:
        try:
            message = decode(
                delivery.body, delivery.headers, delivery.content_type, max_bytes=self._max_bytes
            )
        except EventError as error:
            return park(
                delivery, "too large" if isinstance(error, EventTooLargeError) else "undecodable", error
            )
        if (fault := self._forged(delivery, message)) is not None:
            return fault
        if isinstance(message, WakeUp):
            return Resume(message.run_id, message.wake, delivery.row_id)
        if delivery.queue == self._topology.recorder:
            return self._hear(delivery, message)
        if delivery.queue in self._topology.house_queues:
            return self._house(delivery, message)
        return self._claim(delivery, message)

    def _forged(self, delivery: Delivery, message: Envelope | WakeUp) -> Park | None:
        """A publisher's rights are to routing keys: what says another type behind an allowed key is no event of that type.

        Only where the server vouches for the key. Wake-ups never come through the exchange of events.
        """
        if delivery.route is None or delivery.route[0] != self._topology.events:
            return None
        if isinstance(message, WakeUp):
            wrong = UndecodableError(
                "a wake-up does not come through the exchange of events", field="datacontenttype"
            )
            return park(delivery, "undecodable", wrong)
        key = delivery.route[1]
        if message.type in (key, normalise(key)) or delivery.queue == self._topology.dead:
            return None
        wrong = UndecodableError("type: is not the routing key that it was published with", field="type")
        return park(delivery, "undecodable", wrong, message)

    def _claim(self, delivery: Delivery, envelope: Envelope) -> Intent:
        actor = self._broker.actor_of_queue(delivery.queue)
        event = self._validated(delivery, envelope)
        if isinstance(event, Park | Defer):
            return event
        try:
            payload = digest(envelope.data)
        except UndecodableError as error:
            return park(delivery, "invalid payload", error, envelope)
        if actor is None or not isinstance(event, actor.hears):
            wrong = UndecodableError(f"{delivery.queue} does not hear {envelope.type}", field="type")
            return self._unknown(delivery, "unknown type", wrong, envelope, "type")
        if datetime.now(UTC) - envelope.time > self._dedup_window and LATE not in delivery.headers:
            old = UndecodableError(
                f"it is older than {self._dedup_window.days} days: whether it was done is forgotten",
                field="time",
            )
            return park(delivery, "too old to know", old, envelope)
        if envelope.traceparent is None:
            # Fixed before the claim, so that every attempt of the run and all that follows is in one trace.
            traceparent, tracestate = self._broker.traced(envelope.type, envelope.id)
            envelope = replace(envelope, traceparent=traceparent, tracestate=tracestate)
        remark(envelope, self._soft_bytes, "claimed")
        pipeline = self._pipelines.get((actor.name, envelope.type))
        return Claim(
            actor.name,
            envelope,
            event,
            payload,
            delivery.queue,
            pipeline,
            delivery.row_id,
            aliases=actor.aliases,
            deadline=actor.policies.deadline,
            parent_id=_parent(delivery),
        )

    def _hear(self, delivery: Delivery, envelope: Envelope) -> Intent:
        """An event that runs wait for. It is kept as it came; its keys are those of the newest version."""
        event = self._validated(delivery, envelope)
        return event if isinstance(event, Park | Defer) else Hear(envelope, keys_of(event), delivery.row_id)

    def _house(self, delivery: Delivery, envelope: Envelope) -> Park:
        if delivery.queue == self._topology.dead:
            gone = UndecodableError("RabbitMQ gave the message up; see its x-death header", field=None)
            return park(delivery, "delivery limit", gone, envelope)
        try:
            find(envelope.type)
        except UnknownType as error:
            return park(delivery, "unknown type", error, envelope, "type")
        unheard = UndecodableError(f"no actor hears {envelope.type}", field="type")
        return park(delivery, "unheard", unheard, envelope)

    def _validated(self, delivery: Delivery, envelope: Envelope) -> Event | Park | Defer:
        try:
            return validate(envelope.type, envelope.version, envelope.data)
        except UnknownType as error:
            return self._unknown(delivery, "unknown type", error, envelope, "type")
        except UnknownVersion as error:
            return self._unknown(delivery, "unknown version", error, envelope, "schemaversion")
        except InvalidPayload as error:
            return park(delivery, "invalid payload", error, envelope, ", ".join(error.fields))

    def _unknown(
        self, delivery: Delivery, reason: str, error: Exception, envelope: Envelope, field: str
    ) -> Park | Defer:
        """Newer code may know it: it waits for that, and is parked once the grace is over."""
        later = self._patience.again(delivery, envelope)
        if later is None:
            return park(delivery, reason, error, envelope, field)
        if self._said.due(f"{reason} {envelope.type} {envelope.version}"):
            log.warning(
                "event_waits_for_newer_code",
                reason=reason,
                event_id=envelope.id,
                event_type=envelope.type,
                version=envelope.version,
                queue=delivery.queue,
                parked_after_seconds=self._patience.grace.total_seconds(),
            )
        return Defer(later, delivery.row_id)


def _parent(delivery: Delivery) -> UUID | None:
    """The run that invoked it, which sends straight to the queue; what is no id was not written by us."""
    if delivery.route is not None and delivery.route[0]:
        return None
    try:
        return UUID(delivery.headers[PARENT])
    except (KeyError, ValueError):
        return None


def park(
    delivery: Delivery,
    reason: str,
    error: BaseException,
    envelope: Envelope | None = None,
    field: str | None = None,
) -> Park:
    """A dead letter with the raw message. Its text names the field and never a value."""
    traceparent = envelope.traceparent if envelope else None
    return Park(
        DeadLetter(
            reason,
            str(error).replace("\0", "\\0"),
            queue=delivery.queue,
            event_id=envelope.id if envelope else told(delivery.headers, "id"),
            event_source=envelope.source if envelope else told(delivery.headers, "source"),
            event_type=envelope.type if envelope else told(delivery.headers, "type"),
            field=field or getattr(error, "field", None),
            body=delivery.body,
            headers={name: value.replace("\0", "") for name, value in delivery.headers.items()},
            content_type=delivery.content_type.replace("\0", ""),
            trace_id=traceparent.split("-")[1] if traceparent else None,
        ),
        delivery.row_id,
    )
