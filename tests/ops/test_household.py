"""Which PostgreSQL a house takes: the given one, its own, or its own that a shell still names."""

from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from ops.cli.screen import errors
from ops.embedded.postgres import EmbeddedPostgres
from ops.household import DATABASE, HouseError, database


def test_a_given_database_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(DATABASE, "postgresql://somewhere/else")
    with ExitStack() as stack:
        assert database(stack, errors(), tmp_path) == {DATABASE: "postgresql://somewhere/else"}
    assert not (tmp_path / "postgres").exists()


def test_its_own_is_started_also_for_a_shell_that_names_it_and_shared_while_it_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = EmbeddedPostgres(tmp_path / "postgres").dsn
    monkeypatch.setenv(DATABASE, own)
    with ExitStack() as first, ExitStack() as second:
        assert database(first, errors(), tmp_path) == {DATABASE: own}
        with psycopg.connect(own) as connection:
            assert connection.execute("select 1").fetchone() == (1,)

        assert database(second, errors(), tmp_path) == {DATABASE: own}
        monkeypatch.delenv(DATABASE)
        with pytest.raises(HouseError, match=r"or use what runs there: \. .*env"):
            database(second, errors(), tmp_path)
