"""What the RabbitMQ tests need: names of their own, a sink that remembers, an administrator."""

import secrets
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pika

from broker.topology import Topology
from broker.transports.base import Delivery, WireMessage
from broker.transports.rabbitmq import RabbitmqTransport
from tests.support.transports import exact_topology
from tests.support.waiting import eventually


class Collector:
    """A sink that keeps what it is offered, and does `then` with it."""

    def __init__(self, then: Callable[[Delivery], None] = lambda _: None) -> None:
        self._then = then
        self._arrived = threading.Lock()
        self._deliveries: list[Delivery] = []

    def offer(self, delivery: Delivery) -> None:
        with self._arrived:
            self._deliveries.append(delivery)
        self._then(delivery)

    @property
    def deliveries(self) -> list[Delivery]:
        with self._arrived:
            return list(self._deliveries)

    @property
    def bodies(self) -> list[bytes]:
        return [each.body for each in self.deliveries]

    def wait_for(self, number: int, timeout: float = 20.0) -> list[Delivery]:
        """Exactly so many have come."""
        eventually(lambda: len(self.deliveries) >= number, timeout)
        assert len(self.deliveries) == number
        return self.deliveries


@dataclass
class House:
    """One test's corner of the server."""

    url: str
    namespace: str = field(default_factory=lambda: f"test-{secrets.token_hex(4)}")
    _opened: list[RabbitmqTransport] = field(default_factory=list)
    _known: set[Topology] = field(default_factory=set)

    def name(self, text: str) -> str:
        return f"{self.namespace}.{text}"

    def transport(self, url: str | Sequence[str] | None = None, **options: Any) -> RabbitmqTransport:
        transport = RabbitmqTransport(url or self.url, name=self.namespace, **options)
        self._opened.append(transport)
        return transport

    def topology(self, hears: Mapping[str, Sequence[str]]) -> Topology:
        """Queues named within this corner, given as {name: event types}."""
        made = exact_topology(self.namespace, {self.name(queue): types for queue, types in hears.items()})
        self._known.add(made)
        return made

    @contextmanager
    def administrator(self) -> Generator[Any]:
        """A blocking channel of pika, past the transport."""
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        try:
            yield connection.channel()
        finally:
            if connection.is_open:
                connection.close()

    def clean_up(self) -> None:
        for transport in self._opened:
            transport.close(timedelta(seconds=2))
        with self.administrator() as channel:
            for known in self._known:
                for queue in (*known.queues, *known.house_queues):
                    channel.queue_delete(queue)
                for exchange in (known.events, known.alternate_exchange, known.dead_letter_exchange):
                    channel.exchange_delete(exchange)


def acknowledge(delivery: Delivery) -> None:
    delivery.ack()


def messages(key: str, number: int, *, direct: bool = False) -> list[WireMessage]:
    return [
        WireMessage(key, str(each).encode(), {"number": str(each)}, direct=direct) for each in range(number)
    ]
