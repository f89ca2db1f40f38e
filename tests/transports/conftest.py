"""A database with the engine's tables, and transports on it that the test need not close."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from broker.database import Database
from broker.migrate import engine_migrations, migrate
from broker.transports.postgres import PostgresTransport
from tests.support.transports import Wire


@pytest.fixture
def database(dsn: str) -> Database:
    database = Database(dsn)
    migrate(database, engine_migrations(database.schema))
    return database


@pytest.fixture
def wire(database: Database) -> Iterator[Wire[PostgresTransport]]:
    """Polls so rarely that whatever arrives in time was notified."""
    wire = Wire("callboard", lambda: PostgresTransport(database, poll=timedelta(minutes=1)))
    yield wire
    wire.close()


@pytest.fixture
def transport(wire: Wire[PostgresTransport]) -> PostgresTransport:
    transport = wire.transport()
    transport.declare(wire.topology(orders=["order.placed"], pages=["page.scanned"]))
    return transport
