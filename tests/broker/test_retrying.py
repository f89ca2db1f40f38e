"""Retrying one call in place."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from broker.backoff import EMAIL, NO_RETRY
from broker.retrying import Retrying, retrying, retrying_async
from broker.signals import NonRetriable, Postpone, RetryAfter

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Flaky:
    """Fails with each of the errors, then answers with what it was given."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, word: str, *, mark: str = ".") -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return word + mark

    async def later(self, word: str, *, mark: str = ".") -> str:
        return self(word, mark=mark)


class Waits(list[float]):
    def add(self, delay: timedelta) -> None:
        self.append(delay.total_seconds())

    async def add_async(self, delay: timedelta) -> None:
        self.add(delay)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def patient(waits: Waits) -> Retrying:
    return Retrying(EMAIL, sleep=waits.add, sleep_async=waits.add_async, now=lambda: NOW)


def test_a_call_that_succeeds_is_made_once(patient: Retrying, waits: Waits) -> None:
    flaky = Flaky()

    assert patient.call(flaky, "hi", mark="!") == "hi!"
    assert (flaky.calls, waits) == (1, [])


def test_a_call_is_tried_again_after_each_delay(patient: Retrying, waits: Waits) -> None:
    assert patient.call(Flaky(OSError(), OSError(), OSError()), "hi") == "hi."
    assert waits == [1, 2, 4]


async def test_coroutines_are_tried_again_after_the_same_delays(patient: Retrying, waits: Waits) -> None:
    assert await patient.call_async(Flaky(OSError(), OSError()).later, "hi", mark="?") == "hi?"
    assert waits == [1, 2]


def test_the_last_error_is_raised_with_a_note_on_the_attempts(patient: Retrying, waits: Waits) -> None:
    flaky = Flaky(*(OSError(str(number)) for number in range(9)))

    with pytest.raises(OSError, match="5") as caught:
        patient.call(flaky, "hi")

    assert (flaky.calls, waits) == (6, [1, 2, 4, 8, 16])
    assert caught.value.__notes__ == ["gave up after 6 attempts"]


async def test_the_last_error_of_a_coroutine_is_raised(patient: Retrying) -> None:
    flaky = Flaky(*(OSError(str(number)) for number in range(9)))

    with pytest.raises(OSError, match="5"):
        await patient.call_async(flaky.later, "hi")


@pytest.mark.parametrize("error", [NonRetriable("no"), Postpone(timedelta(1)), KeyboardInterrupt()])
def test_some_errors_are_final_at_once(patient: Retrying, waits: Waits, error: BaseException) -> None:
    flaky = Flaky(error)

    with pytest.raises(type(error)):
        patient.call(flaky, "hi")

    assert (flaky.calls, waits) == (1, [])


def test_retry_after_says_how_long(patient: Retrying, waits: Waits) -> None:
    flaky = Flaky(RetryAfter(7), RetryAfter("Sun, 22 Nov 2026 12:01:00 GMT"), RetryAfter("soon"))

    assert patient.call(flaky, "hi") == "hi."
    assert waits == [7, 60, 4]


@pytest.mark.parametrize("call", [lambda flaky: retrying(NO_RETRY, flaky, "hi")])
def test_the_plain_function_needs_nothing_but_a_backoff(call: Callable[[Flaky], str]) -> None:
    assert call(Flaky()) == "hi."
    with pytest.raises(OSError, match="x"):
        call(Flaky(OSError("x")))


async def test_the_plain_coroutine_needs_nothing_but_a_backoff() -> None:
    assert await retrying_async(NO_RETRY, Flaky().later, "hi") == "hi."
