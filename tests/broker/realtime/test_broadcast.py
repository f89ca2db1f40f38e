"""What a run broadcasts leaves with its commit, once for each place in its body, and never from an attempt that failed."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from broker import Backoff, ConfigurationError, NonRetriable, Publisher, Run, actor
from broker.broker import CallboardBroker
from broker.database import Database
from broker.declare import declare
from broker.errors import EventTooLargeError, InvalidEventError
from broker.history import list_runs
from broker.reopen import Again, rerun
from broker.retention import Retention
from broker.testing import rehearse
from broker.transports.base import Transport
from ops.chaos.seams import CRASHED
from ops.chaos.worker import transport_of
from schemas import Event
from tests.broker.engine.conftest import MakeStage
from tests.support import town_cast
from tests.support.rabbit import empty_queues
from tests.support.town_cast import EXPECTED, SQUARE, TownCalled, TownWhispered
from tests.support.trial_fleet import ready, worker
from tests.support.waiting import eventually

CAST = ("--cast", "tests.support.town_cast")
ONCE = Backoff(timedelta(milliseconds=1), timedelta(milliseconds=1), attempts=1)


class TownDoomed(Event, type="town.doomed"):
    n: int


class TownMumbled(Event, type="town.mumbled"):
    channel: str = SQUARE
    name: str | None = None
    text: str = ""


@actor(retry=ONCE)
def doom(event: TownDoomed, run: Run) -> None:
    run.broadcast(SQUARE, event)
    raise NonRetriable("it was never to be")


@actor(retry=ONCE)
def mumble(event: TownMumbled, run: Run) -> None:
    run.broadcast(event.channel, {"text": event.text}, name=event.name)


def test_each_broadcast_is_one_row_in_the_order_of_the_body_whatever_the_kind_of_actor(
    make_stage: MakeStage,
) -> None:
    stage = make_stage(town_cast.ACTORS)
    stage.publish(TownCalled(n=1))
    stage.drain()

    told = stage.rows("select channel, name, data, place from broadcast order by id")
    assert told == [
        (SQUARE, "cried", {"n": 1, "attempt": 1, "part": 1}, 0),
        (SQUARE, "message", {"n": 1, "attempt": 1, "part": 2}, 1),
        ("corner-1", "town.whispered", {"n": 1}, 0),
        (SQUARE, "settled", {"n": 1, "part": 3}, 0),
    ]


def test_a_failed_attempt_broadcasts_nothing_and_its_retry_once(make_stage: MakeStage) -> None:
    stage = make_stage([*town_cast.ACTORS, doom])
    stage.publish(TownCalled(n=1, fail_first=True))
    stage.publish(TownDoomed(n=2))
    stage.clock.advance(timedelta(seconds=1))
    stage.drain()
    stage.clock.advance(timedelta(seconds=1))
    stage.drain()

    told = stage.rows(
        "select data ->> 'attempt', data ->> 'part' from broadcast where name in ('cried', 'message') order by id"
    )
    assert told == [("2", "1"), ("2", "2")]
    assert stage.rows("select count(*) from broadcast where data ->> 'n' = '2'") == [(0,)]


def test_a_replay_broadcasts_again_as_it_publishes_again(make_stage: MakeStage) -> None:
    stage = make_stage(town_cast.ACTORS)
    stage.publish(TownWhispered(n=1))
    stage.drain()
    with stage.database.once("test") as connection:
        [run] = list_runs(connection, actor="town_cast.whisper")
        rerun(connection, run.id, Again("tester"))
    stage.drain()

    assert stage.rows("select rerun from broadcast where channel = 'corner-1' order by id") == [(0,), (1,)]


@pytest.fixture
def publisher(amqp: str, database: Database) -> Iterator[Publisher]:
    """Of another service, on the same transport."""
    if amqp:
        empty_queues(amqp, [actor.name for actor in town_cast.ACTORS])
    broker = CallboardBroker("callboard")
    broker.bind(town_cast.ACTORS)
    transport: Transport = transport_of(database, amqp)
    declare(database, transport, broker.topology())
    yield Publisher(transport, "trial", database)
    transport.close()


def rows(database: Database, statement: str) -> list[tuple[Any, ...]]:
    with database.once("test") as connection:
        return connection.execute(statement.encode()).fetchall()


def test_after_kill_9_every_broadcast_is_there_once(
    amqp: str, database: Database, publisher: Publisher
) -> None:
    events = [TownCalled(n=n, fail_first=n % 3 == 0, linger_seconds=0.02) for n in range(40)]
    with worker(database.url, amqp, *CAST) as doomed:
        ready(doomed)
        publisher.publish_many(events)
        eventually(lambda: rows(database, "select 1 from broadcast")[20:], 20)
        doomed.kill()
        with worker(database.url, amqp, *CAST) as other:
            ready(other)
            eventually(lambda: finished(database) == 120, 60, every=0.1)
    assert rows(database, EXPECTED) == [(160, 160, 40)]


@pytest.mark.parametrize("point", ["before commit", "after commit", "after a transaction's commit"])
def test_a_crash_around_the_commit_loses_and_doubles_no_broadcast(
    point: str, amqp: str, database: Database, publisher: Publisher
) -> None:
    with worker(database.url, amqp, *CAST, "--crash", f"{point}:3") as doomed:
        ready(doomed)
        publisher.publish_many([TownCalled(n=n) for n in range(12)])
        with worker(database.url, amqp, *CAST) as other:
            ready(other)
            assert doomed.wait(30) == CRASHED
            eventually(lambda: finished(database) == 36, 60, every=0.1)
    assert rows(database, EXPECTED) == [(48, 48, 12)]


def test_commits_whose_answer_is_lost_double_no_broadcast(
    amqp: str, database: Database, publisher: Publisher
) -> None:
    with worker(database.url, amqp, *CAST, "--doubt", "0.3") as doubting:
        ready(doubting)
        publisher.publish_many([TownCalled(n=n) for n in range(12)])
        eventually(lambda: finished(database) == 36, 60, every=0.1)
    assert rows(database, EXPECTED) == [(48, 48, 12)]


def finished(database: Database) -> int:
    [(count,)] = rows(database, "select count(*) from run where status = 'completed'")
    return int(count)


def test_what_was_broadcast_is_forgotten_after_its_time(make_stage: MakeStage) -> None:
    stage = make_stage(town_cast.ACTORS)
    stage.publish(TownWhispered(n=1))
    stage.drain()
    stage.clock.advance(timedelta(minutes=50))
    stage.publish(TownWhispered(n=2))
    stage.drain()
    stage.clock.advance(timedelta(minutes=20))
    month = timedelta(days=30)
    with stage.database.once("test") as connection:
        Retention(dedup_window=month, steps=month, look_back=month, broadcasts=timedelta(hours=1)).sweep(
            connection
        )

    assert stage.rows("select distinct data ->> 'n' from broadcast") == [("2",)]


def test_a_rehearsal_shows_what_was_broadcast() -> None:
    done = rehearse(mumble, TownMumbled(text="hm", name="mumbled"))

    assert done.broadcasts == [(SQUARE, "mumbled", {"text": "hm"})]


@pytest.mark.parametrize(
    ("event", "error", "told"),
    [
        (TownMumbled(channel=""), ConfigurationError, "no channel is named"),
        (TownMumbled(channel="../."), ConfigurationError, "no channel is named"),
        (TownMumbled(channel="a\nb"), ConfigurationError, "no channel is named"),
        (TownMumbled(channel="a" * 301), ConfigurationError, "no channel is named"),
        (TownMumbled(name="two words"), ConfigurationError, "cannot be called"),
        (TownMumbled(name="x\ndata: forged"), ConfigurationError, "cannot be called"),
        (TownMumbled(name="callboard.gap"), ConfigurationError, "the stream's own"),
        (TownMumbled(text="x" * 70_000), EventTooLargeError, "the limit is 65536"),
    ],
)
def test_what_cannot_be_broadcast_fails_where_it_is_said(
    event: TownMumbled, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        rehearse(mumble, event)


@actor()
def stutter(event: TownDoomed, run: Run) -> None:
    run.broadcast(SQUARE, {"text": "secret\0"} if event.n else {"text": object()})


@pytest.mark.parametrize("n", [0, 1])
def test_data_that_cannot_be_kept_is_refused_without_showing_it(n: int) -> None:
    with pytest.raises(InvalidEventError, match="no JSON object that can be kept") as caught:
        rehearse(stutter, TownDoomed(n=n))
    assert "secret" not in str(caught.value)
