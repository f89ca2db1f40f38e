"""A house on real servers, sound but for what a test does to it, and what the doctor says of it."""

import json
import secrets
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pika
import pytest
from psycopg.conninfo import make_conninfo

from broker import Settings
from broker.database import Database
from broker.declare import declare
from broker.migrate import migrate
from broker.topology import Topology
from broker.transports.rabbitmq import RabbitmqTransport
from ops.boot import load, make_broker
from schemas import uuid7
from tests.ops.conftest import Cli
from tests.support.servers import Rabbit

_RUN = """
insert into run (id, event_id, event_source, actor, event_type, event_version, event_time, event, digest, correlation_id, claim,
                 created_at, status, attempt, fence, worker, wake, due_at)
values (%(id)s, %(id)s, 'test', 'speak.speak', 'line.spoken', 1, clock(), '{}', '', 'test', gen_random_uuid(), clock(),
        %(status)s, 1, 1, %(worker)s, gen_random_uuid(), clock() - %(late)s::interval)"""
_WORKER = """
insert into worker (id, name, lock_key, version, started_at, heartbeat_at)
values (%(id)s, %(name)s, 1, '1', clock(), clock_timestamp() - %(silent)s::interval)"""


@dataclass
class House:
    """`examine` runs `callboard doctor` as it stands."""

    cli: Cli
    environment: pytest.MonkeyPatch
    database: Database
    topology: Topology
    amqp: str

    def examine(self) -> "Visit":
        done = self.cli("doctor", "--json")
        return Visit(done.exit_code, json.loads(done.stdout), done.output)

    def set(self, name: str, value: str) -> None:
        self.environment.setenv(f"CALLBOARD_{name}", value)

    def sql(self, statement: str, **parameters: object) -> None:
        with self.database.once("test") as connection:
            connection.execute(statement.encode(), parameters or None)

    def run(self, status: str, *, late: timedelta | None = None, worker: UUID | None = None) -> UUID:
        """A row as the engine writes it."""
        id = uuid7()
        self.sql(_RUN, id=id, status=status, worker=worker, late=late)
        return id

    def worker(self, name: str, *, silent: timedelta = timedelta(0)) -> UUID:
        id = uuid7()
        self.sql(_WORKER, id=id, name=name, silent=silent)
        return id

    @contextmanager
    def channel(self) -> Generator[Any]:
        with pika.BlockingConnection(pika.URLParameters(self.amqp)) as connection:
            yield connection.channel()

    def queue(self, name: str) -> str:
        return self.topology.queue_of(name)


@dataclass(frozen=True)
class Visit:
    """What the doctor said."""

    status: int
    told: dict[str, Any]
    output: str

    def of(self, id: str) -> tuple[str, str]:
        """The state and the words of the only finding of this check."""
        [finding] = [each for each in self.told["findings"] if each["id"] == id]
        return finding["state"], f"{finding['found']} → {finding['fix']}"

    def states(self, id: str) -> set[str]:
        return {each["state"] for each in self.told["findings"] if each["id"] == id}


@pytest.fixture
def house(cli: Cli, dsn: str, rabbit: Rabbit, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """Migrated and declared, without a worker."""
    namespace = f"t{secrets.token_hex(4)}"
    monkeypatch.setenv("CALLBOARD_NAMESPACE", namespace)
    monkeypatch.setenv("CALLBOARD_BROKER_URL", rabbit.url)
    settings = Settings(apps=("tests.support.troupe",), namespace=namespace)
    app, database = load(settings), Database(dsn, namespace)
    migrate(database, app.migrations(namespace))
    topology = make_broker(app, settings).topology()
    transport = RabbitmqTransport(rabbit.url)
    declare(database, transport, topology)
    transport.close()
    made = House(cli, monkeypatch, database, topology, rabbit.url)
    yield made
    with made.channel() as channel:
        for queue in (*topology.queues, *topology.house_queues):
            channel.queue_delete(queue)
        for exchange in (topology.events, topology.alternate_exchange, topology.dead_letter_exchange):
            channel.exchange_delete(exchange)


@pytest.fixture
def humble(house: House) -> Iterator[str]:
    """A role that may log in and nothing else; the DSN it logs in with."""
    role = f"humble_{secrets.token_hex(4)}"
    house.sql(f"create role {role} login")
    yield make_conninfo(house.database.url, user=role)
    house.sql(f"drop owned by {role}; drop role {role}")
