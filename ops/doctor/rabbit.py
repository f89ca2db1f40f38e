"""A look into RabbitMQ over AMQP alone: what exists, and whether it is what we would declare.

Only what exists is declared with our arguments: the server then compares them, and changes nothing.
"""

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pika
from pika.exceptions import AMQPError, ChannelClosedByBroker

from broker.errors import TransportUnavailableError
from broker.topology import Topology
from broker.transports.rabbitmq.errand import NOT_FOUND
from broker.transports.rabbitmq.link import describe, parse_servers

TIMEOUT_SECONDS = 5.0
HEARTBEAT = timedelta(minutes=1)
"""Longer than the checks of PostgreSQL take while nobody reads from this connection."""

_ABSENT = "NOT_FOUND - no "
"""A quorum queue without a majority is "not found" too, but then the server says that it is down."""
_UNEQUAL = re.compile(r"inequivalent arg '(x-[\w-]+)'.* but current is (?:none|.*?'([^']*)'.*)$")


@dataclass(frozen=True, slots=True)
class Thing:
    """A queue or an exchange. `fault` is how it differs from our declaration; `unavailable` is why it cannot be asked."""

    exists: bool
    fault: str | None = None
    unavailable: str | None = None
    messages: int = 0
    consumers: int = 0

    @property
    def here(self) -> bool:
        return self.exists and self.unavailable is None


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
            seen = self._look(lambda channel: channel.queue_declare(name, passive=True))
            wanted = topology.queue_arguments(name)
            self._seen[name] = replace(seen, fault=self._difference(name, wanted)) if seen.here else seen
        return self._seen[name]

    def exchange(self, name: str, kind: str, arguments: dict[str, str]) -> Thing:
        seen = self._look(lambda channel: channel.exchange_declare(name, passive=True))
        if not seen.here:
            return seen
        try:
            self._ask(lambda channel: channel.exchange_declare(name, kind, durable=True, arguments=arguments))
        except ChannelClosedByBroker as error:
            return replace(seen, fault=describe(error))
        return seen

    def _look(self, question: Callable[[Any], Any]) -> Thing:
        try:
            answer = self._ask(question).method
        except ChannelClosedByBroker as error:
            if error.reply_code == NOT_FOUND and _ABSENT in error.reply_text:
                return Thing(exists=False)
            return Thing(exists=True, unavailable=describe(error))
        return Thing(
            True, None, None, getattr(answer, "message_count", 0), getattr(answer, "consumer_count", 0)
        )

    def _difference(self, name: str, wanted: Mapping[str, str | int]) -> str | None:
        """Everything that differs. The server tells one argument at a time, so each is given in for the next question."""
        arguments, told = dict(wanted), list[str]()
        while True:
            try:
                self._ask(lambda channel: channel.queue_declare(name, durable=True, arguments=arguments))
            except ChannelClosedByBroker as error:
                match = _UNEQUAL.search(error.reply_text)
                if match is None or f"{match[1]} " in " ".join(told):
                    return ", ".join([*told, describe(error)])
                there = match[2]
                told.append(f"{match[1]} is {there or 'not set'}")
                arguments.pop(match[1], None)
                if there is not None:
                    arguments[match[1]] = int(there) if there.isdigit() else there
            else:
                return ", ".join(told) or None

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
