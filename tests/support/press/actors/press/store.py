"""When bodies began and ended: rows on a connection of their own, which no rollback takes back."""

import os
import threading
from uuid import UUID

import psycopg

PREPARE = """
create table if not exists body (
    id bigint generated always as identity primary key, run_id uuid, actor text, key text, n int, pid int,
    began_at timestamptz not null, began_virtually timestamptz not null, ended_at timestamptz)"""
_BEGIN = """
insert into body (run_id, actor, key, n, pid, began_at, began_virtually)
values (%s, %s, %s, %s, %s, clock_timestamp(), clock()) returning id"""
_END = "update body set ended_at = clock_timestamp() where id = %s"
_local = threading.local()


def begin(run_id: UUID, actor: str, key: str, n: int) -> int:
    """Committed before it returns; the row's id."""
    row = _connection().execute(_BEGIN, (run_id, actor, key, n, os.getpid())).fetchone()
    assert row is not None  # an insert that returns
    return int(row[0])


def end(body: int) -> None:
    _connection().execute(_END, (body,))


def _connection() -> psycopg.Connection:
    if not hasattr(_local, "connection"):
        _local.connection = psycopg.connect(
            os.environ["CALLBOARD_DATABASE_URL"], options="-c search_path=callboard", autocommit=True
        )
    found: psycopg.Connection = _local.connection
    return found
