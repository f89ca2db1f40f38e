"""What an actor raises to steer its run, and what the engine raises through an actor.

`NonRetriable` and `RetryAfter` are ordinary exceptions: an author may catch them. `Postpone` and everything the engine itself
raises derive from BaseException, so that an `except Exception` in user code cannot swallow a suspension or a fence.
"""

from datetime import datetime, timedelta


class NonRetriable(Exception):  # noqa: N818
    """This event will never succeed: dead-letter it at once, without further attempts."""


class RetryAfter(Exception):  # noqa: N818
    """Retry, but not before `delay`: a timedelta, seconds, an aware datetime, or a Retry-After header (seconds or HTTP date)."""

    def __init__(self, delay: timedelta | float | datetime | str, message: str = "") -> None:
        super().__init__(message or f"retry after {delay}")
        self.delay = delay


class Signal(BaseException):
    """Raised by the engine through user code; never to be swallowed."""


class Postpone(Signal):
    """Run this same attempt later; no attempt is counted."""

    def __init__(self, delay: timedelta, reason: str = "postponed") -> None:
        super().__init__(reason)
        self.delay = delay
        self.reason = reason


class Suspended(Signal):
    """The run waits for `delay` and leaves its body; it will enter it again from the top.

    `awaits` names the steps that it waits for; then it is due when the first of them is, and without a delay perhaps never.
    """

    def __init__(
        self, delay: timedelta | None, reason: str, awaits: tuple[tuple[str, int], ...] = ()
    ) -> None:
        super().__init__(reason)
        self.delay = delay
        self.reason = reason
        self.awaits = awaits


class Fenced(Signal):
    """The run is no longer ours: another worker or a cancellation has taken it. Nothing of this attempt is written."""


class TimeLimitReached(Signal):
    """The attempt has used up its time limit."""
