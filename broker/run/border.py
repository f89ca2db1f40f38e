"""The border between user code and ours: the clock of a limit, the ways across, and what is on its way out."""

import sys
import time
from datetime import timedelta
from typing import Protocol

from broker.signals import TimeLimitReached


class Crossing(Protocol):
    """A guard, as the two ways across see it. Both verbs tell whether they changed anything."""

    def leave_user_code(self) -> bool: ...
    def enter_user_code(self) -> bool: ...


class Clock:
    """The seconds left of a limit. It stands still between `stop` and `go`."""

    __slots__ = ("_expires", "_stopped")

    def __init__(self, limit: timedelta) -> None:
        self._stopped: float | None = time.monotonic()
        self._expires = self._stopped + limit.total_seconds()

    @property
    def running(self) -> bool:
        return self._stopped is None

    def left(self) -> float:
        """Negative once the limit is over."""
        stopped = self._stopped
        return self._expires - (time.monotonic() if stopped is None else stopped)

    def stop(self) -> None:
        self._stopped = time.monotonic()

    def go(self) -> None:
        if self._stopped is not None:
            self._expires += time.monotonic() - self._stopped
            self._stopped = None


class Paused:
    """Out of user code and back. What was found is restored, not counted: an interrupt that lands at the first
    instruction of `__exit__` leaves no count behind."""

    __slots__ = ("_guard", "_was")

    def __init__(self, guard: Crossing) -> None:
        self._guard = guard
        self._was = False

    def __enter__(self) -> None:
        try:
            self._was = self._guard.leave_user_code()
        except TimeLimitReached:
            self._guard.enter_user_code()
            raise

    def __exit__(self, *_: object) -> None:
        if self._was:
            self._guard.enter_user_code()


class UserCode:
    """Into user code and back."""

    __slots__ = ("_guard", "_was")

    def __init__(self, guard: Crossing) -> None:
        self._guard = guard
        self._was = False

    def __enter__(self) -> None:
        self._was = self._guard.enter_user_code()

    def __exit__(self, *_: object) -> None:
        if self._was:
            self._guard.leave_user_code()


def on_its_way(*signals: type[BaseException]) -> bool:
    """Whether one of these is being handled here: in an `except`, a `finally`, or the exit of a `with`."""
    error, seen = sys.exception(), 0
    while error is not None and seen < 100:  # somebody may have tied contexts into a ring
        if isinstance(error, signals):
            return True
        error, seen = error.__context__, seen + 1
    return False


def reached(limit: timedelta) -> TimeLimitReached:
    return TimeLimitReached(f"the attempt took longer than its time limit of {limit}")
