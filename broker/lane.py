"""The room of one kind of actor (threads, or coroutines) in a process: which delivery may be claimed next, and which must wait.

Claims are made one ahead per slot, so that the backlog stays in the queue, where others can take it. A lane whose runs leave it
within milliseconds claims further ahead: what it will have finished 10 ms from now. Then a commit carries forty claims instead of
eight, which halves the CPU an event costs (404 → 220 µs of Python and PostgreSQL, tried with empty bodies on four threads).
"""

import time
from collections import deque
from collections.abc import Callable

from broker.transports.base import Delivery

AHEAD_SECONDS = 0.01
"""What is claimed ahead may wait so long for its slot: far below what a person or another process would gain by taking it."""
MOST_AHEAD = 64
"""Runs claimed beyond one a slot. A batch of 32 has most of the gain, and each of them would be counted a crash by a kill -9."""
_WEIGHT = 0.1
"""Of the newest value in a moving average: ten runs tell a new pace."""


class Lane:
    """Not thread-safe: the intake's lock is held around every call. Times are seconds."""

    def __init__(
        self, room: int, *, ahead: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.waiting: deque[Delivery] = deque()
        self._room = room
        self._ahead = ahead
        self._clock = clock
        self._lasted: dict[str, float] = {}
        self._pace = AHEAD_SECONDS
        self._left_at = clock()

    def take(self) -> Delivery | None:
        """The next delivery to claim, its room taken; None without a delivery or without room for it."""
        while self.waiting and self._has_room(self.waiting[0].queue):
            delivery = self.waiting.popleft()
            if delivery.alive:
                self._room -= 1
                return delivery
        return None

    def give_back(self) -> None:
        """A claim that led to no run: its room is free again."""
        self._room += 1

    def leave(self, queue: str, lasted: float) -> None:
        """A run has left its slot, in which its body was for so long."""
        self._room += 1
        now = self._clock()
        self._pace += _WEIGHT * (now - self._left_at - self._pace)
        self._left_at = now
        known = self._lasted.get(queue, lasted)
        self._lasted[queue] = known + _WEIGHT * (lasted - known)

    def _has_room(self, queue: str) -> bool:
        return self._room > 0 or (self._ahead and -self._room < self._beyond(queue))

    def _beyond(self, queue: str) -> int:
        """How many may be claimed beyond one a slot: none of an actor that is slow or not known yet, and none while nothing
        leaves, for then the slots are taken by something slow."""
        if self._lasted.get(queue, AHEAD_SECONDS) >= AHEAD_SECONDS:
            return 0
        pace = max(self._pace, self._clock() - self._left_at)
        return min(MOST_AHEAD, int(AHEAD_SECONDS / pace)) if pace > 0 else MOST_AHEAD
