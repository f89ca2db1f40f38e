"""Waiting for events and for times, on both transports, with time moved by the clock."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from broker.retention import Retention
from broker.testing import Stage
from tests.support import wait_cast
from tests.support.wait_cast import (
    DAY,
    WaitCancelled,
    WaitDated,
    WaitOrdered,
    WaitPaid,
    diary,
    now,
    trouble,
)
from tests.support.waiting import eventually

MakeStage = Callable[..., Stage]
HOUR = timedelta(hours=1)
WAITING = "select status from run where status = 'waiting'"


def asleep(stage: Stage, runs: int = 1) -> None:
    """Until so many runs have left their worker to wait, and what they wait for is written."""
    eventually(lambda: len(stage.rows(WAITING)) == runs)


def statuses(stage: Stage) -> list[Any]:
    return [status for (status,) in stage.rows("select status from run order by created_at")]


def test_an_event_wakes_the_run_that_waits_for_it_and_no_other(make_stage: MakeStage) -> None:
    stage = make_stage([wait_cast.ship])
    stage.publish(WaitOrdered(order_id="a"))
    stage.publish(WaitOrdered(order_id="b"))
    asleep(stage, 2)
    stage.publish(WaitPaid(order_id="a", cents=5))
    eventually(lambda: "a 5" in diary)
    stage.drain()
    assert sorted(statuses(stage)) == ["completed", "waiting"]
    assert diary.count("reserved a") == 1
    assert stage.rows("select what, match_key from wait") == [("wait.paid", "order_id=b")]


def test_an_event_that_came_before_the_wait_is_found(make_stage: MakeStage) -> None:
    stage = make_stage([wait_cast.ship])
    stage.publish(WaitOrdered(order_id="a"), delay=HOUR)
    stage.publish(WaitPaid(order_id="a", cents=5))
    eventually(lambda: stage.rows("select 1 from event"))
    stage.clock.advance(HOUR)
    eventually(lambda: "a 5" in diary)


def test_an_event_older_than_the_one_that_started_the_run_is_not_meant(make_stage: MakeStage) -> None:
    stage = make_stage([wait_cast.ship])
    stage.publish(WaitPaid(order_id="a", cents=5))
    eventually(lambda: stage.rows("select 1 from event"))
    stage.publish(WaitOrdered(order_id="a"))
    asleep(stage)
    stage.drain()
    assert statuses(stage) == ["waiting"]


def test_nothing_comes_and_three_days_are_over_in_milliseconds(make_stage: MakeStage) -> None:
    stage = make_stage([wait_cast.ship])
    stage.publish(WaitOrdered(order_id="a"))
    asleep(stage)
    stage.clock.advance(3 * DAY - timedelta(minutes=1))
    stage.drain()
    assert diary == ["reserved a"]
    stage.clock.advance(timedelta(minutes=2))
    stage.drain()
    stage.publish(WaitPaid(order_id="a"))
    stage.drain()
    assert diary == ["reserved a", "a expired"]


def test_an_attempt_that_fails_after_the_wait_has_the_same_event_again(make_stage: MakeStage) -> None:
    stage = make_stage([wait_cast.ship])
    trouble["a"] = 1
    stage.publish(WaitOrdered(order_id="a"))
    asleep(stage)
    stage.publish(WaitPaid(order_id="a", cents=5))
    stage.publish(WaitPaid(order_id="a", cents=6))
    eventually(lambda: statuses(stage) == ["completed"])
    assert diary[1] == diary[2] and diary[1] in ("a 5", "a 6")


def test_the_same_event_twice_is_one_and_a_second_wait_has_the_next(make_stage: MakeStage) -> None:
    stage = make_stage([wait_cast.collect])
    stage.publish(WaitOrdered(order_id="a"))
    asleep(stage)
    for _ in range(3):
        stage.publish(WaitPaid(order_id="a", cents=1), id="one")
    eventually(lambda: stage.rows("select 1 from step where status = 'done'"))
    stage.drain()
    assert statuses(stage) == ["waiting"]
    stage.publish(WaitPaid(order_id="a", cents=2))
    eventually(lambda: diary == ["1 then 2"])


def test_two_events_before_two_waits_are_had_one_after_the_other(make_stage: MakeStage) -> None:
    stage = make_stage([wait_cast.collect])
    stage.publish(WaitOrdered(order_id="a"), delay=HOUR)
    for cents in (1, 2):
        stage.publish(WaitPaid(order_id="a", cents=cents))
        eventually(lambda: len(stage.rows("select 1 from event")) == cents)  # noqa: B023
    stage.clock.advance(HOUR)
    eventually(lambda: diary == ["1 then 2"])


def test_of_two_winners_the_first_stands_in_every_attempt(make_stage: MakeStage) -> None:
    stage = make_stage([wait_cast.decide])
    stage.publish(WaitOrdered(order_id="a"))
    asleep(stage)
    stage.publish(WaitCancelled(id="a"))
    eventually(lambda: diary == ["wait.cancelled"])
    stage.publish(WaitPaid(order_id="a"))
    stage.drain()
    stage.clock.advance(DAY + timedelta(seconds=1))
    stage.drain()
    assert diary == ["wait.cancelled", "wait.cancelled", "slept"]


def test_a_timer_may_come_first(make_stage: MakeStage) -> None:
    stage = make_stage([wait_cast.decide])
    stage.publish(WaitOrdered(order_id="a"))
    asleep(stage)
    stage.clock.advance(3 * DAY + timedelta(seconds=1))
    eventually(lambda: diary == ["late"])
    assert stage.rows("select 1 from wait") == []


def test_parallel_waits_of_a_coroutine_are_all_written_before_it_leaves(make_stage: MakeStage) -> None:
    stage = make_stage([wait_cast.decide_async])
    stage.publish(WaitOrdered(order_id="a"))
    stage.publish(WaitOrdered(order_id="b"))
    asleep(stage, 2)
    assert len(stage.rows("select 1 from wait")) == 4
    stage.publish(WaitPaid(order_id="a", cents=1))
    stage.publish(WaitPaid(order_id="b", cents=2))
    stage.publish(WaitCancelled(id="b"))
    eventually(lambda: diary == ["2 b"])
    stage.drain()
    stage.clock.advance(2 * DAY + timedelta(seconds=1))
    eventually(lambda: diary == ["2 b", "1 kept"])


def test_waiting_for_an_undeclared_type_says_what_to_add(make_stage: MakeStage) -> None:
    stage = make_stage([wait_cast.forgetful])
    stage.publish(WaitOrdered(order_id="a"))
    eventually(lambda: statuses(stage) == ["failed"])
    [(error,)] = stage.rows("select error from dead_letter")
    assert "waits_for=[WaitPaid]" in error


def test_a_moment_is_waited_for_and_a_past_one_is_not(make_stage: MakeStage) -> None:
    stage = make_stage([wait_cast.sleep_until])
    stage.publish(WaitDated(moment=now() - DAY))
    eventually(lambda: diary == ["before", "after"])
    stage.publish(WaitDated(moment=now() + DAY))
    asleep(stage)
    stage.clock.advance(DAY + timedelta(seconds=1))
    eventually(lambda: diary == ["before", "after", "before", "after"])


def test_none_of_many_waits_and_events_at_the_same_time_misses_the_other(make_stage: MakeStage) -> None:
    stage = make_stage([wait_cast.ship], settings={"threads": 8})
    orders = [f"o{n}" for n in range(120)]
    for start in range(0, len(orders), 10):
        some = orders[start : start + 10]
        stage.publisher.publish_many([WaitOrdered(order_id=order) for order in some])
        stage.publisher.publish_many([WaitPaid(order_id=order, cents=1) for order in some])
    eventually(lambda: statuses(stage) == ["completed"] * len(orders), 30)
    assert sorted(word for word in diary if word.endswith(" 1")) == sorted(f"{order} 1" for order in orders)


def test_what_is_past_the_look_back_is_forgotten(make_stage: MakeStage) -> None:
    stage = make_stage([wait_cast.ship])
    stage.publish(WaitPaid(order_id="a"))
    eventually(lambda: stage.rows("select 1 from event"))
    stage.clock.advance(DAY + timedelta(hours=1))
    with stage.database.once("test") as connection:
        Retention(dedup_window=30 * DAY, steps=DAY, look_back=DAY).sweep(connection)
    assert stage.rows("select 1 from event") == []
