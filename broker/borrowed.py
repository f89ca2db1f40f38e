"""The psycopg connection behind what a caller holds, so that an event is part of the caller's own transaction.

An ORM's connection has its driver's within; no ORM is imported for it.
"""

from collections.abc import Callable
from typing import Any, Protocol

from psycopg import Connection, Cursor
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from broker.errors import ConfigurationError

LAYERS = 4
"""Session, connection, pool's proxy, driver's: nobody has more."""


class OrmConnection(Protocol):
    """A `Session` or `Connection` of SQLAlchemy, a `connection` of Django: it has a connection within."""

    @property
    def connection(self) -> Any: ...


Borrowed = Connection[Any] | OrmConnection


def borrowed_cursor(held: Borrowed) -> Cursor[tuple[Any, ...]]:
    """A cursor in the transaction of `held`, which is begun if none is open. Close it; the connection stays the caller's.

    Plain, whatever cursors and rows the caller's connection makes. Raises ConfigurationError if there is no psycopg connection
    in it, or one that commits every statement by itself, so that there is no transaction to be part of.
    """
    connection = _within(held)
    if connection.autocommit and connection.info.transaction_status == TransactionStatus.IDLE:
        raise ConfigurationError(
            "the connection commits every statement by itself: publish inside a transaction "
            "(psycopg: `with connection.transaction()`, Django: `with transaction.atomic()`)"
        )
    return Cursor(connection, row_factory=tuple_row)


def _within(held: object) -> Connection[Any]:
    inner: object = held
    for _ in range(LAYERS):
        if isinstance(inner, Connection):
            return inner
        inner = _next(inner)
    raise ConfigurationError(
        f"{type(held).__module__}.{type(held).__qualname__} has no psycopg connection within: "
        "pass a psycopg.Connection, an SQLAlchemy Session or Connection (postgresql+psycopg), or django.db.connection"
    )


def _next(holder: object) -> object:
    """One layer further in. Django opens its connection at the first use; SQLAlchemy's sessions have a method for it."""
    if callable(ensure := getattr(holder, "ensure_connection", None)):
        ensure()
    inner: object = getattr(holder, "driver_connection", None) or getattr(holder, "connection", None)
    if isinstance(inner, Connection) or not callable(inner):
        return inner
    open_: Callable[[], object] = inner
    return open_()
