"""Child processes: started so that they die with their starter, waited for, found again if they did not."""

import contextlib
import errno
import fcntl
import hashlib
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Literal, TextIO

Identity = Literal["self", "namespace", "nobody"]

LAUNCH = Path(__file__).with_name("launch.py")
# Outgoing connections take their port from 32768 on (Linux): a server's port there is taken now and then.
PORTS = range(15000, 32768)
POLL = 0.005
SOCKET_PATH_LIMIT_BYTES = 107


class EmbeddedError(Exception):
    """A private server could not be started or stopped; the message says what to do.

    EmbeddedError
    ├── BinariesMissingError    the server is not installed
    ├── DirectoryInUseError     another process runs a server on this directory
    ├── VersionMismatchError    the data were written by another major version
    └── StartError              the server started and did not become ready
    """


class BinariesMissingError(EmbeddedError):
    pass


class DirectoryInUseError(EmbeddedError):
    pass


class VersionMismatchError(EmbeddedError):
    pass


class StartError(EmbeddedError):
    pass


def launch_command(command: Sequence[str], identity: Identity = "self", death_signal: int = 0) -> list[str]:
    """The command that becomes `command` after taking on the identity; 0 means: outlive the starter."""
    return [
        sys.executable, "-I", "-S", str(LAUNCH), identity, str(int(death_signal)), str(os.getpid()), *command,
    ]  # fmt: skip


def spawn(
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str],
    death_signal: signal.Signals,
    identity: Identity = "self",
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own (a Ctrl-C is for us, who stop it in order), output to `log`.

    The kernel sends the death signal when the forking *thread* ends, so a thread is kept for as long as the
    child lives: any thread may call this and end.
    """
    started = threading.Event()
    outcome: list[subprocess.Popen[bytes] | OSError] = []

    def keep() -> None:
        try:
            with log.open("ab") as output:
                child = subprocess.Popen(
                    launch_command(command, identity, death_signal),
                    env=dict(env),
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
        except OSError as error:
            outcome.append(error)
            started.set()
            return
        outcome.append(child)
        started.set()
        if sys.platform.startswith("linux"):
            # Looks and does not reap: a `wait` here would hold the lock without which `poll` says "alive".
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    threading.Thread(target=keep, name=f"keeper of {Path(command[0]).name}", daemon=True).start()
    started.wait()
    child = outcome[0]
    if isinstance(child, OSError):
        raise StartError(f"{command[0]} could not be started: {child}") from child
    return child


def is_alive(child: subprocess.Popen[bytes]) -> bool:
    """False also for a child that was killed and is on its way out, which `poll` does not know yet."""
    return child.poll() is None and command_line(child.pid) is not None


def wait_until(ready: Callable[[], bool], within: timedelta) -> bool:
    """Poll every 5 ms; False when the time is over. A server puts its state in a file, which cannot call."""
    end = time.monotonic() + within.total_seconds()
    while not ready():
        if time.monotonic() > end:
            return False
        time.sleep(POLL)
    return True


def end(child: subprocess.Popen[bytes], signals: Sequence[signal.Signals], grace: timedelta) -> None:
    """Send one signal after the other, each with its grace, then SIGKILL; return when the child has gone."""
    for number in signals:
        child.send_signal(number)
        try:
            child.wait(grace.total_seconds())
        except subprocess.TimeoutExpired:
            continue
        return
    child.kill()
    child.wait()


def command_line(pid: int) -> str | None:
    """The command of a live process, or None. A pid alone says nothing: containers reuse it at once."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ").strip() or None
    except OSError:
        if Path("/proc/self").exists():
            return None
    found = subprocess.run(
        ["ps", "-ww", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or None


def stop_orphan(pid: int, mark: str, number: signal.Signals) -> None:
    """End a server whose starter died, known by `mark` in its command line; another process is left alone.

    Where the kernel tells children of their parent's death it is already dying (11 ms): hence the first wait.
    """

    def gone() -> bool:
        return mark not in (command_line(pid) or "")

    if wait_until(gone, timedelta(milliseconds=200)):
        return
    os.kill(pid, number)
    if not wait_until(gone, timedelta(seconds=30)):
        raise DirectoryInUseError(f"process {pid} serves {mark} and does not stop: end it first")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now, below the range of outgoing connections."""
    for port in random.sample(PORTS, 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise
                continue
            return port
    raise StartError(f"none of 200 ports between {PORTS.start} and {PORTS.stop} was free; close some servers")


def take_directory(directory: Path) -> TextIO:
    """Own the directory for as long as the returned file is open, whatever happens to this process.

    Raises DirectoryInUseError. A lock of the kernel and not a pid file: it cannot go stale.
    """
    lock = (directory / "callboard.lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise DirectoryInUseError(
            f"{directory} is in use by process {holder}: stop that one, or choose another directory"
        ) from None
    lock.seek(0)
    lock.truncate()
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def socket_directory(directory: Path, longest_name: str) -> Path:
    """Where a server's unix sockets go: inside the directory, or at a short address when that is too deep."""
    inside = directory / "socket"
    if len(os.fsencode(inside / longest_name)) <= SOCKET_PATH_LIMIT_BYTES:
        return inside
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:12]
    return Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp") / f"callboard-{os.geteuid()}-{digest}"  # noqa: S108


def private_directory(directory: Path) -> None:
    """Make it for its owner alone, or raise EmbeddedError: under /tmp somebody else may have been first."""
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    ours = os.geteuid() in (0, found.st_uid)
    if not stat.S_ISDIR(found.st_mode) or not ours or stat.S_IMODE(found.st_mode) & 0o077:
        raise EmbeddedError(
            f"{directory} is not a directory of ours alone (mode 0700): look who made it, remove it"
        )


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log, for an error message."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return f"({log} cannot be read)"
