"""What tests of a transport need: messages, a sink that remembers, a wire on which transports meet."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

from broker.topology import Binding, Topology
from broker.transports.base import Delivery, Transport, WireMessage
from tests.support.waiting import eventually


def exact_topology(namespace: str, hears: Mapping[str, Iterable[str]]) -> Topology:
    """A topology whose queues are named exactly so: a test has made the names its own already."""
    bindings = sorted((event_type, queue) for queue, types in hears.items() for event_type in types)
    return Topology(namespace, tuple(sorted(hears)), tuple(Binding(*pair) for pair in bindings))


def message(
    routing_key: str = "order.placed", body: bytes = b"{}", *, direct: bool = False, **headers: str
) -> WireMessage:
    return WireMessage(routing_key, body, headers, direct=direct)


def numbered(count: int, routing_key: str = "page.scanned", start: int = 0) -> list[WireMessage]:
    """Messages whose bodies count from `start`."""
    return [message(routing_key, str(start + number).encode()) for number in range(count)]


class Inbox:
    """A sink that keeps what it is offered, and acks it at once if told so."""

    def __init__(self, *, acks: bool = False) -> None:
        self._acks = acks
        self._lock = threading.Lock()
        self._deliveries: list[Delivery] = []

    def offer(self, delivery: Delivery) -> None:
        with self._lock:
            self._deliveries.append(delivery)
        if self._acks:
            delivery.ack()

    @property
    def deliveries(self) -> list[Delivery]:
        with self._lock:
            return list(self._deliveries)

    @property
    def bodies(self) -> list[bytes]:
        return [delivery.body for delivery in self.deliveries]

    def of(self, queue: str) -> list[Delivery]:
        return [delivery for delivery in self.deliveries if delivery.queue == queue]

    def wait_for(self, count: int, within: timedelta = timedelta(seconds=20)) -> list[Delivery]:
        """The deliveries, once there are at least `count`."""
        eventually(lambda: len(self.deliveries) >= count, within)
        return self.deliveries


Kind = TypeVar("Kind", bound=Transport)


@dataclass
class Wire(Generic[Kind]):
    """One server and one namespace of a test. Every transport that it makes is closed when the test ends."""

    namespace: str
    make: Callable[[], Kind]
    made: list[Kind] = field(default_factory=list[Kind])

    def transport(self) -> Kind:
        transport = self.make()
        self.made.append(transport)
        return transport

    def queue(self, name: str) -> str:
        return f"{self.namespace}.{name}"

    def topology(self, **hears: Sequence[str]) -> Topology:
        """Given as name of a queue = the event types it hears."""
        return exact_topology(self.namespace, {self.queue(name): types for name, types in hears.items()})

    def close(self) -> None:
        for transport in self.made:
            transport.close()


def publish(transport: Transport, *messages: WireMessage) -> None:
    """Returns when they are confirmed; raises PublishError."""
    transport.publish(messages).result(timeout=20)


def has_depth(transport: Transport, queue: str, depth: int) -> bool:
    """Waits for it: a settlement takes its way to the server."""
    return eventually(lambda: transport.depth(queue) == depth)
