"""Several worker processes, wrong about the time and mortal: each slot of two days is still one event, performed once."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from broker.database import Database
from ops.chaos import timekeeping
from ops.chaos.seams import CRASHED
from ops.chaos.timekeeping import tick_faults
from tests.support.trial_fleet import prepared, ready, worker
from tests.support.waiting import eventually

BERLIN = ZoneInfo("Europe/Berlin")
IN_SPRING = datetime(2027, 3, 27, 12, 1, tzinfo=BERLIN)
IN_AUTUMN = datetime(2027, 10, 30, 12, 1, tzinfo=BERLIN)
HOUR = timedelta(hours=1)
AHEAD, BEHIND = ("--clock", "3600"), ("--clock", "-3600")


def whole(database: Database, since: datetime) -> None:
    """Waits until every slot has its one effect."""

    def found() -> bool:
        faults: Sequence[str] = tick_faults(database, since)
        assert faults == []
        return True

    eventually(found, 60, every=0.05)


def newest_id_ahead_of_us(database: Database) -> timedelta:
    """The ids of runs are made by the workers' own clocks."""
    with database.once("test") as connection:
        moments: list[int] = [id.int >> 80 for (id,) in connection.execute("select id from run").fetchall()]
    return timedelta(seconds=max(moments) / 1000 - time.time())


@pytest.mark.parametrize(("wrong", "by"), [(AHEAD, HOUR), (BEHIND, -HOUR)], ids=["ahead", "behind"])
def test_a_worker_that_is_wrong_about_the_time_is_wrong_indeed(
    wrong: Sequence[str], by: timedelta, amqp: str, database: Database
) -> None:
    """What the tests below rely on: there, one worker may happen to perform every tick."""
    prepared(database)
    clock = timekeeping.prepare(database, IN_SPRING)
    with worker(database.url, amqp, "--schedules", *wrong) as alone:
        ready(alone)
        clock.advance(HOUR)
        whole(database, IN_SPRING)
    assert abs(newest_id_ahead_of_us(database) - by) < timedelta(minutes=10)


@pytest.mark.parametrize("begin", [IN_SPRING, IN_AUTUMN], ids=["spring", "autumn"])
def test_workers_an_hour_ahead_and_behind_tick_each_slot_of_two_days_once(
    begin: datetime, amqp: str, database: Database
) -> None:
    prepared(database)
    clock = timekeeping.prepare(database, begin)
    with ExitStack() as stack:
        for wrong in (AHEAD, BEHIND, ()):
            ready(stack.enter_context(worker(database.url, amqp, "--schedules", *wrong)))
        for _ in range(16):
            clock.advance(3 * HOUR)
            whole(database, begin)


def test_a_leader_that_dies_between_a_tick_and_its_event_loses_and_doubles_nothing(
    amqp: str, database: Database
) -> None:
    prepared(database)
    clock = timekeeping.prepare(database, IN_SPRING)
    with worker(database.url, amqp, "--schedules", "--crash", "after a tick:3") as doomed:
        ready(doomed)
        with (
            worker(database.url, amqp, "--schedules", *AHEAD) as one,
            worker(database.url, amqp, "--schedules", *BEHIND) as other,
        ):
            ready(one)
            ready(other)
            clock.advance(24 * HOUR)
            assert doomed.wait(30) == CRASHED
            whole(database, IN_SPRING)
            clock.advance(HOUR)
            whole(database, IN_SPRING)


def test_leaders_killed_at_any_moment_lose_and_double_nothing(amqp: str, database: Database) -> None:
    prepared(database)
    clock = timekeeping.prepare(database, IN_AUTUMN)
    with ExitStack() as stack:
        crew = [stack.enter_context(worker(database.url, amqp, "--schedules")) for _ in range(4)]
        for each in crew:
            ready(each)
        for doomed in crew[:-1]:
            for _ in range(4):
                clock.advance(2 * HOUR)
            doomed.kill()
            clock.advance(HOUR)
        whole(database, IN_AUTUMN)
