"""The guard of a coroutine: it cancels the task while that awaits something in user code."""

import asyncio
from contextlib import AbstractContextManager
from datetime import timedelta

from broker.run.border import Clock, Paused, UserCode, on_its_way, reached
from broker.signals import TimeLimitReached


class LoopGuard:
    """Cancels the task that armed it, while no part of it is in our code; `disarm` makes that cancellation a TimeLimitReached.

    Parallel steps share the guard: while any of them is in our code the clock stands still and nothing is cancelled.
    """

    __slots__ = ("_armed", "_cancelling", "_clock", "_inside", "_limit", "_loop", "_shot", "_task", "_timer")

    def __init__(self) -> None:
        self._limit = timedelta(0)
        self._clock = Clock(self._limit)
        self._armed = False
        self._shot = False
        self._inside = 0
        self._cancelling = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def deadline(self) -> timedelta | None:
        return timedelta(seconds=max(0.0, self._clock.left())) if self._armed else None

    def arm(self, limit: timedelta) -> None:
        """Called in the task that is to be limited."""
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._limit, self._clock, self._shot = limit, Clock(limit), False
        self._cancelling = self._task.cancelling() if self._task else 0
        self._armed = True
        self._run_clock()

    def disarm(self, error: BaseException | None = None) -> None:
        """After this nothing is cancelled any more. `error` is what came out of the body.

        Raises TimeLimitReached if the limit was reached, instead of the cancellation that caused; another error stands, and so
        does a cancellation that somebody else asked for as well.
        """
        if not self._armed:
            return
        self._armed = False
        self._stop_clock()
        if not self._shot:
            return
        assert self._task is not None  # arm() runs in a task, or nothing could have been cancelled
        foreign = self._task.uncancel() > self._cancelling
        if error is None or (isinstance(error, asyncio.CancelledError) and not foreign):
            raise reached(self._limit) from None

    def paused(self) -> AbstractContextManager[None]:
        return Paused(self)

    def user_code(self) -> AbstractContextManager[None]:
        return UserCode(self)

    def leave_user_code(self) -> bool:
        """Always True: each part of a run that is in our code counts."""
        self._inside += 1
        if self._inside == 1:
            self._stop_clock()
        late = self._armed and (self._shot or self._clock.left() <= 0)
        if late and not on_its_way(TimeLimitReached, asyncio.CancelledError):
            raise reached(self._limit)
        return True

    def enter_user_code(self) -> bool:
        """Whether any part was in our code."""
        if self._inside == 0:
            return False
        self._inside -= 1
        if self._inside == 0 and self._armed:
            self._run_clock()
        return True

    def _run_clock(self) -> None:
        self._clock.go()
        if not self._shot and self._loop is not None:
            self._timer = self._loop.call_later(max(0.0, self._clock.left()), self._cancel)

    def _stop_clock(self) -> None:
        self._clock.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cancel(self) -> None:
        self._shot = True
        if self._task is not None:
            self._task.cancel()
