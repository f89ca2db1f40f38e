"""What every transport offers: declare the topology, publish confirmed, hand deliveries to a sink.

A transport moves wire messages and knows nothing of events, runs or actors. `broker/codec.py` gives bytes their meaning.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from broker.errors import ConfigurationError
from broker.topology import Binding, Topology


@dataclass(frozen=True, slots=True)
class WireMessage:
    """One message as it travels. `direct` sends it to the queue named by `routing_key`, past every binding."""

    routing_key: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    content_type: str = "application/json"
    direct: bool = False


class Delivery:
    """One hand-over of one message from one queue. It is settled once: `ack` after its claim committed, or `give_back`.

    Settling a delivery whose channel or holder is gone does nothing: the message has already gone back to its queue.
    """

    __slots__ = ("body", "content_type", "headers", "queue", "redelivered", "route", "row_id")

    def __init__(
        self,
        queue: str,
        body: bytes,
        headers: Mapping[str, str],
        content_type: str,
        *,
        redelivered: bool = False,
        row_id: int | None = None,
        route: tuple[str, str] | None = None,
    ) -> None:
        self.queue = queue
        self.body = body
        self.headers = headers
        self.content_type = content_type
        self.redelivered = redelivered
        self.row_id = row_id
        """The row that the claim's own commit deletes (`postgres` transport), or None where `ack` settles."""
        self.route = route
        """The exchange and the routing key that it was published with, which the server vouches for: what RabbitMQ lets a user
        publish, it judges by these. None on the `postgres` transport."""

    @property
    def alive(self) -> bool:
        """False once the delivery was lost with its channel: it must not be started, another copy is on its way."""
        return True

    def mark_deleted(self) -> None:
        """The row of `row_id` is gone by a committed transaction of the caller: `ack` needs no statement of its own."""

    def ack(self) -> None:
        """Tell the transport that the message is owned by a committed row. Safe from any thread; never raises."""

    def give_back(self) -> None:
        """Return the message to its queue, unstarted. Safe from any thread; never raises."""


class Sink(Protocol):
    """Where a transport's thread puts deliveries. `offer` never blocks and never raises."""

    def offer(self, delivery: Delivery) -> None: ...


def refuse_other_process(made_in: int) -> None:
    """Raises ConfigurationError after a fork: the child has the sockets of its parent, and none of the threads that own them."""
    if os.getpid() != made_in:
        raise ConfigurationError(
            f"this transport belongs to process {made_in} and two processes on one connection "
            "corrupt it: make a transport after the fork"
        )


class Transport(Protocol):
    """The wire under the engine. Both implementations pass `tests/transports/`."""

    system: str
    """`messaging.system` in telemetry: `rabbitmq` or `postgresql`."""

    def declare(self, topology: Topology, stale: Iterable[Binding] = ()) -> None:
        """Make exchanges, queues and bindings exist, and remove the `stale` bindings. May be repeated.

        AMQP cannot list bindings: the engine remembers those of the last deployment and says which are stale.

        Raises TransportUnavailableError when the server cannot be reached, TopologyMismatchError when a queue exists with
        other arguments.
        """
        ...

    def publish(self, messages: Sequence[WireMessage]) -> "Future[None]":
        """Hand messages over durably; the future ends when all are confirmed.

        It fails with PublishError (nacked, returned, confirm timed out, connection lost): then any of them may or may not
        have arrived, and the same messages may be published again. Never blocks for longer than handing over to the I/O
        thread; applies backpressure by failing with PublishError("… too many unconfirmed").
        """
        ...

    def subscribe(self, queues: Sequence[str], sink: Sink, prefetch: int) -> None:
        """Consume these queues, at most `prefetch` unsettled deliveries each. Reconnects by itself until `close`."""
        ...

    def unsubscribe(self) -> None:
        """Stop new deliveries; those already handed over can still be settled."""
        ...

    def depth(self, queue: str) -> int:
        """Messages ready in a queue (not those held by a consumer)."""
        ...

    def close(self, timeout: timedelta = timedelta(seconds=5)) -> None:
        """Flush settlements and stop. Unsettled deliveries go back to their queues."""
        ...
