"""A migrated database, and the command line on it."""

import os
from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from broker import Settings
from broker.database import Database
from broker.migrate import engine_migrations, migrate
from ops.cli import app

Cli = Callable[..., Result]


@pytest.fixture
def database(dsn: str) -> Database:
    """With the engine's tables."""
    found = Database(dsn)
    migrate(found, engine_migrations(found.schema))
    return found


@pytest.fixture
def cli(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command in this process: `cli("runs", "--json")`. Settings come from the environment, as for everybody."""
    for name in [name for name in os.environ if name.startswith("CALLBOARD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CALLBOARD_DATABASE_URL", dsn)
    monkeypatch.setenv("CALLBOARD_APPS", "tests.support.troupe")

    def run(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, list(arguments), input=stdin)

    return run


@pytest.fixture
def settings(dsn: str) -> Settings:
    return Settings(database_url=dsn)  # type: ignore[arg-type]
