"""One AMQP connection that reopens by itself, and the thread that owns its socket.

    connecting ──▶ open ──lost or dropped──▶ waiting (0.1 → 5 s, jittered) ──▶ connecting, to the next server
         └──────────────failed──────────────────▲                    close() from anywhere ──▶ closed

Everything that touches a channel runs on the I/O thread. Other threads hand work over with `run_soon`.
"""

import random
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol

import pika.exceptions
import structlog
from pika import spec
from pika.adapters.select_connection import IOLoop

from broker.transports.rabbitmq.frames import Arrival
from broker.transports.rabbitmq.link import Link, Server, describe

log = structlog.get_logger(__name__)

FIRST_PAUSE = 0.1
"""Seconds. A restarted listener is back within this; a process that hammers it faster gains nothing."""
LONGEST_PAUSE = 5.0
"""Seconds. A node takes 5 to 8 s to boot: waiting longer would double an outage."""
Channel = Any
"""A pika channel: untyped upstream, and never leaves this package."""


class Owner(Protocol):
    """Who uses a connection. All are called on its I/O thread."""

    def connection_opened(self) -> None: ...

    def connection_lost(self, reason: str) -> None:
        """It was open; every channel on it is gone."""
        ...

    def unreachable(self, reason: str) -> None:
        """Every server has been tried once more, in vain."""
        ...


class Connection:
    """Opened by `open`, kept open until `close`. Methods are for the I/O thread unless they say otherwise."""

    def __init__(self, servers: Sequence[Server], owner: Owner) -> None:
        self._servers, self._owner = servers, owner
        self._name: str = servers[0].client_properties["connection_name"]
        self._loop = IOLoop()
        self._link: Link | None = None
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
    def _open_link(self) -> Link:
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
        self._link = Link(
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
