"""The guard of a body in a worker thread: it interrupts the thread in user code, once, and nowhere else.

CPython raises a thread's asynchronous exception some time later, at the next of certain bytecodes. So the right to
interrupt is a licence, one object in a list, and taking it is one atomic `pop`:

    in user code   the licence lies there; the watchdog takes it, interrupts, and never gives it back
    in our code    the thread has taken it: the watchdog finds none, and looks again later

A thread that wants to leave user code and finds no licence knows that an interrupt is on its way. It waits until that
was set (some microseconds), withdraws it, and raises the signal itself. There is no lock: an exception that lands
between acquiring one and noting so would leave it held for ever.

Whatever runs after the signal was raised (an author's `except`, our own clean-up) is left alone; who swallows the
signal meets it again at the next verb and at the end of the body.
"""

import ctypes
import time
from contextlib import AbstractContextManager
from datetime import timedelta
from threading import get_ident

from dramatiq.threading import raise_thread_exception

from broker.run.border import Clock, Paused, UserCode, on_its_way, reached
from broker.signals import TimeLimitReached

LOOK_AGAIN = 0.02
"""Seconds after which the watchdog looks again at a thread that was in our code. It bounds how late an interrupt is,
at 50 looks a second in the worst case."""

_set_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc


class ThreadGuard:
    """Interrupts the thread that made it, while that is in user code.

    All but `look` belongs to that thread. `look` is the watchdog's.
    """

    __slots__ = ("_armed", "_clock", "_gone", "_licence", "_limit", "_shot", "_thread")

    def __init__(self) -> None:
        self._thread = get_ident()
        self._licence: list[None] = []
        self._limit = timedelta(0)
        self._clock = Clock(self._limit)
        self._armed = False
        self._shot = False
        self._gone = 0.0

    @property
    def deadline(self) -> timedelta | None:
        return timedelta(seconds=max(0.0, self._clock.left())) if self._armed else None

    @property
    def armed(self) -> bool:
        return self._armed

    def arm(self, limit: timedelta) -> None:
        """From here on the thread is in user code, and may be interrupted once `limit` is used up."""
        self._limit, self._clock, self._shot = limit, Clock(limit), False
        self._armed = True
        self.enter_user_code()

    def disarm(self) -> None:
        """After this nothing lands any more, however it ends. Raises TimeLimitReached if the limit was reached before
        and the signal is not on its way out already. May be repeated."""
        try:
            if self._armed:
                self.leave_user_code()
        finally:
            # The one interrupt is withdrawn, or was raised in the line above: from here on nothing can land.
            self._armed = False

    def paused(self) -> AbstractContextManager[None]:
        return Paused(self)

    def user_code(self) -> AbstractContextManager[None]:
        return UserCode(self)

    def enter_user_code(self) -> bool:
        """Whether the thread was in our code."""
        if self._clock.running or not self._armed:
            return False
        self._clock.go()
        if not self._shot:
            self._licence.append(None)
        return True

    def leave_user_code(self) -> bool:
        """Whether the thread was in user code. An interrupt that lands in here leaves it as if it was never called."""
        if not self._clock.running or not self._armed:
            return False
        self._take_licence()
        self._clock.stop()
        if not self._shot and self._clock.left() <= 0:
            # The watchdog has not come by yet; without this a body that is seldom in user code would seldom be caught.
            self._gone = time.monotonic()
            self._shot = True
        if self._shot and not on_its_way(TimeLimitReached):
            raise reached(self._limit)
        return True

    def _take_licence(self) -> None:
        """After this no interrupt lands, now or later: there is none, or it is withdrawn."""
        while not self._shot:
            try:
                self._licence.pop()
            except IndexError:
                time.sleep(0)  # the watchdog has it, for some microseconds: it interrupts, or puts it back
            else:
                return
        _set_exception(ctypes.c_ulong(self._thread), None)

    def look(self, stuck_after: float) -> tuple[float, bool]:
        """Interrupt the thread if it is due. Returns the seconds until the next look, and whether the thread is stuck:
        still in user code `stuck_after` seconds after its interrupt."""
        if self._shot:
            late = time.monotonic() - self._gone - stuck_after
            if late < 0:
                return -late, False
            return LOOK_AGAIN, self._armed and self._clock.running
        left = self._clock.left()
        if left > 0 or not self._clock.running:
            return max(left, 0.0 if self._clock.running else LOOK_AGAIN), False
        try:
            self._licence.pop()
        except IndexError:
            return LOOK_AGAIN, False
        return self._interrupt(stuck_after), False

    def _interrupt(self, stuck_after: float) -> float:
        """With the licence in hand: now the thread cannot leave user code. It may have done so just before, and come
        back, so the clock is read again."""
        if (left := self._clock.left()) > 0:
            self._licence.append(None)
            return left
        raise_thread_exception(self._thread, TimeLimitReached)  # type: ignore[no-untyped-call]
        self._gone = time.monotonic()
        self._shot = True
        return stuck_after
