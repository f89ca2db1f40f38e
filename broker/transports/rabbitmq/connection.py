"""One AMQP connection that reopens by itself, and the thread that owns its socket. All of pika's private
side is here.

    connecting ──▶ open ──lost or dropped──▶ waiting (0.1 → 5 s, jittered) ──▶ connecting, to the next server
         └──────────────failed──────────────────▲                    close() from anywhere ──▶ closed

Everything that touches a channel runs on the I/O thread. Other threads hand work over with `run_soon`.
"""

import random
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol

import pika
import pika.exceptions
import structlog
from pika import frame, spec
from pika.adapters.select_connection import IOLoop
from pika.adapters.utils import connection_workflow

from broker.errors import ConfigurationError
from broker.transports.rabbitmq.frames import Arrival, read_arrival

log = structlog.get_logger(__name__)

FIRST_PAUSE = 0.1
"""Seconds. A restarted listener is back within this; a process that hammers it faster gains nothing."""
LONGEST_PAUSE = 5.0
"""Seconds. A node takes 5 to 8 s to boot: waiting longer would double an outage."""
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

Channel = Any
"""A pika channel: untyped upstream, and never leaves this package."""

Server = Any
"""pika.URLParameters."""

_SelectConnection: Any = pika.SelectConnection


class Owner(Protocol):
    """Who uses a connection. All are called on its I/O thread."""

    def connection_opened(self) -> None: ...

    def connection_lost(self, reason: str) -> None:
        """It was open; every channel on it is gone."""
        ...

    def unreachable(self, reason: str) -> None:
        """Every server has been tried once more, in vain."""
        ...


def parse_servers(urls: Sequence[str], *, name: str, heartbeat: timedelta) -> tuple[Server, ...]:
    """Raises ConfigurationError; its message never holds the password."""
    if not urls:
        raise ConfigurationError("no RabbitMQ url is given")
    return tuple(_parse_server(url, name, heartbeat) for url in urls)


def _parse_server(url: str, name: str, heartbeat: timedelta) -> Server:
    if not url.startswith(("amqp://", "amqps://")):
        raise ConfigurationError("a RabbitMQ url begins with amqp:// or amqps://")
    try:
        server: Server = pika.URLParameters(url)
    except (ValueError, TypeError):
        raise ConfigurationError("a RabbitMQ url reads amqp://user:password@host:port/vhost") from None
    server.heartbeat = max(1, round(heartbeat.total_seconds()))
    server.socket_timeout, server.stack_timeout = CONNECT_TIMEOUT, STACK_TIMEOUT
    server.blocked_connection_timeout = BLOCKED_TIMEOUT
    server.tcp_options = {"TCP_USER_TIMEOUT": UNANSWERED_MILLISECONDS}
    server.client_properties = {"connection_name": name}
    return server


class Connection:
    """Opened by `open`, kept open until `close`. Methods are for the I/O thread unless they say otherwise."""

    def __init__(self, servers: Sequence[Server], owner: Owner) -> None:
        self._servers, self._owner = servers, owner
        self._name: str = servers[0].client_properties["connection_name"]
        self._loop = IOLoop()
        self._link: _Link | None = None
        self._failures = 0
        self._turn = random.randrange(len(servers))  # noqa: S311  spreads processes over the nodes, no secret
        self._closing = False
        self._why_dropped: str | None = None
        self._thread = threading.Thread(target=self._run, name=f"{self._name} i/o", daemon=True)

    def open(self) -> None:
        """Start connecting; once. From any thread."""
        self.run_soon(self._connect)
        self._thread.start()

    def run_soon(self, work: Callable[[], None]) -> None:
        """Run it on the I/O thread, in the order of the calls. From any thread."""
        self._loop.add_callback_threadsafe(lambda: self._guarded(work))

    def run_later(self, seconds: float, work: Callable[[], None]) -> None:
        self._loop.call_later(seconds, lambda: self._guarded(work))

    @property
    def is_own_thread(self) -> bool:
        return threading.current_thread() is self._thread

    @property
    def is_open(self) -> bool:
        """From any thread; a moment old by the time it is read."""
        link = self._link
        return link is not None and bool(link.is_open)

    @property
    def largest_frame(self) -> int:
        """Bytes, as agreed with the server."""
        return int(self._open_link.params.frame_max)

    def channel(self, opened: Callable[[Channel], None]) -> Channel:
        return self._open_link.channel(on_open_callback=opened)

    def on_arrival(self, consumer: str, arrived: Callable[[Arrival], None]) -> None:
        """Give plain deliveries of this consumer to `arrived`, past pika. Others still reach its own
        callback."""
        self._open_link.arrived[consumer] = arrived

    def forget_arrivals(self, consumer: str) -> None:
        """To be called when the consumer is gone."""
        if self._link is not None:
            self._link.arrived.pop(consumer, None)

    def cancel(self, channel: Channel, consumer: str) -> None:
        """Cancel a consumer whose late deliveries still arrive. pika's own cancel rejects them, and
        RabbitMQ 4.3 counts a reject as a failure of the message."""

        def answered(_: object) -> None:
            channel._cleanup_consumer_ref(consumer)
            self.forget_arrivals(consumer)

        basic: Any = spec.Basic
        channel._rpc(
            basic.Cancel(consumer_tag=consumer), answered, [(basic.CancelOk, {"consumer_tag": consumer})]
        )

    def send(self, frames: Sequence[bytes]) -> None:
        """Whole frames, in one write."""
        if frames:
            self._open_link._output_marshaled_frames([b"".join(frames)])

    def proven(self) -> None:
        """It does what it is for: the next pause is the shortest again. Being open proves nothing (3.10: a
        fresh channel after a leader was killed may nack everything), so a nacking node would otherwise be
        reopened ten times a second."""
        self._failures = 0

    def drop(self, reason: str) -> None:
        """Lose this connection now, without a word to the server, and open one to the next server."""
        link = self._link
        if link is not None and not link.is_closed and not self._closing and self._why_dropped is None:
            self._why_dropped = reason
            link._terminate_stream(pika.exceptions.AMQPConnectionError(reason))

    def close(self, timeout: timedelta) -> None:
        """Say goodbye and end the thread. From any thread but the I/O thread; may be repeated."""
        self.run_soon(self._say_goodbye)
        self._thread.join(timeout.total_seconds())
        if self._thread.is_alive():
            self.run_soon(self._loop.stop)
            self._thread.join(1.0)

    @property
    def _open_link(self) -> "_Link":
        if self._link is None:
            raise pika.exceptions.ConnectionWrongStateError(f"{self._name} is not open")
        return self._link

    def _run(self) -> None:
        while True:
            try:
                self._loop.start()
            except Exception:  # whatever pika lets through costs a connection, never the thread
                log.exception("amqp.loop_failed", connection=self._name)
                self._guarded(lambda: self.drop("an error in the I/O loop"))
                continue
            break
        if self._link is not None:
            self._link.close_socket()
        self._loop.close()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:
            log.exception("amqp.work_failed", connection=self._name)
            self.drop("an error on the I/O thread")

    def _connect(self) -> None:
        if self._closing:
            return
        server = self._servers[self._turn % len(self._servers)]
        self._why_dropped = None
        self._link = _Link(
            server,
            on_open_callback=lambda _: self._guarded(self._opened),
            on_open_error_callback=lambda _, error: self._guarded(lambda: self._failed(error)),
            on_close_callback=lambda _, error: self._guarded(lambda: self._lost(error)),
            custom_ioloop=self._loop,
        )

    def _opened(self) -> None:
        if self._closing:
            self._open_link.close()
            return
        log.info("amqp.opened", connection=self._name, server=self._server)
        self._owner.connection_opened()

    def _failed(self, error: BaseException) -> None:
        reason = f"{self._server}: {describe(error)}"
        self._link = None
        if self._closing:
            self._loop.stop()
            return
        log.warning("amqp.connect_failed", connection=self._name, server=self._server, reason=describe(error))
        self._connect_again()
        if self._failures % len(self._servers) == 0:
            self._owner.unreachable(reason)

    def _lost(self, error: BaseException) -> None:
        reason = self._why_dropped or describe(error)
        self._link = None
        if self._closing:
            self._loop.stop()
        else:
            log.warning("amqp.lost", connection=self._name, server=self._server, reason=reason)
            self._connect_again()
        self._owner.connection_lost(reason)

    def _connect_again(self) -> None:
        self._turn += 1
        self.run_later(jittered_pause(self._failures), self._connect)
        self._failures += 1

    def _say_goodbye(self) -> None:
        self._closing = True
        link = self._link
        if link is None:
            self._loop.stop()
        elif link.is_open:
            link.close()

    @property
    def _server(self) -> str:
        server = self._servers[self._turn % len(self._servers)]
        return f"{server.host}:{server.port}"


def jittered_pause(failures: int) -> float:
    """Seconds before the next try after so many failures: half to all of an exponential step."""
    step = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures, 10))
    return step * random.uniform(0.5, 1.0)  # noqa: S311  spreads reconnects, no secret


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
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


class _Link(_SelectConnection):  # type: ignore[misc]  # untyped upstream
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
