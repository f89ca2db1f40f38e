"""What people did, and who they were: one row an act, in the transaction of the act."""

from collections.abc import Mapping
from uuid import UUID

from psycopg import Connection, Cursor
from psycopg.types.json import Jsonb

_NOTE = "insert into audit (at, who, what, target, details) values (clock(), %s, %s, %s, %s)"


def note(
    cursor: Cursor, who: str, what: str, target: str, details: Mapping[str, object] | None = None
) -> None:
    """`target` is the id or name of what was acted upon; `details` hold no payload."""
    cursor.execute(_NOTE, (who, what, target, Jsonb(dict(details or {}))))


def note_reveal(connection: Connection, who: str, *targets: UUID) -> None:
    """That someone reads what is marked in the payloads of these. One commit."""
    with connection.transaction(), connection.cursor() as cursor:
        for target in targets:
            note(cursor, who, "reveal", str(target))
