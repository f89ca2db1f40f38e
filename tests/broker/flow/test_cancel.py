"""Cancel: whatever a run is doing, it ends at once as `cancelled`, and nothing that it still does counts."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from broker.cancel import Verdict, cancel
from broker.reopen import Again, rerun
from broker.testing import Stage
from tests.support import cancel_cast
from tests.support.cancel_cast import HOUR, CancelBegun, CancelReady, diary
from tests.support.flow_cast import gate
from tests.support.waiting import eventually

MakeStage = Callable[..., Stage]
STATUSES = "select event->>'name', status from run order by id"
STAGEHAND = "create table stagehand (n int)"


def id_of(stage: Stage, name: str) -> UUID:
    """Of the run of the event with this name, once it is claimed."""
    found = eventually(lambda: stage.rows("select id from run where event->>'name' = %s", (name,)))
    id: UUID = found[0][0]
    return id


def stop(stage: Stage, *names: str, reason: str | None = None) -> list[Verdict]:
    ids = [id_of(stage, name) for name in names]
    with stage.database.once("test") as connection:
        return cancel(connection, stage.broker.topology(), ids, "tester", reason)


def left_over(stage: Stage) -> list[Any]:
    """Whatever is kept for live runs only."""
    return stage.rows(
        "select 'wait' from wait union all select 'slot' from limit_slot union all select 'watch' from cancel_watch "
        "union all select 'cancellation' from cancellation"
    )


@pytest.mark.parametrize("how", ["sleeps", "waits", "fails", "postpones"])
def test_a_run_that_waits_ends_at_once_and_nothing_wakes_it(make_stage: MakeStage, how: str) -> None:
    stage = make_stage([cancel_cast.rest])
    stage.publish(CancelBegun(name="a", how=how))
    eventually(lambda: stage.rows("select 1 from run where status in ('waiting', 'retrying')"))
    [verdict] = stop(stage, "a", reason="wrong shop")
    assert verdict.cancelled
    assert stage.rows("select status, reason, wake, due_at, finished_at is not null from run") == [
        ("cancelled", "cancelled by tester: wrong shop", None, None, True)
    ]
    stage.publish(CancelReady(name="a"))
    stage.clock.advance(2 * HOUR)
    stage.drain()
    assert diary == ["a begins"]
    eventually(lambda: not left_over(stage))
    assert stage.rows("select who, what, details->>'reason' from audit") == [
        ("tester", "cancel", "wrong shop")
    ]


def test_what_is_over_and_what_is_unknown_is_said_so(make_stage: MakeStage) -> None:
    stage = make_stage([cancel_cast.rest])
    for name, how in (("done", ""), ("asleep", "sleeps")):
        stage.publish(CancelBegun(name=name, how=how))
    stage.drain()
    done, asleep, nobody = id_of(stage, "done"), id_of(stage, "asleep"), uuid4()
    with stage.database.once("test") as connection:
        first = cancel(connection, stage.broker.topology(), [done, asleep, nobody], "tester")
        again = cancel(connection, stage.broker.topology(), [asleep], "tester")
    assert first == [Verdict(done, "completed"), Verdict(asleep, "waiting"), Verdict(nobody, None)]
    assert [verdict.cancelled for verdict in (*first, *again)] == [False, True, False, False]
    assert again == [Verdict(asleep, "cancelled")]


def test_a_running_coroutine_is_stopped_where_it_awaits(make_stage: MakeStage) -> None:
    stage = make_stage([cancel_cast.linger])
    stage.rows(STAGEHAND)
    stage.publish(CancelBegun(name="a"))
    eventually(lambda: diary == ["a awaits"])
    stop(stage, "a")
    eventually(lambda: diary == ["a awaits", "a stopped"])
    stage.drain()
    eventually(lambda: not left_over(stage))
    assert stage.rows("select n from stagehand") == []
    assert stage.rows("select status, attempt from run") == [("cancelled", 1)]
    assert stage.rows("select 1 from attempt") == []


def test_a_coroutine_that_swallows_its_end_is_stopped_by_its_next_verb(make_stage: MakeStage) -> None:
    stage = make_stage([cancel_cast.linger])
    stage.rows(STAGEHAND)
    stage.publish(CancelBegun(name="a", how="swallows"))
    eventually(lambda: diary == ["a awaits"])
    stop(stage, "a")
    eventually(lambda: not stage.rows("select 1 from cancellation"))
    stage.drain()
    assert diary == ["a awaits", "a stopped", "swallowed"]


@pytest.mark.parametrize("how", ["steps", ""])
def test_a_running_thread_writes_nothing_afterwards(make_stage: MakeStage, how: str) -> None:
    stage = make_stage([cancel_cast.labour], settings={"threads": 1})
    stage.rows(STAGEHAND)
    stage.publish(CancelBegun(name="a", how=how))
    eventually(lambda: "a" in diary)
    stop(stage, "a")
    gate("next").set()
    stage.publish(CancelBegun(name="next"))
    gate("a").set()
    eventually(lambda: ("next", "completed") in stage.rows(STATUSES))
    assert stage.rows(STATUSES) == [("a", "cancelled"), ("next", "completed")]
    assert "a second" not in diary
    assert stage.rows("select 1 from step where run_id = %s", (id_of(stage, "a"),)) == []
    assert stage.rows("select count(*) from stagehand") == [(1,)]
    stage.drain()


def test_a_run_that_waits_for_a_thread_never_enters_its_body(make_stage: MakeStage) -> None:
    stage = make_stage([cancel_cast.labour], settings={"threads": 1})
    stage.rows(STAGEHAND)
    for name in ("a", "b"):
        stage.publish(CancelBegun(name=name))
        id_of(stage, name)
    eventually(lambda: diary)
    [running] = diary
    [other] = {"a", "b"} - {running}
    stop(stage, other)
    eventually(lambda: stage.rows("select 1 from cancellation") == [])
    gate(running).set()
    stage.drain()
    assert diary == [running, f"{running} ends"]
    assert sorted(stage.rows(STATUSES)) == sorted([(other, "cancelled"), (running, "completed")])


def test_the_slot_of_a_cancelled_run_starts_the_next_one(make_stage: MakeStage) -> None:
    stage = make_stage([cancel_cast.queue_up])
    for name in ("a", "b", "c"):
        stage.publish(CancelBegun(name=name))
        eventually(lambda name=name: name in diary or (name, "waiting") in stage.rows(STATUSES))  # type: ignore[misc]
    assert diary == ["a"]
    stop(stage, "b")
    stop(stage, "a")
    eventually(lambda: diary == ["a", "c"])
    gate("a").set()
    gate("c").set()
    stage.drain()
    assert stage.rows(STATUSES) == [("a", "cancelled"), ("b", "cancelled"), ("c", "completed")]
    eventually(lambda: not left_over(stage))


def test_a_cancelled_run_gives_its_idempotency_key_back(make_stage: MakeStage) -> None:
    stage = make_stage([cancel_cast.once])
    stage.publish(CancelBegun(name="a", how="sleeps"))
    stage.drain()
    stop(stage, "a")
    for name in ("b", "c"):
        stage.publish(CancelBegun(name=name))
        stage.drain()
    assert diary == ["a", "b"]
    assert stage.rows(STATUSES) == [("a", "cancelled"), ("b", "completed"), ("c", "skipped")]


def test_a_cancelled_run_can_be_run_again(make_stage: MakeStage) -> None:
    stage = make_stage([cancel_cast.rest])
    stage.publish(CancelBegun(name="a", how="waits"))
    eventually(lambda: stage.rows("select 1 from wait"))
    stop(stage, "a")
    with stage.database.once("test") as connection:
        rerun(connection, id_of(stage, "a"), Again("tester", steps=False))
    stage.publish(CancelReady(name="a"))
    eventually(lambda: diary[-1] == "a ends")
    stage.drain()
    assert stage.rows("select status, rerun from run") == [("completed", 1)]


def test_children_are_cancelled_with_their_parent_and_none_is_sent_any_more(make_stage: MakeStage) -> None:
    stage = make_stage([cancel_cast.delegate, cancel_cast.assist])
    stage.publish(CancelBegun(name="p"))
    eventually(lambda: len(stage.rows("select 1 from run where status = 'waiting'")) == 3)
    stop(stage, "p")
    eventually(lambda: stage.rows("select distinct status from run") == [("cancelled",)])
    stage.drain()
    stage.clock.advance(2 * HOUR)
    stage.drain()
    eventually(lambda: not left_over(stage))
    assert sorted(diary) == ["assists p0", "assists p1"]
    parent = id_of(stage, "p")
    assert stage.rows("select distinct reason from run where parent_id is not null") == [
        (f"cancelled by tester: with its parent {parent}",)
    ]


def test_a_parent_hears_that_its_child_was_cancelled(make_stage: MakeStage) -> None:
    stage = make_stage([cancel_cast.rely, cancel_cast.assist])
    stage.publish(CancelBegun(name="p"))
    children = "select id from run where parent_id is not null and status = 'waiting'"
    [(child,)] = eventually(lambda: stage.rows(children))
    with stage.database.once("test") as connection:
        cancel(connection, stage.broker.topology(), [child], "tester", "too dear")
    eventually(lambda: diary[1:] == ["cancelled: cancelled by tester: too dear"])
    stage.drain()
    assert stage.rows("select status from run order by id") == [("completed",), ("cancelled",)]
