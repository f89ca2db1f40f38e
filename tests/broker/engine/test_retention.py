"""What is forgotten, and what is not."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from broker.database import Database
from broker.retention import Retention
from broker.testing import Stage
from broker.transports.base import WireMessage
from tests.support import cast
from tests.support.waiting import eventually

WINDOW = timedelta(days=30)


def sweep(database: Database) -> int:
    with database.once("test") as connection:
        return Retention(look_back=timedelta(days=1), dedup_window=WINDOW, steps=timedelta(days=7)).sweep(
            connection
        )


def test_finished_runs_are_forgotten_after_the_window_and_their_steps_before(
    make_stage: Callable[..., Stage],
) -> None:
    cast.forget()
    stage = make_stage([cast.call, cast.answer, cast.doze])
    stage.publish(cast.CastCalled(n=1))
    stage.publish(cast.CastSlept(days=90))
    cast.trouble["perform 2"] = 9
    stage.publish(cast.CastCalled(n=2))
    stage.drain()
    assert sweep(stage.database) == 0
    stage.clock.advance(timedelta(days=8))
    sweep(stage.database)
    kept = "select r.actor, r.status, count(s.name) from run r left join step s on s.run_id = r.id group by 1, 2 order by 1, 2"
    assert stage.rows(kept) == [
        ("cast.answer", "completed", 0),
        ("cast.call", "completed", 0),
        ("cast.call", "failed", 1),
        ("cast.doze", "waiting", 2),
    ]
    stage.clock.advance(timedelta(days=23))
    sweep(stage.database)
    assert stage.rows("select actor, status from run order by 1") == [
        ("cast.call", "failed"),
        ("cast.doze", "waiting"),
    ]


def test_an_event_older_than_the_window_is_parked(make_stage: Callable[..., Stage]) -> None:
    cast.forget()
    stage = make_stage([cast.answer])
    headers = {
        "cloudEvents_specversion": "1.0",
        "cloudEvents_id": "old",
        "cloudEvents_source": "test",
        "cloudEvents_type": "cast.answered",
        "cloudEvents_time": (datetime.now(UTC) - timedelta(days=31)).isoformat(),
    }
    stage.transport.publish([WireMessage("cast.answered", b'{"n": 1}', headers)]).result(10)
    eventually(lambda: stage.rows("select reason, field from dead_letter") == [("too old to know", "time")])
    assert cast.diary == []
