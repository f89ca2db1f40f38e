"""The policies that drop, expire or give up: rate limit, singleton, max age, deadline."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from broker.dead_letters import list_letters
from broker.testing import Stage
from tests.support import flow_cast
from tests.support.flow_cast import (
    FlowAged,
    FlowAlone,
    FlowBounded,
    FlowRated,
    FlowRatedAndBounded,
    diary,
    gate,
    trouble,
)
from tests.support.waiting import eventually

MakeStage = Callable[..., Stage]
OUTCOMES = "select event->>'name', status, reason from run order by event->>'name'"


def reasons(stage: Stage) -> list[str]:
    with stage.database.once("test") as connection:
        return sorted(letter.reason for letter in list_letters(connection))


def test_what_exceeds_a_rate_limit_is_skipped_and_the_window_slides(make_stage: MakeStage) -> None:
    stage = make_stage([flow_cast.rate])
    trouble["a"] = 1
    for name in ("a", "b", "c"):
        stage.publish(FlowRated(name=name))
        stage.drain()
        stage.clock.advance(timedelta(minutes=20))
    stage.publish(FlowRated(name="other", key="free"))
    stage.drain()
    stage.clock.advance(timedelta(seconds=30))
    stage.publish(FlowRated(name="d"))  # an hour after a, forty minutes after b
    stage.publish(FlowRated(name="e"))
    stage.drain()
    told: list[Any] = stage.rows(OUTCOMES)
    assert told[2] == ("c", "skipped", "rate limited") and told[-1][1] == "completed"
    assert sorted(status for name, status, _ in told if name in "de") == ["completed", "skipped"]
    assert diary.count("a") == 2  # its retry is no start that could be dropped


def test_what_was_skipped_is_not_due_any_more_though_its_actor_has_a_deadline(make_stage: MakeStage) -> None:
    # It stayed due at its deadline: every sweep found it and could not wake it.
    stage = make_stage([flow_cast.rate_bounded])
    for name in ("a", "b"):
        stage.publish(FlowRatedAndBounded(name=name))
        stage.drain()
    assert stage.rows("select status, due_at from run order by id") == [
        ("completed", None),
        ("skipped", None),
    ]


def test_a_second_live_run_of_a_key_is_skipped_and_the_next_one_is_not(make_stage: MakeStage) -> None:
    stage = make_stage([flow_cast.alone])
    stage.publish(FlowAlone(name="a"))
    eventually(lambda: diary == ["a"])
    stage.publish(FlowAlone(name="b"))
    eventually(lambda: ("b", "skipped", "another run of its key is live") in stage.rows(OUTCOMES))
    gate("a").set()
    stage.drain()
    gate("c").set()
    stage.publish(FlowAlone(name="c"))
    stage.drain()
    assert diary == ["a", "c"]


def test_an_event_past_its_max_age_is_a_dead_letter(make_stage: MakeStage) -> None:
    stage = make_stage([flow_cast.age])
    stage.publish(FlowAged(name="young"))
    stage.drain()
    stage.clock.advance(timedelta(hours=2))
    stage.publish(FlowAged(name="old"))
    stage.drain()
    assert diary == ["young"] and reasons(stage) == ["expired"]
    assert stage.rows("select attempt from run where status = 'failed'") == [(1,)]


@pytest.mark.parametrize("how", ["sleeps", "fails", "postpones"])
def test_a_run_that_outlives_its_deadline_is_a_dead_letter(make_stage: MakeStage, how: str) -> None:
    stage = make_stage([flow_cast.bound])
    stage.publish(FlowBounded(name="r", how=how))
    stage.drain()
    for _ in range(3):
        stage.clock.advance(timedelta(minutes=21))
        stage.drain()
    eventually(lambda: reasons(stage) == ["timed out"])
    assert stage.rows("select status, reason from run") == [("failed", "timed out")]
    assert diary == (["r 1", "r 2"] if how == "fails" else ["r 1"])


@pytest.mark.interrupts
def test_a_running_attempt_ends_at_its_runs_deadline(make_stage: MakeStage) -> None:
    stage = make_stage([flow_cast.bound_briefly])
    stage.publish(FlowBounded(name="r", how="loops"))
    eventually(lambda: reasons(stage) == ["timed out"])
    stage.drain()
