"""Publishing in the transaction of somebody else's connection: psycopg's, SQLAlchemy's, Django's."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

import django
import psycopg
import pytest
from django.conf import settings as django_settings
from django.db.utils import ConnectionHandler
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from broker import ConfigurationError, Run, actor
from broker.borrowed import Borrowed
from broker.testing import Stage
from schemas import Event

Way = tuple[Borrowed, Callable[[str], object]]
"""What is handed to `publish`, and what executes a statement in the same transaction."""
Borrow = Callable[[str], Any]
"""From a DSN: a way, in a context that commits unless it is left by an error."""


class LoanTaken(Event, type="loan.taken"):
    name: str


@actor()
def note(event: LoanTaken, run: Run) -> None:
    pass


class ChangedMindError(Exception):
    pass


@pytest.fixture
def stage(dsn: str) -> Iterator[Stage]:
    with Stage(dsn, [note]) as made:
        made.rows("create table public.ledger (name text primary key)")
        yield made


@contextmanager
def psycopg_connection(dsn: str) -> Generator[Way]:
    with psycopg.connect(dsn) as connection:
        connection.row_factory = cast("Any", dict_row)
        connection.cursor_factory = psycopg.ClientCursor
        yield connection, lambda sql: connection.execute(sql.encode())


@contextmanager
def autocommitting_psycopg(dsn: str) -> Generator[Way]:
    with psycopg.connect(dsn, autocommit=True) as connection, connection.transaction():
        yield connection, lambda sql: connection.execute(sql.encode())


def engine_of(dsn: str) -> Any:
    return create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn))


@contextmanager
def sqlalchemy_connection(dsn: str) -> Generator[Way]:
    engine = engine_of(dsn)
    with engine.begin() as connection:
        yield connection, lambda sql: connection.execute(text(sql))
    engine.dispose()


@contextmanager
def sqlalchemy_session(dsn: str) -> Generator[Way]:
    engine = engine_of(dsn)
    with Session(engine) as session, session.begin():
        yield session, lambda sql: session.execute(text(sql))
    engine.dispose()


def django_connection(dsn: str) -> Any:
    if not django_settings.configured:
        django_settings.configure(USE_TZ=True)
        django.setup()
    facts = conninfo_to_dict(dsn)
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": facts["dbname"],
        "USER": facts["user"],
        "HOST": facts["host"],
        "PORT": facts["port"],
    }
    return ConnectionHandler({"default": database})["default"]


@contextmanager
def django_atomic(dsn: str) -> Generator[Way]:
    connection = django_connection(dsn)
    # `atomic` finds its connection by an alias of the settings; by hand it is the same.
    connection.set_autocommit(False)
    try:
        yield connection, lambda sql: connection.cursor().execute(sql)
        connection.commit()
    finally:
        connection.close()


WAYS = [
    psycopg_connection,
    autocommitting_psycopg,
    sqlalchemy_connection,
    sqlalchemy_session,
    django_atomic,
]


@pytest.mark.parametrize("way", WAYS)
def test_event_and_row_commit_together_or_not_at_all(stage: Stage, way: Borrow) -> None:
    dsn = stage.database.url
    with way(dsn) as (held, execute):
        execute("insert into ledger (name) values ('kept')")
        stage.publisher.publish(LoanTaken(name="kept"), connection=held)
        execute("insert into ledger (name) values ('kept, too')")  # the search_path is the caller's again
    with suppress(ChangedMindError), way(dsn) as (held, execute):
        execute("insert into ledger (name) values ('dropped')")
        stage.publisher.publish(LoanTaken(name="dropped"), connection=held)
        raise ChangedMindError
    stage.drain()
    assert stage.rows("select name from public.ledger order by 1") == [("kept",), ("kept, too",)]
    assert stage.rows("select event->>'name', status from run") == [("kept", "completed")]


def test_without_a_transaction_it_is_refused(stage: Stage) -> None:
    connection = django_connection(stage.database.url)
    with psycopg.connect(stage.database.url, autocommit=True) as plain:
        for held in (plain, connection):
            with pytest.raises(ConfigurationError, match="inside a transaction"):
                stage.publisher.publish(LoanTaken(name="x"), connection=held)
    connection.close()
    assert stage.rows("select count(*) from outbox") == [(0,)]


async def test_what_holds_no_connection_of_psycopg_is_refused(stage: Stage) -> None:
    async with await psycopg.AsyncConnection.connect(stage.database.url) as connection:
        with pytest.raises(ConfigurationError, match="has no psycopg connection within: pass a"):
            stage.publisher.publish(LoanTaken(name="x"), connection=cast("Any", connection))
    with pytest.raises(ConfigurationError, match=r"builtins\.object has no psycopg connection"):
        stage.publisher.publish(LoanTaken(name="x"), connection=cast("Any", object()))
