"""The switch between doing it at once and asking a worker: one setting, the same function.

with connection.transaction():
    status = requested(connection, publisher, asked)        # 200: it is done; 202: a worker will
"""

from typing import Literal

from psycopg import Connection
from pydantic import BaseModel

from actors.inbox import providers, store
from broker import Publisher
from schemas.inbox import BackgroundProcessRequested


class Processed(BaseModel):
    """The client's counts, as of this version."""

    version: int


def done_now(db: Connection, client_id: str) -> Processed:
    """Recount, in the caller's transaction."""
    counted = store.recount(db, client_id)
    version = store.bump_version(db, client_id)
    store.clear_dirty(db, client_id, counted)
    return Processed(version=version)


def requested(
    connection: Connection, publisher: Publisher, asked: BackgroundProcessRequested
) -> Literal[200, 202]:
    """The status for the caller. Commits with the caller's transaction, either way. Raises psycopg errors."""
    if not providers.settings().evented:
        done_now(connection, asked.client_id)
        return 200
    publisher.publish(asked, id=asked.request_id, connection=connection)
    return 202
