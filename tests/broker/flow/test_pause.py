"""Pause and resume: events keep arriving and wait; whatever happens meanwhile, each of them runs once."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from broker.errors import NotFoundError
from broker.history import runs_of
from broker.middleware.pause import Pause
from broker.pause import Kind, pause, paused, resume
from broker.testing import Stage
from ops.boot import App
from ops.evidence import look
from ops.explain import explain
from tests.support import pause_cast
from tests.support.pause_cast import HOUR, Begun, Gathered, Lone, Slept, diary, gate, trouble
from tests.support.waiting import eventually

MakeStage = Callable[..., Stage]
STATUSES = "select event->>'name', status, coalesce(reason, ''), attempt from run order by id"


@pytest.fixture(autouse=True)
def clean_diary() -> Iterator[None]:
    diary.clear()
    trouble.clear()
    gate.set()
    yield
    diary.clear()
    gate.set()


def hold(stage: Stage, name: str, kind: Kind = "actor") -> None:
    """Pause it, and wait until every worker knows."""
    with stage.database.once("test") as connection:
        assert pause(connection, kind, name, "ada", "maintenance")
    stage.engine.keeper.nudge()
    eventually(stage.broker.policy(Pause).guards_now)


def let_go(stage: Stage, name: str, kind: Kind = "actor") -> int:
    with stage.database.once("test") as connection:
        return resume(connection, kind, name, "ada").waiting


def test_events_of_a_paused_actor_wait_and_start_in_their_order(make_stage: MakeStage) -> None:
    stage = make_stage([pause_cast.begin, pause_cast.follow])
    hold(stage, "pause_cast.begin")
    for name in "abc":
        stage.publish(Begun(name=name))
        eventually(lambda name=name: (name, "waiting", "paused", 0) in stage.rows(STATUSES))  # type: ignore[misc]
    assert let_go(stage, "pause_cast.begin") == 3
    stage.drain()
    assert [entry for entry in diary if "then" not in entry] == ["a 1", "b 1", "c 1"]
    eventually(lambda: stage.rows("select count(*) from pause") == [(0,)])
    assert stage.rows("select * from pause_run") == []


def test_a_paused_pipeline_holds_its_actors_and_no_others(make_stage: MakeStage) -> None:
    stage = make_stage([pause_cast.begin, pause_cast.follow, pause_cast.alone], pipelines=[pause_cast.line])
    hold(stage, "pause-line", "pipeline")
    stage.publish(Begun(name="a"))
    stage.publish(Lone(name="other"))
    eventually(lambda: diary == ["other"])
    eventually(lambda: ("a", "waiting", "paused", 0) in stage.rows(STATUSES))
    let_go(stage, "pause-line", "pipeline")
    stage.drain()
    assert diary == ["other", "a 1", "then a"]


def test_a_body_that_runs_goes_on_and_what_it_publishes_waits(make_stage: MakeStage) -> None:
    stage = make_stage([pause_cast.alone, pause_cast.follow])
    gate.clear()
    stage.publish(Lone(name="a"))
    eventually(lambda: diary == ["a"])
    hold(stage, "pause_cast.alone")
    gate.set()
    eventually(lambda: stage.rows(STATUSES) == [("a", "completed", "", 1)])


def test_a_run_that_wakes_or_retries_while_paused_goes_on_afterwards_and_no_step_runs_again(
    make_stage: MakeStage,
) -> None:
    stage = make_stage([pause_cast.sleep])
    stage.publish(Slept(name="a"))
    stage.drain()
    hold(stage, "pause_cast.sleep")
    stage.clock.advance(2 * HOUR)
    eventually(lambda: stage.rows(STATUSES) == [("a", "waiting", "paused", 1)])
    let_go(stage, "pause_cast.sleep")
    stage.drain()
    assert diary == ["a before", "a after"]


def test_a_failed_attempt_is_retried_after_the_pause_with_its_number(make_stage: MakeStage) -> None:
    stage = make_stage([pause_cast.begin, pause_cast.follow])
    trouble.append(ValueError("again"))
    hold(stage, "pause_cast.begin")
    stage.publish(Begun(name="a"))
    eventually(lambda: stage.rows(STATUSES) == [("a", "waiting", "paused", 0)])
    let_go(stage, "pause_cast.begin")
    stage.drain()
    assert diary == ["a 1", "a 2", "then a"]


def test_an_event_that_comes_twice_while_paused_runs_once(make_stage: MakeStage) -> None:
    stage = make_stage([pause_cast.alone])
    hold(stage, "pause_cast.alone")
    for _ in range(3):
        stage.publish(Lone(name="a"), id="the-same")
    eventually(lambda: stage.rows(STATUSES) == [("a", "waiting", "paused", 0)])
    let_go(stage, "pause_cast.alone")
    stage.drain()
    assert diary == ["a"]


def test_a_paused_debounce_goes_on_gathering(make_stage: MakeStage) -> None:
    stage = make_stage([pause_cast.gather])
    hold(stage, "pause_cast.gather")
    for name in "ab":
        stage.publish(Gathered(name=name))
        eventually(lambda name=name: name in [row[0] for row in stage.rows(STATUSES)])  # type: ignore[misc]
    stage.clock.advance(timedelta(minutes=2))
    eventually(lambda: ("a", "waiting", "paused", 0) in stage.rows(STATUSES))
    let_go(stage, "pause_cast.gather")
    stage.drain()
    assert diary == ["b"]


def test_what_is_paused_twice_over_waits_for_both(make_stage: MakeStage) -> None:
    stage = make_stage([pause_cast.begin, pause_cast.follow], pipelines=[pause_cast.line])
    hold(stage, "pause_cast.begin")
    hold(stage, "pause-line", "pipeline")
    stage.publish(Begun(name="a"))
    eventually(lambda: stage.rows("select kind from pause_run") == [("actor",)])
    let_go(stage, "pause_cast.begin")
    eventually(lambda: stage.rows("select kind from pause_run") == [("pipeline",)])
    assert diary == []
    let_go(stage, "pause-line", "pipeline")
    stage.drain()
    assert diary == ["a 1", "then a"]


def test_more_than_a_page_of_waiting_runs_all_go_on(make_stage: MakeStage) -> None:
    stage = make_stage([pause_cast.follow, pause_cast.begin])
    hold(stage, "pause_cast.follow")
    for number in range(700):
        stage.publish(pause_cast.Followed(name=str(number)))
    eventually(lambda: stage.rows("select count(*) from pause_run") == [(700,)], 30)
    assert let_go(stage, "pause_cast.follow") == 700
    stage.drain(timedelta(seconds=30))
    assert sorted(int(entry.removeprefix("then ")) for entry in diary) == list(range(700))


def test_why_names_who_paused_it_and_how_to_go_on(make_stage: MakeStage) -> None:
    stage = make_stage([pause_cast.alone])
    hold(stage, "pause_cast.alone")
    id = stage.publish(Lone(name="a"))
    eventually(lambda: stage.rows(STATUSES) == [("a", "waiting", "paused", 0)])
    with stage.database.once("test") as connection:
        [run] = runs_of(connection, str(id))
        [found] = [
            f for f in explain(look(connection, stage.settings, App(), str(id))) if str(run.id) in f.subject
        ]
        assert (
            found.why.startswith("actor pause_cast.alone was paused ")
            and " by ada: maintenance;" in found.why
        )
        assert found.next == "callboard resume pause_cast.alone"
        assert [(each.name, each.waiting) for each in paused(connection)] == [("pause_cast.alone", 1)]
    assert stage.rows("select who, what, target from audit") == [("ada", "pause", "actor pause_cast.alone")]


def test_to_pause_twice_keeps_the_first_and_to_resume_what_is_not_paused_is_told(
    make_stage: MakeStage,
) -> None:
    stage = make_stage([pause_cast.alone])
    with stage.database.once("test") as connection:
        assert pause(connection, "actor", "pause_cast.alone", "ada")
        assert not pause(connection, "actor", "pause_cast.alone", "bob")
        assert resume(connection, "actor", "pause_cast.alone", "bob").by == "ada"
        with pytest.raises(NotFoundError, match="is not paused"):
            resume(connection, "actor", "pause_cast.alone", "bob")
