"""SIGTERM: a worker stops taking, finishes or hands back, and is gone within the grace. No finished step runs again."""

import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from broker import Publisher
from broker.database import Database
from broker.history import list_runs
from broker.migrate import engine_migrations, migrate
from broker.transports.base import Transport
from broker.transports.postgres import PostgresTransport
from broker.transports.rabbitmq import RabbitmqTransport
from ops.embedded.rabbitmq import EmbeddedRabbit
from ops.supervisor import CLOSING
from schemas import Event
from tests.support.ferry.schemas import FerryDrifted, FerryMoored, FerryRowed
from tests.support.runner import running_worker
from tests.support.servers import running_postgres
from tests.support.waiting import eventually

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

GRACE = 3.0
MARGIN = 3.0
"""Seconds for a process to end on two shared cores."""
FERRY = {"APPS": "tests.support.ferry", "SWEEP_INTERVAL": "PT0.05S", "GRACE": f"PT{GRACE}S", "LEASE": "PT4S"}
MAKE: dict[str, Callable[[str], Event]] = {
    "in a step": lambda folder: FerryRowed(folder=folder),
    "in an await": lambda folder: FerryDrifted(folder=folder),
    "in a durable sleep": lambda folder: FerryMoored(folder=folder),
}


def published(database: Database, *events: Event, amqp: str = "") -> None:
    transport: Transport = RabbitmqTransport(amqp) if amqp else PostgresTransport(database)
    try:
        Publisher(transport, "test", database).publish_many(events)
    finally:
        transport.close()


def noted(folder: Path) -> list[str]:
    notes = folder / "notes"
    return notes.read_text().splitlines() if notes.exists() else []


def outcomes(database: Database) -> list[tuple[str, int, int]]:
    """Status, attempt and crashes of every run."""
    with database.once("test") as connection:
        return sorted((run.status, run.attempt, run.crashes) for run in list_runs(connection))


def seconds_since(began: float) -> float:
    return time.monotonic() - began


@pytest.mark.parametrize("where", ["in a step", "in an await"])
def test_a_body_that_ends_within_the_grace_is_finished(
    where: str, database: Database, dsn: str, tmp_path: Path
) -> None:
    with running_worker(tmp_path, dsn, **FERRY) as runner:
        runner.wait_ready()
        published(database, MAKE[where](str(tmp_path)))
        eventually(lambda: noted(tmp_path) == ["cast off", "pull"])
        runner.signal(signal.SIGTERM)
        eventually(lambda: not runner.quarantine())
        (tmp_path / "go").touch()
        assert runner.ends(timedelta(seconds=GRACE + MARGIN)) == 0
    assert outcomes(database) == [("completed", 1, 0)]
    assert noted(tmp_path) == ["cast off", "pull"]


@pytest.mark.parametrize("where", ["in a step", "in an await"])
def test_a_body_that_outlasts_the_grace_is_taken_over_and_its_finished_step_is_kept(
    where: str, database: Database, dsn: str, tmp_path: Path
) -> None:
    with running_worker(tmp_path, dsn, **FERRY) as runner:
        runner.wait_ready()
        published(database, MAKE[where](str(tmp_path)))
        eventually(lambda: noted(tmp_path) == ["cast off", "pull"])
        began = time.monotonic()
        runner.signal(signal.SIGTERM)
        runner.ends()
        assert GRACE <= seconds_since(began) < GRACE + CLOSING.total_seconds() + MARGIN
        assert not runner.survivors()
    (tmp_path / "go").touch()
    with running_worker(tmp_path, dsn, **FERRY) as runner:
        runner.wait_ready()
        eventually(lambda: [status for status, *_ in outcomes(database)] == ["completed"], 20)
    assert noted(tmp_path) == ["cast off", "pull", "pull"]


def test_a_run_that_sleeps_durably_holds_up_no_stop_and_goes_on_in_the_next_worker(
    database: Database, dsn: str, tmp_path: Path
) -> None:
    with running_worker(tmp_path, dsn, **FERRY) as runner:
        runner.wait_ready()
        published(database, FerryMoored(folder=str(tmp_path)))
        eventually(lambda: [status for status, *_ in outcomes(database)] == ["waiting"])
        began = time.monotonic()
        runner.signal(signal.SIGTERM)
        assert runner.ends() == 0
        assert seconds_since(began) < GRACE + MARGIN
    with running_worker(tmp_path, dsn, **FERRY) as runner:
        runner.wait_ready()
        eventually(lambda: outcomes(database) == [("completed", 1, 0)], 20)
    assert noted(tmp_path) == ["cast off", "pull"]


def test_what_was_claimed_and_not_started_is_handed_back_uncounted(
    database: Database, dsn: str, tmp_path: Path
) -> None:
    folder = str(tmp_path)
    with running_worker(tmp_path, dsn, **FERRY) as runner:  # two threads
        runner.wait_ready()
        published(database, *[FerryRowed(folder=folder) for _ in range(8)])
        eventually(lambda: noted(tmp_path).count("pull") == 2)
        runner.signal(signal.SIGTERM)
        eventually(lambda: not runner.quarantine())
        (tmp_path / "go").touch()
        assert runner.ends() == 0
        done = sum(status == "completed" for status, *_ in outcomes(database))
        assert done == 2
        assert all(crashes == 0 for *_, crashes in outcomes(database))
    with running_worker(tmp_path, dsn, **FERRY) as runner:
        runner.wait_ready()
        eventually(lambda: outcomes(database) == [("completed", 1, 0)] * 8, 20)
    assert sorted(noted(tmp_path)) == ["cast off"] * 8 + ["pull"] * 8


def test_a_worker_told_to_stop_while_it_boots_ends(database: Database, dsn: str, tmp_path: Path) -> None:
    with running_worker(tmp_path, dsn, **FERRY) as runner:
        eventually(runner.children)
        began = time.monotonic()
        runner.signal(signal.SIGTERM)
        runner.ends()
        assert seconds_since(began) < GRACE + CLOSING.total_seconds() + MARGIN
        assert not runner.survivors()


def test_a_worker_told_to_stop_while_postgresql_is_away_ends_and_its_work_goes_on_later(
    tmp_path: Path,
) -> None:
    with running_postgres(tmp_path / "postgres") as server:
        database = Database(server.tcp_dsn)
        migrate(database, engine_migrations(database.schema))
        with running_worker(tmp_path, server.tcp_dsn, **FERRY) as runner:
            runner.wait_ready()
            published(database, FerryRowed(folder=str(tmp_path)))
            eventually(lambda: noted(tmp_path) == ["cast off", "pull"])
            server.stop()
            began = time.monotonic()
            runner.signal(signal.SIGTERM)
            runner.ends()
            assert seconds_since(began) < GRACE + CLOSING.total_seconds() + MARGIN
            assert not runner.survivors()
        server.start()
        (tmp_path / "go").touch()
        with running_worker(tmp_path, server.tcp_dsn, **FERRY) as runner:
            runner.wait_ready()
            eventually(lambda: [status for status, *_ in outcomes(database)] == ["completed"], 30)
    assert noted(tmp_path) == ["cast off", "pull", "pull"]


def test_a_worker_told_to_stop_while_rabbitmq_is_away_finishes_its_bodies(
    database: Database, dsn: str, tmp_path: Path
) -> None:
    server = EmbeddedRabbit(tmp_path / "rabbit")
    with server, running_worker(tmp_path, dsn, BROKER_URL=server.url, **FERRY) as runner:
        runner.wait_ready()
        published(database, FerryRowed(folder=str(tmp_path)), amqp=server.url)
        eventually(lambda: noted(tmp_path) == ["cast off", "pull"], 20)
        server.kill()
        runner.signal(signal.SIGTERM)
        eventually(lambda: not runner.quarantine())
        (tmp_path / "go").touch()
        assert runner.ends(timedelta(seconds=GRACE + CLOSING.total_seconds() + MARGIN)) == 0
    assert outcomes(database) == [("completed", 1, 0)]
    assert noted(tmp_path) == ["cast off", "pull"]
