"""What cancels a run but a person: a newer run of its key, and an event."""

from collections.abc import Callable

import psycopg

from broker.testing import Stage
from tests.support import cancel_cast
from tests.support.cancel_cast import HOUR, CancelBegun, CancelStopped, diary
from tests.support.waiting import eventually

MakeStage = Callable[..., Stage]
OUTCOMES = "select event->>'name', status, reason from run order by id"
NEWER = "cancelled by a newer run of its key"


def test_a_newer_run_of_a_key_cancels_the_older_one_whatever_that_does(make_stage: MakeStage) -> None:
    stage = make_stage([cancel_cast.latest])
    stage.publish(CancelBegun(name="other", how="sleeps", key="free"))
    stage.publish(CancelBegun(name="a", how="sleeps"))
    stage.drain()
    stage.publish(CancelBegun(name="b", how="awaits"))
    eventually(lambda: "b awaits" in diary)
    stage.publish(CancelBegun(name="c"))
    eventually(lambda: "b stopped" in diary and "c ends" in diary)
    stage.drain()
    told = stage.rows(OUTCOMES)
    assert [(name, status) for name, status, _ in told if name != "other"] == [
        ("a", "cancelled"), ("b", "cancelled"), ("c", "completed"),
    ]  # fmt: skip
    assert {reason for _, status, reason in told if status == "cancelled"} == {NEWER}
    assert ("other", "waiting") in [row[:2] for row in told]
    assert stage.rows("select 1 from limit_slot") == []


def test_of_many_at_the_same_time_the_newest_is_left(make_stage: MakeStage) -> None:
    stage = make_stage([cancel_cast.latest])
    stage.publisher.publish_many([CancelBegun(name=f"n{n}", how="sleeps") for n in range(30)])
    eventually(lambda: len(stage.rows("select 1 from run")) == 30)
    stage.drain()
    assert stage.rows("select status, count(*) from run group by 1 order by 1") == [
        ("cancelled", 29), ("waiting", 1),
    ]  # fmt: skip
    assert stage.rows("select status from run order by id desc limit 1") == [("waiting",)]


def test_an_older_run_that_is_being_written_is_not_waited_for(make_stage: MakeStage) -> None:
    stage = make_stage([cancel_cast.latest])
    stage.publish(CancelBegun(name="a", how="sleeps"))
    stage.drain()
    with psycopg.connect(stage.database.url) as other:
        other.execute(f"select 1 from {stage.database.schema}.run for no key update".encode())
        stage.publish(CancelBegun(name="b"))
        eventually(lambda: ("b", "waiting", "singleton") in stage.rows(OUTCOMES))
        assert diary == []
    stage.clock.advance(HOUR / 60)
    eventually(lambda: diary == ["b ends"])
    assert ("a", "cancelled", NEWER) in stage.rows(OUTCOMES)


def test_an_event_cancels_the_runs_that_it_fits_waiting_or_running(make_stage: MakeStage) -> None:
    stage = make_stage([cancel_cast.heed])
    for name, how in (("a", "sleeps"), ("b", "awaits"), ("c", "sleeps")):
        stage.publish(CancelBegun(name=name, how=how))
    eventually(lambda: stage.rows("select 1 from run where status = 'waiting'")[1:] and "b awaits" in diary)
    for name in ("a", "b", "nobody"):
        stage.publish(CancelStopped(name=name))
    eventually(lambda: "b stopped" in diary)
    stage.drain()
    eventually(lambda: len(stage.rows("select 1 from run where status = 'cancelled'")) == 2)
    assert sorted(row for row in stage.rows(OUTCOMES) if row[1] == "cancelled") == [
        ("a", "cancelled", "cancelled by cancel.stopped"), ("b", "cancelled", "cancelled by cancel.stopped"),
    ]  # fmt: skip
    assert stage.rows("select 1 from audit") == []
    stage.clock.advance(2 * HOUR)
    eventually(lambda: "c ends" in diary)
    stage.drain()
    eventually(lambda: not stage.rows("select 1 from cancel_watch union all select 1 from cancellation"))


def test_an_event_that_came_before_the_claim_is_not_meant(make_stage: MakeStage) -> None:
    stage = make_stage([cancel_cast.heed])
    stage.publish(CancelStopped(name="a"))
    eventually(lambda: stage.rows("select 1 from event"))
    stage.publish(CancelBegun(name="a", how="sleeps"))
    stage.drain()
    assert stage.rows("select status from run") == [("waiting",)]
    stage.publish(CancelStopped(name="a", why="now"))
    eventually(lambda: stage.rows("select status from run") == [("cancelled",)])


def test_a_run_that_is_over_is_cancelled_by_no_event(make_stage: MakeStage) -> None:
    stage = make_stage([cancel_cast.heed])
    stage.publish(CancelBegun(name="a"))
    stage.drain()
    stage.publish(CancelStopped(name="a"))
    eventually(lambda: stage.rows("select 1 from event"))
    stage.drain()
    assert stage.rows("select status from run") == [("completed",)]
    assert stage.rows("select 1 from cancel_watch") == []
