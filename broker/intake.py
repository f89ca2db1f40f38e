"""From a delivery to a claim: decode, validate, ask the journal, settle the delivery, hand the run on.

Claims are made only while there is room (one ahead per slot), so the backlog stays in the queue, where others can take it.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from broker.broker import CallboardBroker
from broker.codec import LATE, WakeUp, decode
from broker.digest import digest
from broker.errors import EventError, EventTooLargeError, JournalError, UndecodableError
from broker.journal.intents import Answer, Claim, ClaimedRun, DeadLetter, Intent, Park, Recorded, Resume
from broker.journal.writer import Journal
from broker.topology import Topology
from broker.transports.base import Delivery
from schemas import Envelope, InvalidPayload, UnknownType, UnknownVersion, find, validate

log = structlog.get_logger(__name__)

ANSWERS_SECONDS = 3.0
"""How long a stop waits for claims on their way: many commits' time, unless PostgreSQL is away."""

HandOver = Callable[[ClaimedRun, bool], None]
"""Takes the run and the lane whose room it has: False the threads', True the loop's."""


class Lane:
    """Deliveries of one kind of actor (threads or coroutines) and the room for their runs."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.waiting: deque[Delivery] = deque()


class Intake:
    """The sink of a process. `finished` frees the room of a run that has left its slot."""

    def __init__(
        self,
        broker: CallboardBroker,
        journal: Journal,
        topology: Topology,
        hand_over: HandOver,
        *,
        sync_room: int,
        async_room: int,
        max_bytes: int,
        dedup_window: timedelta,
        pipelines: dict[tuple[str, str], str],
    ) -> None:
        self._broker = broker
        self._journal = journal
        self._topology = topology
        self._hand_over = hand_over
        self._max_bytes = max_bytes
        self._dedup_window = dedup_window
        self._pipelines = pipelines
        self._lanes = {False: Lane(sync_room), True: Lane(async_room)}
        self._lock = threading.Lock()
        self._claiming = 0
        self._answered_all = threading.Condition(self._lock)
        self._stopped = False

    def offer(self, delivery: Delivery) -> None:
        """Called from the transport's thread."""
        lane = self._lane(delivery.queue)
        with self._lock:
            lane.waiting.append(delivery)
        self._pump(lane)

    def finished(self, asynchronous: bool) -> None:
        """A run has left the room it was claimed for: the lane of its queue, which in quarantine is the threads' for all."""
        lane = self._lanes[asynchronous]
        with self._lock:
            lane.room += 1
        self._pump(lane)

    def stop(self) -> None:
        """Take no more: what was not claimed goes back to its queue, and claims on their way are waited for, so that their runs
        can still be handed back."""
        with self._lock:
            self._stopped = True
            unclaimed = [delivery for lane in self._lanes.values() for delivery in lane.waiting]
            for lane in self._lanes.values():
                lane.waiting.clear()
            self._answered_all.wait_for(lambda: not self._claiming, ANSWERS_SECONDS)
        for delivery in unclaimed:
            delivery.give_back()

    def _lane(self, queue: str) -> Lane:
        actor = self._broker.actor_of_queue(queue)
        return self._lanes[actor is not None and actor.asynchronous]

    def _pump(self, lane: Lane) -> None:
        while (delivery := self._next(lane)) is not None:
            intent = self._intent(delivery)
            try:
                self._journal.submit(intent, partial(self._answered, lane, delivery, intent))
            except JournalError:
                delivery.give_back()
                self._claim_ended()

    def _next(self, lane: Lane) -> Delivery | None:
        """A delivery to claim, its room taken; None without delivery or room."""
        with self._lock:
            while lane.waiting and lane.room > 0 and not self._stopped:
                delivery = lane.waiting.popleft()
                if delivery.alive:
                    lane.room -= 1
                    self._claiming += 1
                    return delivery
            return None

    def _intent(self, delivery: Delivery) -> Intent:
        """What to ask of the journal. Never raises: what cannot be a run is parked."""
        try:
            return self._read(delivery)
        except Exception as error:
            # A validator of the author's may raise anything; its text may hold the payload.
            broken = UndecodableError(f"its validation raised {type(error).__name__}", field="data")
            return _park(delivery, "invalid payload", broken)

    def _read(self, delivery: Delivery) -> Intent:
        try:
            message = decode(
                delivery.body, delivery.headers, delivery.content_type, max_bytes=self._max_bytes
            )
        except EventError as error:
            return _park(
                delivery, "too large" if isinstance(error, EventTooLargeError) else "undecodable", error
            )
        if isinstance(message, WakeUp):
            return Resume(message.run_id, message.wake, delivery.row_id)
        if delivery.queue in self._topology.house_queues:
            return self._house(delivery, message)
        return self._claim(delivery, message)

    def _claim(self, delivery: Delivery, envelope: Envelope) -> Intent:
        actor = self._broker.actor_of_queue(delivery.queue)
        try:
            event = validate(envelope.type, envelope.version, envelope.data)
            payload = digest(envelope.data)
        except UndecodableError as error:
            return _park(delivery, "invalid payload", error, envelope)
        except UnknownType as error:
            return _park(delivery, "unknown type", error, envelope, "type")
        except UnknownVersion as error:
            return _park(delivery, "unknown version", error, envelope, "schemaversion")
        except InvalidPayload as error:
            return _park(delivery, "invalid payload", error, envelope, ", ".join(error.fields))
        if actor is None or not isinstance(event, actor.hears):
            wrong = UndecodableError(f"{delivery.queue} does not hear {envelope.type}", field="type")
            return _park(delivery, "unknown type", wrong, envelope, "type")
        if datetime.now(UTC) - envelope.time > self._dedup_window and LATE not in delivery.headers:
            old = UndecodableError(
                f"it is older than {self._dedup_window.days} days: whether it was done is forgotten",
                field="time",
            )
            return _park(delivery, "too old to know", old, envelope)
        if envelope.traceparent is None:
            # Fixed before the claim, so that every attempt of the run and all that follows is in one trace.
            traceparent, tracestate = self._broker.traced(envelope.type, envelope.id)
            envelope = replace(envelope, traceparent=traceparent, tracestate=tracestate)
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
        )

    def _house(self, delivery: Delivery, envelope: Envelope) -> Park:
        if delivery.queue == self._topology.dead:
            gone = UndecodableError("RabbitMQ gave the message up; see its x-death header", field=None)
            return _park(delivery, "delivery limit", gone, envelope)
        try:
            find(envelope.type)
        except UnknownType as error:
            return _park(delivery, "unknown type", error, envelope, "type")
        unheard = UndecodableError(f"no actor hears {envelope.type}", field="type")
        return _park(delivery, "unheard", unheard, envelope)

    def _answered(
        self, lane: Lane, delivery: Delivery, intent: Intent, answer: Answer | BaseException
    ) -> None:
        """In the journal's thread: the intent is committed, or PostgreSQL refused it."""
        if isinstance(answer, BaseException):
            return self._refused(lane, delivery, intent, answer)
        try:
            return self._settle(lane, delivery, answer)
        finally:
            self._claim_ended()

    def _claim_ended(self) -> None:
        with self._answered_all:
            self._claiming -= 1
            self._answered_all.notify_all()

    def _settle(self, lane: Lane, delivery: Delivery, answer: Answer) -> None:
        delivery.mark_deleted()
        delivery.ack()
        if isinstance(answer, ClaimedRun):
            self._hand_over(answer, lane is self._lanes[True])
            return
        if not isinstance(answer, Recorded):
            log.debug("delivery_declined", queue=delivery.queue, status=answer.status, reason=answer.reason)
        with self._lock:
            lane.room += 1
        self._pump(lane)
        return

    def _refused(self, lane: Lane, delivery: Delivery, intent: Intent, error: BaseException) -> None:
        """A claim that cannot be recorded (a key function raised, a text PostgreSQL does not hold) is parked with its raw bytes;
        a park that fails goes back to its queue; a wake-up is dropped, for its run stays due and is woken again."""
        if isinstance(intent, Park | Resume):
            log.error("delivery_refused", queue=delivery.queue, error=str(error))
            if isinstance(intent, Park):
                delivery.give_back()
            else:
                delivery.ack()
            with self._lock:
                lane.room += 1
            self._claim_ended()
            return
        park = _park(delivery, "cannot be recorded", error)
        self._journal.submit(park, partial(self._answered, lane, delivery, park))


def _park(
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
            event_id=envelope.id if envelope else None,
            event_source=envelope.source if envelope else None,
            event_type=envelope.type if envelope else None,
            field=field or getattr(error, "field", None),
            body=delivery.body,
            headers={name: value.replace("\0", "") for name, value in delivery.headers.items()},
            content_type=delivery.content_type.replace("\0", ""),
            trace_id=traceparent.split("-")[1] if traceparent else None,
        ),
        delivery.row_id,
    )
