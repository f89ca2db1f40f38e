"""An attempt has so much time: what takes longer is interrupted, and what cannot be interrupted is reported.

Only user code is interrupted, and only the time spent there counts (see `broker/run/thread_guard.py`). From the end of
the body on, so in particular around its commit, there is no limit any more.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

from broker.middleware.base import Policy
from broker.run.guard import LoopGuard, OpenGuard, ThreadGuard
from broker.run.watchdog import Watchdog, Watched
from broker.signals import TimeLimitReached
from broker.work import Work

STUCK_AFTER = timedelta(seconds=1)
"""A thread that runs Python raises its interrupt within a switch interval; after a second it sits in C."""

_NO_LIMIT: AbstractContextManager[None] = nullcontext()


class TimeLimit(Policy):
    """Reads `time_limit`, and ends an attempt at its run's `deadline`. Innermost around the body, so that nothing of the other
    policies is interrupted.

    `on_stuck` is called once, from the watchdog's thread, for a sync body that outlives its interrupt by `stuck_after`.
    """

    option = "time_limit"

    def __init__(
        self, on_stuck: Callable[[Work], None] | None = None, *, stuck_after: timedelta = STUCK_AFTER
    ) -> None:
        self.on_stuck = on_stuck
        self._watchdog = Watchdog(stuck_after)

    def around(self, work: Work) -> AbstractContextManager[None]:
        limit = _least(work.actor.policies.time_limit, work.claimed.deadline_in)
        if limit is None:
            return _NO_LIMIT
        assert isinstance(work.guard, OpenGuard)  # a work comes with one, and only this line limits it
        if work.actor.asynchronous:
            return _LimitedTask(work.guard, limit)
        return _LimitedThread(work.guard, limit, self._watchdog, lambda: self._stuck(work))

    def _stuck(self, work: Work) -> None:
        # Settled: the interrupt landed between the body and the end of `around`, which was then left without disarming.
        if not work.settled and self.on_stuck is not None:
            self.on_stuck(work)


def _least(limit: timedelta | None, deadline_in: timedelta | None) -> timedelta | None:
    """An attempt may take what is left of its run's deadline, if that is less."""
    if limit is None or deadline_in is None:
        return limit if deadline_in is None else deadline_in
    return min(limit, deadline_in)


class _LimitedThread:
    """The body of a sync actor, in its worker thread."""

    __slots__ = ("_guard", "_limit", "_on_stuck", "_open", "_watchdog")

    def __init__(
        self, guard: OpenGuard, limit: timedelta, watchdog: Watchdog, on_stuck: Callable[[], None]
    ) -> None:
        self._open = guard
        self._limit = limit
        self._watchdog = watchdog
        self._on_stuck = on_stuck

    def __enter__(self) -> None:
        self._guard = self._open.limited = ThreadGuard()
        self._watchdog.watch(Watched(self._guard, self._on_stuck), self._limit)
        self._guard.arm(self._limit)

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            self._guard.disarm()
        except TimeLimitReached:
            self._guard.disarm()
            # What the author raised while the interrupt was on its way tells more than the limit does.
            if error is None:
                raise
        finally:
            self._watchdog.unwatch()
        if isinstance(error, TimeLimitReached) and not error.args:
            error.args = (f"the attempt took longer than its time limit of {self._limit}",)


class _LimitedTask:
    """The body of an async actor, in its task."""

    __slots__ = ("_guard", "_limit", "_open")

    def __init__(self, guard: OpenGuard, limit: timedelta) -> None:
        self._open = guard
        self._limit = limit

    def __enter__(self) -> None:
        self._guard = self._open.limited = LoopGuard()
        self._guard.arm(self._limit)

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._guard.disarm(error)
