"""Event keys: what a service needs to publish over HTTP. Made, rotated and revoked by a person; kept as a digest only."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from hashlib import sha256
from uuid import UUID

from psycopg import Connection, Cursor
from psycopg.rows import class_row

from broker.audit import note
from broker.errors import NotFoundError
from schemas import uuid7

PREFIX = "cbk_"
"""So that scanners of repositories recognise one."""
SECRET_BYTES = 32

_COLUMNS = "id, name, types, sources, rate, created_at, created_by, used_at, ends_at"
_LIVE = "(ends_at is null or ends_at > clock())"
_MAKE = f"""
insert into event_key (id, name, digest, types, sources, rate, created_at, created_by)
values (%s, %s, %s, %s, %s, %s, clock(), %s) returning {_COLUMNS}"""  # noqa: S608  constants only
_FIND = f"select {_COLUMNS} from event_key where digest = %s and {_LIVE}"  # noqa: S608
_USED = """
update event_key set used_at = clock() where id = %s and (used_at is null or used_at < clock() - interval '1 minute')"""
_ALL = f"select {_COLUMNS} from event_key where %s or {_LIVE} order by name, created_at"  # noqa: S608
_NAMED = f"select {_COLUMNS} from event_key where name = %s and {_LIVE} order by created_at desc for update"  # noqa: S608
_END = "update event_key set ends_at = clock() + %s where id = any(%s)"


@dataclass(frozen=True, slots=True)
class EventKey:
    """`types` and `sources` are patterns with `*`. `rate` is events a second, None for no limit."""

    id: UUID
    name: str
    types: Sequence[str]
    sources: Sequence[str]
    rate: float | None
    created_at: datetime
    created_by: str
    used_at: datetime | None
    ends_at: datetime | None

    def allows_type(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.types)

    def allows_source(self, source: str) -> bool:
        return any(fnmatchcase(source, pattern) for pattern in self.sources)


def create(
    connection: Connection,
    name: str,
    by: str,
    *,
    types: Sequence[str] = ("*",),
    sources: Sequence[str] = ("*",),
    rate: float | None = None,
) -> tuple[EventKey, str]:
    """The key and its secret, which cannot be read again. One commit. Several keys may have one name."""
    with connection.transaction(), connection.cursor(row_factory=class_row(EventKey)) as cursor:
        made, secret = _made(cursor, name, by, types, sources, rate)
        note(connection.cursor(), by, "create key", name, {"types": list(types), "sources": list(sources)})
    return made, secret


def find(connection: Connection, secret: str) -> EventKey | None:
    """The live key of this secret. Found by digest: to guess one takes 2^256 tries, however long a comparison takes."""
    with connection.cursor(row_factory=class_row(EventKey)) as cursor:
        found = cursor.execute(_FIND.encode(), (_digest(secret),)).fetchone()
        if found is not None:
            cursor.execute(_USED, (found.id,))
    return found


def list_keys(connection: Connection, *, ended: bool = False) -> list[EventKey]:
    """By name, those that have ended too if asked for."""
    with connection.cursor(row_factory=class_row(EventKey)) as cursor:
        return cursor.execute(_ALL.encode(), (ended,)).fetchall()


def revoke(connection: Connection, name: str, by: str) -> int:
    """End all keys of this name at once; returns how many. One commit. Raises NotFoundError without a live one."""
    with connection.transaction():
        live = _live(connection, name)
        connection.execute(_END, (timedelta(0), [key.id for key in live]))
        note(connection.cursor(), by, "revoke key", name)
    return len(live)


def rotate(connection: Connection, name: str, by: str, grace: timedelta) -> tuple[EventKey, str]:
    """A new key with the scope of the newest of this name; all earlier ones end after `grace`. One commit. Raises NotFoundError
    without a live one."""
    with connection.transaction(), connection.cursor(row_factory=class_row(EventKey)) as cursor:
        live = _live(connection, name)
        newest = live[0]
        made, secret = _made(cursor, name, by, newest.types, newest.sources, newest.rate)
        connection.execute(_END, (grace, [key.id for key in live]))
        note(connection.cursor(), by, "rotate key", name)
    return made, secret


def _made(
    cursor: Cursor[EventKey],
    name: str,
    by: str,
    types: Sequence[str],
    sources: Sequence[str],
    rate: float | None,
) -> tuple[EventKey, str]:
    secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    values = (uuid7(), name, _digest(secret), list(types), list(sources), rate, by)
    made = cursor.execute(_MAKE.encode(), values).fetchone()
    assert made is not None  # an insert without a conflict clause
    return made, secret


def _live(connection: Connection, name: str) -> list[EventKey]:
    with connection.cursor(row_factory=class_row(EventKey)) as cursor:
        live = cursor.execute(_NAMED.encode(), (name,)).fetchall()
    if not live:
        raise NotFoundError(f"no live key is named {name!r}: `callboard keys` lists them")
    return live


def _digest(secret: str) -> bytes:
    return sha256(secret.encode(errors="surrogatepass")).digest()
