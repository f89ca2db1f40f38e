"""The one place where a test may wait: for something to become true, never for a while."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

Found = TypeVar("Found")


def eventually(
    predicate: Callable[[], Found], timeout: timedelta | float = 10.0, *, every: float = 0.01
) -> Found:
    """The first true value of `predicate`; AssertionError with its last value after `timeout` (seconds).

    An AssertionError inside the predicate counts as not yet, and becomes the cause at the end.
    """
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    end = time.monotonic() + seconds
    while True:
        reason: AssertionError | None = None
        value: Found | None = None
        try:
            value = predicate()
        except AssertionError as error:
            reason = error
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not true within {seconds} s; the last value was {value!r}") from reason
        time.sleep(every)
