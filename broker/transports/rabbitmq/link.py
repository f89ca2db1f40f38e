"""pika's connection, with its settings, its errors in words, and a short way for plain deliveries. All of pika's private side is
here and in `connection.py`."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pika
import pika.exceptions
from pika import frame
from pika.adapters.utils import connection_workflow

from broker.errors import ConfigurationError
from broker.transports.rabbitmq.encryption import encryption, explained, without_files
from broker.transports.rabbitmq.frames import Arrival, read_arrival

CONNECT_TIMEOUT = 5.0
STACK_TIMEOUT = 10.0
"""Seconds to an open AMQP connection: a node that accepts TCP while it boots must not hold us."""
BLOCKED_TIMEOUT = 60.0
"""Seconds of a memory or disk alarm until the connection is opened anew. Publishers have failed long
before."""
UNANSWERED_MILLISECONDS = 10_000
"""TCP_USER_TIMEOUT. pika's own heartbeat needs 12.9 s at 2 s and 15 to 30 s at 10 s to see a black hole."""
RECEIVE_BYTES = 65_536
"""pika reads 4096 at a time: one delivery in ten would be split, and sixteen calls made instead of one."""

Server = Any
"""pika.URLParameters."""

_SelectConnection: Any = pika.SelectConnection


def parse_servers(urls: Sequence[str], *, name: str, heartbeat: timedelta) -> tuple[Server, ...]:
    """Raises ConfigurationError; its message never holds the password."""
    if not urls:
        raise ConfigurationError("no RabbitMQ url is given")
    return tuple(_parse_server(url, name, heartbeat) for url in urls)


def _parse_server(url: str, name: str, heartbeat: timedelta) -> Server:
    if not url.startswith(("amqp://", "amqps://")):
        raise ConfigurationError("a RabbitMQ url begins with amqp:// or amqps://")
    encrypted = encryption(url)
    try:
        server: Server = pika.URLParameters(without_files(url))
    except (ValueError, TypeError):
        raise ConfigurationError("a RabbitMQ url reads amqp://user:password@host:port/vhost") from None
    if encrypted is not None:
        server.ssl_options = pika.SSLOptions(encrypted, server.host)
    server.heartbeat = max(1, round(heartbeat.total_seconds()))
    server.socket_timeout, server.stack_timeout = CONNECT_TIMEOUT, STACK_TIMEOUT
    server.blocked_connection_timeout = BLOCKED_TIMEOUT
    server.tcp_options = {"TCP_USER_TIMEOUT": UNANSWERED_MILLISECONDS}
    server.client_properties = {"connection_name": name}
    return server


def describe(error: BaseException) -> str:
    """The innermost reason in one line, without what pika wraps around it."""
    if isinstance(error, connection_workflow.AMQPConnectionWorkflowFailed):
        return describe(error.exceptions[-1])
    if isinstance(error, connection_workflow.AMQPConnectorException | pika.exceptions.AMQPConnectionError):
        inner = getattr(error, "exception", None) or (error.args[0] if error.args else None)
        if isinstance(inner, BaseException):
            return describe(inner)
    if isinstance(error, pika.exceptions.ConnectionClosed | pika.exceptions.ChannelClosed):
        return f"{error.reply_code} {error.reply_text}"
    return explained(f"{type(error).__name__}: {error}") if str(error) else type(error).__name__


class Link(_SelectConnection):  # type: ignore[misc]  # untyped upstream
    """pika's connection with a short way for plain deliveries."""

    _frame_buffer: bytes
    _transport: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        self.arrived: dict[str, Callable[[Arrival], None]] = {}
        super().__init__(*args, **options)

    def close_socket(self) -> None:
        """For a loop that has stopped: nothing more is sent or called back."""
        if self._transport is not None:
            self._transport._close_and_finalize()

    def _proto_connection_made(self, transport: Any) -> None:
        transport._MAX_RECV_BYTES = RECEIVE_BYTES
        super()._proto_connection_made(transport)

    def _on_data_available(self, data_in: bytes) -> None:
        buffer = self._frame_buffer + data_in if self._frame_buffer else data_in
        start = 0
        while start < len(buffer):
            arrival = read_arrival(buffer, start)
            if arrival is not None and (arrived := self.arrived.get(arrival.consumer)):
                start = arrival.end
                arrived(arrival)
                continue
            size, value = frame.decode_frame(buffer[start : _frame_end(buffer, start)])
            if value is None:
                break
            start += size
            self._process_frame(value)
        self._frame_buffer = buffer[start:]
        self.bytes_received += start


def _frame_end(buffer: bytes, start: int) -> int:
    """Where the frame at `start` ends, so that only it is copied; a protocol header has eight bytes."""
    if buffer[start : start + 1] == b"A":
        return start + 8
    return start + 8 + int.from_bytes(buffer[start + 3 : start + 7], "big")
