"""The whole system under roles of PostgreSQL that may not do more than they need."""

import secrets
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.errors import InsufficientPrivilege

from broker import Publisher
from broker.database import Database
from broker.journal.claimed import ClaimedRun
from broker.journal.intents import End
from broker.migrate import engine_migrations, migrate
from broker.takeover import Takeover
from broker.transports.postgres import PostgresTransport
from ops.access.postgres import ROLES, name_of
from schemas import uuid7
from tests.ops.conftest import Cli
from tests.support.estate import Estate, drop, estate
from tests.support.installation import Installation
from tests.support.troupe.schemas import LineSpoken
from tests.support.waiting import eventually

__all__ = ["estate"]


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
        ("publisher", "select id from outbox"),
        ("publisher", "select * from event_key"),
        ("publisher", "insert into outbox (id) values (gen_random_uuid())"),
        ("publisher", "delete from outbox"),
        ("publisher", "create table mine (x int)"),
        ("service", "select body from outbox"),
        ("service", "delete from outbox"),
        ("service", "update outbox set routing_key = 'x'"),
        ("service", "select * from run"),
        ("service", "select publish('line.spoken', '{}')"),
        ("reader", "insert into audit (at, who, what, target) values (now(), 'x', 'x', 'x')"),
        ("reader", "delete from run"),
        ("reader", "select password from person"),
        ("reader", "select digest from sign_in"),
        ("reader", "insert into outbox (id) values (gen_random_uuid())"),
        ("reader", "select publish('line.spoken', '{}')"),
        ("reader", "select nextval('broadcast_position')"),
        ("web", "update run set status = 'cancelled'"),
        ("web", "delete from outbox"),
        ("web", "update event_key set ends_at = null"),
        ("web", "insert into event_key (id) values (gen_random_uuid())"),
        ("web", "update schedule set paused_at = now()"),
        ("web", "insert into dead_letter (id) values (gen_random_uuid())"),
        ("web", "create table mine (x int)"),
        ("worker", "create table mine (x int)"),
        ("worker", "drop table run"),
        ("worker", "alter table run add column x int"),
        ("worker", "truncate run"),
        ("worker", "create schema mine"),
        ("worker", "create role mine"),
        ("worker", "create or replace function clock() returns timestamptz language sql as 'select now()'"),
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
    assert {row[0] for row in found if row[1:] != (True, True)} == {"person", "sign_in"}
    assert {row[1:] for row in found if row[0] in ("person", "sign_in")} == {(True, False)}


def test_only_a_worker_reaches_the_tables_of_a_domain(
    dsn: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A domain may keep secrets, as the tokens of shops."""
    namespace = f"n{secrets.token_hex(4)}"
    monkeypatch.setenv("CALLBOARD_NAMESPACE", namespace)
    monkeypatch.setenv("CALLBOARD_DEMO", "1")
    assert cli("setup", "postgres").stderr.startswith("error: the database has no schema")
    assert cli("migrate").exit_code == 0
    assert cli("setup", "postgres").exit_code == 0
    with Database(dsn, namespace).once("test") as owner:
        # Of every domain that there is, those that show rows by their user included.
        assert "may not write" not in cli("doctor").output
        owner.execute("create table orders.later (x int)")
        owner.execute("alter table orders.later enable row level security")
        assert "may not write orders.later" in cli("doctor").output
        assert cli("setup", "postgres").exit_code == 0
        assert "may not write" not in cli("doctor").output
        may = {
            role: owner.execute(
                "select has_table_privilege(%s, 'tokens.token', 'select')", (name_of(role, namespace),)
            ).fetchone()
            for role in ROLES
        }
        for role in ROLES:
            drop(owner, name_of(role, namespace))
    assert may == {role: (role == "worker",) for role in ROLES}


def test_python_code_publishes_in_its_own_transaction_as_a_service(estate: Estate) -> None:
    database = Database(estate.dsns["service"], estate.owner.schema)
    publisher = Publisher(PostgresTransport(database), "shop", database)
    with closing(psycopg.connect(estate.dsns["service"])) as session:
        publisher.publish(LineSpoken(folder="/kept"), id="kept", connection=session)
        session.commit()
        publisher.publish(LineSpoken(folder="/kept"), id="kept", connection=session)
        session.commit()
        publisher.publish(LineSpoken(folder="/gone"), id="gone", connection=session)
        session.rollback()
    publisher.publish(LineSpoken(folder="/later"), id="later", delay=timedelta(hours=1))
    with estate.owner.once("test") as owner:
        ids = owner.execute("select headers ->> 'cloudEvents_id' from outbox order by 1").fetchall()
    assert ids == [("kept",), ("later",)]


def test_a_temporary_table_of_a_publisher_does_not_stand_before_ours(estate: Estate) -> None:
    """`publish` runs with its owner's rights: what it writes to must not be the caller's choice."""
    with estate.session("publisher") as session:
        session.execute("create temporary table outbox (like pg_class)")
        session.execute("select publish('line.spoken', '{}', 'real')")
    with estate.owner.once("test") as owner:
        assert owner.execute("select count(*) from outbox").fetchone() == (1,)


def test_who_could_publish_before_the_right_was_given_alone_still_can(dsn: str) -> None:
    namespace, role = f"n{secrets.token_hex(4)}", f"shop_{secrets.token_hex(4)}"
    database = Database(dsn, namespace)
    migrations = engine_migrations(namespace)
    migrate(database, [each for each in migrations if each.name < "0024"])
    with database.once("test") as owner:
        owner.execute(sql.SQL("create role {}").format(sql.Identifier(role)))
        owner.execute(sql.SQL("grant insert on outbox to {}").format(sql.Identifier(role)))
        migrate(database, migrations)
        may = "select has_function_privilege(%s, 'publish(text, jsonb, text, text)', 'execute')"
        assert owner.execute(may, (role,)).fetchone() == (True,)
        assert owner.execute(may, ("pg_monitor",)).fetchone() == (False,)
        drop(owner, role)


def test_a_frozen_worker_of_another_login_does_not_end_the_sweep(estate: Estate, tmp_path: Path) -> None:
    """Its sessions are not ours to end: its runs are taken over all the same, and timers go on."""
    (tmp_path / "second").write_text("secret")
    second = f"{estate.owner.schema}_second"
    made = estate.cli(
        "setup", "postgres", second, "--as", "worker", "--password-file", str(tmp_path / "second")
    )
    assert made.exit_code == 0, made.output
    frozen = Database(estate.dsns["worker"], estate.owner.schema)
    leader = Database(make_conninfo(estate.dsns["worker"], user=second), estate.owner.schema)
    with estate.owner.once("test") as owner:
        owner.execute(
            "insert into worker (id, name, lock_key, version, started_at, heartbeat_at)"
            " values (%s, 'host:1', 1, '1', clock(), clock_timestamp() - interval '1 h')",
            (uuid7(),),
        )
        # As if the server had not been started since: its start counts where it is later than the heartbeat.
        lease = timedelta(0)
        with frozen.connect("keeper host:1") as kept, leader.connect("keeper host:2") as session:
            sweep = Takeover(uuid7(), leader.label, lease=lease, crash_limit=5, bury=never)
            sweep.sweep(session)
            assert kept.execute("select 1").fetchone() == (1,)
        assert owner.execute("select count(*) from worker").fetchone() == (0,)
        drop(owner, second)


def never(_: ClaimedRun) -> End:
    raise AssertionError("no run has been spent")
