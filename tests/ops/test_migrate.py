"""Migrations around a deploy: what may run beside old workers, what waits for their end, and what a second caller sees."""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from broker import ConfigurationError
from broker import migrate as broker_migrate
from broker.database import Database
from broker.migrate import (
    Migration,
    MigrationRefusedError,
    Phase,
    engine_migrations,
    known,
    migrate,
    pending,
    read_folder,
    state,
)
from ops.migration_notes import locks_of, purpose_of
from tests.ops.conftest import Cli
from tests.support.waiting import eventually

MIGRATIONS = {
    "0001_pre_hats.sql": "-- Hats, and who wears them.\ncreate table hat (n int primary key, brim text);\n",
    "0002_pre_colour.sql": "-- A colour for each hat.\nalter table hat add column colour text;\n",
    "0003_post_brim.sql": "-- Brims are gone: nobody reads them.\nalter table hat drop column brim;\n",
}


class Hats:
    """The domain `hats` of an app that is deployed: its folder grows with each version."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder = folder
        self.database = database

    def add(self, *names: str, **texts: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (self.folder / name).write_text(MIGRATIONS[name])
        for name, text in texts.items():
            (self.folder / f"{name}.sql").write_text(text)

    @property
    def files(self) -> list[Migration]:
        return [*engine_migrations(self.database.schema), *read_folder("hats", self.folder, "hats")]

    def open(self) -> list[str]:
        return [migration.name for migration in pending(self.database, self.files)]

    def columns(self) -> list[str]:
        found = (
            "select column_name::text from information_schema.columns where table_schema = 'hats' order by 1"
        )
        with self.database.once("test") as connection:
            return [name for (name,) in connection.execute(found)]

    def worker(self, name: str, knows: list[str], *, version: str = "1.0", locked: bool = False) -> UUID:
        """A worker that has just beaten; with its lock it lives also without a heartbeat."""
        id, age = uuid4(), timedelta(minutes=1) if locked else timedelta(0)
        with self.database.once("test") as connection:
            connection.execute(
                "insert into worker (id, name, lock_key, version, knows, started_at, heartbeat_at)"
                " values (%s, %s, %s, %s, %s, now(), now() - %s)",
                (id, name, id.int >> 66, version, knows, age),
            )
        return id

    def gone(self, id: UUID) -> None:
        with self.database.once("test") as connection:
            connection.execute("delete from worker where id = %s", (id,))


@pytest.fixture
def hats(tmp_path: Path, database: Database) -> Hats:
    """Its first version is applied."""
    made = Hats(tmp_path / "sql", database)
    made.add("0001_pre_hats.sql")
    migrate(database, made.files)
    return made


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli, dsn: str) -> Iterator[Hats]:
    """An app `hatshop`, loaded by the command line."""
    actors = tmp_path / "hatshop" / "actors"
    (actors / "hats").mkdir(parents=True)
    for folder in (actors.parent, actors, actors / "hats"):
        (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("CALLBOARD_APPS", "hatshop")
    yield Hats(actors / "hats" / "sql", Database(dsn))
    for name in [name for name in sys.modules if name.startswith("hatshop")]:
        del sys.modules[name]


def test_the_phase_pre_leaves_what_removes_something(hats: Hats) -> None:
    hats.add(*MIGRATIONS)
    applied = migrate(hats.database, hats.files, phase="pre")
    assert [m.name for m in applied] == ["0002_pre_colour.sql"]
    assert hats.columns() == ["brim", "colour", "n"]
    migrate(hats.database, hats.files, phase="post")
    assert hats.columns() == ["colour", "n"]


def test_the_phase_post_comes_after_the_phase_pre(hats: Hats) -> None:
    hats.add(*MIGRATIONS)
    with pytest.raises(MigrationRefusedError, match=r"hats/0002_pre_colour\.sql is not applied yet"):
        migrate(hats.database, hats.files, phase="post")
    assert hats.open() == ["0002_pre_colour.sql", "0003_post_brim.sql"]


@pytest.mark.parametrize("knows", [["engine", "hats"], []], ids=["older", "from before workers told it"])
def test_the_phase_post_is_refused_while_a_worker_lives_that_does_not_know_it(
    hats: Hats, knows: list[str]
) -> None:
    hats.add(*MIGRATIONS)
    migrate(hats.database, hats.files, phase="pre")
    old = hats.worker("east:7", knows, version="0.9")
    hats.worker("east:8", known(hats.files), version="1.0")
    with pytest.raises(MigrationRefusedError, match=r"east:7 \(version 0\.9\) does not know it: stop it"):
        migrate(hats.database, hats.files, phase="post")
    assert "brim" in hats.columns()
    hats.gone(old)
    migrate(hats.database, hats.files, phase="post")
    assert "brim" not in hats.columns()


def test_a_worker_without_the_room_or_a_dead_one_is_in_nobodys_way(hats: Hats) -> None:
    hats.add(*MIGRATIONS)
    hats.worker("other-app:1", ["engine", "gloves"])
    hats.worker("dead:1", ["engine", "hats"], locked=True)
    migrate(hats.database, hats.files)
    assert hats.open() == []


def test_a_worker_that_is_frozen_holds_its_lock_and_counts(hats: Hats) -> None:
    hats.add(*MIGRATIONS)
    id = hats.worker("frozen:1", ["engine", "hats"], locked=True)
    with hats.database.once("test") as session:
        session.execute("select pg_advisory_lock(%s)", (id.int >> 66,))
        migrate(hats.database, hats.files, phase="pre")
        with pytest.raises(MigrationRefusedError, match="frozen:1"):
            migrate(hats.database, hats.files, phase="post")


def test_without_a_phase_what_an_old_worker_stands_against_is_left(hats: Hats) -> None:
    hats.add(*MIGRATIONS)
    hats.worker("old:1", ["engine", "hats"])
    assert [m.name for m in migrate(hats.database, hats.files)] == ["0002_pre_colour.sql"]
    assert hats.open() == ["0003_post_brim.sql"]


def test_what_an_earlier_deploy_left_is_made_up_for_in_order(hats: Hats) -> None:
    """Its workers know that post migration: only those of the deploy before would be in the way."""
    hats.add(*MIGRATIONS)
    migrate(hats.database, hats.files, phase="pre")
    hats.worker("present:1", known(hats.files))
    hats.add(**{"0004_pre_brim_again": "alter table hat add column brim int;"})
    applied = migrate(hats.database, hats.files, phase="pre")
    assert [m.name for m in applied] == ["0003_post_brim.sql", "0004_pre_brim_again.sql"]


def test_what_an_earlier_deploy_left_is_refused_while_its_old_workers_live(hats: Hats) -> None:
    hats.add(*MIGRATIONS, **{"0004_pre_brim_again": "alter table hat add column brim int;"})
    hats.worker("forgotten:1", ["engine", "hats"])
    phases: list[Phase | None] = [None, "pre"]
    for phase in phases:
        with pytest.raises(MigrationRefusedError, match="forgotten:1"):
            migrate(hats.database, hats.files, phase=phase)


def test_a_migration_that_fails_leaves_nothing_half(hats: Hats) -> None:
    hats.add(**{"0002_pre_torn": "alter table hat add column half int; select 1 / 0;"})
    with pytest.raises(ConfigurationError, match=r"hats/0002_pre_torn\.sql: division by zero") as caught:
        migrate(hats.database, hats.files)
    assert str(hats.folder) not in str(caught.value)
    assert hats.columns() == ["brim", "n"]
    assert hats.open() == ["0002_pre_torn.sql"]


def test_two_at_once_apply_each_file_once(hats: Hats) -> None:
    hats.add(*MIGRATIONS)
    together = threading.Barrier(4)

    def one() -> int:
        together.wait(20)
        return len(migrate(hats.database, hats.files))

    with ThreadPoolExecutor(4) as callers:
        counts = sorted(future.result(60) for future in [callers.submit(one) for _ in range(4)])
    assert counts == [0, 0, 0, 2]


def test_a_table_in_use_is_waited_for_and_never_for_long(hats: Hats, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that is waited for stops every later query on its table: each try is short."""
    monkeypatch.setattr(broker_migrate, "LOCK_SECONDS", 1)
    monkeypatch.setattr(broker_migrate, "PAUSE_SECONDS", 0)
    hats.add("0002_pre_colour.sql")
    with hats.database.connect("reader", autocommit=False) as reader, ThreadPoolExecutor(1) as other:
        reader.execute("select * from hats.hat")
        monkeypatch.setattr(broker_migrate, "LOCK_TRIES", 1)
        with pytest.raises(ConfigurationError, match="got no lock in 1 tries of 1 s"):
            migrate(hats.database, hats.files)
        assert hats.open() == ["0002_pre_colour.sql"]
        monkeypatch.setattr(broker_migrate, "LOCK_TRIES", 60)
        waiting = other.submit(migrate, hats.database, hats.files)
        blocked = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%alter table hat%'"
        with hats.database.once("test") as watcher:
            eventually(lambda: watcher.execute(blocked.encode()).fetchone() == (1,))
        reader.rollback()
        assert [m.name for m in waiting.result(30)] == ["0002_pre_colour.sql"]


def test_a_file_changed_after_it_was_applied_and_one_that_is_unknown_are_told(hats: Hats) -> None:
    hats.add(*MIGRATIONS)
    migrate(hats.database, hats.files)
    (hats.folder / "0002_pre_colour.sql").write_text("alter table hat add column colour int;")
    (hats.folder / "0003_post_brim.sql").unlink()
    found = state(hats.database, hats.files)
    assert [m.name for m in found.changed] == ["0002_pre_colour.sql"]
    assert found.newer == ["hats/0003_post_brim.sql"]


def test_a_ledger_from_before_digests_is_read_and_goes_on(hats: Hats) -> None:
    with hats.database.once("test") as connection:
        connection.execute("alter table migration drop column digest")
    assert state(hats.database, hats.files) == broker_migrate.State([], [], [])
    hats.add("0002_pre_colour.sql")
    migrate(hats.database, hats.files)
    assert hats.open() == []


def test_the_plan_says_what_each_does_and_locks_and_changes_nothing(app: Hats, cli: Cli) -> None:
    app.add("0001_pre_hats.sql")
    cli("migrate")
    app.add(*MIGRATIONS)
    shown = cli("migrate", "--plan")
    assert shown.exit_code == 0
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert lines[0] == ["2", "would", "be", "applied:"]
    assert " ".join(lines[2]) == "hats 0002_pre_colour.sql pre A colour for each hat. short: hat"
    assert " ".join(lines[3]) == "hats 0003_post_brim.sql post Brims are gone: nobody reads them. short: hat"
    assert "0003" not in cli("migrate", "--plan", "--phase", "pre").stdout
    assert app.columns() == ["brim", "n"]
    assert cli("migrate", "--check").exit_code == 1
    cli("migrate")
    done = cli("migrate", "--check")
    assert (done.exit_code, done.stdout) == (0, "nothing is pending\n")


def test_the_command_says_who_is_in_the_way_and_what_was_changed(app: Hats, cli: Cli) -> None:
    app.add("0001_pre_hats.sql")
    cli("migrate")
    app.worker("old:1", ["engine", "hats"], version="0.9")
    app.add(*MIGRATIONS)
    done = cli("migrate")
    assert done.exit_code == 0
    assert "0002_pre_colour.sql" in done.stdout
    assert "left: hats/0003_post_brim.sql removes what older workers may still use" in done.stderr
    assert "old:1 (version 0.9)" in done.stderr
    refused = cli("migrate", "--phase", "post")
    assert refused.exit_code == 1
    assert "old:1 (version 0.9)" in refused.stderr
    (app.folder / "0001_pre_hats.sql").write_text("create table hat (n bigint);")
    assert "hats/0001_pre_hats.sql was changed after it was applied" in cli("migrate", "--check").stderr


@pytest.mark.parametrize(
    ("text", "locks"),
    [
        ("create table t (n int); create index on t (n); alter table t add column m int;", ""),
        ("create index t_n on t (n);", "no writes to t while its index is built"),
        (
            "-- drop table u\nalter table t alter column n type bigint;",
            "rewrites t: nobody reads it meanwhile",
        ),
        ("alter table t alter column n set not null;", "reads all of t under its lock"),
        ("update t set n = 1; alter table u drop column m;", "short: u; rows of t, as long as it takes"),
    ],
)
def test_what_a_file_locks_is_read_from_its_text(text: str, locks: str) -> None:
    assert locks_of(text) == locks


def test_what_a_file_does_is_its_first_line() -> None:
    assert purpose_of("\n-- Hats.\n-- More.\ncreate table hat (n int);") == "Hats."
    assert purpose_of("create table hat (\n n int);") == "create table hat"
