"""Invoking other actors, one, several and many, on both transports."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from broker.dead_letters import list_letters, replay
from broker.reopen import Again
from broker.testing import Stage
from tests.support import wait_cast
from tests.support.wait_cast import DAY, WaitListed, diary, trouble
from tests.support.waiting import eventually

MakeStage = Callable[..., Stage]


def result(stage: Stage, actor: str) -> Any:
    """Of the actor's one run, once it is there."""
    return eventually(
        lambda: stage.rows("select result from run where actor = %s and finished_at is not null", (actor,)),
        30,
    )[0][0]


def test_an_invoked_run_gives_its_typed_result(make_stage: MakeStage) -> None:
    stage = make_stage([wait_cast.ask, wait_cast.square])
    stage.publish(WaitListed(numbers=[2, 3]))
    assert result(stage, "wait_cast.ask") == {"square": 13}
    assert diary == ["square 2", "square 3"]
    [(parents, causes, traces)] = stage.rows(
        "select count(*) filter (where c.parent_id = p.id), count(*) filter (where c.causation_id = p.event_id "
        "and c.correlation_id = p.correlation_id), "
        "count(*) filter (where split_part(c.traceparent, '-', 2) = split_part(p.traceparent, '-', 2)) from run p, run c "
        "where p.actor = 'wait_cast.ask' and c.actor = 'wait_cast.square'"
    )
    assert (parents, causes, traces) == (2, 2, 2)


def test_a_child_that_fails_raises_with_its_dead_letter_and_its_replay_changes_nothing(
    make_stage: MakeStage,
) -> None:
    stage = make_stage([wait_cast.ask, wait_cast.square])
    trouble["sevens"] = 1
    stage.publish(WaitListed(numbers=[7, 2]))
    assert result(stage, "wait_cast.ask") == {"square": 4}
    assert "not retriable letter" in diary
    trouble.clear()
    with stage.database.once("test") as connection:
        replay(connection, [letter.id for letter in list_letters(connection)], Again("tester"))
    eventually(lambda: stage.rows("select 1 from run where status = 'failed'") == [])
    stage.drain()
    assert result(stage, "wait_cast.ask") == {"square": 4}


def test_a_child_that_takes_too_long_times_out_and_goes_on(make_stage: MakeStage) -> None:
    stage = make_stage([wait_cast.ask, wait_cast.square])
    trouble["sleepy"] = 1
    stage.publish(WaitListed(numbers=[2]))
    eventually(lambda: stage.rows("select 1 from run where status = 'waiting'")[1:])
    stage.clock.advance(timedelta(hours=2))
    assert result(stage, "wait_cast.ask") == {"square": 0}
    assert "timed out no letter" in diary
    stage.clock.advance(DAY)
    assert result(stage, "wait_cast.square") == {"square": 4}


def test_two_are_invoked_at_once(make_stage: MakeStage) -> None:
    stage = make_stage([wait_cast.ask_two, wait_cast.square])
    stage.publish(WaitListed(numbers=[2, 3]))
    assert result(stage, "wait_cast.ask_two") == {"square": 13}
    assert stage.rows("select name from step where name like 'wait%%'") == [("wait_all",)]


def test_a_failed_child_of_several_fails_the_parent_without_another_try(make_stage: MakeStage) -> None:
    stage = make_stage([wait_cast.ask_two, wait_cast.square])
    trouble["sevens"] = 1
    stage.publish(WaitListed(numbers=[7, 3]))
    eventually(
        lambda: stage.rows("select 1 from run where actor = 'wait_cast.ask_two' and status = 'failed'")
    )
    reasons = stage.rows("select reason from dead_letter order by created_at")
    assert reasons == [("not retriable",), ("invoked run failed",)]


def test_a_task_group_of_a_coroutine_invokes_in_parallel(make_stage: MakeStage) -> None:
    stage = make_stage([wait_cast.ask_async, wait_cast.square])
    stage.publish(WaitListed(numbers=[1, 2, 3]))
    assert result(stage, "wait_cast.ask_async") == {"square": 14}
    assert stage.rows("select attempt from run where actor = 'wait_cast.ask_async'") == [(1,)]


def test_a_fan_out_of_two_hundred_ends_with_right_counts(make_stage: MakeStage) -> None:
    stage = make_stage([wait_cast.fan_out, wait_cast.square], settings={"threads": 8})
    trouble["sevens"] = 1
    numbers = list(range(1, 201))
    stage.publish(WaitListed(numbers=numbers))
    assert result(stage, "wait_cast.fan_out") == {"square": sum(n * n for n in numbers if n % 7)}
    assert "200 done, 28 failed" in diary
    assert stage.rows("select 1 from wait") == []


def test_no_more_children_than_asked_for_are_sent_at_once(make_stage: MakeStage) -> None:
    stage = make_stage([wait_cast.fan_out, wait_cast.square])
    trouble["sleepy"] = 1
    stage.publish(WaitListed(numbers=list(range(7)), at_once=3))
    for children in (3, 6, 7):
        eventually(lambda: len(stage.rows("select 1 from run where parent_id is not null")) == children)  # noqa: B023
        eventually(lambda: not stage.rows("select 1 from run where status = 'running'"))
        stage.drain()
        assert len(stage.rows("select 1 from run where parent_id is not null")) == children
        stage.clock.advance(DAY + timedelta(seconds=1))
    assert result(stage, "wait_cast.fan_out") == {"square": sum(n * n for n in range(7))}


def test_a_child_whose_event_never_became_a_run_counts_as_failed(make_stage: MakeStage) -> None:
    stage = make_stage([wait_cast.fan_out, wait_cast.square])
    trouble["sleepy"] = 1
    stage.publish(WaitListed(numbers=[1]))
    eventually(lambda: stage.rows("select 1 from run where parent_id is not null and status = 'waiting'"))
    stage.rows(
        "with child as (delete from run where parent_id is not null returning event_id) "
        "insert into dead_letter (id, created_at, reason, event_id, error) "
        "select gen_random_uuid(), clock(), 'invalid payload', match_key, 'broken' from wait"
    )
    eventually(lambda: "1 done, 1 failed" in diary)
