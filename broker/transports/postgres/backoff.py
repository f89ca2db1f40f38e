"""How long to wait before the next try to reach PostgreSQL: 0.1 s, doubling to 5 s, with jitter."""

import random
from datetime import timedelta

FIRST = timedelta(milliseconds=100)
"""A restart of PostgreSQL takes 0.2 s: the second or third try finds it again."""
LONGEST = timedelta(seconds=5)
"""An outage of hours costs a try every few seconds, and its end is noticed at once by human measure."""


class Backoff:
    """The tries of one connection. Half of each delay is drawn: workers do not return as one."""

    def __init__(self) -> None:
        self._tries = 0

    def next(self) -> timedelta:
        """The delay before the next try."""
        delay = min(FIRST * (1 << min(self._tries, 10)), LONGEST)
        self._tries += 1
        return delay * random.uniform(0.5, 1)  # noqa: S311  jitter, no secret

    def reset(self) -> None:
        """A try has succeeded."""
        self._tries = 0
