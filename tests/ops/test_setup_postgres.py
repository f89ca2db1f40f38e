"""`callboard setup postgres` as an operator calls it, and what the doctor says afterwards."""

import pytest
from psycopg import sql

from ops.access.postgres import Role, name_of
from tests.support.estate import Estate, drop, estate

__all__ = ["estate"]


def test_it_plans_repeats_and_rotates(estate: Estate) -> None:
    planned = estate.cli("setup", "postgres", "somebody", "--as", "reader", "--plan")
    assert "new       none" in planned.stdout
    assert "somebody, a member of" in planned.stdout
    login = f"{estate.owner.schema}_reader_login"
    kept = password_of(estate, login)
    assert kept.startswith("SCRAM-SHA-256$")

    again = estate.cli("setup", "postgres", login, "--as", "reader")
    assert again.exit_code == 0
    assert "as it is" in again.stdout and "password of" not in again.stdout
    assert password_of(estate, login) == kept
    rotated = estate.cli("setup", "postgres", login, "--as", "reader", "--rotate")
    assert f"password of {login}: " in rotated.stdout
    assert password_of(estate, login) != kept


def test_a_login_has_one_role_at_a_time(estate: Estate) -> None:
    login = f"{estate.owner.schema}_reader_login"
    assert estate.cli("setup", "postgres", login, "--as", "publisher").exit_code == 0
    with estate.owner.once("test") as owner:
        member = "select pg_has_role(%s, %s, 'member')"
        roles: tuple[Role, ...] = ("publisher", "reader")
        found = [
            owner.execute(member, (login, name_of(role, estate.owner.schema))).fetchone() for role in roles
        ]
    assert found == [(True,), (False,)]


def test_a_role_that_is_there_may_log_in_afterwards_and_keeps_its_password(estate: Estate) -> None:
    name = f"{estate.owner.schema}_old"
    with estate.owner.once("test") as owner:
        owner.execute(sql.SQL("create role {} nologin").format(sql.Identifier(name)))
        assert "as it is" in estate.cli("setup", "postgres", name, "--as", "reader").stdout
        row = owner.execute(
            "select rolcanlogin, rolpassword from pg_authid where rolname = %s", (name,)
        ).fetchone()
        drop(owner, name)
    assert row == (True, None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["somebody"], "say LOGIN and --as together"),
        (["--rotate"], "whose password it is to be"),
        (["postgres", "--as", "worker"], "postgres is a superuser, the owner of the tables or a group role"),
        (["somebody", "--as", "reader", "--password-file", "/nowhere"], "/nowhere cannot be read"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], words: str, estate: Estate) -> None:
    told = estate.cli("setup", "postgres", *arguments)
    assert told.exit_code == 1
    assert words in told.stderr


def test_a_migration_gives_the_roles_their_rights_again(estate: Estate) -> None:
    with estate.owner.once("test") as owner:
        owner.execute("drop table webhook_delivery")
        owner.execute("delete from migration where name like '0012%' or name like '0024%'")
        owner.execute("drop table broadcast; drop sequence broadcast_position")
        assert estate.cli("migrate").exit_code == 0
        web = name_of("web", estate.owner.schema)
        may = "select has_column_privilege(%s, 'webhook_delivery', 'events', 'update')"
        assert owner.execute(may, (web,)).fetchone() == (True,)


def test_the_doctor_tells_of_roles_that_lack_rights_and_of_an_owner_who_works(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "and there are roles that may do less" in estate.cli("doctor").output
    monkeypatch.setenv("CALLBOARD_DATABASE_URL", estate.dsns["worker"])
    healthy = estate.cli("doctor").output
    assert "roles are there, with their rights" in healthy
    assert "may write and end its own sessions" in healthy
    monkeypatch.setenv("CALLBOARD_DATABASE_URL", estate.dsns["reader"])
    assert "which no worker is to use" in estate.cli("doctor").output

    with estate.owner.once("test") as owner:
        worker = sql.Identifier(name_of("worker", estate.owner.schema))
        owner.execute(sql.SQL("revoke insert on run from {}").format(worker))
    monkeypatch.setenv("CALLBOARD_DATABASE_URL", estate.dsns["worker"])
    sick = estate.cli("doctor")
    assert sick.exit_code == 1
    assert "_worker may not write" in sick.output and "`callboard setup postgres`" in sick.output


def password_of(estate: Estate, login: str) -> str:
    with estate.owner.once("test") as owner:
        row = owner.execute("select rolpassword from pg_authid where rolname = %s", (login,)).fetchone()
    assert row is not None
    return str(row[0])
