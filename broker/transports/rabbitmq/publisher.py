"""Publishing: batches from any thread, pipelined on one confirm channel, each with a future that its
confirms end.

A batch waits while there is no channel, flies once it is written, and ends at its last confirm or at its
deadline. On a nack, a missed deadline or a lost channel the whole connection is dropped and another server
is tried: on RabbitMQ 3.10 a fresh channel after the loss of a queue's leader may nack everything, or never
answer."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from datetime import timedelta
from itertools import chain
from time import monotonic
from typing import Any

import structlog
from pika import spec

from broker.errors import CallboardError, PublishError, PublishRefusedError, TransportUnavailableError
from broker.topology import Topology
from broker.transports.base import WireMessage
from broker.transports.rabbitmq.connection import Channel, Connection
from broker.transports.rabbitmq.declaration import declare_again
from broker.transports.rabbitmq.errand import Errand
from broker.transports.rabbitmq.frames import publish_frames
from broker.transports.rabbitmq.link import describe
from broker.transports.rabbitmq.refused import Refused, read_refusal
from broker.transports.rabbitmq.window import Batch, Window

log = structlog.get_logger(__name__)

OPENING_PATIENCE = 15.0
"""Seconds from an open connection to an open channel. In between the topology is declared: 0.1 s for 30
queues that exist, some seconds for 30 new quorum queues."""


class Publisher:
    """Owns the publish connection. `publish`, `run` and `close` are for any thread, the rest for the I/O
    thread."""

    def __init__(
        self,
        connect: Callable[["Publisher"], Connection],
        declared: Callable[[], Topology | None],
        exchange: Callable[[], str],
        *,
        confirm_timeout: timedelta,
        max_unconfirmed: int,
    ) -> None:
        self._declared, self._exchange = declared, exchange
        self._patience = confirm_timeout.total_seconds()
        self._max_unconfirmed = max_unconfirmed
        self._counting = threading.Lock()
        self._unconfirmed = 0
        self._closed = False
        self._wake_up_due = False
        self._handed_over: deque[Batch] = deque()
        self._waiting: deque[Batch] = deque()
        self._errands: deque[Errand] = deque()
        self._window: Window | None = None
        self._timer_set = False
        self._opened_at = 0.0
        self._connection = connect(self)
        self._connection.open()

    @property
    def ready(self) -> bool:
        return self._window is not None

    def publish(self, messages: Sequence[WireMessage]) -> Future[None]:
        future: Future[None] = Future()
        future.set_running_or_notify_cancel()
        if not messages:
            future.set_result(None)
        elif refused := self._hand_over(Batch(messages, future, monotonic() + self._patience)):
            future.set_exception(PublishError(f"not published: {refused}"))
        else:
            self._wake_up()
        return future

    def run(self, errand: Errand) -> None:
        """Start it as soon as the connection is open; it fails when no server can be reached."""
        self._connection.run_soon(lambda: self._start_errand(errand))

    def close(self, timeout: timedelta) -> None:
        """Wait for the confirms of what was handed over, fail the rest, end the thread. Repeatable."""
        end = monotonic() + timeout.total_seconds()
        with self._counting:
            if self._closed:
                return
            self._closed = True
        unended: Future[list[Future[None]]] = Future()
        self._connection.run_soon(lambda: unended.set_result([batch.future for batch in self._unended()]))
        if wait([unended], max(0.0, end - monotonic())).done:
            wait(unended.result(), max(0.0, end - monotonic()))
        self._connection.close(timedelta(seconds=max(0.2, end - monotonic())))
        self._handed_over_to_waiting()
        self._fail_all("the transport was closed")

    def connection_opened(self) -> None:
        self._opened_at = monotonic()
        errands = self._errands
        self._errands = deque()
        for errand in errands:
            errand.start(self._connection)
        declare_again(self._connection, self._declared(), self._open_channel)

    def connection_lost(self, reason: str) -> None:
        self._end_window(f"connection lost: {reason}")

    def unreachable(self, reason: str) -> None:
        while self._errands:
            self._errands.popleft().fail(TransportUnavailableError(f"RabbitMQ cannot be reached: {reason}"))

    def _hand_over(self, batch: Batch) -> str | None:
        """Why there is no room for it, or None. A batch above the bound passes when it is alone."""
        with self._counting:
            if self._closed:
                return "the transport is closed"
            if self._unconfirmed and self._unconfirmed + len(batch.messages) > self._max_unconfirmed:
                return f"too many unconfirmed ({self._unconfirmed}); publish again when some are confirmed"
            self._unconfirmed += len(batch.messages)
            self._handed_over.append(batch)
        return None

    def _wake_up(self) -> None:
        # Appended before the flag is read, cleared before the deque is drained: no batch is left behind,
        # and a second wake-up at worst finds nothing.
        if not self._wake_up_due:
            self._wake_up_due = True
            self._connection.run_soon(self._collect)

    def _collect(self) -> None:
        self._wake_up_due = False
        self._handed_over_to_waiting()
        self._send_waiting()
        self._set_timer()

    def _handed_over_to_waiting(self) -> None:
        while self._handed_over:
            self._waiting.append(self._handed_over.popleft())

    def _send_waiting(self) -> None:
        window = self._window
        if window is None:
            return
        frames: list[bytes] = []
        while self._waiting:
            batch = self._waiting.popleft()
            try:
                frames += self._frames(window, batch.messages)
            except (ValueError, UnicodeEncodeError) as error:
                self._end(batch, PublishError(f"not published, AMQP cannot carry it: {error}"))
            else:
                window.add(batch)
        self._connection.send(frames)

    def _frames(self, window: Window, messages: Sequence[WireMessage]) -> list[bytes]:
        number, largest, events = (
            window.channel.channel_number,
            self._connection.largest_frame,
            self._exchange(),
        )
        return [
            b"".join(
                publish_frames(
                    number,
                    "" if each.direct else events,
                    each.routing_key,
                    each.headers,
                    each.content_type,
                    each.body,
                    largest,
                )
            )
            for each in messages
        ]

    def _set_timer(self) -> None:
        if self._timer_set:
            return
        oldest = next(iter(self._unended()), None)
        if oldest is not None:
            self._timer_set = True
            self._connection.run_later(max(0.0, oldest.deadline - monotonic()), self._end_late)

    def _end_late(self) -> None:
        self._timer_set = False
        now = monotonic()
        late = [batch for batch in self._unended() if batch.deadline <= now]
        flying = [batch for batch in late if batch.sent_at]
        for batch in flying:
            self._end(batch, PublishError(f"not confirmed within {self._patience:g} s: {batch.summary}"))
        for batch in late:
            self._end(batch, PublishError(f"no way to RabbitMQ for {self._patience:g} s: {batch.summary}"))
        self._waiting = deque(batch for batch in self._waiting if not batch.future.done())
        # A batch that spent its time waiting for a connection says nothing about the connection it got at
        # last: to drop that one too would keep a busy publisher away for ever.
        if any(now - batch.sent_at >= self._patience / 2 for batch in flying):
            self._drop("a confirm is overdue")
        elif self._window is None and self._connection.is_open and now - self._opened_at > OPENING_PATIENCE:
            self._drop("no channel was opened")
        self._set_timer()

    def _start_errand(self, errand: Errand) -> None:
        if self._connection.is_open:
            errand.start(self._connection)
        else:
            self._errands.append(errand)

    def _open_channel(self) -> None:
        channel = self._connection.channel(self._channel_opened)
        channel.add_on_close_callback(self._channel_closed)

    def _channel_opened(self, channel: Channel) -> None:
        window = Window(channel)
        channel.add_on_return_callback(lambda _, method, *__: self._returned(window, method))
        channel.confirm_delivery(
            lambda answer: self._confirmed(window, answer.method),
            callback=lambda _: self._channel_ready(window),
        )

    def _channel_ready(self, window: Window) -> None:
        self._window = window
        self._collect()

    def _channel_closed(self, _: Channel, error: Exception) -> None:
        refused = read_refusal(error)
        if refused is not None and self._window is not None:
            self._refuse(self._window, refused)
        self._drop(f"channel closed: {describe(error)}")

    def _confirmed(self, window: Window, method: Any) -> None:
        if isinstance(method, spec.Basic.Nack):
            self._nacked(window, method)
            return
        self._connection.proven()
        for batch in window.confirm(method.delivery_tag, multiple=method.multiple):
            self._end(batch, None)

    def _nacked(self, window: Window, method: Any) -> None:
        key = window.routing_key(method.delivery_tag)
        for batch in window.batches_with(method.delivery_tag, multiple=method.multiple):
            self._end(
                batch, PublishError(f"RabbitMQ refused {key!r} (nack): its queue is full or without a leader")
            )
        self._drop("a message was nacked")

    def _returned(self, window: Window, method: Any) -> None:
        # A return carries no tag. Its confirm comes behind it, so each batch that holds this key
        # unconfirmed may be meant; failing one too many is safe, one too few is a lost message.
        for batch in window.batches_to(method.routing_key, direct=method.exchange == ""):
            where = f"queue {method.routing_key!r}" if method.exchange == "" else repr(method.routing_key)
            self._end(
                batch,
                PublishError(f"{where} was returned by RabbitMQ: {method.reply_text}, nobody listens there"),
            )

    def _refuse(self, window: Window, refused: Refused) -> None:
        """Only what may not be published; what flew beside it is tried again by whoever handed it over."""
        batches = window.flying if refused.key is None else window.batches_to(refused.key, direct=False)
        for batch in list(batches):
            self._end(batch, PublishRefusedError(str(refused)))

    def _drop(self, reason: str) -> None:
        self._end_window(reason)
        self._connection.drop(reason)

    def _end_window(self, reason: str) -> None:
        window, self._window = self._window, None
        if window is not None:
            for batch in list(window.flying):
                self._end(batch, PublishError(f"not confirmed, it may or may not have arrived: {reason}"))

    def _unended(self) -> chain[Batch]:
        self._handed_over_to_waiting()
        return chain(self._window.flying if self._window is not None else (), self._waiting)

    def _fail_all(self, reason: str) -> None:
        self._end_window(reason)
        while self._waiting:
            self._end(self._waiting.popleft(), PublishError(f"not published: {reason}"))

    def _end(self, batch: "Batch", error: CallboardError | None) -> None:
        if batch.future.done():
            return
        with self._counting:
            self._unconfirmed -= len(batch.messages)
        if self._window is not None:
            self._window.flying.pop(batch, None)
        if error is None:
            batch.future.set_result(None)
        else:
            batch.future.set_exception(error)
