"""What an author may rely on, on both transports, with the whole engine and its servers."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from broker.dead_letters import Filter, list_letters, open_letters, replay
from broker.reopen import Again
from broker.testing import Stage
from broker.transports.base import WireMessage
from tests.support import cast
from tests.support.cast import diary, trouble
from tests.support.waiting import eventually

MakeStage = Callable[..., Stage]
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


def replay_all(stage: Stage) -> int:
    with stage.database.once("test") as connection:
        return len(replay(connection, open_letters(connection, Filter(unheard=True)), Again("tester")))


def test_a_chain_completes_and_its_result_is_kept(make_stage: MakeStage) -> None:
    stage = make_stage([cast.call, cast.answer])
    stage.publish(cast.CastCalled(n=7))
    stage.drain()
    assert diary == ["prepare 7", "perform 7", "answered 7"]
    assert stage.rows("select result from run where actor = 'cast.answer'") == [({"total": 7},)]
    [(first, second)] = stage.rows(
        "select a.correlation_id = b.correlation_id, b.causation_id = a.event_id from run a, run b "
        "where a.actor = 'cast.call' and b.actor = 'cast.answer'"
    )
    assert first and second


def test_a_retry_skips_what_its_steps_have_finished(make_stage: MakeStage) -> None:
    stage = make_stage([cast.call, cast.answer])
    trouble["perform 1"] = 2
    stage.publish(cast.CastCalled(n=1))
    stage.drain()
    assert diary == ["prepare 1", "perform 1", "perform 1", "perform 1", "answered 1"]
    assert statuses(stage)[0] == ("cast.call", "completed", 3)
    assert stage.rows("select attempt, kind from attempt order by id") == [
        (1, "ValueError"),
        (2, "ValueError"),
    ]


def test_the_same_event_three_times_runs_once(make_stage: MakeStage) -> None:
    stage = make_stage([cast.call, cast.answer])
    for _ in range(3):
        stage.publish(cast.CastCalled(n=1), id="the-same")
    stage.drain()
    assert diary.count("prepare 1") == 1 and diary.count("answered 1") == 1


def test_an_error_used_up_is_a_dead_letter_whose_replay_keeps_finished_steps(make_stage: MakeStage) -> None:
    stage = make_stage([cast.call, cast.answer])
    trouble["perform 1"] = 3
    stage.publish(cast.CastCalled(n=1))
    stage.drain()
    assert letters(stage) == [("attempts used up", None)] and statuses(stage) == [("cast.call", "failed", 3)]
    assert replay_all(stage) == 1 and replay_all(stage) == 0
    stage.drain()
    assert diary.count("prepare 1") == 1 and diary[-1] == "answered 1"
    assert letters(stage) == [] and statuses(stage)[0] == ("cast.call", "completed", 1)


def test_a_final_error_is_a_dead_letter_at_once_and_on_failure_hears_it(make_stage: MakeStage) -> None:
    stage = make_stage([cast.flake, cast.hear_failure])
    trouble["final"] = 1
    stage.publish(cast.CastFlaky())
    stage.drain()
    assert diary == ["attempt 1", "failure of cast.flake: not retriable"]


def test_retry_after_is_honoured(make_stage: MakeStage) -> None:
    stage = make_stage([cast.flake, cast.hear_failure])
    trouble["later"] = 1
    stage.publish(cast.CastFlaky())
    stage.drain()
    assert diary == ["attempt 1"] and statuses(stage) == [("cast.flake", "retrying", 1)]
    stage.clock.advance(timedelta(hours=1, minutes=59))
    stage.drain()
    assert diary == ["attempt 1"]
    stage.clock.advance(timedelta(minutes=2))
    eventually(lambda: diary == ["attempt 1", "attempt 2"])


def test_postpone_counts_no_attempt_and_cannot_be_swallowed(make_stage: MakeStage) -> None:
    stage = make_stage([cast.flake, cast.hear_failure])
    trouble["postpone"] = 1
    trouble["swallowed"] = 1
    stage.publish(cast.CastFlaky())
    stage.drain()
    stage.clock.advance(timedelta(hours=1, seconds=1))
    eventually(lambda: len(diary) == 2)
    stage.drain()
    assert diary == ["attempt 1", "attempt 1"]
    assert statuses(stage) == [("cast.flake", "waiting", 1)]


def test_a_sleep_of_days_is_one_advance_of_the_clock(make_stage: MakeStage) -> None:
    stage = make_stage([cast.doze])
    stage.publish(cast.CastSlept(days=3))
    stage.drain()
    assert diary == ["before"] and statuses(stage) == [("cast.doze", "waiting", 1)]
    stage.clock.advance(timedelta(days=3, seconds=1))
    eventually(lambda: diary == ["before", "after"])
    stage.drain()
    assert statuses(stage) == [("cast.doze", "completed", 1)]


def test_one_run_a_key_and_a_dead_letter_frees_it(make_stage: MakeStage) -> None:
    stage = make_stage([cast.once])
    for key in ("a", "a", "b"):
        stage.publish(cast.CastKeyed(key=key))
    stage.drain()
    assert sorted(diary) == ["once a", "once b"]
    assert sorted(row[1] for row in statuses(stage)) == ["completed", "completed", "skipped"]
    stage.clock.advance(timedelta(hours=1, seconds=1))
    trouble["once"] = 1
    stage.publish(cast.CastKeyed(key="a"))
    stage.drain()
    stage.publish(cast.CastKeyed(key="a"))
    stage.drain()
    assert sorted(diary) == ["once a", "once a", "once a", "once b"]


def test_a_throttle_waits_in_order_and_drops_nothing(make_stage: MakeStage) -> None:
    stage = make_stage([cast.pace])
    for n in range(3):
        stage.publish(cast.CastPaced(key="x", n=n))
        stage.drain()
    stage.publish(cast.CastPaced(key="y", n=9))
    stage.drain()
    assert diary == ["paced x 0", "paced y 9"]
    assert stage.rows(
        "select count(*) from run where status = 'waiting' and reason = 'throttle' and attempt = 0"
    ) == [(2,)]
    for expected in ("paced x 1", "paced x 2"):
        stage.clock.advance(timedelta(seconds=30))
        eventually(partial(lambda last: diary[-1] == last, expected))
    stage.drain()
    assert stage.rows("select count(*) from run where status <> 'completed'") == [(0,)]


def test_items_of_a_map_are_retried_alone_and_fail_alone(make_stage: MakeStage) -> None:
    stage = make_stage([cast.map_all])
    trouble["item 2"] = 1
    stage.publish(cast.CastMapped(items=[1, 2, 13, 4]))
    stage.drain()
    assert diary == ["item 1", "item 2", "item 13", "item 4"]
    stage.clock.advance(timedelta(hours=1, seconds=1))
    eventually(lambda: diary[-1] == "1 4 failed 16")
    assert diary.count("item 1") == 1 and diary.count("item 13") == 1 and diary.count("item 2") == 2
    stage.drain()
    assert stage.rows("select result from run") == [({"total": 21},)]


def test_a_failed_step_notifies_once_and_ends_the_run(make_stage: MakeStage) -> None:
    stage = make_stage([cast.catch, cast.answer])
    trouble["shaky"] = 9
    stage.publish(cast.CastWritten(n=1))
    stage.drain()
    assert diary == ["shaky", "shaky", "shaky", "told once"]
    assert letters(stage) == [("step failed", None)]


def test_a_result_may_come_with_events(make_stage: MakeStage) -> None:
    stage = make_stage([cast.catch, cast.answer])
    stage.publish(cast.CastWritten(n=1))
    stage.drain()
    assert sorted(diary) == ["answered 1", "answered 2", "shaky"]
    assert stage.rows("select result from run where actor = 'cast.catch'") == [({"total": 1},)]


@pytest.mark.parametrize("moment", ["after step", "with write", "in transaction"])
def test_effects_happen_once_whatever_fails_between(make_stage: MakeStage, moment: str) -> None:
    stage = make_stage([cast.write_down, cast.answer])
    stage.rows(STAGEHAND)
    trouble[moment] = 1
    stage.publish(cast.CastAwaited(n=10))
    stage.drain()
    assert stage.rows("select n from stagehand order by n") == [(10,), (11,), (12,)]
    assert diary == ["answered 10"] and statuses(stage)[0] == ("cast.write_down", "completed", 2)


def test_a_verb_after_the_transaction_is_refused_and_nothing_is_written(make_stage: MakeStage) -> None:
    stage = make_stage([cast.write_down, cast.answer])
    stage.rows(STAGEHAND)
    trouble["verb after"] = 1
    stage.publish(cast.CastAwaited(n=10))
    stage.drain()
    assert stage.rows("select n from stagehand") == [(10,)]
    [(reason, error)] = stage.rows("select reason, error from dead_letter")
    assert reason == "faulty code" and "A transaction is a run's last verb" in error


def test_a_write_that_the_database_refuses_fails_the_attempt(make_stage: MakeStage) -> None:
    stage = make_stage([cast.write_down, cast.answer])
    stage.rows(f"{STAGEHAND}; insert into stagehand values (11)")
    stage.publish(cast.CastAwaited(n=10))
    stage.drain()
    assert stage.rows("select n from stagehand order by n") == [(10,), (11,)]
    assert letters(stage) == [("attempts used up", None)] and diary == []


def test_async_actors_hold_no_thread(make_stage: MakeStage) -> None:
    stage = make_stage([cast.wait_long])
    stage.rows("create table stagehand (n int)")
    cast.Waiting.at_once = cast.Waiting.most = 0
    stage.publisher.publish_many([cast.CastKeyed(key=str(n)) for n in range(60)])
    eventually(lambda: cast.Waiting.at_once == 60, 20)
    cast.gate.set()
    stage.drain()
    assert stage.rows("select count(*) from stagehand") == [(60,)]


@pytest.mark.interrupts
@pytest.mark.parametrize(
    ("how", "who"), [("loop", "cast.spend"), ("sql", "cast.spend"), ("await", "cast.spend_waiting")]
)
def test_a_time_limit_really_stops_the_work(make_stage: MakeStage, how: str, who: str) -> None:
    stage = make_stage([cast.spend, cast.spend_waiting])
    stage.publish(cast.CastSpent(how=how))
    stage.drain()
    assert stage.rows("select actor, reason from dead_letter") == [(who, "attempts used up")]
    assert stage.rows("select count(*) from run where status = 'completed'") == [(1,)]


def test_an_event_nobody_hears_is_kept_and_can_be_replayed(make_stage: MakeStage) -> None:
    stage = make_stage([cast.call, cast.answer])
    stage.publish(cast.CastUnheard(n=1))
    eventually(lambda: letters(stage, unheard=True) == [("unheard", "type")])
    assert letters(stage) == []


def test_what_cannot_be_read_is_parked_and_names_the_field(make_stage: MakeStage) -> None:
    stage = make_stage([cast.call, cast.answer], settings={"unknown_grace": timedelta(0)})
    good = {"cloudEvents_specversion": "1.0", "cloudEvents_source": "t", "cloudEvents_type": "cast.called"}

    def send(id: str, body: bytes, **headers: str) -> None:
        message = WireMessage("cast.called", body, {**good, "cloudEvents_id": id, **headers})
        stage.transport.publish([message]).result(10)

    send("1", b"\xff\xfe not json")
    send("2", json.dumps({"n": "many"}).encode())
    send("3", b"{}", cloudEvents_schemaversion="99")
    stage.transport.publish([WireMessage("cast.called", b"{}", {})]).result(10)
    stage.transport.publish(
        [
            WireMessage(
                "no.such.type", b"{}", {**good, "cloudEvents_id": "5", "cloudEvents_type": "no.such.type"}
            )
        ]
    )
    eventually(lambda: len(letters(stage, unheard=True)) == 5)
    found = dict(letters(stage, unheard=True))
    assert (
        found["invalid payload"] == "n"
        and found["unknown version"] == "schemaversion"
        and found["unknown type"] == "type"
    )
    assert diary == []
    assert "many" not in str(stage.rows("select error from dead_letter"))


def test_a_parked_payload_runs_after_its_cause_is_fixed(make_stage: MakeStage) -> None:
    stage = make_stage([cast.answer])
    stage.publish(cast.CastCalled(n=3))
    eventually(lambda: letters(stage, unheard=True) == [("unheard", "type")])
    stage.engine.stop(timedelta(seconds=5))
    again = make_stage([cast.call, cast.answer])
    assert replay_all(again) == 1
    again.drain()
    assert "answered 3" in diary


def test_a_delayed_event_starts_when_it_is_due(make_stage: MakeStage) -> None:
    stage = make_stage([cast.call, cast.answer])
    stage.publish(cast.CastCalled(n=1), delay=timedelta(hours=1))
    stage.drain()
    assert diary == []
    stage.clock.advance(timedelta(hours=1, seconds=1))
    eventually(lambda: "answered 1" in diary)


def test_publishing_in_ones_own_transaction_follows_its_fate(make_stage: MakeStage) -> None:
    stage = make_stage([cast.call, cast.answer])
    with stage.database.connect("web", autocommit=False) as connection:
        stage.publish(cast.CastCalled(n=1), connection=connection)
        connection.rollback()
        stage.publish(cast.CastCalled(n=2), connection=connection)
        connection.commit()
    eventually(lambda: "answered 2" in diary)
    stage.drain()
    assert "prepare 1" not in diary
