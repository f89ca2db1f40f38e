"""Published batches between `publish` and their commit: each ends once, by commit, error or deadline."""

import threading
import time
from collections import deque
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta

from broker.errors import PublishError
from broker.transports.base import WireMessage

CONFIRM_TIMEOUT = timedelta(seconds=5)
"""A restart of PostgreSQL takes well under a second; who would wait longer is better off with an error."""
UNCONFIRMED_MESSAGES = 20_000
UNCONFIRMED_BYTES = 64 << 20
"""What may wait in memory: a second of work at the measured rate, and no more than a container can spare."""
GROUP_MESSAGES = 500
GROUP_BYTES = 8 << 20
"""One commit. Beyond 500 messages nothing is gained, and a longer one delays its first message."""
BELL_PAUSE = timedelta(milliseconds=5)
"""Shortest time between two NOTIFYs: their commits take one lock for the whole server."""


@dataclass(eq=False, slots=True)
class Batch:
    """The messages of one `publish`, confirmed together."""

    messages: tuple[WireMessage, ...]
    future: "Future[None]" = field(default_factory=Future[None])
    expires_at: float = field(default_factory=lambda: time.monotonic() + CONFIRM_TIMEOUT.total_seconds())

    @property
    def size_bytes(self) -> int:
        return sum(len(message.body) for message in self.messages)


@dataclass(frozen=True, slots=True)
class Work:
    """What the writer does next: commit a group, ring for queues, or both. Nothing at all means: end."""

    group: Sequence[Batch] = ()
    queues: Collection[str] = ()


class Pending:
    """Safe from any thread. Futures are resolved outside the lock: their callbacks may publish."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting: deque[Batch] = deque()
        self._open: dict[Batch, None] = {}
        self._messages = 0
        self._bytes = 0
        self._queues: set[str] = set()
        self._rung_at = 0.0
        self._closed = False

    def add(self, batch: Batch) -> None:
        """Raises PublishError when closed or full."""
        with self._condition:
            if self._closed:
                raise PublishError("the transport is closed: nothing was published")
            if self._open and (
                self._messages + len(batch.messages) > UNCONFIRMED_MESSAGES
                or self._bytes + batch.size_bytes > UNCONFIRMED_BYTES
            ):
                raise PublishError(
                    f"nothing was published: too many unconfirmed ({self._messages} messages,"
                    f" {self._bytes} bytes); publish again later"
                )
            self._open[batch] = None
            self._messages += len(batch.messages)
            self._bytes += batch.size_bytes
            self._waiting.append(batch)
            self._condition.notify()

    def ring(self, queues: Collection[str]) -> None:
        """These queues got rows: other processes are to hear of it soon."""
        with self._condition:
            self._queues.update(queues)
            self._condition.notify()

    def next(self) -> Work:
        """Wait for work. The bell goes first, so that a steady stream of groups does not silence it."""
        with self._condition:
            while True:
                pause = self._rung_at + BELL_PAUSE.total_seconds() - time.monotonic()
                due = bool(self._queues) and (pause <= 0 or self._closed)
                if due or self._waiting or self._closed:
                    return Work(self._take_group(), self._take_queues() if due else ())
                self._condition.wait(pause if self._queues else None)

    def finish(self, batch: Batch, error: PublishError | None = None) -> None:
        """End a batch; nothing happens if it has ended."""
        with self._condition:
            if batch not in self._open:
                return
            del self._open[batch]
            self._messages -= len(batch.messages)
            self._bytes -= batch.size_bytes
        if not batch.future.set_running_or_notify_cancel():
            return
        if error is None:
            batch.future.set_result(None)
        else:
            batch.future.set_exception(error)

    def is_open(self, batch: Batch) -> bool:
        with self._condition:
            return batch in self._open

    def fail_overdue(self) -> bool:
        """End what is past its deadline; True if there was any."""
        now = time.monotonic()
        with self._condition:
            overdue = [batch for batch in self._open if batch.expires_at <= now]
        for batch in overdue:
            self.finish(
                batch,
                PublishError(f"not confirmed by PostgreSQL within {CONFIRM_TIMEOUT.total_seconds():g} s"),
            )
        return bool(overdue)

    def close(self) -> None:
        """Refuse new batches. What waits is still handed out."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def fail_all(self) -> None:
        """End every batch that is still open."""
        with self._condition:
            left = list(self._open)
        for batch in left:
            self.finish(batch, PublishError("the transport was closed before PostgreSQL confirmed"))

    def _take_group(self) -> list[Batch]:
        group: list[Batch] = []
        messages = size = 0
        while self._waiting:
            first = self._waiting[0]
            messages += len(first.messages)
            size += first.size_bytes
            if group and (messages > GROUP_MESSAGES or size > GROUP_BYTES):
                break
            group.append(self._waiting.popleft())
        return group

    def _take_queues(self) -> set[str]:
        self._rung_at = time.monotonic()
        queues, self._queues = self._queues, set()
        return queues
