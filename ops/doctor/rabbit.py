"""A look into RabbitMQ over AMQP alone: what exists, and whether it is what we would declare.

Only what exists is declared with our arguments: the server then compares them, and changes nothing.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pika
from pika.exceptions import AMQPError, ChannelClosedByBroker

from broker.errors import TransportUnavailableError
from broker.topology import Topology
from broker.transports.rabbitmq.connection import describe, parse_servers
from broker.transports.rabbitmq.errand import NOT_FOUND

TIMEOUT_SECONDS = 5.0
HEARTBEAT = timedelta(minutes=1)
"""Longer than the checks of PostgreSQL take while nobody reads from this connection."""


@dataclass(frozen=True, slots=True)
class Thing:
    """A queue or an exchange. `fault` is why the server would refuse our declaration of it, None if it would not."""

    exists: bool
    fault: str | None = None
    messages: int = 0
    consumers: int = 0


@dataclass(slots=True)
class Rabbit:
    """An open connection. Every question has a channel of its own: the server closes it with each refusal."""

    connection: Any
    version: str
    silent: Sequence[str] = ()
    """Nodes of the URL that did not answer before one did."""
    _seen: dict[str, Thing] = field(default_factory=dict[str, Thing])

    def queue(self, topology: Topology, name: str) -> Thing:
        """Asked once; the answer is kept."""
        if name not in self._seen:
            arguments = topology.queue_arguments(name)
            self._seen[name] = self._compare(
                lambda channel: channel.queue_declare(name, passive=True),
                lambda channel: channel.queue_declare(name, durable=True, arguments=arguments),
            )
        return self._seen[name]

    def exchange(self, name: str, kind: str, arguments: dict[str, str]) -> Thing:
        return self._compare(
            lambda channel: channel.exchange_declare(name, passive=True),
            lambda channel: channel.exchange_declare(name, kind, durable=True, arguments=arguments),
        )

    def _compare(self, exists: Callable[[Any], Any], declare: Callable[[Any], Any]) -> Thing:
        try:
            answer = self._ask(exists).method
        except ChannelClosedByBroker as error:
            # A quorum queue without a majority is "not found" too, but the server says that it is inaccessible.
            away = error.reply_code == NOT_FOUND and "NOT_FOUND - no " in error.reply_text
            return Thing(exists=not away, fault=None if away else describe(error))
        depth, consumers = getattr(answer, "message_count", 0), getattr(answer, "consumer_count", 0)
        try:
            self._ask(declare)
        except ChannelClosedByBroker as error:
            return Thing(True, describe(error), depth, consumers)
        return Thing(True, None, depth, consumers)

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        channel = self.connection.channel()
        answer = question(channel)
        channel.close()
        return answer


@contextmanager
def connected(urls: Sequence[str], name: str) -> Generator[Rabbit]:
    """The first node that answers. Raises TransportUnavailableError, and ConfigurationError for a malformed URL."""
    silent: list[str] = []
    for server in parse_servers(urls, name=name, heartbeat=HEARTBEAT):
        server.socket_timeout = server.stack_timeout = TIMEOUT_SECONDS
        place = f"{server.host}:{server.port}"
        try:
            connection: Any = pika.BlockingConnection(server)
        except (AMQPError, OSError) as error:
            silent.append(f"{place}: {describe(error)}")
            continue
        try:
            yield Rabbit(connection, str(connection._impl.server_properties["version"]), silent)
        finally:
            if connection.is_open:
                connection.close()
        return
    raise TransportUnavailableError("; ".join(silent))
