"""One Callboard as an operator has it: settings in the environment, a migrated database, commands, worker processes."""

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from broker import Settings
from broker.database import Database
from broker.migrate import migrate
from broker.topology import Topology
from ops.boot import load, make_broker
from ops.embedded.process import launch_command, tail
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
START_LIMIT = timedelta(seconds=90)
"""3 s on two idle cores; the build machine shares them with other tests."""
COMMAND_LIMIT = timedelta(seconds=60)


@dataclass(frozen=True)
class Workers:
    """A running `callboard worker`. Its processes are known by the rows that they keep in table `worker`."""

    process: "subprocess.Popen[str]"
    log: Path
    database: Database
    count: int

    def pids(self) -> dict[int, bool]:
        """pid → whether it is the quarantine process, once all have told: an idle one does so within a second."""

        def told() -> dict[int, bool] | None:
            with self.database.once("test") as connection:
                names = connection.execute("select name from worker").fetchall()
            found = {int(name.rpartition(":")[2]): "quarantine:" in name for (name,) in names}
            return found if len(found) == self.count else None

        return eventually(told, START_LIMIT) or {}

    def pid_of(self, run_id: object) -> int:
        """Which process performs this run."""
        with self.database.once("test") as connection:
            row = connection.execute(
                "select w.name from run r join worker w on w.id = r.worker where r.id = %s", (run_id,)
            ).fetchone()
        assert row is not None, f"no worker has run {run_id}"
        return int(row[0].rpartition(":")[2])

    def died(self) -> bool:
        """Whether the supervisor has seen any of its processes end."""
        return "worker_died" in self.log.read_text()


@dataclass(frozen=True)
class Installation:
    """`environment` is all that commands and workers get, besides what is no setting of ours."""

    environment: Mapping[str, str]
    directory: Path
    database: Database

    def but(self, **changed: str) -> "Installation":
        """The same, with some variables set otherwise."""
        return Installation({**self.environment, **changed}, self.directory, self.database)

    def callboard(self, *arguments: str) -> str:
        """What the command prints. AssertionError with its errors when it fails."""
        done = subprocess.run(
            [sys.executable, "-m", "ops", *arguments],
            cwd=ROOT, env=self._environment(), capture_output=True, text=True, check=False,
            timeout=COMMAND_LIMIT.total_seconds(),
        )  # fmt: skip
        assert done.returncode == 0, f"callboard {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def publish(self, event_type: str, **payload: object) -> str:
        """Through the command line; returns the event's id."""
        return self.callboard("publish", event_type, json.dumps(payload)).strip()

    def letters(self, *options: str) -> list[dict[str, Any]]:
        """As `callboard dead list --json` tells them."""
        found = json.loads(self.callboard("dead", "list", "--json", *options))
        assert isinstance(found, list)
        return found

    @contextmanager
    def workers(self, processes: int = 1, *, actors: str = "*") -> Generator[Workers]:
        """Ready, and stopped in order afterwards. `actors` is a glob: only these."""
        command = ("worker", "--processes", str(processes), "--actors", actors)
        with self._started(*command, log="worker.log", first="ready") as (process, _line, log):
            yield Workers(process, log, self.database, processes + 1)

    @contextmanager
    def web(self) -> Generator[str]:
        """`callboard web`, its address with a slash at the end; its log is `web.log`."""
        with self._started("web", log="web.log", first="status page: ") as (_process, line, _log):
            yield line.removeprefix("status page: ").strip()

    @contextmanager
    def _started(
        self, *command: str, log: str, first: str
    ) -> "Generator[tuple[subprocess.Popen[str], str, Path]]":
        """With its first line, which begins so; stopped in order afterwards."""
        path = self.directory / log
        with path.open("ab") as errors:
            process = subprocess.Popen(
                launch_command([sys.executable, "-m", "ops", *command], death_signal=signal.SIGKILL),
                cwd=ROOT, env=self._environment(), stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip
        try:
            yield process, _first_line(process, first, path), path
        finally:
            process.terminate()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise

    def rows(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """With the engine's schema in the search path."""
        with self.database.once("test") as connection:
            return connection.execute(statement.encode(), parameters or None).fetchall()

    def one(self, statement: str, parameters: Sequence[object] = ()) -> Any:
        """The one value of the one row; None without a row."""
        found = self.rows(statement, parameters)
        return found[0][0] if found else None

    def _environment(self) -> dict[str, str]:
        others = {
            name: value for name, value in os.environ.items() if not name.startswith(("CALLBOARD_", "OTEL_"))
        }
        return {**others, **self.environment}


def installed(dsn: str, amqp: str, directory: Path, **environment: str) -> Installation:
    """The demo's domains on this empty database; without an AMQP URL on the `postgres` transport."""
    settings = Settings(demo=True)
    database = Database(dsn, settings.namespace)
    migrate(database, load(settings).migrations(settings.namespace))
    return Installation(
        {
            "CALLBOARD_DEMO": "1",
            "CALLBOARD_DATABASE_URL": dsn,
            "CALLBOARD_BROKER_URL": amqp,
            "CALLBOARD_DATA": str(directory),
            **environment,
        },
        directory,
        database,
    )


def topology_of_the_demo() -> Topology:
    settings = Settings(demo=True)
    return make_broker(load(settings), settings).topology()


def _first_line(process: "subprocess.Popen[str]", wanted: str, log: Path) -> str:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        answered = selector.select(START_LIMIT.total_seconds())
    first = process.stdout.readline() if answered else "(nothing)"
    assert first.startswith(wanted), f"it said {first!r}; the end of its log:\n{tail(log)}"
    return first
