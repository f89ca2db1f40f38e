"""`callboard setup postgres`: the whole system runs under roles that may not do more than they need."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.errors import InsufficientPrivilege

from broker import Settings
from broker.database import Database
from broker.declare import declare
from broker.migrate import migrate
from broker.transports.postgres import PostgresTransport
from ops.access.postgres import name_of
from ops.boot import load, make_broker
from tests.ops.conftest import Cli
from tests.support.installation import Installation
from tests.support.waiting import eventually


@dataclass(frozen=True)
class Estate:
    """A migrated namespace of its own, and logins that the command has made, by role."""

    owner: Database
    dsns: dict[str, str]
    cli: Cli

    def session(self, role: str) -> psycopg.Connection:
        connection = psycopg.connect(self.dsns[role], autocommit=True)
        connection.execute(sql.SQL("set search_path to {}").format(sql.Identifier(self.owner.schema)))
        return connection


@pytest.fixture
def estate(dsn: str, cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Estate]:
    namespace = f"n{secrets.token_hex(4)}"
    monkeypatch.setenv("CALLBOARD_NAMESPACE", namespace)
    owner = Database(dsn, namespace)
    app = load(Settings())
    migrate(owner, app.migrations(namespace))
    declare(owner, PostgresTransport(owner), make_broker(app, Settings()).topology())
    logins, dsns = [], {}
    for role in ("worker", "publisher", "reader"):
        login, password = f"{namespace}_{role}_login", tmp_path / role
        password.write_text(f"secret-{role}")
        made = cli("setup", "postgres", login, "--as", role, "--password-file", str(password))
        assert made.exit_code == 0, made.output
        assert "secret-" not in made.output
        logins.append(login)
        dsns[role] = make_conninfo(dsn, user=login, password=f"secret-{role}")
    yield Estate(owner, dsns, cli)
    with owner.once("test") as connection:
        for role in (*logins, *(name_of(each, namespace) for each in ("worker", "publisher", "reader"))):
            connection.execute(sql.SQL("drop owned by {}").format(sql.Identifier(role)))
            connection.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))


def test_a_worker_works_and_a_publisher_publishes_under_their_roles(estate: Estate, tmp_path: Path) -> None:
    environment = {
        "CALLBOARD_APPS": "tests.support.troupe",
        "CALLBOARD_NAMESPACE": estate.owner.schema,
        "CALLBOARD_DATABASE_URL": estate.dsns["worker"],
        "CALLBOARD_BROKER_URL": "",
    }
    with Installation(environment, tmp_path, estate.owner).workers():
        with estate.session("publisher") as publisher:
            publisher.execute(
                "select publish('line.spoken', jsonb_build_object('folder', %s::text))", (str(tmp_path),)
            )

        def done() -> bool:
            with estate.session("reader") as reader:
                return reader.execute("select status from run").fetchall() == [("completed",)]

        assert eventually(done, 60)
    assert (tmp_path / "spoken").read_text() == "1\n"


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("publisher", "select * from run"),
        ("publisher", "select body from outbox"),
        ("publisher", "delete from outbox"),
        ("publisher", "update outbox set routing_key = 'x'"),
        ("publisher", "select * from event_key"),
        ("publisher", "create table mine (x int)"),
        ("reader", "insert into audit (at, who, what, target) values (now(), 'x', 'x', 'x')"),
        ("reader", "delete from run"),
        ("reader", "select publish('line.spoken', '{}')"),
        ("worker", "create table mine (x int)"),
        ("worker", "drop table run"),
        ("worker", "alter table run add column x int"),
        ("worker", "truncate run"),
        ("worker", "create schema mine"),
        ("worker", "create role mine"),
    ],
)
def test_what_a_role_needs_not_it_may_not(role: str, statement: str, estate: Estate) -> None:
    with estate.session(role) as connection, pytest.raises(InsufficientPrivilege):
        connection.execute(statement.encode())


def test_each_table_has_its_grants_also_those_of_a_later_migration(estate: Estate) -> None:
    with estate.owner.once("test") as connection:
        connection.execute("create table later (x int)")
    facts = """
        select relname, has_table_privilege(%(worker)s, oid, 'insert') and has_table_privilege(%(worker)s, oid, 'update')
                        and has_table_privilege(%(worker)s, oid, 'select') and has_table_privilege(%(worker)s, oid, 'delete'),
               has_table_privilege(%(reader)s, oid, 'select')
        from pg_class where relkind in ('r', 'p') and relnamespace = current_schema()::regnamespace"""
    names = {role: name_of(role, estate.owner.schema) for role in ("worker", "reader")}
    with estate.owner.once("test") as connection:
        found = connection.execute(facts, names).fetchall()
    assert len(found) > 20
    assert [row for row in found if row[1:] != (True, True)] == []


def test_it_plans_and_repeats(estate: Estate) -> None:
    planned = estate.cli("setup", "postgres", "somebody", "--as", "reader", "--plan")
    assert "new      none" in planned.stdout
    assert "somebody, a member of" in planned.stdout
    assert estate.cli("setup", "postgres").exit_code == 0
    told = estate.cli("setup", "postgres", "somebody")
    assert told.exit_code == 1
    assert "say LOGIN and --as together" in told.stderr
