"""Where an attempt is: in user code, where a time limit may interrupt it, or in ours, where nothing may."""

from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

from broker.run.loop_guard import LoopGuard
from broker.run.thread_guard import ThreadGuard

__all__ = ["OpenGuard", "ThreadGuard", "LoopGuard"]

_NOTHING: AbstractContextManager[None] = nullcontext()


class OpenGuard:
    """What stands in a run's tools: nothing is interrupted until a limit is armed, then the limit's own guard answers."""

    __slots__ = ("limited",)

    def __init__(self) -> None:
        self.limited: ThreadGuard | LoopGuard | None = None

    @property
    def deadline(self) -> timedelta | None:
        """What is left of the time limit, never negative; None without one."""
        return None if self.limited is None else self.limited.deadline

    def paused(self) -> AbstractContextManager[None]:
        """Our own code: no interrupt lands here, and the time spent here does not count. May be nested.

        Entering it raises TimeLimitReached if the limit was reached before, unless that is what is being handled.
        """
        return _NOTHING if self.limited is None else self.limited.paused()

    def user_code(self) -> AbstractContextManager[None]:
        """Inside `paused`: user code again, so that what was opened can be closed outside the reach of interrupts."""
        return _NOTHING if self.limited is None else self.limited.user_code()
