"""What breaks around and inside a run: hooks, keys, parameters, texts, validators. Each hurts its own run alone."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import dramatiq
import pytest
import structlog
from dramatiq.middleware import SkipMessage

from broker import settlement
from broker.bodies import Bodies
from broker.dead_letters import Filter, list_letters
from broker.journal.claimed import ClaimedRun
from broker.metrics import Metrics
from broker.perform import Performer
from broker.testing import Stage
from broker.transports.base import WireMessage
from tests.support import cast
from tests.support.cast import diary, trouble
from tests.support.waiting import eventually

MakeStage = Callable[..., Stage]
INTERRUPTS = int(os.environ.get("CALLBOARD_TEST_INTERRUPTS", "32"))
STAGEHAND = "create table if not exists stagehand (n int primary key)"


@pytest.fixture(autouse=True)
def clean_diary() -> Iterator[None]:
    cast.forget()
    yield
    cast.gate.set()


def statuses(stage: Stage) -> list[tuple[Any, ...]]:
    return stage.rows("select actor, status, attempt from run order by created_at, actor")


def letters(stage: Stage, **options: Any) -> list[tuple[str, str | None]]:
    with stage.database.once("test") as connection:
        return sorted((letter.reason, letter.field) for letter in list_letters(connection, Filter(**options)))


class Broken(dramatiq.Middleware):
    def before_process_message(self, broker: object, message: object) -> None:
        if cast.fails("hook"):
            raise RuntimeError("the hook is broken")
        if cast.fails("skip"):
            raise SkipMessage("not today")


def test_a_broken_hook_closes_the_door(make_stage: MakeStage) -> None:
    stage = make_stage([cast.answer])
    stage.broker.add_middleware(Broken())
    trouble["hook"] = 1
    stage.publish(cast.CastAnswered(n=1))
    eventually(lambda: statuses(stage) == [("cast.answer", "retrying", 1)])
    assert diary == []
    stage.clock.advance(timedelta(minutes=10))
    eventually(lambda: diary == ["answered 1"])


@pytest.mark.parametrize(
    "body",
    [
        {"queue_name": "no.such.queue", "actor_name": "cast.answer", "args": [], "kwargs": {}, "options": {}},
        {
            "queue_name": "cast.answer",
            "actor_name": "no.such.actor",
            "args": None,
            "kwargs": 7,
            "options": None,
        },
        {
            "queue_name": None,
            "actor_name": {"a": 1},
            "options": {"eta": "soon", "retries": -1},
            "message_id": [],
        },
        [],
        None,
    ],
)
def test_a_body_that_names_queue_actor_and_options_itself_is_parked(
    make_stage: MakeStage, body: object
) -> None:
    """Two such messages ended two of four worker threads of plain dramatiq; `options: null` restarted its consumer for ever."""
    stage = make_stage([cast.answer], settings={"threads": 2})
    queue = stage.broker.queue_of(cast.answer)
    hostile = WireMessage(queue, json.dumps(body).encode(), direct=True)
    claimed = {
        "cloudEvents_specversion": "1.0",
        "cloudEvents_source": "t",
        "cloudEvents_type": "cast.answered",
    }
    hostile_event = replace(
        hostile, headers={**claimed, "cloudEvents_id": "1", "queue_name": "no.such.queue"}
    )
    stage.transport.publish([hostile, hostile, hostile_event]).result(10)
    stage.publisher.publish_many([cast.CastAnswered(n=n) for n in range(8)])

    eventually(lambda: len(diary) >= 8)
    stage.drain()
    answered = [f"answered {n}" for n in range(8)]
    lenient = ["answered 0"] if isinstance(body, dict) else []
    assert sorted(diary) == sorted([*answered, *lenient]), (
        "an event may carry fields that its model does not know"
    )
    assert [reason for reason, _ in letters(stage)] == ["undecodable"] * (2 if lenient else 3)


def test_a_result_that_is_no_json_fails_its_attempt_and_is_not_forgotten(make_stage: MakeStage) -> None:
    """Plain dramatiq logs it, acks the message and never sends the next step."""
    stage = make_stage([cast.answer_oddly, cast.answer])
    stage.publish(cast.CastOdd(n=1))
    stage.publish(cast.CastAnswered(n=2))
    stage.drain()
    assert [reason for reason, _ in letters(stage)] == ["attempts used up"]
    assert diary == ["answered 2"]


class Disconnecting(dramatiq.Middleware):
    """Ends every session of the journal behind a body that is about to fail."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def after_process_message(self, broker: object, message: object, **_: object) -> None:
        if cast.fails("journal"):
            self._stage.rows(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and application_name like '%% journal %%'"
            )
            diary.append("cut off")


def test_a_retry_whose_record_meets_a_lost_connection_is_scheduled_all_the_same(
    make_stage: MakeStage,
) -> None:
    """Plain dramatiq acks a message whose retry it could not enqueue: it is in no queue any more."""
    stage = make_stage([cast.flake, cast.hear_failure])
    stage.broker.add_middleware(Disconnecting(stage))
    trouble.update(always=1, journal=1)
    stage.publish(cast.CastFlaky(n=1))
    eventually(lambda: diary[-1:] == ["attempt 2"])
    stage.drain()
    assert diary == ["attempt 1", "cut off", "attempt 2"]
    assert statuses(stage) == [("cast.flake", "completed", 2)]


@pytest.mark.interrupts
@pytest.mark.parametrize("how", ["sql", "loop"])
def test_the_pool_is_whole_after_many_limits_inside_a_transaction(make_stage: MakeStage, how: str) -> None:
    """dramatiq's interrupt, landing in the pool's own code, leaked a pool of four after 31."""
    stage = make_stage([cast.spend, cast.write_down])
    stage.rows(STAGEHAND)
    stage.publisher.publish_many([cast.CastSpent(how=how) for _ in range(INTERRUPTS)])
    eventually(lambda: stage.rows("select count(*) from dead_letter") == [(INTERRUPTS,)], 3 * INTERRUPTS)

    stage.publisher.publish_many([cast.CastAwaited(n=10 * n) for n in range(1, 9)])

    stage.drain()
    assert stage.rows("select count(*) from stagehand") == [(24,)]


def test_a_hook_may_skip_a_run(make_stage: MakeStage) -> None:
    stage = make_stage([cast.answer])
    stage.broker.add_middleware(Broken())
    trouble["skip"] = 1
    stage.publish(cast.CastAnswered(n=1))
    eventually(lambda: statuses(stage) == [("cast.answer", "skipped", 1)])
    assert diary == []


@pytest.mark.interrupts
def test_a_body_stuck_outside_python_is_fenced_off_and_its_slot_comes_back(make_stage: MakeStage) -> None:
    stage = make_stage([cast.stick], settings={"threads": 1})
    stage.rows(STAGEHAND)
    stage.publish(cast.CastStuck(seconds=3))
    eventually(lambda: letters(stage) == [("attempts used up", None)])
    assert diary == []
    stage.publish(cast.CastStuck(seconds=0))
    eventually(lambda: diary == ["went on"])
    assert stage.engine.worn.is_set()
    # The lost thread comes back to an interrupt, or to a fence: either way it writes nothing.
    eventually(cast.came_back.is_set)
    stage.drain()
    assert stage.rows("select count(*) from stagehand") == [(0,)]
    assert stage.rows("select status, count(*) from run group by 1 order by 1") == [
        ("completed", 1),
        ("failed", 1),
    ]


@pytest.mark.interrupts
@pytest.mark.parametrize(
    ("broken", "left"),
    [(("settle_unperformed",), "failed"), (("settle_unperformed", "settle_plainly"), "running")],
)
def test_a_stuck_body_whose_end_cannot_be_told_is_never_forgotten(
    broken: tuple[str, ...], left: str, make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is recorded in the plainest words; where even that fails, the process goes, and its run is taken over."""

    def refuse(*_: object) -> None:
        raise RuntimeError("no words")

    stage = make_stage([cast.stick], settings={"threads": 1, "lease": timedelta(seconds=2)})
    stage.rows(STAGEHAND)
    for name in broken:
        monkeypatch.setattr(Performer, name, refuse)
    stage.publish(cast.CastStuck(seconds=3))
    eventually(stage.engine.worn.is_set)
    eventually(lambda: [status for _, status, _ in statuses(stage)] == [left])
    if left == "failed":
        assert letters(stage) == [("cannot be recorded", None)]
        return
    monkeypatch.undo()
    # As the supervisor does it: whoever is worn goes, and leaves no word that it has gone in order.
    assert not stage.engine.stop(timedelta(0))
    other = make_stage([cast.stick], settings={"threads": 1, "lease": timedelta(seconds=2)})
    eventually(lambda: [attempt for *_, attempt in statuses(other)] == [1] and letters(other) != [], 30)
    eventually(cast.came_back.is_set)


BLOCKADE = """
create function refuse() returns trigger language plpgsql as
    'begin if new.status <> ''running'' then raise exception ''no''; end if; return new; end';
create trigger refuse before update on run for each row execute function refuse()"""


def test_a_run_of_which_nothing_can_be_recorded_is_not_left_running(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL refuses outcome, failure and the plainest words. This worker lives, so nobody would take the run over: it
    says them again until they are taken."""
    monkeypatch.setattr(settlement, "AGAIN_SECONDS", 0.2)
    stage = make_stage([cast.answer])
    stage.rows(BLOCKADE)
    with structlog.testing.capture_logs() as logs:
        stage.publish(cast.CastAnswered(n=1))
        eventually(lambda: [line["event"] for line in logs].count("outcome_refused") >= 2, 20)
    assert [status for _, status, _ in statuses(stage)] == ["running"] and letters(stage) == []

    stage.rows("drop trigger refuse on run")
    eventually(lambda: [status for _, status, _ in statuses(stage)] == ["failed"])
    assert letters(stage) == [("cannot be recorded", None)]
    stage.publish(cast.CastAnswered(n=2))
    stage.drain()
    assert diary == ["answered 1", "answered 2"]


def test_an_orphan_whose_end_is_refused_is_not_left_running(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same of a run whose actor this process does not know."""
    monkeypatch.setattr(settlement, "AGAIN_SECONDS", 0.2)

    def disown(bodies: Bodies, claimed: ClaimedRun, lane: bool) -> None:
        bodies._settlement.orphan(claimed, lambda: bodies._room.gone(lane))

    monkeypatch.setattr(Bodies, "perform", disown)
    stage = make_stage([cast.answer], settings={"unknown_grace": timedelta(0)})
    stage.rows(BLOCKADE)
    stage.publish(cast.CastAnswered(n=1))
    eventually(lambda: [status for _, status, _ in statuses(stage)] == ["running"])
    stage.rows("drop trigger refuse on run")
    eventually(lambda: [status for _, status, _ in statuses(stage)] == ["failed"])
    assert len(letters(stage)) == 1


def test_what_counts_attempts_does_not_stand_in_the_way_of_their_outcomes(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose_count(*_: object) -> None:
        raise RuntimeError("lost count")

    monkeypatch.setattr(Metrics, "note", lose_count)
    stage = make_stage([cast.answer])
    stage.publish(cast.CastAnswered(n=1))
    eventually(lambda: [status for _, status, _ in statuses(stage)] == ["completed"])


def test_a_key_that_cannot_be_made_is_parked_and_kills_nobody(make_stage: MakeStage) -> None:
    stage = make_stage([cast.pick, cast.answer])
    stage.publish(cast.CastPicked(items=[]))
    stage.publish(cast.CastPicked(items=[1]))
    eventually(lambda: diary == ["picked 1"])
    eventually(lambda: letters(stage) == [("cannot be recorded", None)])


def test_a_parameter_that_is_no_json_fails_its_attempt_alone(make_stage: MakeStage) -> None:
    stage = make_stage([cast.scribble, cast.answer])
    stage.publish(cast.CastScribbled(n=1))
    stage.publish(cast.CastAnswered(n=2))
    stage.drain()
    assert letters(stage) == [("attempts used up", None)]
    assert diary == ["answered 2"]


def test_an_error_text_that_no_database_keeps_is_kept_in_another_spelling(make_stage: MakeStage) -> None:
    stage = make_stage([cast.mumble])
    stage.publish(cast.CastMumbled(text="x"))
    stage.drain()
    [(error,)] = stage.rows("select error from dead_letter")
    assert "\\udc80" in error


def test_a_failure_too_large_to_be_told_whole_is_told_without_its_event(make_stage: MakeStage) -> None:
    stage = make_stage([cast.burst, cast.hear_failure])
    stage.publish(cast.CastBurst(text="x" * 1_048_500))
    stage.drain()
    assert diary == ["failure of cast.burst: not retriable"]


def test_a_validator_that_raises_anything_parks_its_event(make_stage: MakeStage) -> None:
    stage = make_stage([cast.count, cast.answer])
    good = {"cloudEvents_specversion": "1.0", "cloudEvents_source": "t", "cloudEvents_type": "cast.counted"}
    for id, body in (("1", b'{"word": "missing"}'), ("2", b'{"word": "one"}')):
        stage.transport.publish([WireMessage("cast.counted", body, {**good, "cloudEvents_id": id})]).result(
            10
        )
    eventually(lambda: diary == ["counted one"])
    eventually(lambda: letters(stage) == [("invalid payload", "data")])


def test_an_error_without_words_is_a_dead_letter_all_the_same(make_stage: MakeStage) -> None:
    stage = make_stage([cast.fall_silent, cast.answer])
    stage.publish(cast.CastSilenced(n=1))
    stage.publish(cast.CastAnswered(n=2))
    stage.drain()
    assert letters(stage) == [("attempts used up", None)]
    assert diary == ["answered 2"]
