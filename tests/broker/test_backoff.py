"""Backoff: delays, presets, and what Retry-After may say."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.backoff import (
    AI_API,
    DEFAULT,
    EMAIL,
    NO_RETRY,
    SALLA_API,
    SCRAPER,
    Backoff,
    Jitter,
    next_delay,
    retry_after,
)
from broker.errors import ConfigurationError
from broker.signals import NonRetriable, RetryAfter

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


BACKOFFS = st.builds(
    lambda low, more, factor, jitter, attempts: Backoff(
        low, low + more, factor, cast("Jitter", jitter), attempts
    ),
    st.timedeltas(timedelta(0), timedelta(days=1)),
    st.timedeltas(timedelta(0), timedelta(days=30)),
    st.floats(1, 1e6),
    st.sampled_from(["full", "equal", "none"]),
    st.integers(1, 1000),
)


@given(backoff=BACKOFFS, retry=st.integers(0, 10_000), drawn=st.floats(0, 1, exclude_max=True))
def test_a_delay_stays_in_its_bounds(backoff: Backoff, retry: int, drawn: float) -> None:
    ceiling = backoff.ceiling(retry)
    lowest = {"full": timedelta(0), "equal": ceiling / 2, "none": ceiling}[backoff.jitter]

    # A microsecond is what a timedelta rounds to.
    assert lowest - timedelta.resolution <= backoff.delay(retry, lambda: drawn) <= ceiling <= backoff.max
    assert ceiling <= backoff.ceiling(retry + 1) or backoff.min == timedelta(0)
    assert ceiling >= min(backoff.min, backoff.max)


def test_the_delay_doubles_until_its_cap() -> None:
    backoff = Backoff(seconds(1), seconds(30), jitter="none", attempts=9)

    assert [backoff.delay(retry).total_seconds() for retry in range(8)] == [1, 2, 4, 8, 16, 30, 30, 30]


def test_full_jitter_draws_from_nothing_to_the_delay_and_equal_from_its_half() -> None:
    full = Backoff(seconds(4), seconds(4))
    equal = Backoff(seconds(4), seconds(4), jitter="equal")

    assert (full.delay(0, lambda: 0.0), full.delay(0, lambda: 0.5)) == (seconds(0), seconds(2))
    assert (equal.delay(0, lambda: 0.0), equal.delay(0, lambda: 0.5)) == (seconds(2), seconds(3))


@pytest.mark.parametrize(
    ("preset", "attempts", "low", "high", "jitter"),
    [
        (SALLA_API, 5, 1, 30, "full"),
        (SCRAPER, 3, 5, 60, "full"),
        (AI_API, 3, 0.5, 10, "full"),
        (DEFAULT, 5, 1, 300, "full"),
        (NO_RETRY, 1, 0, 0, "none"),
    ],
)
def test_presets_are_what_the_applications_asked_for(
    preset: Backoff, attempts: int, low: float, high: float, jitter: Jitter
) -> None:
    assert preset == Backoff(seconds(low), seconds(high), 2, jitter, attempts)


def test_email_waits_exactly_1_2_4_8_16_seconds() -> None:
    assert [EMAIL.delay(retry).total_seconds() for retry in range(EMAIL.retries)] == [1, 2, 4, 8, 16]
    assert [EMAIL.with_attempts(4).delay(retry).total_seconds() for retry in range(3)] == [1, 2, 4]
    assert EMAIL.with_attempts(4).retries == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min": seconds(-1)}, "min must not be negative"),
        ({"max": seconds(0.5)}, "max must not be shorter"),
        ({"factor": 0.5}, "factor"),
        ({"factor": float("nan")}, "factor"),
        ({"factor": float("inf")}, "factor"),
        ({"jitter": "some"}, "jitter must be"),
        ({"attempts": 0}, "attempts must be at least 1"),
        ({"min": 1}, "timedeltas"),
    ],
)
def test_a_backoff_that_makes_no_sense_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Backoff(**{"min": seconds(1), "max": seconds(2), **arguments})  # type: ignore[arg-type]  # pyright: ignore


def test_retries_count_from_0() -> None:
    with pytest.raises(ValueError, match="from 0"):
        DEFAULT.delay(-1)


@pytest.mark.parametrize(
    ("value", "delay"),
    [
        (seconds(7), 7),
        (7, 7),
        (1.5, 1.5),
        ("120", 120),
        (" 1.5 ", 1.5),
        (0, 0),
        (-3, 0),
        (NOW + seconds(30), 30),
        (NOW - seconds(30), 0),
        (datetime(2026, 11, 22, 14, 0, 5, tzinfo=timezone(timedelta(hours=2))), 5),
        ("Sun, 22 Nov 2026 12:01:00 GMT", 60),
        ("Sunday, 22-Nov-26 12:01:00 GMT", 60),
        ("Sun Nov 22 12:01:00 2026", 60),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0),
    ],
)
def test_every_form_of_retry_after_is_understood(
    value: timedelta | float | datetime | str, delay: float
) -> None:
    assert retry_after(value, NOW) == seconds(delay)


@pytest.mark.parametrize(
    "value",
    [
        *("", "soon", "nan", "inf", "1e30", "Sun, 99 Nov 2026 12:01:00 GMT", "\0", "1" * 5000),
        *(float("nan"), float("inf"), 1e30, True, datetime(2026, 1, 1), None, object()),  # noqa: DTZ001
    ],
)
def test_garbage_in_retry_after_is_an_error(value: object) -> None:
    with pytest.raises(ValueError, match="not a delay") as caught:
        retry_after(cast("str", value), NOW)

    assert len(str(caught.value)) < 200


@given(text=st.text())
def test_no_header_breaks_the_reader(text: str) -> None:
    with suppress(ValueError):
        assert retry_after(text, NOW) >= timedelta(0)


def test_the_next_delay_counts_attempts_from_the_first_try() -> None:
    backoff = Backoff(seconds(1), seconds(30), jitter="none", attempts=3)
    delays = [next_delay(backoff, attempt, OSError()) for attempt in (1, 2, 3, 4)]

    assert delays == [seconds(1), seconds(2), None, None]


def test_what_is_not_retriable_is_not_retried() -> None:
    assert next_delay(DEFAULT, 1, NonRetriable()) is None


def test_retry_after_decides_the_delay_but_not_the_number_of_attempts() -> None:
    assert next_delay(DEFAULT, 1, RetryAfter("90"), now=NOW) == seconds(90)
    assert next_delay(DEFAULT, 5, RetryAfter("90"), now=NOW) is None


def test_a_retry_after_that_says_nonsense_waits_by_the_backoff() -> None:
    assert next_delay(SCRAPER, 1, RetryAfter("soon"), now=NOW, random=lambda: 0.5) == seconds(2.5)
