"""A PostgreSQL of our own: initialised, started, watched and ended by the process that uses it.

    new ── start ──> running ── stop (fast) or kill (immediate) ──> stopped ── start ──> running …

`directory/` holds `cluster/` (the data), `postgres.log`, `password` (for TCP), `callboard.lock` and, unless
its path is too long for a socket, `socket/`. Nothing is added to the machine: no user, no service, no
changed permission.
"""

import signal
import subprocess
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO
from urllib.parse import quote

from ops.embedded.binaries import (
    choose_identity,
    find_binaries,
    give_away,
    major_version,
    reachable_binaries,
    reachable_data,
)
from ops.embedded.cluster import clean_environment, clear_the_dead, initialise, is_ready, refuse_other_version
from ops.embedded.process import (
    DirectoryInUseError,
    EmbeddedError,
    Identity,
    StartError,
    end,
    is_alive,
    private_directory,
    socket_directory,
    spawn,
    tail,
    take_directory,
    wait_until,
)

# A recovery after a crash first reads all WAL since the last checkpoint (up to max_wal_size, 1 GB).
START_LIMIT = timedelta(minutes=5)
# A fast stop of a full server writes its buffers out.
STOP_GRACE = timedelta(seconds=30)
# What PostgreSQL says while sessions outlive a killed postmaster: each ends when it next looks up.
SESSIONS_LEFT = "pre-existing shared memory block"
SESSIONS_LEFT_LIMIT = timedelta(seconds=10)
LOG_LIMIT_BYTES = 10_000_000


class EmbeddedPostgres:
    """One private server on one directory. Not for two threads at once; the server itself is for everybody.

    `port` opens 127.0.0.1 as well, with a random password; the socket asks for none, since only its owner
    can enter its directory. The server ends with this process, however that ends (on Linux).
    """

    def __init__(
        self, data_dir: Path, *, settings: Mapping[str, str] | None = None, port: int | None = None
    ) -> None:
        self._identity: Identity = choose_identity()
        self.directory = reachable_data(data_dir.absolute(), self._identity)
        self.log = self.directory / "postgres.log"
        self._cluster = self.directory / "cluster"
        self._password = self.directory / "password"
        self._sockets = socket_directory(self.directory, ".s.PGSQL.65535")
        self._settings = dict(settings or {})
        self._port = port
        self._child: subprocess.Popen[bytes] | None = None
        self._lock: TextIO | None = None

    @property
    def pid(self) -> int:
        """Raises EmbeddedError when the server is not running."""
        if self._child is None:
            raise EmbeddedError(f"PostgreSQL in {self.directory} is not running: call start() first")
        return self._child.pid

    @property
    def dsn(self) -> str:
        """The database `postgres` as superuser, over the socket. Known before the start."""
        port = f"&port={self._port}" if self._port else ""
        return f"postgresql://postgres@/postgres?host={quote(str(self._sockets), safe='')}{port}"

    @property
    def tcp_dsn(self) -> str:
        """The same over 127.0.0.1, with the password. Raises EmbeddedError without a port or a cluster."""
        if self._port is None or not self._password.exists():
            raise EmbeddedError("there is no TCP address: give `port=` and call start() first")
        return f"postgresql://postgres:{self._password.read_text().strip()}@127.0.0.1:{self._port}/postgres"

    @property
    def is_running(self) -> bool:
        return self._child is not None and is_alive(self._child)

    def start(self) -> None:
        """Return when the server takes connections; the first time the cluster is made, half a second more.

        May be repeated after stop() and kill(). Raises EmbeddedError.
        """
        if self.is_running:
            raise DirectoryInUseError(f"PostgreSQL in {self.directory} already runs as process {self.pid}")
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._release()
        self._lock = take_directory(self.directory)
        try:
            private_directory(self._sockets)
            give_away(self._sockets, self._identity)
            self._start()
        except BaseException:
            self._release()
            raise

    def stop(self) -> None:
        """End all sessions, write a checkpoint, return when it has gone. Harmless if it does not run."""
        self._end([signal.SIGINT, signal.SIGQUIT])

    def kill(self) -> None:
        """End at once, as a crash: the next start recovers what was committed."""
        self._end([signal.SIGQUIT], timedelta(seconds=6))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> None:
        binaries = find_binaries()
        version = major_version(binaries)
        binaries = reachable_binaries(binaries, self._identity)
        refuse_other_version(self._cluster, version)
        if not self._cluster.exists():
            initialise(self._cluster, binaries["initdb"], self._password, self._identity)
        clear_the_dead(self._cluster, self._sockets)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT_BYTES:
            self.log.rename(self.log.with_suffix(".log.old"))
        wait_until(lambda: self._serve(binaries["postgres"]), SESSIONS_LEFT_LIMIT)
        if self._child is None:
            raise StartError(f"sessions of a killed server still write to {self._cluster}: end them first")

    def _serve(self, program: str) -> bool:
        """False when sessions of the server before are not done yet. Raises StartError."""
        begin = self.log.stat().st_size if self.log.exists() else 0
        self._child = spawn(
            [program, *self._arguments()],
            log=self.log,
            env=clean_environment(),
            # Immediate: nobody is left to wait for sessions, and recovery is what PostgreSQL is good at.
            death_signal=signal.SIGQUIT,
            identity=self._identity,
        )
        try:
            self._await_ready(self._child)
        except StartError:
            self._child = None
            if SESSIONS_LEFT in self.log.read_bytes()[begin:].decode(errors="replace"):
                return False
            raise
        return True

    def _arguments(self) -> list[str]:
        settings = {
            "unix_socket_directories": str(self._sockets),
            "unix_socket_permissions": "0700",
            "listen_addresses": "127.0.0.1" if self._port else "",
            "port": str(self._port or 5432),
            "log_destination": "stderr",
            **self._settings,
        }
        return [
            "-D",
            str(self._cluster),
            *(part for item in settings.items() for part in ("-c", "=".join(item))),
        ]

    def _await_ready(self, child: subprocess.Popen[bytes]) -> None:
        lock_file = self._cluster / "postmaster.pid"

        def settled() -> bool:
            return child.poll() is not None or is_ready(lock_file, child.pid)

        in_time = wait_until(settled, START_LIMIT)
        if in_time and child.poll() is None:
            return
        end(child, [signal.SIGQUIT], timedelta(seconds=6))
        reason = f"ended with status {child.returncode}" if in_time else f"was not ready after {START_LIMIT}"
        raise StartError(f"PostgreSQL {reason}; the end of {self.log}:\n{tail(self.log)}")

    def _end(self, signals: list[signal.Signals], grace: timedelta = STOP_GRACE) -> None:
        if self._child is not None:
            end(self._child, signals, grace)
            self._child = None
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None
