"""At most n at once per key: who waits, who is next, and what becomes of a slot."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from broker.testing import Stage
from ops.boot import App
from ops.evidence import look
from ops.explain import explain
from tests.support import flow_cast
from tests.support.flow_cast import (
    FlowAsked,
    FlowOrdered,
    FlowPaced,
    FlowShared,
    FlowSlept,
    diary,
    gate,
    trouble,
)
from tests.support.waiting import eventually

MakeStage = Callable[..., Stage]
WAITING = "select event->>'name' from run where status = 'waiting' and reason = 'concurrency' order by id"


def waiting(stage: Stage) -> list[str]:
    return [name for (name,) in stage.rows(WAITING)]


def in_its_place(stage: Stage, name: str) -> None:
    """Wait until it runs or waits, so that the next one comes after it."""
    eventually(lambda: name in diary or name in waiting(stage))


def claimed(stage: Stage, name: str) -> bool:
    return stage.rows("select count(*) from run where event->>'name' = %s", (name,)) == [(1,)]


def finished(stage: Stage, name: str) -> bool:
    return stage.rows("select status from run where event->>'name' = %s", (name,)) == [("completed",)]


def told(lines: int) -> bool:
    return len(diary) == lines


def test_the_excess_of_a_key_waits_and_other_keys_do_not(make_stage: MakeStage) -> None:
    stage = make_stage([flow_cast.ask])
    for name in ("a", "b", "c", "d"):
        stage.publish(FlowAsked(name=name))
        in_its_place(stage, name)
    stage.publish(FlowAsked(name="other", key="free"))
    eventually(lambda: sorted(diary) == ["a", "b", "other"])
    assert waiting(stage) == ["c", "d"]
    gate("a").set()
    eventually(lambda: sorted(diary) == ["a", "b", "c", "other"])
    for name in ("b", "c", "d", "other"):
        gate(name).set()
    stage.drain()
    assert diary.index("c") < diary.index("d")
    assert stage.rows("select count(*) from limit_slot") == [(0,)]
    assert stage.rows("select distinct status, attempt from run") == [("completed", 1)]


def test_a_higher_priority_goes_first_among_the_waiting(make_stage: MakeStage) -> None:
    stage = make_stage([flow_cast.ask])
    for name, rank in (("x", 0), ("y", 0), ("low", -1), ("normal", 0), ("high", 5)):
        stage.publish(FlowAsked(name=name, rank=rank))
        in_its_place(stage, name)
    for name in ("x", "high", "normal"):
        gate(name).set()
        eventually(partial(claimed, stage, name))
    gate("low").set()
    gate("y").set()
    stage.drain()
    assert [name for name in diary if name not in ("x", "y")] == ["high", "normal", "low"]


def test_actors_that_name_a_scope_share_its_slots(make_stage: MakeStage) -> None:
    stage = make_stage([flow_cast.share, flow_cast.share_too])
    stage.publish(FlowAsked(name="one"))
    eventually(lambda: diary == ["share one"])
    stage.publish(FlowShared(name="two"))
    eventually(lambda: waiting(stage) == ["two"])
    gate("share one").set()
    eventually(lambda: diary == ["share one", "share_too two"])
    gate("share_too two").set()
    stage.drain()


def test_a_sleeping_run_holds_no_slot(make_stage: MakeStage) -> None:
    stage = make_stage([flow_cast.sleep_between])
    stage.publish(FlowSlept(name="one"))
    stage.publish(FlowSlept(name="two"))
    stage.drain()
    assert sorted(diary) == ["one begins", "two begins"]
    stage.clock.advance(timedelta(hours=1, seconds=1))
    eventually(lambda: sorted(diary)[0:4:2] == ["one begins", "two begins"] and len(diary) == 4)
    stage.drain()
    assert stage.rows("select count(*) from limit_slot") == [(0,)]


def test_ordered_runs_keep_their_place_while_they_retry(make_stage: MakeStage) -> None:
    stage = make_stage([flow_cast.order])
    trouble["a"] = 2
    trouble["lost"] = 1
    for name in ("a", "lost", "b"):
        stage.publish(FlowOrdered(name=name))
        eventually(partial(claimed, stage, name))
    stage.drain()
    assert diary == ["a 1", "a 2", "a 3", "lost 1", "b 1"]
    assert stage.rows("select count(*) from limit_slot") == [(0,)]


def test_a_throttled_run_does_not_keep_the_slot_from_others(make_stage: MakeStage) -> None:
    stage = make_stage([flow_cast.pace])
    for name in ("one", "two", "three"):
        stage.publish(FlowPaced(name=name))
    stage.drain()
    assert len(diary) == 1
    assert stage.rows("select count(*) from limit_slot") == [(0,)]
    assert stage.rows("select reason, count(*) from run where status = 'waiting' group by 1") == [
        ("throttle", 2)
    ]
    for so_far in (2, 3):
        stage.clock.advance(timedelta(hours=1, seconds=2))
        eventually(partial(told, so_far))
        stage.drain()


def test_a_raised_limit_and_a_lost_wake_up_are_found_by_the_sweep(make_stage: MakeStage) -> None:
    stage = make_stage([flow_cast.ask])
    for name in ("a", "b", "c"):
        stage.publish(FlowAsked(name=name))
        in_its_place(stage, name)
    stage.rows("update limit_concurrency set cap = 3")
    stage.clock.advance(timedelta(minutes=1))
    eventually(lambda: "c" in diary)
    for name in ("a", "b", "c"):
        gate(name).set()
    stage.drain()
    stage.rows(
        "insert into limit_slot (run_id, scope, key, priority, state, ordered, queue, wake, since) "
        "select id, 'actor:flow_cast.ask', 'k', 0, 'running', false, 'x', gen_random_uuid(), clock() from run"
    )
    stage.publish(FlowAsked(name="late"))
    gate("late").set()
    stage.clock.advance(timedelta(minutes=1))
    eventually(lambda: "late" in diary)
    stage.drain()


def test_why_tells_whom_a_run_waits_for(make_stage: MakeStage) -> None:
    stage = make_stage([flow_cast.share])
    for name in ("first", "second", "third"):
        stage.publish(FlowAsked(name=name), id=name)
        eventually(lambda name=name: f"share {name}" in diary or name in waiting(stage))  # type: ignore[misc]
    with stage.database.once("test") as connection:
        [second] = explain(look(connection, stage.settings, App(), "second"))
        [third] = explain(look(connection, stage.settings, App(), "third"))
    [(holder,)] = stage.rows("select id from run where status = 'running'")
    assert second.why == f"run {holder} has the slot of key 'k'; it is the next, and starts when one ends"
    assert "1 run is ahead of it" in third.why
