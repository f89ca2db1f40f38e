"""The files of a PostgreSQL cluster: made, checked, and cleared of what a dead server left in them."""

import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

from ops.embedded.binaries import give_away
from ops.embedded.process import Identity, StartError, VersionMismatchError, launch_command, stop_orphan

# One more than Linux can give (PID_MAX_LIMIT): never a process.
NO_PID = 4194305


def initialise(cluster: Path, initdb: str, password: Path, identity: Identity) -> None:
    """Beside its place, then moved: an interrupted one is never taken for a cluster."""
    fresh = cluster.with_name("cluster.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    password.touch(mode=0o600)
    password.write_text(f"{secrets.token_urlsafe(24)}\n")
    give_away(cluster.parent, identity)
    command = [
        initdb, "-D", str(fresh), "-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256",
        f"--pwfile={password}", "-E", "utf8", "--locale=C.UTF-8", "--no-instructions",
    ]  # fmt: skip
    made = subprocess.run(
        launch_command(command, identity),
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        raise StartError(
            f"initdb of {cluster.parent} failed; make room or correct what it says:\n{made.stderr}"
        )
    fresh.rename(cluster)


def refuse_other_version(cluster: Path, version: str) -> None:
    stamp = cluster / "PG_VERSION"
    if stamp.exists() and (written := stamp.read_text().strip()) != version:
        raise VersionMismatchError(
            f"the data in {cluster} were written by PostgreSQL {written}, the binaries are"
            f" {version}: set CALLBOARD_PG_BINDIR to binaries of {written}, pg_dump with them and"
            " restore into a new directory, or run pg_upgrade"
        )


def clear_the_dead(cluster: Path, sockets: Path) -> None:
    """End an orphan of ours, and make the lock files of the dead say that they are dead.

    We hold the directory, so a server on it can only be one whose starter is gone. PostgreSQL refuses a
    lock file whose pid lives, whoever that is by now; the rest of the file must stay, for by it
    PostgreSQL sees whether sessions of the dead server still write.
    """
    lock_file = cluster / "postmaster.pid"
    if lock_file.exists():
        pid, newline, rest = lock_file.read_text().partition("\n")
        if pid.strip().isdigit():
            stop_orphan(int(pid), str(cluster), signal.SIGINT)
            # An orphan that stopped in order took its file along.
            if lock_file.exists():
                lock_file.write_text(f"{NO_PID}{newline}{rest}")
    for left in sockets.glob(".s.PGSQL.*"):
        left.unlink()


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
