"""One consumed queue, the successive lives of its channel, and the deliveries that belong to each life.

    opening ──▶ idle ◀──stop── consuming       any ──closed, cancelled, lost──▶ dead; a new life after a pause
                 └────start────▲

When a life ends its deliveries are dead at once: RabbitMQ delivers them again, and settling them does
nothing. Tags restart at 1 in the next life: an ack by the bare tag would hit another message (6 of 24 lost
with dramatiq 2.2.1)."""

import json
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import pika.exceptions
import structlog

from broker.transports.base import Delivery, Sink
from broker.transports.rabbitmq.connection import Channel, Connection, jittered_pause
from broker.transports.rabbitmq.errand import NOT_FOUND
from broker.transports.rabbitmq.frames import Arrival
from broker.transports.rabbitmq.link import describe
from broker.transports.rabbitmq.settlements import Settlements

log = structlog.get_logger(__name__)


class RabbitmqDelivery(Delivery):
    """Settled by the life of its channel and its tag, never by the tag alone."""

    __slots__ = ("_life", "_tag")

    def __init__(self, life: "Life", arrival: Arrival) -> None:
        self.queue = life.queue
        self.body, self.headers, self.content_type = arrival.body, arrival.headers, arrival.content_type
        self.redelivered, self.row_id = arrival.redelivered, None
        self.route = (arrival.exchange, arrival.key)
        self._life, self._tag = life, arrival.tag

    @property
    def alive(self) -> bool:
        return self._life.alive

    def ack(self) -> None:
        self._life.settle(self._life.acked, self._tag)

    def give_back(self) -> None:
        self._life.settle(self._life.returned, self._tag)


class Life:
    """One channel, from its opening to its end. `settle` is for any thread, the rest for the I/O thread."""

    __slots__ = (
        "acked",
        "alive",
        "channel",
        "consumer",
        "due",
        "queue",
        "returned",
        "settlements",
        "when_due",
    )

    def __init__(self, queue: str, when_due: Callable[["Life"], None]) -> None:
        self.queue, self.when_due = queue, when_due
        self.alive = True
        self.due = False
        self.acked: deque[int] = deque()
        self.returned: deque[int] = deque()
        self.channel: Channel | None = None
        self.consumer: str | None = None
        self.settlements = Settlements(0)

    def settle(self, tags: deque[int], tag: int) -> None:
        # Appended before `due` is read, `due` cleared before the deques are drained: nothing is left behind.
        if self.alive:
            tags.append(tag)
            if not self.due:
                self.due = True
                self.when_due(self)

    def take_frames(self) -> list[bytes]:
        """What settles everything settled so far. Returns are drained first: one that comes between the two
        drains stays unsettled, and no multiple ack passes over it."""
        self.due = False
        returned, acked = _drain(self.returned), _drain(self.acked)
        if not self.alive or self.channel is None or not self.channel.is_open:
            return []
        return self.settlements.settle(acked, returned)


class Subscription:
    """Keeps one queue consumed while it is wanted. On the I/O thread; `ready` is for any."""

    def __init__(
        self,
        connection: Connection,
        queue: str,
        when_due: Callable[[Life], None],
        when_missing: Callable[[], None],
    ) -> None:
        self._connection, self._queue = connection, queue
        self._when_due, self._when_missing = when_due, when_missing
        self._life: Life | None = None
        self._sink: Sink | None = None
        self._prefetch = 1
        self._failures = 0
        self._accepted = False

    @property
    def ready(self) -> bool:
        """The server has accepted the consumer, or none is wanted."""
        return self._accepted or self._sink is None

    def want(self, sink: Sink, prefetch: int) -> None:
        self._sink, self._prefetch = sink, prefetch

    def start(self) -> None:
        """Consume, on the channel that is open or on a new one. May be repeated."""
        if self._sink is None or not self._connection.is_open:
            return
        if self._life is None:
            life = self._life = Life(self._queue, self._when_due)
            channel = self._connection.channel(lambda channel: self._opened(life, channel))
            channel.add_on_close_callback(lambda _, error: self._ended(life, error))
        elif self._life.channel is not None and self._life.consumer is None:
            self._consume(self._life, self._life.channel)

    def stop(self) -> None:
        """Take no more deliveries; the channel stays, so that those handed over can be settled."""
        self._sink = None
        self._accepted = False
        life = self._life
        if life is not None and life.consumer is not None and life.channel is not None:
            self._connection.cancel(life.channel, life.consumer)
            life.consumer = None

    def end_life(self) -> None:
        """Its deliveries are dead from now on."""
        life, self._life = self._life, None
        self._accepted = False
        if life is not None:
            life.alive = False
            if life.consumer is not None:
                self._connection.forget_arrivals(life.consumer)

    def _opened(self, life: Life, channel: Channel) -> None:
        life.channel = channel
        life.settlements = Settlements(channel.channel_number)
        channel.add_on_cancel_callback(lambda _: self._cancelled(life))
        self.start()

    def _consume(self, life: Life, channel: Channel) -> None:
        consumer = life.consumer = f"{self._queue}.{uuid.uuid4().hex}"
        self._connection.on_arrival(consumer, lambda arrival: self._arrived(life, arrival))
        channel.basic_qos(prefetch_count=self._prefetch)
        channel.basic_consume(
            self._queue,
            lambda _, method, properties, body: self._arrived(life, _slow_arrival(method, properties, body)),
            consumer_tag=consumer,
            callback=lambda _: self._consumer_accepted(life, consumer),
        )

    def _consumer_accepted(self, life: Life, consumer: str) -> None:
        if life.consumer == consumer:
            self._accepted = True
            self._failures = 0
            self._connection.proven()
            log.info("amqp.consuming", queue=self._queue, prefetch=self._prefetch)

    def _arrived(self, life: Life, arrival: Arrival) -> None:
        if not life.alive:
            return
        life.settlements.arrived(arrival.tag)
        if self._sink is None:  # it was under way when the consumer was cancelled
            self._connection.send(life.settlements.settle([], [arrival.tag]))
            return
        self._sink.offer(RabbitmqDelivery(life, arrival))

    def _cancelled(self, life: Life) -> None:
        """By the server: the queue is gone, or on RabbitMQ 4.3 a delivery was held for too long."""
        # Before the deliveries die: whoever sees one dead must not find the consumer still accepted.
        if self._life is life:
            self._accepted = False
        life.alive = False
        if life.channel is not None and life.channel.is_open:
            life.channel.close(0, "consumer cancelled by the server")

    def _ended(self, life: Life, error: Exception) -> None:
        if self._life is not life:
            life.alive = False
            return
        self.end_life()
        if self._connection.is_open and self._sink is not None:
            log.warning("amqp.consumer_lost", queue=self._queue, reason=describe(error))
            missing = (
                isinstance(error, pika.exceptions.ChannelClosedByBroker) and error.reply_code == NOT_FOUND
            )
            again = self._when_missing if missing else self.start
            self._connection.run_later(jittered_pause(self._failures), again)
            self._failures += 1


def _drain(tags: deque[int]) -> list[int]:
    drained: list[int] = []
    while tags:
        drained.append(tags.popleft())
    return drained


def _slow_arrival(method: Any, properties: Any, body: bytes) -> Arrival:
    """A delivery that pika read: in several frames, or with headers that are not all text."""
    headers = {str(name): as_text(value) for name, value in (properties.headers or {}).items()}
    return Arrival(
        method.consumer_tag,
        method.delivery_tag,
        bool(method.redelivered),
        properties.content_type or "",
        headers,
        body,
        0,
        method.exchange,
        method.routing_key,
    )


def as_text(value: object) -> str:
    """A header value of any AMQP type. Bytes that are no UTF-8 keep their place with a replacement mark."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, Mapping | list | tuple | bool) or value is None:
        return json.dumps(value, default=str)
    return str(value)
