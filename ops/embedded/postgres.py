"""A PostgreSQL of our own: initialised, started, watched and ended by the process that uses it.

    new ── start ──> running ── stop (fast) or kill (immediate) ──> stopped ── start ──> running …

`directory/` holds `cluster/` (the data), `postgres.log`, `password` (for TCP), `callboard.lock` and, unless
its path is too long for a socket, `socket/`. Nothing is added to the machine: no user, no service, no
changed permission.
"""

import os
import secrets
import shutil
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
from ops.embedded.process import (
    DirectoryInUseError,
    EmbeddedError,
    Identity,
    StartError,
    VersionMismatchError,
    end,
    launch_command,
    private_directory,
    socket_directory,
    spawn,
    stop_orphan,
    tail,
    take_directory,
    wait_until,
)

# A recovery after a crash first reads all WAL since the last checkpoint (up to max_wal_size, 1 GB).
START_LIMIT = timedelta(minutes=5)
# A fast stop of a full server writes its buffers out.
STOP_GRACE = timedelta(seconds=30)
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

    def start(self) -> None:
        """Return when the server takes connections; the first time the cluster is made, half a second more.

        May be repeated after stop() and kill(). Raises EmbeddedError.
        """
        if self._child is not None and self._child.poll() is None:
            raise DirectoryInUseError(
                f"PostgreSQL in {self.directory} already runs as process {self._child.pid}"
            )
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
        self._refuse_other_version(version)
        if not self._cluster.exists():
            self._initialise(binaries["initdb"])
        self._clear_the_dead()
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT_BYTES:
            self.log.rename(self.log.with_suffix(".log.old"))
        self._child = spawn(
            [binaries["postgres"], *self._arguments()],
            log=self.log,
            env=clean_environment(),
            # Immediate: nobody is left to wait for sessions, and recovery is what PostgreSQL is good at.
            death_signal=signal.SIGQUIT,
            identity=self._identity,
        )
        self._await_ready(self._child)

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

    def _initialise(self, initdb: str) -> None:
        """Beside its place, then moved: an interrupted one is never taken for a cluster."""
        fresh = self.directory / "cluster.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        self._password.touch(mode=0o600)
        self._password.write_text(f"{secrets.token_urlsafe(24)}\n")
        give_away(self.directory, self._identity)
        command = [
            initdb, "-D", str(fresh), "-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256",
            f"--pwfile={self._password}", "-E", "utf8", "--locale=C.UTF-8", "--no-instructions",
        ]  # fmt: skip
        made = subprocess.run(
            launch_command(command, self._identity),
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise StartError(
                f"initdb of {self.directory} failed; make room or correct what it says:\n{made.stderr}"
            )
        fresh.rename(self._cluster)

    def _refuse_other_version(self, version: str) -> None:
        stamp = self._cluster / "PG_VERSION"
        if stamp.exists() and (written := stamp.read_text().strip()) != version:
            raise VersionMismatchError(
                f"the data in {self._cluster} were written by PostgreSQL {written}, the binaries are"
                f" {version}: set CALLBOARD_PG_BINDIR to binaries of {written}, pg_dump with them and"
                " restore into a new directory, or run pg_upgrade"
            )

    def _clear_the_dead(self) -> None:
        """End an orphan of ours and remove lock files of the dead, whose pid may be somebody else's by now.

        PostgreSQL itself refuses a lock file whose pid lives, whoever that is. We hold the directory, so a
        server on it can only be one whose starter is gone.
        """
        lock_file = self._cluster / "postmaster.pid"
        if lock_file.exists() and (first := lock_file.read_text().split("\n", 1)[0].strip()).isdigit():
            stop_orphan(int(first), str(self._cluster), signal.SIGINT)
        lock_file.unlink(missing_ok=True)
        for left in self._sockets.glob(".s.PGSQL.*"):
            left.unlink()

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


def is_ready(lock_file: Path, pid: int) -> bool:
    """Line 1 of postmaster.pid is the server's pid, line 8 its state (PostgreSQL 10 and later)."""
    try:
        lines = lock_file.read_text().splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


def clean_environment() -> dict[str, str]:
    """Without PGDATA, PGPORT and their like, which the server reads and which mean another one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C.UTF-8"}
