"""Retrying one call in place, with the same Backoff that actors use.

    page = retrying(SCRAPER, fetch, url)
    page = await retrying_async(SCRAPER, fetch, url)

It holds its thread while it waits. A durable wait is a step with `retry=` of its own.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ParamSpec, TypeVar

from broker.backoff import Backoff, Random, next_delay

P = ParamSpec("P")
T = TypeVar("T")


def _now() -> datetime:
    return datetime.now(UTC)


def _sleep(delay: timedelta) -> None:
    time.sleep(delay.total_seconds())


async def _sleep_async(delay: timedelta) -> None:
    await asyncio.sleep(delay.total_seconds())


@dataclass(frozen=True, slots=True)
class Retrying:
    """A backoff with the clock it waits by. Tests give their own `sleep`, `now` and `random`.

    Every Exception is tried again but NonRetriable; RetryAfter waits what it says. What is no Exception (a
    suspension, a cancellation) passes at once. The last error is raised as it is, with a note on the
    attempts."""

    backoff: Backoff
    sleep: Callable[[timedelta], None] = _sleep
    sleep_async: Callable[[timedelta], Awaitable[None]] = _sleep_async
    now: Callable[[], datetime] = _now
    random: Random = random.random

    def call(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        attempt = 1
        while True:
            try:
                return fn(*args, **kwargs)
            except Exception as error:
                delay = self._delay(attempt, error)
                if delay is None:
                    raise
            self.sleep(delay)
            attempt += 1

    async def call_async(self, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        attempt = 1
        while True:
            try:
                return await fn(*args, **kwargs)
            except Exception as error:
                delay = self._delay(attempt, error)
                if delay is None:
                    raise
            await self.sleep_async(delay)
            attempt += 1

    def _delay(self, attempt: int, error: Exception) -> timedelta | None:
        delay = next_delay(self.backoff, attempt, error, now=self.now(), random=self.random)
        if delay is None and attempt > 1:
            error.add_note(f"gave up after {attempt} attempts")
        return delay


def retrying(backoff: Backoff, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `fn(*args, **kwargs)` until it returns, as often as the backoff allows. Raises its last error."""
    return Retrying(backoff).call(fn, *args, **kwargs)


async def retrying_async(
    backoff: Backoff, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """`retrying` for coroutine functions."""
    return await Retrying(backoff).call_async(fn, *args, **kwargs)
