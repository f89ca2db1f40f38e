"""Roles of PostgreSQL: who migrates owns the tables; everybody else has one of these.

    worker     reads and writes rows of the engine and of the domains; makes, changes and drops nothing
    publisher  asks for an event, in SQL or in its own transaction; reads nothing
    reader     reads, for the status page's own user, `runs`, `why`, `trace`, a dashboard

They are group roles without a login; a login is made a member of one.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

from psycopg import Connection, sql

Role = Literal["worker", "publisher", "reader"]
ROLES: tuple[Role, ...] = ("worker", "publisher", "reader")

_IS_THERE = "select from pg_roles where rolname = %s"
_WORKER = (
    "grant usage on schema {schema} to {role}",
    "grant select, insert, update, delete on all tables in schema {schema} to {role}",
    "grant usage, select on all sequences in schema {schema} to {role}",
    # What a later migration makes, by who migrates now.
    "alter default privileges in schema {schema} grant select, insert, update, delete on tables to {role}",
    "alter default privileges in schema {schema} grant usage, select on sequences to {role}",
)
_READER = (
    "grant usage on schema {schema} to {role}",
    "grant select on all tables in schema {schema} to {role}",
    "alter default privileges in schema {schema} grant select on tables to {role}",
)
# `on conflict (id)` reads the id.
_PUBLISHER = (
    "grant usage on schema {schema} to {role}",
    "grant insert, select (id) on {schema}.outbox to {role}",
)


def name_of(role: Role, namespace: str) -> str:
    return f"{namespace}_{role}"


def missing(connection: Connection, namespace: str) -> list[str]:
    """Names of the group roles that there are not yet."""
    names = [name_of(role, namespace) for role in ROLES]
    return [name for name in names if connection.execute(_IS_THERE, (name,)).fetchone() is None]


def apply(connection: Connection, namespace: str, domains: Sequence[str]) -> None:
    """Make the group roles and give them their rights. One commit; may be repeated, and is to be after a new domain.

    `domains` are schemas of domains. Raises psycopg errors: who calls it owns the tables and may make roles.
    """
    with connection.transaction():
        for name in missing(connection, namespace):
            connection.execute(sql.SQL("create role {} nologin").format(sql.Identifier(name)))
        for statement in _grants(namespace, domains):
            connection.execute(statement)


def add_login(connection: Connection, login: str, role: Role, namespace: str, password: str) -> None:
    """A login that is a member of the role and of nothing else; one that is there gets the password. One commit."""
    with connection.transaction():
        there = connection.execute(_IS_THERE, (login,)).fetchone() is not None
        verb = "alter" if there else "create"
        connection.execute(
            sql.SQL(f"{verb} role {{}} login password {{}}").format(
                sql.Identifier(login), sql.Literal(password)
            )
        )
        for other in ROLES:
            group = sql.Identifier(name_of(other, namespace))
            change = "grant {} to {}" if other == role else "revoke {} from {}"
            connection.execute(sql.SQL(change).format(group, sql.Identifier(login)))


def _grants(namespace: str, domains: Sequence[str]) -> Iterator[sql.Composed]:
    everywhere, engine = (namespace, *domains), (namespace,)
    for role, statements, schemas in (
        ("worker", _WORKER, everywhere),
        ("reader", _READER, everywhere),
        ("publisher", _PUBLISHER, engine),
    ):
        group = sql.Identifier(f"{namespace}_{role}")
        for schema in schemas:
            for statement in statements:
                yield sql.SQL(statement).format(schema=sql.Identifier(schema), role=group)
