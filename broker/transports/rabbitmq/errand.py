"""Synchronous AMQP methods, one after another on a channel of their own: declare a topology, measure a
queue."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import pika.exceptions

from broker.errors import CallboardError, ConfigurationError, TopologyMismatchError, TransportUnavailableError
from broker.transports.rabbitmq.connection import Channel, Connection
from broker.transports.rabbitmq.link import describe

Answer = Any
"""A method frame of pika."""

ACCESS_REFUSED, NOT_FOUND, RESOURCE_LOCKED, PRECONDITION_FAILED = 403, 404, 405, 406


@dataclass(frozen=True, slots=True)
class Step:
    """`call(channel, answered)` sends one method; `about` names what it touches, for the error message."""

    about: str
    call: Callable[[Channel, Callable[[Answer], None]], object]


class Errand:
    """`result` ends with the last answer, or with the error of the step that the server refused."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self._next = 0
        self.result: Future[Answer] = Future()
        self.result.set_running_or_notify_cancel()

    def start(self, connection: Connection) -> None:
        """On the I/O thread of an open connection. It ends whatever happens to that connection."""
        channel = connection.channel(self._go_on)
        channel.add_on_close_callback(self._closed)

    def fail(self, error: CallboardError) -> None:
        if not self.result.done():
            self.result.set_exception(error)

    def _go_on(self, channel: Channel, answer: Answer = None) -> None:
        if self._next < len(self._steps):
            step = self._steps[self._next]
            step.call(channel, lambda frame: self._answered(channel, frame))
        else:
            self.result.set_result(answer)
            channel.close()

    def _answered(self, channel: Channel, answer: Answer) -> None:
        self._next += 1
        if channel.is_open:
            self._go_on(channel, answer)

    def _closed(self, _: Channel, error: Exception) -> None:
        if self.result.done():
            return
        about = self._steps[self._next].about if self._next < len(self._steps) else "the last step"
        self.fail(refusal(about, error))


def refusal(about: str, error: Exception) -> CallboardError:
    """The error of ours for a channel that the server closed over `about`."""
    if not isinstance(error, pika.exceptions.ChannelClosedByBroker):
        return TransportUnavailableError(f"the connection to RabbitMQ was lost at {about}: {describe(error)}")
    text = describe(error)
    if error.reply_code == PRECONDITION_FAILED:
        return TopologyMismatchError(
            f"{about} exists with other arguments: {text}. RabbitMQ cannot change them in place: "
            "let the queue run empty and delete it, then start again; or give it another name"
        )
    if error.reply_code == NOT_FOUND:
        return ConfigurationError(f"{about} does not exist: {text}. Declare the topology first")
    if error.reply_code == ACCESS_REFUSED:
        return ConfigurationError(
            f"RabbitMQ refused {about}: {text}. Give the user of the url the permission"
        )
    return TransportUnavailableError(f"RabbitMQ refused {about}: {text}")
