"""The runner: what dies is started again, what is told to stop finishes, what loses its supervisor goes."""

import contextlib
import os
import signal
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from broker import Publisher, Settings
from broker.database import Database
from broker.dead_letters import list_letters
from broker.history import list_runs
from broker.transports.postgres import PostgresTransport
from ops.boot import App, make_broker, make_transport
from ops.worker_process import Channel, Stop, _prepare
from tests.support.runner import running_worker
from tests.support.troupe.schemas import CurtainHeld, LightFell, LineSpoken
from tests.support.waiting import eventually

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

Publish = Callable[[object], str]
QUICK = {"SWEEP_INTERVAL": "PT0.05S"}


@pytest.fixture
def publish(database: Database) -> Publish:
    def publish(event: object) -> str:
        transport = PostgresTransport(database)
        try:
            return Publisher(transport, "test", database).publish(event)  # type: ignore[arg-type]
        finally:
            transport.close()

    return publish


def status_of(database: Database, event_id: str) -> str | None:
    with database.once("test") as connection:
        return next((run.status for run in list_runs(connection) if run.event_id == event_id), None)


@pytest.mark.chaos
def test_a_killed_worker_is_started_again_and_its_neighbours_live_on(
    database: Database, dsn: str, tmp_path: Path, publish: Publish
) -> None:
    with running_worker(tmp_path, dsn, "--processes", "2", **QUICK) as runner:
        assert runner.wait_ready() == "ready: 2 worker processes and quarantine, 3 actors\n"
        first, second = runner.workers()
        before = runner.quarantine()

        os.kill(first, signal.SIGKILL)

        eventually(lambda: len(runner.workers()) == 2 and first not in runner.workers())
        assert second in runner.workers()
        assert runner.quarantine() == before
        assert "worker_died" in runner.log()
        event = publish(LineSpoken(folder=str(tmp_path)))
        eventually(lambda: status_of(database, event) == "completed")


def test_told_to_stop_it_lets_running_bodies_finish(
    database: Database, dsn: str, tmp_path: Path, publish: Publish
) -> None:
    with running_worker(tmp_path, dsn, **QUICK) as runner:
        runner.wait_ready()
        event = publish(CurtainHeld(folder=str(tmp_path)))
        eventually((tmp_path / "begun").exists)

        runner.signal(signal.SIGTERM)
        eventually(lambda: not runner.quarantine())
        (tmp_path / "go").touch()

        assert runner.ends() == 0
        assert status_of(database, event) == "completed"
        assert not runner.survivors()


def test_told_twice_it_ends_at_once(database: Database, dsn: str, tmp_path: Path, publish: Publish) -> None:
    with running_worker(tmp_path, dsn, **QUICK) as runner:
        runner.wait_ready()
        event = publish(CurtainHeld(folder=str(tmp_path)))
        eventually((tmp_path / "begun").exists)

        runner.signal(signal.SIGINT)
        eventually(lambda: not runner.quarantine())
        runner.signal(signal.SIGINT)

        assert runner.ends(timedelta(seconds=10)) == 1
        assert not runner.survivors()
        assert status_of(database, event) == "running"


def test_after_the_grace_bodies_are_given_up_and_taken_over_by_the_next(
    database: Database, dsn: str, tmp_path: Path, publish: Publish
) -> None:
    with running_worker(tmp_path, dsn, GRACE="PT0.3S", **QUICK) as runner:
        runner.wait_ready()
        event = publish(CurtainHeld(folder=str(tmp_path)))
        eventually((tmp_path / "begun").exists)
        runner.signal(signal.SIGTERM)
        runner.ends(timedelta(seconds=20))
        assert not runner.survivors()

    (tmp_path / "go").touch()
    with running_worker(tmp_path, dsn, **QUICK) as runner:
        runner.wait_ready()
        eventually(lambda: status_of(database, event) == "completed", 20)


@pytest.mark.chaos
def test_a_killed_supervisor_leaves_no_worker_behind(
    database: Database, dsn: str, tmp_path: Path, publish: Publish
) -> None:
    with running_worker(tmp_path, dsn, "--processes", "2", **QUICK) as runner:
        runner.wait_ready()
        publish(CurtainHeld(folder=str(tmp_path)))
        eventually((tmp_path / "begun").exists)
        assert len(runner.children()) == 3

        runner.signal(signal.SIGKILL)

        runner.ends()
        eventually(lambda: not runner.survivors(), 5)


@pytest.mark.chaos
def test_a_payload_that_kills_its_worker_ends_in_quarantine_and_as_a_dead_letter(
    database: Database, dsn: str, tmp_path: Path, publish: Publish
) -> None:
    with running_worker(tmp_path, dsn, CRASH_LIMIT="3", **QUICK) as runner:
        runner.wait_ready()
        quarantine = runner.quarantine()

        event = publish(LightFell(folder=str(tmp_path)))

        eventually(lambda: status_of(database, event) == "failed", 60)
        killed = [int(pid) for pid in (tmp_path / "killed").read_text().split()]
        assert killed[2:] == quarantine
        with database.once("test") as connection:
            assert [letter.reason for letter in list_letters(connection)] == ["crashed its worker"]
        fine = publish(LineSpoken(folder=str(tmp_path)))
        eventually(lambda: status_of(database, fine) == "completed", 30)


def test_a_filter_leaves_other_actors_events_in_their_queues(
    database: Database, dsn: str, tmp_path: Path, publish: Publish
) -> None:
    with running_worker(tmp_path, dsn, "--actors", "spea*.*", **QUICK) as runner:
        assert "1 actors" in runner.wait_ready()
        held, spoken = publish(CurtainHeld(folder=str(tmp_path))), publish(LineSpoken(folder=str(tmp_path)))
        eventually(lambda: status_of(database, spoken) == "completed")
        assert status_of(database, held) is None
        assert PostgresTransport(database).depth("hold.hold") == 1


def test_a_filter_without_an_actor_is_refused_with_the_nearest_name(
    database: Database, dsn: str, tmp_path: Path
) -> None:
    with running_worker(tmp_path, dsn, "--actors", "spaek.speak") as runner:
        assert runner.ends() == 1
        assert "matches no actor; did you mean 'speak.speak'?" in runner.log()


def test_an_old_database_is_refused_once_with_the_command_that_helps(dsn: str, tmp_path: Path) -> None:
    with running_worker(tmp_path, dsn, "--processes", "2") as runner:
        assert runner.ends() == 1
        assert runner.log().count("callboard migrate") == 1


def test_a_database_that_is_away_is_waited_for_and_said_once(tmp_path: Path) -> None:
    with running_worker(
        tmp_path, "postgresql://someone:secret@127.0.0.1:1/nowhere", "--processes", "2"
    ) as runner:
        eventually(lambda: "waiting for PostgreSQL at 127.0.0.1:1/nowhere" in runner.log(), 30)
        runner.signal(signal.SIGTERM)
        assert runner.ends() == 0
        assert runner.log().count("waiting for") == 1
        assert "secret" not in runner.log()


def test_a_stop_whose_signal_was_forgotten_is_obeyed_while_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is raised inside a callback of the interpreter's own is printed and gone; that a stop was asked for is not."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    stop = Stop()
    with contextlib.suppress(SystemExit):
        stop._asked_by_signal(signal.SIGTERM, None)
    settings = Settings(database_url=SecretStr("host=127.0.0.1 port=1 dbname=nowhere"))
    ours, theirs = socket.socketpair()
    broker, transport = make_broker(App(), settings), make_transport(settings)
    try:
        with pytest.raises(SystemExit) as ended:
            _prepare(App(), settings, broker, transport, Channel(theirs.detach()), stop, again=False)
        assert ended.value.code == 0
    finally:
        transport.close()
        ours.close()
