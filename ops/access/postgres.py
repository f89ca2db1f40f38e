"""Roles of PostgreSQL: who migrates owns the tables; everybody else has one of these.

    worker     reads and writes rows of the engine and of the domains; makes, changes and drops nothing
    web        keeps what comes in over HTTP, and reads what the status page shows; reads no table of a domain
    service    hands events over in transactions of its own, with Callboard's Python code; reads nothing
    publisher  calls publish(type, data, id, source) in SQL; reads and writes nothing
    reader     reads the engine's tables, for `runs`, `why`, `trace` or a dashboard; reads no table of a domain

They are group roles without a login; a login is made a member of one. A domain may keep secrets (tokens of shops): who is to
read its tables without being a worker is granted that by hand.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, LiteralString

from psycopg import Connection, sql

from broker.errors import ConfigurationError

Role = Literal["worker", "web", "service", "publisher", "reader"]
ROLES: tuple[Role, ...] = ("worker", "web", "service", "publisher", "reader")

_IS_THERE = "select from pg_roles where rolname = %s"
_SCHEMA_IS_THERE = "select to_regnamespace(quote_ident(%s)) is not null"
_UNBOUND = """
select r.rolsuper or n.oid is not null
from pg_roles r left join pg_namespace n on n.nspowner = r.oid and n.nspname = any(%s)
where r.rolname = %s"""

# Where a domain lets rows be seen by some (users of a browser, by their id), the owner sees all, and so must a worker.
_BY_ROW = """
select n.nspname, c.relname
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relrowsecurity and n.nspname = any(%(schemas)s)
  and not exists (select from pg_policy p where p.polrelid = c.oid and %(worker)s::regrole = any(p.polroles))
order by 1, 2"""
_ALL_ROWS = "create policy {role} on {table} to {role} using (true) with check (true)"

# Rights are given anew each time: one that a role no longer needs must not stay.
_NOTHING = (
    "revoke all on schema {schema} from {role}",
    "revoke all on all tables in schema {schema} from {role}",
    "revoke all on all sequences in schema {schema} from {role}",
    "revoke all on all functions in schema {schema} from {role}",
    "alter default privileges in schema {schema} revoke all on tables from {role}",
    "alter default privileges in schema {schema} revoke all on sequences from {role}",
)
# The default privileges are for what a later migration makes, by who migrates now.
_WORKER = (
    "grant usage on schema {schema} to {role}",
    "grant select, insert, update, delete on all tables in schema {schema} to {role}",
    "grant usage, select on all sequences in schema {schema} to {role}",
    "alter default privileges in schema {schema} grant select, insert, update, delete on tables to {role}",
    "alter default privileges in schema {schema} grant usage, select on sequences to {role}",
)
_READER = (
    "grant usage on schema {schema} to {role}",
    "grant select on all tables in schema {schema} to {role}",
    "grant select on all sequences in schema {schema} to {role}",
    "alter default privileges in schema {schema} grant select on tables to {role}",
    "alter default privileges in schema {schema} grant select on sequences to {role}",
    # Hashes of passwords.
    "revoke all on {schema}.person, {schema}.sign_in from {role}",
)
# `on conflict (id)` reads the id.
_OUTBOX = "grant insert, select (id) on {schema}.outbox to {role}"
_SERVICE = ("grant usage on schema {schema} to {role}", _OUTBOX)
_WEB = (
    *_READER,
    _OUTBOX,
    "grant update (used_at) on {schema}.event_key to {role}",
    "grant insert, update (events) on {schema}.webhook_delivery to {role}",
    # A schedule that is triggered is locked meanwhile, which asks for the right to update any of its columns.
    "grant insert on {schema}.schedule_tick to {role}",
    "grant update (error_at) on {schema}.schedule to {role}",
    # Who reads broadcasts gives them their positions.
    "grant update (position) on {schema}.broadcast to {role}",
    "grant usage on sequence {schema}.broadcast_position to {role}",
    # Who signs in, and admins who add people on a page.
    "grant select, insert, update, delete on {schema}.person, {schema}.sign_in to {role}",
    "grant insert on {schema}.audit to {role}",
)
_PUBLISHER = (
    "grant usage on schema {schema} to {role}",
    "grant execute on function {schema}.publish(text, jsonb, text, text) to {role}",
)
_RIGHTS: dict[Role, tuple[LiteralString, ...]] = {
    "worker": _WORKER,
    "web": _WEB,
    "service": _SERVICE,
    "publisher": _PUBLISHER,
    "reader": _READER,
}


def name_of(role: Role, namespace: str) -> str:
    return f"{namespace}_{role}"


def missing(connection: Connection, namespace: str) -> list[str]:
    """Names of the group roles that there are not yet."""
    names = [name_of(role, namespace) for role in ROLES]
    return [name for name in names if not _is_there(connection, name)]


def apply(connection: Connection, namespace: str, domains: Sequence[str]) -> None:
    """Make the group roles and give them these rights and no others. One commit, and no moment without a right; may be repeated.

    `domains` are schemas of domains. Raises ConfigurationError where one is not migrated, psycopg errors for who does not own
    the tables, or may not make roles that there are not yet.
    """
    for schema in (namespace, *domains):
        row = connection.execute(_SCHEMA_IS_THERE, (schema,)).fetchone()
        if row is None or not row[0]:
            raise ConfigurationError(
                f"the database has no schema {schema!r} yet: run `callboard migrate` first"
            )
    with connection.transaction():
        for name in missing(connection, namespace):
            connection.execute(sql.SQL("create role {} nologin").format(sql.Identifier(name)))
        for statement in _grants(namespace, domains):
            connection.execute(statement)
        _let_see_all_rows(connection, namespace, domains)


def add_login(
    connection: Connection,
    login: str,
    role: Role,
    namespace: str,
    domains: Sequence[str],
    password: str | None,
) -> None:
    """A login that is a member of the role and of no other of ours; None leaves the password of one that is there. One commit.

    The server gets the password's SCRAM verifier, which is all that its own log can tell. Raises ConfigurationError for a login
    that no role binds.
    """
    row = connection.execute(_UNBOUND, ([namespace, *domains], login)).fetchone()
    if (row is not None and row[0]) or login in [name_of(each, namespace) for each in ROLES]:
        raise ConfigurationError(
            f"{login} is a superuser, the owner of the tables or a group role, whom no role binds: give another name"
        )
    name = sql.Identifier(login)
    with connection.transaction():
        verb = "create" if row is None else "alter"
        connection.execute(sql.SQL(f"{verb} role {{}} login").format(name))
        if password is not None:
            kept = connection.pgconn.encrypt_password(password.encode(), login.encode(), b"scram-sha-256")
            connection.execute(
                sql.SQL("alter role {} login password {}").format(name, sql.Literal(kept.decode()))
            )
        for other in ROLES:
            change = "grant {} to {}" if other == role else "revoke {} from {}"
            connection.execute(sql.SQL(change).format(sql.Identifier(name_of(other, namespace)), name))


def has_login(connection: Connection, login: str) -> bool:
    """Whether there is a role of this name, which `add_login` would then leave its password."""
    return _is_there(connection, login)


def _is_there(connection: Connection, name: str) -> bool:
    return connection.execute(_IS_THERE, (name,)).fetchone() is not None


def _let_see_all_rows(connection: Connection, namespace: str, domains: Sequence[str]) -> None:
    """Only on tables that lack it: to make a policy waits for everybody who uses the table."""
    worker = name_of("worker", namespace)
    facts = {"schemas": [namespace, *domains], "worker": sql.Identifier(worker).as_string(connection)}
    for schema, table in connection.execute(_BY_ROW, facts).fetchall():
        where = sql.Identifier(schema, table)
        connection.execute(sql.SQL(_ALL_ROWS).format(role=sql.Identifier(worker), table=where))


def _grants(namespace: str, domains: Sequence[str]) -> Iterator[sql.Composed]:
    for role in ROLES:
        for schema in (namespace, *domains):
            yield from _for(role, namespace, schema, _NOTHING)
    for role, statements in _RIGHTS.items():
        for schema in (namespace, *domains) if role == "worker" else (namespace,):
            yield from _for(role, namespace, schema, statements)


def _for(
    role: Role, namespace: str, schema: str, statements: Sequence[LiteralString]
) -> Iterator[sql.Composed]:
    for statement in statements:
        yield sql.SQL(statement).format(
            schema=sql.Identifier(schema), role=sql.Identifier(name_of(role, namespace))
        )
