"""Migrations: numbered SQL files, forward only, applied once each under an advisory lock.

A file is `NNNN_pre_what.sql` (adds; runs before new code starts, beside old workers) or `NNNN_post_what.sql` (removes; runs after
the last worker that does not know it has gone). The engine's own files run in the engine's schema; a domain's files run in a
schema of the domain's name. Those of one room are applied in the order of their numbers, always.
"""

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Literal

import psycopg
from psycopg import sql

from broker.database import Database
from broker.errors import ConfigurationError

LOCK_KEY = 0x63616C6C_6D696772  # "callmigr"
_NAME = re.compile(r"^(\d{4})_(pre|post)_[a-z0-9_]+\.sql$")

Phase = Literal["pre", "post"]

LOCK_SECONDS = 3
"""How long a file may wait for a table's lock: what waits for one makes every later query on that table wait behind it."""
LOCK_TRIES = 10
PAUSE_SECONDS = 1.0

_LEDGER = """
create table if not exists migration (
    room text not null, name text not null, applied_at timestamptz not null default clock_timestamp(), primary key (room, name)
)"""
_LEDGER_DIGEST = "alter table migration add column digest text"
_HAS_DIGEST = "select 1 from pg_attribute where attrelid = 'migration'::regclass and attname = 'digest' and not attisdropped"
# Readable before and after the ledger has kept digests.
_APPLIED = "select room, name, to_jsonb(m) ->> 'digest' from migration m"
# Workers that live (their lock is held, or they have just beaten), have the room, and do not know the file. Those without any
# rooms are from before rooms were told.
_OLDER = """
select w.name, w.version from worker w
where (w.knows = '{}' or %(room)s = any(w.knows)) and not %(file)s = any(w.knows)
  and (w.heartbeat_at > clock_timestamp() - %(lease)s::interval
       or exists (select from pg_locks l
                  where l.locktype = 'advisory' and l.granted and l.objsubid = 1
                    and l.database = (select oid from pg_database where datname = current_database())
                    and l.classid = (w.lock_key >> 32)::int::oid and l.objid = (w.lock_key & 4294967295)::oid))
order by w.name"""
# Ledgers of other namespaces in this database, as far as we may read them.
_OTHERS = """
select n.nspname
from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid and a.attname = 'room'
where c.relname = 'migration' and n.nspname <> %s and has_table_privilege(c.oid, 'select')
order by n.nspname"""
_ROOMS_THERE = "select room from {}.migration where room = any(%s) limit 1"
_RECORD = "insert into migration (room, name, digest) values (%s, %s, %s)"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. `room` is `engine` or the domain's name."""

    room: str
    name: str
    phase: Phase
    path: Path
    schema: str

    def __str__(self) -> str:
        return f"{self.room}/{self.name}"

    @property
    def digest(self) -> str:
        """Of its text, whatever its line ends."""
        return sha256(self.path.read_text().encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class OlderWorker:
    """A live worker that does not know a post migration: what that one removes may still be used by it."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class State:
    """What the ledger says of these files. `changed` were applied and say something else now; `newer` are applied, and files of
    rooms that we have but of no file that we have: a newer program has put them there."""

    pending: Sequence[Migration]
    changed: Sequence[Migration] = ()
    newer: Sequence[str] = ()


class MigrationRefusedError(ConfigurationError):
    """A migration may not be applied now; the message says because of whom, and what to do."""


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
        phase: Phase = "pre" if match.group(2) == "pre" else "post"
        found.append(Migration(room, path.name, phase, path, schema))
    return found


def known(migrations: Sequence[Migration]) -> list[str]:
    """What a worker says of itself: its rooms, and the post migrations in them."""
    posts = {str(migration) for migration in migrations if migration.phase == "post"}
    return sorted({migration.room for migration in migrations} | posts)


def pending(database: Database, migrations: Sequence[Migration]) -> list[Migration]:
    """Those not yet applied, in order. Reads only; an empty database has all of them pending."""
    return list(state(database, migrations).pending)


def state(database: Database, migrations: Sequence[Migration]) -> State:
    """Reads only; without a ledger everything is pending."""
    with database.once("migrate") as connection:
        if connection.execute("select to_regclass('migration')").fetchone() == (None,):
            return State(list(migrations))
        applied = {(room, name): digest for room, name, digest in connection.execute(_APPLIED)}
    files = {(m.room, m.name): m for m in migrations}
    rooms = {m.room for m in migrations}
    return State(
        [m for key, m in files.items() if key not in applied],
        [m for key, m in files.items() if applied.get(key) not in (None, m.digest)],
        sorted(f"{room}/{name}" for room, name in applied.keys() - files.keys() if room in rooms),
    )


def meant(todo: Sequence[Migration], phase: Phase | None) -> list[Migration]:
    """Those of the pending files that belong to a phase.

    A post migration that stands before a pending pre one was left by an earlier deploy: it is made up for with the phase `pre`.
    Raises MigrationRefusedError for the phase `post` while pre ones are pending.
    """
    early = [m for m in todo if m.phase == "pre"]
    if phase == "post" and early:
        raise MigrationRefusedError(
            f"{early[0]} is not applied yet, and comes first: `callboard migrate --phase pre`, start the new workers, "
            "stop the old ones, then `callboard migrate --phase post`"
        )
    if phase != "pre":
        return list(todo)
    last = {m.room: m.name for m in early}
    return [m for m in todo if m.name <= last.get(m.room, "")]


def older_workers(database: Database, migration: Migration, lease: timedelta) -> list[OlderWorker]:
    """Live workers that a post migration has to wait for. Reads only."""
    with database.once("migrate") as connection:
        return _older(connection, migration, lease)


def migrate(
    database: Database,
    migrations: Sequence[Migration],
    watched: Callable[[Sequence[Migration]], Iterable[Migration]] = iter,
    *,
    phase: Phase | None = None,
    lease: timedelta = timedelta(seconds=10),
) -> list[Migration]:
    """Apply what is pending, each file in a transaction of its own, and return what was applied. May be repeated.

    Without a phase, post migrations that an older worker still stands against are left, and nothing is raised. Two callers at
    once: the second waits for the first and finds nothing to do. `watched` is given what is pending and gives it back one by
    one: a place for a progress bar. Raises ConfigurationError for a file that PostgreSQL refuses, and for a domain whose tables
    another namespace has made; MigrationRefusedError where an older worker is in the way. Files before that one stay applied.
    """
    with database.connect("migrate", direct=True) as connection:
        connection.execute("select pg_advisory_lock(%s)", (LOCK_KEY,))
        connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(database.schema)))
        connection.execute(_LEDGER)
        if connection.execute(_HAS_DIGEST).fetchone() is None:
            connection.execute(_LEDGER_DIGEST)
        done = {(room, name) for room, name, _ in connection.execute(_APPLIED)}
        todo = meant([m for m in migrations if (m.room, m.name) not in done], phase)
        _refuse_shared(connection, database, {m.room for m in todo} - {room for room, _ in done})
        applied: list[Migration] = []
        for migration in watched(todo):
            if migration.phase == "post" and (older := _older(connection, migration, lease)):
                if phase is not None or _stands_before_pre(migration, todo):
                    raise MigrationRefusedError(told_older(migration, older))
                continue
            _apply(connection, database, migration)
            applied.append(migration)
    return applied


def told_older(migration: Migration, older: Sequence[OlderWorker]) -> str:
    """Who is in the way of a post migration, and what to do about it."""
    names = ", ".join(f"{worker.name} (version {worker.version})" for worker in older[:5])
    more = f" and {len(older) - 5} more" if len(older) > 5 else ""
    return (
        f"{migration} removes what older workers may still use, and {names}{more} does not know it: stop it (SIGTERM), "
        "or start it again with the new code, then `callboard migrate --phase post`"
    )


def _stands_before_pre(migration: Migration, todo: Sequence[Migration]) -> bool:
    """Then nothing behind it may be applied either."""
    return any(m.room == migration.room and m.phase == "pre" and m.name > migration.name for m in todo)


def _older(connection: psycopg.Connection, migration: Migration, lease: timedelta) -> list[OlderWorker]:
    if connection.execute("select to_regclass('worker')").fetchone() == (None,):
        return []
    facts = {"room": migration.room, "file": str(migration), "lease": lease}
    return [OlderWorker(*row) for row in connection.execute(_OLDER, facts)]


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
    """Raises ConfigurationError; then nothing of the file has happened."""
    for left in reversed(range(LOCK_TRIES)):
        try:
            return _execute(connection, database, migration)
        except psycopg.errors.LockNotAvailable as error:
            if not left:
                raise ConfigurationError(
                    f"migration {migration} got no lock in {LOCK_TRIES} tries of {LOCK_SECONDS} s: a long transaction holds its "
                    "table (see pg_stat_activity); nothing of it was applied, call `callboard migrate` again"
                ) from error
            time.sleep(PAUSE_SECONDS)
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            raise ConfigurationError(f"migration {migration}: {error}; nothing of it was applied") from error


def _execute(connection: psycopg.Connection, database: Database, migration: Migration) -> None:
    with connection.transaction():
        schema = sql.Identifier(migration.schema)
        connection.execute(sql.SQL("create schema if not exists {}").format(schema))
        connection.execute(sql.SQL("set local search_path to {}").format(schema))
        connection.execute(sql.SQL("set local lock_timeout to {}").format(f"{LOCK_SECONDS}s"))
        connection.execute(migration.path.read_text().encode())
        connection.execute(sql.SQL("set local search_path to {}").format(sql.Identifier(database.schema)))
        connection.execute(_RECORD, (migration.room, migration.name, migration.digest))
