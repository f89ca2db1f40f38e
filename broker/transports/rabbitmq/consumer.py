"""Consuming: one channel a queue on the consume connection. Settlements from all threads leave in one
write."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta

from broker.topology import Topology
from broker.transports.base import Sink
from broker.transports.rabbitmq.connection import Connection
from broker.transports.rabbitmq.declaration import declare_again
from broker.transports.rabbitmq.subscription import Life, Subscription

HANDSHAKE_PATIENCE = 5.0
"""Seconds that `subscribe` and `unsubscribe` wait until the I/O thread has heard them."""


class Consumer:
    """Owns the consume connection. `subscribe`, `unsubscribe`, `ready` and `close` are for any thread."""

    def __init__(
        self, connect: Callable[["Consumer"], Connection], declared: Callable[[], Topology | None]
    ) -> None:
        self._declared = declared
        self._subscriptions: dict[str, Subscription] = {}
        self._due: deque[Life] = deque()
        self._flush_due = False
        self._declaring = False
        self._connection = connect(self)
        self._connection.open()

    @property
    def ready(self) -> bool:
        """The server has accepted every consumer that is wanted."""
        return self._connection.is_open and all(each.ready for each in list(self._subscriptions.values()))

    def subscribe(self, queues: Sequence[str], sink: Sink, prefetch: int) -> None:
        self._tell(lambda: self._want(queues, sink, prefetch))

    def unsubscribe(self) -> None:
        """No delivery is offered once this has returned."""
        self._tell(self._stop_all)

    def close(self, timeout: timedelta) -> None:
        """Send the settlements made so far; the server takes back the rest."""
        self._connection.run_soon(self._flush)
        self._connection.close(timeout)
        for subscription in list(self._subscriptions.values()):
            subscription.end_life()

    def connection_opened(self) -> None:
        self._declare_and_start_all()

    def connection_lost(self, reason: str) -> None:
        self._declaring = False
        for subscription in self._subscriptions.values():
            subscription.end_life()

    def unreachable(self, reason: str) -> None:
        """Nobody waits here; the connection has logged it and goes on."""

    def _tell(self, work: Callable[[], None]) -> None:
        if self._connection.is_own_thread:
            work()
            return
        heard = threading.Event()
        self._connection.run_soon(work)
        self._connection.run_soon(heard.set)
        heard.wait(HANDSHAKE_PATIENCE)

    def _want(self, queues: Sequence[str], sink: Sink, prefetch: int) -> None:
        for queue in queues:
            if queue not in self._subscriptions:
                self._subscriptions[queue] = Subscription(
                    self._connection, queue, self._settled, self._declare_and_start_all
                )
            self._subscriptions[queue].want(sink, prefetch)
        if not self._declaring:
            self._start_all()

    def _stop_all(self) -> None:
        for subscription in self._subscriptions.values():
            subscription.stop()

    def _start_all(self) -> None:
        self._declaring = False
        for subscription in self._subscriptions.values():
            subscription.start()

    def _declare_and_start_all(self) -> None:
        if not self._declaring and self._connection.is_open:
            self._declaring = True
            declare_again(self._connection, self._declared(), self._start_all)

    def _settled(self, life: Life) -> None:
        """From any thread; one wake-up serves all that come meanwhile."""
        self._due.append(life)
        if not self._flush_due:
            self._flush_due = True
            self._connection.run_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        frames: list[bytes] = []
        while self._due:
            frames += self._due.popleft().take_frames()
        if self._connection.is_open:
            self._connection.send(frames)
