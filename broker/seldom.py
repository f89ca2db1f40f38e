"""Saying the same thing once a minute: what a log needs to know of a thousand events of one kind."""

import threading
import time
from collections.abc import Callable

MINUTE_SECONDS = 60.0
MOST_KEYS = 1024
"""Keys may come from outside (an event's type): past so many the oldest are forgotten, and may be said again."""


class Seldom:
    """Thread-safe; one a process and subject."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[str, float] = {}
        self._lock = threading.Lock()

    def due(self, key: str) -> bool:
        """Whether this has not been said within the last minute; then it counts as said."""
        with self._lock:
            now = self._clock()
            if now < self._said.get(key, -MINUTE_SECONDS) + MINUTE_SECONDS:
                return False
            self._said.pop(key, None)
            while len(self._said) >= MOST_KEYS:
                del self._said[next(iter(self._said))]
            self._said[key] = now
            return True
