"""Connections to PostgreSQL: how they are opened, what they are named, and which schema they see."""

import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg_pool import ConnectionPool

from broker.eager import EagerConnection

CONNECT_TIMEOUT_SECONDS = 5
"""Long enough for a server under load, short enough that an unreachable one is retried while it still matters."""

LABEL_LENGTH = 14
"""PostgreSQL cuts the name of a session at 63 bytes; a takeover needs a worker's name whole, which with its purpose takes 48."""

BY_INDEX = """
select set_config('enable_seqscan', 'off', %(local)s), set_config('enable_hashjoin', 'off', %(local)s),
       set_config('enable_mergejoin', 'off', %(local)s)"""
"""For the engine's own statements. All of them are made for an index; but on tables that were never analysed PostgreSQL plans for
ten pages, reads them from end to end, and keeps that plan while they grow: a commit then read all of `run`."""


@dataclass(frozen=True, slots=True)
class Database:
    """Where the engine's state lives. `schema` is the namespace; every connection's search_path is set to it."""

    url: str
    schema: str = "callboard"
    direct_url: str | None = None
    """A DSN past any transaction pooler, for session locks and LISTEN; None means that `url` is direct."""

    @property
    def label(self) -> str:
        """The first word in the name of every session: the namespace, or what a long one is shortened to.

        Two namespaces may have workers of one name (the same pod in staging and in production): a takeover must end the sessions
        of its own and no others.
        """
        if len(self.schema) <= LABEL_LENGTH:
            return self.schema
        return f"{self.schema[:5]}~{zlib.crc32(self.schema.encode()):08x}"

    def connect(
        self,
        name: str,
        *,
        direct: bool = False,
        autocommit: bool = True,
        kind: type[psycopg.Connection] = psycopg.Connection,
    ) -> psycopg.Connection:
        """Open one connection named `<label> <name>` in pg_stat_activity. Raises psycopg.OperationalError."""
        dsn = (self.direct_url or self.url) if direct else self.url
        connection = kind.connect(dsn, autocommit=autocommit, **self._arguments(name))  # type: ignore[arg-type]
        self._prepare(connection)
        connection.execute(BY_INDEX, {"local": False})
        if not autocommit:
            connection.commit()
        return connection

    def pool(self, name: str, size: int) -> ConnectionPool[psycopg.Connection]:
        """A closed pool of at most `size` connections; open it after the process has forked, never before."""
        return ConnectionPool(
            self.url,
            connection_class=EagerConnection,
            min_size=0,
            max_size=size,
            kwargs=self._arguments(name),
            configure=self._prepare,
            open=False,
            timeout=30,
            name=name,
        )

    @contextmanager
    def once(self, name: str) -> Generator[psycopg.Connection]:
        """One autocommit connection for a command that does a few statements."""
        with self.connect(name) as connection:
            yield connection

    def _arguments(self, name: str) -> dict[str, object]:
        return {
            "application_name": f"{self.label} {name}"[:63],
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
            "prepare_threshold": 1,
        }

    def _prepare(self, connection: psycopg.Connection) -> None:
        """Set what a transaction pooler or a DSN's `options` may not carry. Commits, so that a rollback does not undo it."""
        path = sql.SQL("set search_path to {}").format(sql.Identifier(self.schema))
        connection.execute(path)
        # A worker that died without closing its socket must not keep row locks: the server looks every 300 ms.
        connection.execute("set client_connection_check_interval to 300")
        connection.execute("set idle_in_transaction_session_timeout to '60s'")
        if not connection.autocommit:
            connection.commit()


_NAMES_ONLY = frozenset({"23502", "23503", "23505", "23514", "3F000", "42703", "42883", "42P01", "42P07"})
"""States whose message quotes nothing but names of tables, columns, constraints and functions."""


def without_values(error: BaseException) -> str:
    """A database error without the values it quotes: PostgreSQL's state, primary message, table, column, constraint. Of others (a
    key function, a parameter that is no JSON) the type."""
    if not isinstance(error, psycopg.Error) or error.diag.sqlstate is None:
        return type(error).__name__
    told = error.diag
    names = (("table", told.table_name), ("column", told.column_name), ("constraint", told.constraint_name))
    where = ", ".join(f"{label} {name}" for label, name in names if name)
    message = told.message_primary or ""
    if told.sqlstate not in _NAMES_ONLY:
        message = message.split('"')[0].strip(" :")
    return f"{told.sqlstate} {message}" + (f" ({where})" if where else "")
