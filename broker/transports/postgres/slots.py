"""The books of the consumer: which rows are held, what room each queue has, what is to be settled.

    ready row ── took ──> held ── ack ──────> acked ──── written ──> gone (deleted)
                           └─── give_back ──> returned ─ written ──> ready row again

Nothing here does I/O: the fetcher's thread writes what the books say.
"""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from broker.transports.base import Sink
from broker.transports.postgres.delivery import PostgresDelivery


@dataclass(frozen=True, slots=True)
class Subscription:
    """One consumed queue: where its deliveries go and how many may be unsettled."""

    sink: Sink
    prefetch: int


@dataclass(frozen=True, slots=True)
class Settlements:
    """Rows to delete and rows to give back, with the queues that get something back."""

    acked: Sequence[int]
    returned: Sequence[int]
    queues: frozenset[str]


class Slots:
    """Safe from any thread. `wake` is called when the fetcher has something new to do."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.closed = False
        self._wake = wake
        self._lock = threading.Lock()
        self._subscriptions: dict[str, Subscription] = {}
        self._unsettled: Counter[str] = Counter()
        self._owned: dict[int, PostgresDelivery] = {}
        self._acked: list[int] = []
        self._returned: list[int] = []
        self._ready: set[str] = set()

    def subscribe(self, queues: Iterable[str], subscription: Subscription) -> None:
        with self._lock:
            self._subscriptions |= dict.fromkeys(queues, subscription)
            self._ready |= self._subscriptions.keys()
        self._wake()

    def unsubscribe(self) -> None:
        with self._lock:
            self._subscriptions.clear()
            self._ready.clear()

    def heard(self, queues: Collection[str] | None = None) -> None:
        """These queues, or all, may have something."""
        with self._lock:
            mine = self._subscriptions.keys()
            self._ready |= mine if queues is None else mine & set(queues)
            wanted = any(self._room(queue) for queue in self._ready)
        if wanted:
            self._wake()

    def ask(self) -> dict[str, int]:
        """{queue: how many} of queues that may have something and have room; now they count as empty.

        From here and not from the answer: what is heard while the fetch is under way must not be forgotten.
        """
        with self._lock:
            asked = {queue: room for queue in sorted(self._ready) if (room := self._room(queue)) > 0}
            self._ready -= asked.keys()
            return asked

    def has_room(self) -> bool:
        """False means: nothing can be fetched before something is settled."""
        with self._lock:
            return any(self._room(queue) > 0 for queue in self._subscriptions)

    def took(
        self, asked: dict[str, int], rows: Sequence[PostgresDelivery]
    ) -> list[tuple[Sink, PostgresDelivery]]:
        """Book what a fetch brought. A queue that gave all it was asked may have more."""
        brought = Counter(row.queue for row in rows)
        with self._lock:
            full = {queue for queue, number in asked.items() if brought[queue] >= number}
            self._ready |= full & self._subscriptions.keys()
            return [pair for row in rows if (pair := self._book(row)) is not None]

    def ack(self, delivery: PostgresDelivery) -> None:
        with self._lock:
            if not self._settle(delivery):
                return
            if delivery.deleted:
                del self._owned[delivery.id]
            else:
                self._acked.append(delivery.id)
            wanted = not delivery.deleted or delivery.queue in self._ready
        if wanted:
            self._wake()

    def give_back(self, delivery: PostgresDelivery) -> None:
        with self._lock:
            if not self._settle(delivery):
                return
            self._returned.append(delivery.id)
        self._wake()

    def settlements(self) -> Settlements:
        """What is to be written now. It stays in the books until `written`: a lost connection repeats it."""
        with self._lock:
            queues = frozenset(self._owned[row_id].queue for row_id in self._returned)
            return Settlements(tuple(self._acked), tuple(self._returned), queues)

    def written(self, done: Settlements) -> None:
        """These settlements are written: later ones were appended behind them."""
        with self._lock:
            del self._acked[: len(done.acked)]
            del self._returned[: len(done.returned)]
            for row_id in (*done.acked, *done.returned):
                self._owned.pop(row_id, None)
            self._ready |= done.queues & self._subscriptions.keys()

    def owned(self) -> list[int]:
        """Every row that is ours, settled but not yet written ones included."""
        with self._lock:
            return list(self._owned)

    def close(self) -> None:
        with self._lock:
            self.closed = True
            self._subscriptions.clear()
            self._ready.clear()

    def _room(self, queue: str) -> int:
        return self._subscriptions[queue].prefetch - self._unsettled[queue]

    def _book(self, row: PostgresDelivery) -> tuple[Sink, PostgresDelivery] | None:
        if row.id in self._owned:
            # A crash of PostgreSQL undid our hold (fetches commit asynchronously); the fetch has renewed it.
            return None
        self._owned[row.id] = row
        self._unsettled[row.queue] += 1
        subscription = self._subscriptions.get(row.queue)
        if subscription is None:
            self._settle(row)
            self._returned.append(row.id)
            return None
        return subscription.sink, row

    def _settle(self, delivery: PostgresDelivery) -> bool:
        """Whether this call is the one that settles. Frees the place."""
        if delivery.settled or self.closed:
            return False
        delivery.settled = True
        self._unsettled[delivery.queue] -= 1
        return True
