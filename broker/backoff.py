"""Backoff: how many attempts something gets, and how long to wait before each retry.

The delay of retry n (n = 0 for the first) is min · factor^n, capped at max; jitter then spreads it. Attempts
count the first try: 5 attempts are 4 retries."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal, Self

from broker.errors import ConfigurationError
from broker.signals import NonRetriable, RetryAfter

Jitter = Literal["full", "equal", "none"]
Random = Callable[[], float]
"""Draws from [0, 1)."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """`full` jitter draws uniformly from 0 to the delay, `equal` from its half to the whole, `none` keeps it
    exact.

    Raises ConfigurationError for values that make no sense."""

    min: timedelta
    max: timedelta
    factor: float = 2
    jitter: Jitter = "full"
    attempts: int = 5

    def __post_init__(self) -> None:
        if not (_is_delay(self.min) and _is_delay(self.max)):
            raise ConfigurationError(f"Backoff({self.min!r}, {self.max!r}): min and max must be timedeltas")
        faults = [fault for fault, found in self._faults().items() if found]
        if faults:
            raise ConfigurationError(f"{self}: {faults[0]}")

    @property
    def retries(self) -> int:
        return self.attempts - 1

    def with_attempts(self, attempts: int) -> Self:
        """The same delays for another number of attempts."""
        return replace(self, attempts=attempts)

    def ceiling(self, retry: int) -> timedelta:
        """The delay of this retry, from 0, before jitter."""
        if retry < 0:
            raise ValueError(f"retries count from 0, not {retry}")
        if not self.min:
            return timedelta(0)
        # In logarithms, because factor ** 5000 is no float.
        if retry * math.log(self.factor) >= math.log(self.max / self.min):
            return self.max
        return min(self.min * self.factor**retry, self.max)

    def delay(self, retry: int, random: Random = random.random) -> timedelta:
        """How long to wait before this retry, from 0."""
        ceiling = self.ceiling(retry)
        if self.jitter == "full":
            return ceiling * random()
        if self.jitter == "equal":
            return ceiling * (0.5 + random() / 2)
        return ceiling

    def _faults(self) -> dict[str, bool]:
        return {
            "min must not be negative": self.min < timedelta(0),
            "max must not be shorter than min": self.max < self.min,
            "factor must be a number from 1 on": not (math.isfinite(self.factor) and self.factor >= 1),
            "jitter must be 'full', 'equal' or 'none'": self.jitter not in ("full", "equal", "none"),
            "attempts must be at least 1, the first try": self.attempts < 1,
        }


def _is_delay(value: object) -> bool:
    return isinstance(value, timedelta)


def _seconds(low: float, high: float, attempts: int, jitter: Jitter = "full") -> Backoff:
    return Backoff(timedelta(seconds=low), timedelta(seconds=high), jitter=jitter, attempts=attempts)


SALLA_API = _seconds(1, 30, 5)
"""A provider that limits rates: patient."""
SCRAPER = _seconds(5, 60, 3)
"""Slow answers of other people's sites."""
AI_API = _seconds(0.5, 10, 3)
"""Transient failures of model calls: quick."""
EMAIL = _seconds(1, 16, 6, "none")
"""Exactly 1, 2, 4, 8, 16 s, so that a support desk can say when. Fewer with `with_attempts`."""
NO_RETRY = _seconds(0, 0, 1, "none")
DEFAULT = _seconds(1, 300, 5)
"""The first retries cure a glitch within seconds, four of them outlast a restart; full jitter, because many
runs fail at the same moment and must not come back at the same moment."""


def next_delay(
    backoff: Backoff,
    attempt: int,
    error: BaseException,
    *,
    now: datetime | None = None,
    random: Random = random.random,
) -> timedelta | None:
    """How long to wait after attempt `attempt` (from 1) failed with `error`; None where it must not be tried
    again.

    A RetryAfter waits exactly as long as it says. One that says nonsense waits by the backoff: a provider's
    broken header must not decide what becomes of a run."""
    if isinstance(error, NonRetriable) or attempt >= backoff.attempts:
        return None
    if isinstance(error, RetryAfter):
        try:
            return retry_after(error.delay, now)
        except ValueError:
            pass
    return backoff.delay(attempt - 1, random)


def retry_after(value: timedelta | float | datetime | str, now: datetime | None = None) -> timedelta:
    """What a Retry-After means as a delay from `now` (the current time, unless given); one that is over is 0.

    Takes a timedelta, seconds, an aware datetime, or the header's text: seconds or an HTTP date. Raises
    ValueError for anything else."""
    wait = _wait(value, now)
    if wait is None:
        raise ValueError(f"not a delay: {ascii(value)[:60]}; give seconds, a timedelta, or an aware datetime")
    return max(wait, timedelta(0))


def _wait(value: object, now: datetime | None) -> timedelta | None:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _of_seconds(value)
    moment = value if isinstance(value, datetime) else None
    if isinstance(value, str):
        try:
            return _of_seconds(float(value))
        except ValueError:
            moment = _http_date(value)
    if moment is None or moment.tzinfo is None:
        return None
    return moment - (now or datetime.now(UTC))


def _of_seconds(value: float) -> timedelta | None:
    try:
        return timedelta(seconds=value)
    except (OverflowError, ValueError):
        return None


def _http_date(text: str) -> datetime | None:
    """None if it is none. Without a zone it is UTC: HTTP knows no other."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
