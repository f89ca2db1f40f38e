"""A namespace whose roles of PostgreSQL the command has made."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from broker import Settings
from broker.database import Database
from broker.declare import declare
from broker.migrate import migrate
from broker.transports.postgres import PostgresTransport
from ops.access.postgres import ROLES, name_of
from ops.boot import load, make_broker
from tests.ops.conftest import Cli


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
    logins: list[str] = []
    dsns: dict[str, str] = {}
    for role in ROLES:
        login, password = f"{namespace}_{role}_login", tmp_path / role
        password.write_text(f"secret-{role}")
        made = cli("setup", "postgres", login, "--as", role, "--password-file", str(password))
        assert made.exit_code == 0, made.output
        assert "secret-" not in made.output
        logins.append(login)
        dsns[role] = make_conninfo(dsn, user=login, password=f"secret-{role}")
    yield Estate(owner, dsns, cli)
    with owner.once("test") as connection:
        for made_role in (*logins, *(name_of(each, namespace) for each in ROLES)):
            drop(connection, made_role)


def drop(owner: psycopg.Connection, role: str) -> None:
    owner.execute(sql.SQL("drop owned by {}").format(sql.Identifier(role)))
    owner.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))
