"""Migrations: numbered SQL files, forward only, applied once each under an advisory lock.

A file is `NNNN_pre_what.sql` (runs before new code starts) or `NNNN_post_what.sql` (after old code has gone). The engine's own
files run in the engine's schema; a domain's files run in a schema of the domain's name.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from broker.database import Database
from broker.errors import ConfigurationError

LOCK_KEY = 0x63616C6C_6D696772  # "callmigr"
_NAME = re.compile(r"^(\d{4})_(pre|post)_[a-z0-9_]+\.sql$")

_LEDGER = """
create table if not exists migration (
    room text not null, name text not null, applied_at timestamptz not null default clock_timestamp(), primary key (room, name)
)"""
_APPLIED = "select room, name from migration"
# Ledgers of other namespaces in this database, as far as we may read them.
_OTHERS = """
select n.nspname
from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid and a.attname = 'room'
where c.relname = 'migration' and n.nspname <> %s and has_table_privilege(c.oid, 'select')
order by n.nspname"""
_ROOMS_THERE = "select room from {}.migration where room = any(%s) limit 1"
_RECORD = "insert into migration (room, name) values (%s, %s)"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. `room` is `engine` or the domain's name; `phase` is `pre` or `post`."""

    room: str
    name: str
    phase: str
    path: Path
    schema: str


def engine_migrations(schema: str) -> list[Migration]:
    """The engine's own files, in order."""
    return read_folder("engine", Path(__file__).parent / "sql", schema)


def read_folder(room: str, folder: Path, schema: str) -> list[Migration]:
    """The files of one folder in order. Raises ConfigurationError for a name that does not fit the pattern."""
    found: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.match(path.name)
        if match is None:
            raise ConfigurationError(f"{path}: name it NNNN_pre_what.sql or NNNN_post_what.sql")
        found.append(Migration(room, path.name, match.group(2), path, schema))
    return found


def pending(database: Database, migrations: Sequence[Migration]) -> list[Migration]:
    """Those not yet applied, in order. Reads only; an empty database has all of them pending."""
    with database.once("migrate") as connection:
        if connection.execute("select to_regclass('migration')").fetchone() == (None,):
            return list(migrations)
        done = set(connection.execute(_APPLIED).fetchall())
    return [migration for migration in migrations if (migration.room, migration.name) not in done]


def migrate(
    database: Database,
    migrations: Sequence[Migration],
    watched: Callable[[Sequence[Migration]], Iterable[Migration]] = iter,
) -> list[Migration]:
    """Apply what is pending, each file in a transaction of its own, and return what was applied. May be repeated.

    Two callers at once: the second waits for the first and finds nothing to do. `watched` is given what is pending and gives it
    back one by one: a place for a progress bar. Raises ConfigurationError for a file that PostgreSQL refuses, and for a domain
    whose tables another namespace has made.
    """
    with database.connect("migrate", direct=True) as connection:
        connection.execute("select pg_advisory_lock(%s)", (LOCK_KEY,))
        connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(database.schema)))
        connection.execute(_LEDGER)
        done = set(connection.execute(_APPLIED).fetchall())
        todo = [migration for migration in migrations if (migration.room, migration.name) not in done]
        _refuse_shared(connection, database, {m.room for m in todo} - {room for room, _ in done})
        for migration in watched(todo):
            _apply(connection, database, migration)
    return todo


def _refuse_shared(connection: psycopg.Connection, database: Database, new: set[str]) -> None:
    """Domain tables carry no namespace: the second one in a database would write into those of the first."""
    for (other,) in connection.execute(_OTHERS, (database.schema,)).fetchall():
        there = sql.SQL(_ROOMS_THERE).format(sql.Identifier(other))
        row = connection.execute(there, (sorted(new - {"engine"}),)).fetchone()
        if row is not None:
            raise ConfigurationError(
                f"namespace {other!r} keeps the tables of domain {row[0]!r} in this database, and domain tables carry no "
                f"namespace: give namespace {database.schema!r} a database of its own"
            )


def _apply(connection: psycopg.Connection, database: Database, migration: Migration) -> None:
    with connection.transaction():
        schema = sql.Identifier(migration.schema)
        connection.execute(sql.SQL("create schema if not exists {}").format(schema))
        connection.execute(sql.SQL("set local search_path to {}").format(schema))
        try:
            connection.execute(migration.path.read_text().encode())
        except psycopg.Error as error:
            raise ConfigurationError(f"migration {migration.path}: {error}") from error
        connection.execute(sql.SQL("set local search_path to {}").format(sql.Identifier(database.schema)))
        connection.execute(_RECORD, (migration.room, migration.name))
