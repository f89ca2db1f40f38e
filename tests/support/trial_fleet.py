"""Trial workers as processes of a test: start, kill, freeze, replace."""

import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from broker import Publisher
from broker.broker import CallboardBroker
from broker.database import Database
from broker.declare import declare
from broker.transports.base import Transport
from broker.transports.postgres import PostgresTransport
from broker.transports.rabbitmq import RabbitmqTransport
from ops.chaos.oracle import Oracle
from ops.chaos.trial import ACTORS, Journaled
from schemas import Event
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]


def start(dsn: str, amqp: str, *options: str) -> "subprocess.Popen[str]":
    """A worker process; the caller ends it."""
    command = [sys.executable, "-m", "ops.chaos.worker", dsn, amqp, *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


@contextmanager
def worker(dsn: str, amqp: str, *options: str) -> "Generator[subprocess.Popen[str]]":
    """A worker process, killed at the end if it is still there."""
    process = start(dsn, amqp, *options)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ready(process: "subprocess.Popen[str]") -> None:
    """Wait until it consumes."""
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def prepared(database: Database) -> Oracle:
    """The oracle's tables, and the place of the execution log."""
    oracle = Oracle(database)
    oracle.prepare()
    Journaled.dsn = database.url
    return oracle


def publish_all(database: Database, amqp: str, events: Sequence[Event]) -> None:
    """Publish as another service would: a transport of its own, ids by the events' numbers."""
    transport: Transport = RabbitmqTransport(amqp) if amqp else PostgresTransport(database)
    broker = CallboardBroker("callboard")
    broker.bind(ACTORS)
    declare(database, transport, broker.topology())
    publisher = Publisher(transport, "trial", database)
    publisher.publish_many(events, ids=[f"trial-{event.model_dump()['n']}" for event in events])
    transport.close()


def settle(oracle: Oracle, count: int, timeout: float = 60) -> None:
    """Wait until every event has gone through, once."""

    def whole() -> bool:
        assert oracle.faults(count) == []
        return True

    eventually(whole, timeout, every=0.1)
