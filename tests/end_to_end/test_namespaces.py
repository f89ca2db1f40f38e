"""Two namespaces on one RabbitMQ and in one database: each has its own events, its own workers, its own dead."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from broker import ConfigurationError, Settings
from broker.database import Database
from broker.migrate import migrate
from broker.takeover import _TERMINATE
from ops.boot import load
from schemas import uuid7
from tests.support.installation import Installation, Workers
from tests.support.waiting import eventually

TAKEN = "select count(*) from run where crashes > 0"


@pytest.fixture(params=["postgres", "rabbitmq"])
def house(request: pytest.FixtureRequest, dsn: str, tmp_path: Path) -> Callable[[str], Installation]:
    """A namespace with the troupe's actors, which keep no tables; all stand on the same servers."""
    amqp = request.getfixturevalue("rabbit").url if request.param == "rabbitmq" else ""
    mark = uuid7().hex[-8:]

    def installed(name: str) -> Installation:
        settings = Settings(apps=("tests.support.troupe",), namespace=f"{name}_{mark}")
        database = Database(dsn, settings.namespace)
        migrate(database, load(settings).migrations(settings.namespace))
        directory = tmp_path / name
        directory.mkdir()
        environment = {
            "CALLBOARD_APPS": "tests.support.troupe",
            "CALLBOARD_NAMESPACE": settings.namespace,
            "CALLBOARD_DATABASE_URL": dsn,
            "CALLBOARD_BROKER_URL": amqp,
        }
        return Installation(environment, directory, database)

    return installed


def holding(house: Installation) -> str:
    """Publish an event whose run waits for `go`; returns the run's id once it has begun."""
    house.publish("curtain.held", folder=str(house.directory))
    begun = house.directory / "begun"
    eventually(begun.exists, 20)
    return eventually(begun.read_text)


def kill_holder(workers: Workers, run: str) -> None:
    os.kill(workers.pid_of(run), signal.SIGKILL)


@pytest.mark.end_to_end
def test_events_of_one_namespace_never_reach_the_other(house: Callable[[str], Installation]) -> None:
    production, staging = house("production"), house("staging")
    with production.workers(), staging.workers():
        for number in range(3):
            production.publish("line.spoken", folder=str(production.directory))
            if number:
                staging.publish("line.spoken", folder=str(staging.directory))
        done = "select count(*) from run where status = 'completed'"
        eventually(lambda: (production.one(done), staging.one(done)) == (3, 2), 20)

    assert (production.directory / "spoken").read_text() == "1\n" * 3
    assert (staging.directory / "spoken").read_text() == "1\n" * 2
    assert production.letters() == staging.letters() == []


@pytest.mark.end_to_end
def test_a_worker_killed_in_one_namespace_is_taken_over_there_only(
    house: Callable[[str], Installation],
) -> None:
    production, staging = house("production"), house("staging")
    with production.workers(2) as ours, staging.workers() as theirs:
        ours.pids()
        theirs.pids()
        run, other = holding(production), holding(staging)
        before = theirs.pid_of(other)

        kill_holder(ours, run)
        eventually(lambda: production.one(TAKEN) == 1, 20)
        for each in (production, staging):
            (each.directory / "go").touch()
        finished = "select status from run where id = %s"
        eventually(lambda: production.one(finished, (run,)) == "completed", 20)
        eventually(lambda: staging.one(finished, (other,)) == "completed", 20)

        assert staging.one(TAKEN) == 0
        assert before in theirs.pids() and not theirs.died()


def test_a_takeover_ends_the_sessions_of_its_own_namespace_and_no_others(dsn: str) -> None:
    """The same pod may have the same name in both, and then its sessions differ by their first word alone."""
    name, long = "host:1", "production_of_the_royal_opera"
    houses = [Database(dsn, schema) for schema in ("callboard", "staging", long, f"{long}_two")]
    sessions = [house.connect(f"journal {name}") for house in houses]
    by_label = {house.label: session for house, session in zip(houses, sessions, strict=True)}
    assert len(by_label) == len(houses)
    with houses[0].once("test") as connection:
        connection.execute(_TERMINATE, {"label": houses[1].label, "name": name})

    lost = [house.schema for house, session in zip(houses, sessions, strict=True) if not answers(session)]
    for session in sessions:
        session.close()
    assert lost == ["staging"]


def answers(session: psycopg.Connection) -> bool:
    try:
        session.execute("select 1")
    except psycopg.OperationalError:
        return False
    return True


def test_a_second_namespace_may_not_share_the_tables_of_a_domain(dsn: str) -> None:
    for namespace in ("callboard", "staging"):
        settings = Settings(demo=True, namespace=namespace)
        migrations = load(settings).migrations(namespace)
        if namespace == "callboard":
            migrate(Database(dsn, namespace), migrations)
            continue
        with pytest.raises(ConfigurationError, match="'staging' a database of its own"):
            migrate(Database(dsn, namespace), migrations)
