"""Workers that die between a wait and its wake-up: nothing is missed, nothing is done twice."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from broker import Publisher
from broker.broker import CallboardBroker
from broker.database import Database
from broker.declare import declare
from broker.transports.base import Transport
from ops.chaos.seams import CRASHED, WAIT_POINTS
from ops.chaos.worker import transport_of
from tests.support import wait_cast
from tests.support.rabbit import empty_queues
from tests.support.trial_fleet import ready, worker
from tests.support.wait_cast import WaitListed, WaitOrdered, WaitPaid
from tests.support.waiting import eventually

CAST = ("--cast", "tests.support.wait_cast")
ORDERS = [f"o{n}" for n in range(12)]
NUMBERS = list(range(1, 201))


@pytest.fixture
def publisher(amqp: str, database: Database) -> Iterator[Publisher]:
    """Of another service, on the same transport."""
    if amqp:
        empty_queues(amqp, [*(actor.name for actor in wait_cast.ACTORS), "callboard.recorder"])
    broker = CallboardBroker("callboard")
    broker.bind(wait_cast.ACTORS)
    transport: Transport = transport_of(database, amqp)
    declare(database, transport, broker.topology())
    yield Publisher(transport, "trial", database)
    transport.close()


def reader(database: Database) -> Callable[[str], list[Any]]:
    def rows(statement: str) -> list[Any]:
        with database.once("test") as connection:
            return connection.execute(statement.encode()).fetchall()

    return rows


@pytest.mark.parametrize("point", WAIT_POINTS)
def test_a_crash_misses_no_event_and_no_child(
    point: str, amqp: str, database: Database, publisher: Publisher
) -> None:
    rows = reader(database)
    with worker(database.url, amqp, *CAST, "--crash", f"{point}:4") as doomed:
        ready(doomed)
        publisher.publish(WaitListed(numbers=[1, 2, 3, 4, 5, 6], at_once=2))
        publisher.publish_many([WaitOrdered(order_id=order) for order in ORDERS])
        publisher.publish_many([WaitPaid(order_id=order, cents=7) for order in ORDERS])
        with worker(database.url, amqp, *CAST) as other:
            ready(other)
            assert doomed.wait(30) == CRASHED
            eventually(lambda: rows("select 1 from run where finished_at is not null")[18:], 60, every=0.1)
    assert rows("select distinct status from run") == [("completed",)]
    assert rows("select count(*) from run where parent_id is not null") == [(6,)]
    assert rows("select result from run where actor = 'wait_cast.fan_out'") == [({"square": 91},)]
    assert rows("select distinct result from run where actor = 'wait_cast.ship'") == [({"square": 7},)]
    assert rows("select 1 from wait") == []


def test_a_fan_out_of_two_hundred_survives_the_kill_of_a_worker(
    amqp: str, database: Database, publisher: Publisher
) -> None:
    rows = reader(database)
    with worker(database.url, amqp, *CAST) as doomed:
        ready(doomed)
        publisher.publish(WaitListed(numbers=NUMBERS, at_once=20))
        eventually(lambda: rows("select 1 from run where status = 'completed'")[30:], 30)
        doomed.kill()
        with worker(database.url, amqp, *CAST) as other:
            ready(other)
            done = "select result from run where actor = 'wait_cast.fan_out' and finished_at is not null"
            eventually(lambda: rows(done), 60, every=0.1)
    assert rows(done) == [({"square": sum(n * n for n in NUMBERS)},)]
    assert rows("select count(*), count(distinct event_id) from run where parent_id is not null") == [
        (200, 200)
    ]
