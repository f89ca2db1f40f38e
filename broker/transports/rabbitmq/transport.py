"""The RabbitMQ transport: a publisher and a consumer, each opened when it is first needed."""

import os
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from datetime import timedelta
from time import monotonic

from broker.errors import TransportUnavailableError
from broker.topology import Binding, Topology
from broker.transports.base import Sink, WireMessage, refuse_other_process
from broker.transports.rabbitmq.connection import Connection, Owner
from broker.transports.rabbitmq.consumer import Consumer
from broker.transports.rabbitmq.declaration import declaration, queue_depth
from broker.transports.rabbitmq.errand import Answer, Errand, Step
from broker.transports.rabbitmq.link import parse_servers
from broker.transports.rabbitmq.publisher import Publisher

DECLARE_TIMEOUT = 30.0
"""Seconds. Thirty new quorum queues take 1 to 3; a node that is busy electing leaders some more."""
DEPTH_TIMEOUT = 5.0


class RabbitmqTransport:
    """Implements `Transport`. Every method may be called from any thread of the process that made it.

    Futures of `publish` end on the I/O thread: a callback on one must neither block nor wait for another.
    """

    system = "rabbitmq"

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        confirm_timeout: timedelta = timedelta(seconds=5),
        max_unconfirmed: int = 2000,
        heartbeat: timedelta = timedelta(seconds=10),
        name: str = "callboard",
        exchange: str = "callboard.events",
    ) -> None:
        """`url` may be several nodes of one cluster, tried in turn. `exchange` is where `publish` goes
        until `declare` names the topology; a process that only publishes need not declare. Raises
        ConfigurationError for a malformed url."""
        self._urls = (url,) if isinstance(url, str) else tuple(url)
        self._name, self._heartbeat = name, heartbeat
        self._confirm_timeout, self._max_unconfirmed = confirm_timeout, max_unconfirmed
        self._exchange = exchange
        self._topology: Topology | None = None
        self._opening = threading.Lock()
        self._publisher: Publisher | None = None
        self._consumer: Consumer | None = None
        self._closed = False
        self._process = os.getpid()
        parse_servers(self._urls, name=name, heartbeat=heartbeat)

    @property
    def can_publish(self) -> bool:
        """The publish connection is open and its channel confirms. False until first used."""
        return self._publisher is not None and self._publisher.ready

    @property
    def can_consume(self) -> bool:
        """The consume connection is open and every subscribed queue is consumed. False until first used."""
        return self._consumer is not None and self._consumer.ready

    @property
    def connected(self) -> bool:
        """Whatever has been opened works."""
        opened = [each for each in (self._publisher, self._consumer) if each is not None]
        return bool(opened) and all(each.ready for each in opened)

    def declare(self, topology: Topology, stale: Iterable[Binding] = ()) -> None:
        self._run(declaration(topology, stale), DECLARE_TIMEOUT)
        # Known from here on: it is declared again whenever a connection is opened anew.
        self._topology = topology

    def publish(self, messages: Sequence[WireMessage]) -> Future[None]:
        return self._the_publisher().publish(messages)

    def subscribe(self, queues: Sequence[str], sink: Sink, prefetch: int) -> None:
        self._the_consumer().subscribe(queues, sink, prefetch)

    def unsubscribe(self) -> None:
        self._refuse_other_process()
        if self._consumer is not None:
            self._consumer.unsubscribe()

    def depth(self, queue: str) -> int:
        """Raises ConfigurationError when the queue does not exist, TransportUnavailableError when nobody
        answers."""
        return int(self._run(queue_depth(queue), DEPTH_TIMEOUT).method.message_count)

    def close(self, timeout: timedelta = timedelta(seconds=5)) -> None:
        """May be repeated. Acks leave first, then what is being published is waited for."""
        self._refuse_other_process()
        with self._opening:
            self._closed = True
        end = monotonic() + timeout.total_seconds()
        if self._consumer is not None:
            self._consumer.close(timeout)
        if self._publisher is not None:
            self._publisher.close(timedelta(seconds=max(0.0, end - monotonic())))

    def _run(self, steps: Sequence[Step], timeout: float) -> Answer:
        errand = Errand(steps)
        self._the_publisher().run(errand)
        try:
            return errand.result.result(timeout)
        except TimeoutError:
            raise TransportUnavailableError(f"RabbitMQ did not answer within {timeout:g} s") from None

    def _the_publisher(self) -> Publisher:
        self._refuse_other_process()
        if self._publisher is not None:
            return self._publisher
        with self._opening:
            self._refuse_closed()
            if self._publisher is None:
                self._publisher = Publisher(
                    lambda owner: self._connection("publish", owner),
                    lambda: self._topology,
                    lambda: self._topology.events if self._topology is not None else self._exchange,
                    confirm_timeout=self._confirm_timeout,
                    max_unconfirmed=self._max_unconfirmed,
                )
            return self._publisher

    def _the_consumer(self) -> Consumer:
        self._refuse_other_process()
        with self._opening:
            self._refuse_closed()
            if self._consumer is None:
                self._consumer = Consumer(
                    lambda owner: self._connection("consume", owner), lambda: self._topology
                )
        return self._consumer

    def _connection(self, purpose: str, owner: Owner) -> Connection:
        servers = parse_servers(self._urls, name=f"{self._name} {purpose}", heartbeat=self._heartbeat)
        return Connection(servers, owner)

    def _refuse_other_process(self) -> None:
        refuse_other_process(self._process)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise TransportUnavailableError("this transport is closed; make a new one")
