"""The policy `time_limit`: what is stopped, what is reported, and what the author gets to see."""

import asyncio
import hashlib
import os
import threading
import time
from datetime import timedelta

import pytest

from broker.middleware.time_limit import TimeLimit
from broker.policies import Policies
from broker.run.asynchronous import AsyncRun
from broker.run.guard import OpenGuard
from broker.run.synchronous import Run
from broker.signals import NonRetriable, TimeLimitReached
from broker.work import Work
from schemas import Event
from tests.support.waiting import eventually
from tests.support.works import work_of

pytestmark = pytest.mark.interrupts

LIMIT = Policies(time_limit=timedelta(milliseconds=50))


class LimitTested(Event, type="tests.limit.tested"):
    pass


def body(event: LimitTested, run: Run) -> None: ...


async def coroutine(event: LimitTested, run: AsyncRun) -> None: ...


def busy() -> None:
    while True:
        sum(range(100))


def limited_work(policies: Policies = LIMIT) -> Work:
    return work_of(body, LimitTested(), policies)


def test_a_busy_body_is_stopped_within_a_second_of_its_limit() -> None:
    began = time.monotonic()

    with (
        pytest.raises(TimeLimitReached, match=r"time limit of 0:00:00\.05"),
        TimeLimit().around(limited_work()),
    ):
        busy()

    assert time.monotonic() - began < 1.05


async def test_an_awaiting_body_is_stopped_within_a_second_of_its_limit() -> None:
    began = time.monotonic()

    with (
        pytest.raises(TimeLimitReached, match="time limit"),
        TimeLimit().around(work_of(coroutine, LimitTested(), LIMIT)),
    ):
        await asyncio.Event().wait()

    assert time.monotonic() - began < 1.05


def test_the_guard_that_the_run_already_holds_is_the_one_that_is_armed() -> None:
    """The run's tools are made before its policies are entered."""
    work = limited_work()
    guard = work.guard
    before = guard.deadline
    with TimeLimit().around(work):
        inside = guard.deadline
    after = guard.deadline

    assert (before, after) == (None, None)
    assert inside is not None
    assert timedelta(0) < inside <= timedelta(milliseconds=50)


def test_an_actor_without_a_limit_starts_no_thread() -> None:
    policy = TimeLimit()
    with policy.around(limited_work(Policies())) as nothing:
        assert nothing is None

    assert not policy._watchdog.running


def test_what_the_author_raises_stands_even_when_the_limit_was_reached() -> None:
    def gives_up() -> None:
        try:
            busy()
        except TimeLimitReached as error:
            raise NonRetriable("too slow to be of use") from error

    with pytest.raises(NonRetriable), TimeLimit().around(limited_work()):
        gives_up()


def test_a_body_stuck_in_c_is_reported_once_and_still_ends_as_time_limit_reached() -> None:
    """OpenSSL's key derivation holds the thread in C for as long as we like, out of any interrupt's reach."""
    reported: list[Work] = []
    policy = TimeLimit(reported.append, stuck_after=timedelta(milliseconds=100))
    work = limited_work()
    raised: list[BaseException] = []

    def stuck() -> None:
        try:
            with policy.around(work):
                hashlib.pbkdf2_hmac("sha256", b"x", b"y", _rounds(seconds=1.5))
        except TimeLimitReached as error:
            raised.append(error)

    thread = threading.Thread(target=stuck)
    thread.start()
    eventually(lambda: reported, 10)
    thread.join()

    assert reported == [work]
    assert len(raised) == 1


def test_a_body_that_only_waits_for_our_code_is_not_stuck() -> None:
    reported: list[Work] = []
    policy = TimeLimit(reported.append, stuck_after=timedelta(0))
    work = limited_work()
    with policy.around(work), work.guard.paused():
        ends = time.monotonic() + 0.3
        while time.monotonic() < ends:
            pass

    assert reported == []


def test_a_forked_child_has_a_watchdog_of_its_own() -> None:
    policy = TimeLimit()
    with policy.around(limited_work()):
        assert policy._watchdog.running

    child = os.fork()
    if child == 0:
        try:
            with policy.around(limited_work()):
                busy()
        except TimeLimitReached:
            os._exit(7)
        finally:
            os._exit(1)

    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7


def test_a_guard_comes_open() -> None:
    assert isinstance(limited_work().guard, OpenGuard)


def _rounds(seconds: float) -> int:
    began = time.perf_counter()
    hashlib.pbkdf2_hmac("sha256", b"x", b"y", 20_000)
    return int(20_000 * seconds / (time.perf_counter() - began))
