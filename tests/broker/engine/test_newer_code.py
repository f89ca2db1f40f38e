"""During a deploy old and new code consume the same queues: what the old one does not know waits, and is done once."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broker.dead_letters import list_letters, replay
from broker.patience import UNKNOWN_SINCE, UNREAD, Patience
from broker.reopen import Again
from broker.testing import Stage
from broker.transports.base import Delivery, WireMessage
from schemas import wrap
from tests.support import cast
from tests.support.cast import diary
from tests.support.waiting import eventually

MakeStage = Callable[..., Stage]
NOW = datetime(2027, 1, 1, tzinfo=UTC)
FROM_THE_FUTURE = {
    "cloudEvents_specversion": "1.0",
    "cloudEvents_source": "t",
    "cloudEvents_type": "cast.called",
    "cloudEvents_schemaversion": "99",
}


@pytest.fixture(autouse=True)
def clean_diary() -> None:
    cast.forget()


def send(stage: Stage, id: str, **headers: str) -> None:
    message = WireMessage("cast.called", b'{"n": 1}', {**FROM_THE_FUTURE, "cloudEvents_id": id, **headers})
    stage.transport.publish([message]).result(10)


def waiting(stage: Stage) -> list[tuple[Any, ...]]:
    return stage.rows(
        "select headers ->> 'cloudEvents_id', send_at > clock(), direct from outbox order by created_at"
    )


def reasons(stage: Stage) -> list[str]:
    with stage.database.once("test") as connection:
        return [letter.reason for letter in list_letters(connection)]


def test_an_event_of_a_version_to_come_waits_as_a_row_and_is_offered_again(make_stage: MakeStage) -> None:
    stage = make_stage([cast.call, cast.answer])
    send(stage, "1")
    eventually(lambda: waiting(stage) == [("1", True, True)])
    [(first,)] = stage.rows("select id from outbox")

    stage.clock.advance(timedelta(seconds=3))

    eventually(lambda: stage.rows("select id from outbox where send_at > clock()") not in ([], [(first,)]))
    stage.drain()
    assert (reasons(stage), diary) == ([], [])
    assert len(waiting(stage)) == 1


def test_when_nobody_has_known_it_for_the_grace_it_is_parked_and_a_replay_waits_anew(
    make_stage: MakeStage,
) -> None:
    stage = make_stage([cast.call, cast.answer])
    long_ago = datetime.now(UTC) - timedelta(minutes=16)
    send(stage, "1", **{UNKNOWN_SINCE: f"{long_ago.isoformat()} 20"})
    eventually(lambda: reasons(stage) == ["unknown version"])
    assert waiting(stage) == []

    with stage.database.once("test") as connection:
        [letter] = list_letters(connection)
        replay(connection, [letter.id], Again("tester"))

    eventually(lambda: waiting(stage) == [("1", True, True)])
    assert reasons(stage) == []


def test_whoever_starts_is_offered_at_once_what_waits(make_stage: MakeStage) -> None:
    """An event that the actor of this queue does not hear yet; the next version of it does."""
    old = make_stage([cast.answer])
    headers = {**FROM_THE_FUTURE, "cloudEvents_id": "7", "cloudEvents_schemaversion": "1"}
    queue = old.broker.queue_of(cast.answer)
    old.transport.publish([WireMessage(queue, b'{"n": 7}', headers, direct=True)]).result(10)
    eventually(lambda: waiting(old) == [("7", True, True)])
    old.engine.stop(timedelta(seconds=5))

    hears = cast.answer.hears
    cast.answer.hears = (*hears, cast.CastCalled)
    try:
        new = make_stage([cast.answer])
        eventually(lambda: diary == ["answered 7"], 1.5)
        new.drain()
    finally:
        cast.answer.hears = hears
    assert reasons(new) == []


def test_a_run_whose_event_is_newer_than_this_code_waits_too(make_stage: MakeStage) -> None:
    """Newer code has begun it, and its wake-up came to a worker of the old one."""
    stage = make_stage([cast.doze])
    stage.publish(cast.CastSlept())
    eventually(lambda: stage.rows("select status from run") == [("waiting",)])
    stage.rows("update run set event_version = 99")

    stage.clock.advance(timedelta(days=1, seconds=1))
    state = "select status, reason, attempt, unread_since is not null from run"
    eventually(lambda: stage.rows(state) == [("queued", UNREAD, 1, True)])

    stage.rows("update run set event_version = 1")
    stage.clock.advance(timedelta(minutes=2))
    eventually(lambda: stage.rows(state) == [("completed", None, 1, False)])
    assert diary == ["before", "after"]
    assert reasons(stage) == []


def test_such_a_run_is_parked_after_the_grace_and_can_be_replayed(make_stage: MakeStage) -> None:
    stage = make_stage([cast.doze])
    stage.publish(cast.CastSlept())
    eventually(lambda: stage.rows("select status from run") == [("waiting",)])
    stage.rows("update run set event_version = 99, unread_since = clock() - interval '1 hour'")
    stage.clock.advance(timedelta(days=1, seconds=1))
    eventually(lambda: reasons(stage) == ["code changed"])


def delivery(since: str = "") -> Delivery:
    return Delivery("cast.call", b"{}", {UNKNOWN_SINCE: since} if since else {}, "application/json")


def test_pauses_double_up_to_a_minute_and_end_with_the_grace() -> None:
    patience, envelope = Patience(timedelta(minutes=15)), wrap(cast.CastCalled(), source="t", id="1")
    waited, pauses, ids = timedelta(0), list[float](), set[object]()
    since = ""
    while (out := patience.again(delivery(since), envelope, NOW + waited)) is not None:
        assert out.delay is not None
        pauses.append(out.delay.total_seconds())
        ids.add(out.id)
        waited += out.delay
        since = out.message.headers[UNKNOWN_SINCE]
    assert pauses[:7] == [2, 2, 4, 8, 16, 32, 60]
    assert waited == timedelta(minutes=15)
    assert len(ids) == len(pauses)


@pytest.mark.parametrize(
    "header",
    [
        "yesterday 3",
        "2027-01-01T00:00:00 1",
        "2999-01-01T00:00:00+00:00 1",
        "2026-12-31T23:00:00+00:00 -5",
        "2026-12-31T23:00:00+00:00 9e9",
        "\x1b[2J",
        json.dumps({"a": 1}),
    ],
)
def test_a_header_that_lies_begins_the_wait_anew(header: str) -> None:
    envelope = wrap(cast.CastCalled(), source="t", id="1")
    out = Patience(timedelta(minutes=15)).again(delivery(header), envelope, NOW)
    assert out is not None
    assert out.message.headers[UNKNOWN_SINCE] == f"{NOW.isoformat()} 1"
