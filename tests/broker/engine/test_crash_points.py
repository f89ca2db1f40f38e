"""A worker that dies at any of the named points loses nothing and doubles nothing; another goes on."""

import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from broker import Publisher
from broker.broker import CallboardBroker
from broker.database import Database
from broker.declare import declare
from broker.transports.base import Transport
from broker.transports.postgres import PostgresTransport
from broker.transports.rabbitmq import RabbitmqTransport
from tests.support.trial import ACTORS, Journaled, Oracle, TrialBegun
from tests.support.trial_worker import CRASHED, POINTS
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[3]
EVENTS = 12
RABBIT_ONLY = {"after publish before confirm", "after confirm before mark", "after mark"}


@contextmanager
def worker(dsn: str, amqp: str, *options: str) -> Generator[subprocess.Popen[str]]:
    """A worker process that is ready; killed at the end if it is still there."""
    command = [sys.executable, "-m", "tests.support.trial_worker", dsn, amqp, *options]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None and process.stdout.readline() == "ready\n"


def transport_for(database: Database, amqp: str) -> Transport:
    return RabbitmqTransport(amqp) if amqp else PostgresTransport(database)


@pytest.fixture(params=["postgres", "rabbitmq"])
def amqp(request: pytest.FixtureRequest) -> Iterator[str]:
    """The AMQP URL, or nothing for the `postgres` transport. Queues are emptied after the test."""
    if request.param == "postgres":
        yield ""
        return
    from tests.support.rabbit import empty_queues

    url = request.getfixturevalue("rabbit").url
    empty_queues(
        url,
        [*(actor.name for actor in ACTORS), "callboard.unheard", "callboard.dead", "callboard.quarantine"],
    )
    yield url


@pytest.mark.parametrize("point", [point for point in POINTS if point != "in the takeover"])
def test_a_crash_loses_and_doubles_nothing(point: str, amqp: str, database: Database) -> None:
    if not amqp and point in RABBIT_ONLY:
        pytest.skip("the postgres transport has no outbox to confirm")
    oracle = prepared(database)
    with worker(database.url, amqp, "--crash", f"{point}:{passage(point)}") as doomed:
        ready(doomed)
        publish_events(database, amqp)
        with worker(database.url, amqp) as other:
            assert doomed.wait(30) == CRASHED
            ready(other)
            settle(oracle)
    finished_steps_ran_once(oracle)


def test_a_leader_that_dies_in_a_takeover_is_followed_by_another(amqp: str, database: Database) -> None:
    oracle = prepared(database)
    with worker(database.url, amqp, "--crash", "in the takeover:1") as doomed:
        ready(doomed)
        with worker(database.url, amqp) as victim:
            ready(victim)
            publish_events(database, amqp)
            victim.kill()
        assert doomed.wait(30) == CRASHED
        with worker(database.url, amqp) as other:
            ready(other)
            settle(oracle)


def prepared(database: Database) -> Oracle:
    oracle = Oracle(database)
    oracle.prepare()
    Journaled.dsn = database.url
    return oracle


def publish_events(database: Database, amqp: str) -> None:
    transport = transport_for(database, amqp)
    broker = CallboardBroker("callboard")
    broker.bind(ACTORS)
    declare(database, transport, broker.topology())
    publisher = Publisher(transport, "trial", database)
    for n in range(EVENTS):
        publisher.publish(TrialBegun(n=n, fail_first=n % 3 == 0), id=f"trial-{n}")
    transport.close()


def settle(oracle: Oracle) -> None:
    def whole() -> bool:
        assert oracle.faults(EVENTS) == []
        return True

    eventually(whole, 45, every=0.1)


def passage(point: str) -> int:
    """Late enough that work is under way, early enough that it happens."""
    return {"in the sweep": 3, "while scheduling a retry": 2, "in a transaction": 3}.get(point, 5)


def finished_steps_ran_once(oracle: Oracle) -> None:
    """A step in flight at the crash may run again (one a thread); none whose result had committed does."""
    for stage, part in (("begin", "one"), ("begin", "two"), ("halve", "one")):
        again = [n for n, times in oracle.executions(stage, part).items() if times > 1]
        assert len(again) <= 4, f"{stage}/{part} ran again for {again}"
