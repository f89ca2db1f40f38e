"""Reading what was broadcast, in one order for everybody: positions are given after the commits, by one reader at a time.

Whoever holds the lock numbers what has committed and no one else does, until its own commit. So a position that is seen has no
smaller one that comes later, and a listener that remembers the last one it was told misses nothing and is told nothing twice.
"""

import zlib
from dataclasses import dataclass

from psycopg import Connection
from psycopg.rows import class_row

PAGE = 1000
"""Rows a look: what is more is read at once by the next one."""

# `position is null` is asked again of a row that another reader has just numbered: this statement may have begun before that.
_NUMBER = """
update broadcast b set position = n.position
from (select id, nextval('broadcast_position') as position
      from (select id from broadcast where position is null order by id limit %s) fresh) n
where b.id = n.id and b.position is null"""
_MAY_NUMBER = "select pg_try_advisory_xact_lock(%s)"
_WAIT_TO_NUMBER = "select pg_advisory_xact_lock(%s)"
_ANYTHING_NEW = "select exists (select from broadcast where position is null)"
_LAST = "select case when is_called then last_value else 0 end from broadcast_position"
_OLDEST = "select min(position) from broadcast"
_AFTER = """
select position, channel, name, data::text as data from broadcast where position > %s order by position limit %s"""
_MISSED = """
select position, channel, name, data::text as data from broadcast
where channel = %s and position > %s and position <= %s order by position limit %s"""


@dataclass(frozen=True, slots=True)
class Told:
    """One broadcast. `data` is JSON text."""

    position: int
    channel: str
    name: str
    data: str


def now(connection: Connection, key: int) -> int:
    """The position of this moment: everything committed until now is at or below it. Commits what it numbers."""
    with connection.transaction():
        connection.execute(_WAIT_TO_NUMBER, (key,))
        while connection.execute(_NUMBER, (PAGE,)).rowcount == PAGE:
            pass
        return last(connection)


def after(connection: Connection, key: int, position: int) -> list[Told]:
    """What came after a position, on all channels, at most `PAGE`."""
    with connection.transaction():
        if _one(connection, _ANYTHING_NEW) and _one(connection, _MAY_NUMBER, key):
            connection.execute(_NUMBER, (PAGE,))
    with connection.cursor(row_factory=class_row(Told)) as cursor:
        return cursor.execute(_AFTER, (position, PAGE)).fetchall()


def missed(connection: Connection, channel: str, position: int, until: int) -> list[Told]:
    """What came on a channel after a position and up to another one, at most `PAGE`."""
    with connection.cursor(row_factory=class_row(Told)) as cursor:
        return cursor.execute(_MISSED, (channel, position, until, PAGE)).fetchall()


def last(connection: Connection) -> int:
    """The last position that was given; 0 before the first."""
    return int(_one(connection, _LAST) or 0)


def forgotten(connection: Connection, position: int) -> bool:
    """Whether something after this position may have been forgotten already, or the position is none of ours."""
    newest, oldest = last(connection), _one(connection, _OLDEST)
    if position > newest:
        return True
    return position < newest if oldest is None else position + 1 < int(oldest)


def lock_key(schema: str) -> int:
    """Who numbers, one a namespace."""
    return 0x62726F61_00000000 | zlib.crc32(schema.encode())


def _one(connection: Connection, statement: str, *parameters: object) -> int | None:
    row = connection.execute(statement.encode(), parameters).fetchone()
    return row[0] if row else None
