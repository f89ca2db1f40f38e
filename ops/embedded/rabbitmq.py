"""A RabbitMQ node of our own: no service, no root, no port of another node, no daemon that stays behind.

`base_dir/` holds `mnesia/` (the data), `log/`, `etc/`, `home/` (the cookie), `password` and `callboard.lock`.
Beside the node runs its own epmd, in the foreground: the node would otherwise start one on port 4369 that
outlives it.
"""

import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from ops.embedded.process import (
    DirectoryInUseError,
    EmbeddedError,
    StartError,
    end,
    free_port,
    is_alive,
    private_directory,
    socket_directory,
    spawn,
    stop_orphan,
    tail,
    take_directory,
)
from ops.embedded.rabbitmq_install import find_rabbitmq
from ops.embedded.rabbitmq_setup import USER, Membership, NodeSetup

# 5 to 8 s on two shared cores; a build machine under load has been seen at four times that.
START_LIMIT = timedelta(seconds=120)
# 1.1 s; with the management plugin its listeners drain for 5 s more.
STOP_GRACE = timedelta(seconds=30)
# 2 s, nearly all of it the tool's own start.
CONTROL_LIMIT_SECONDS = 60


class EmbeddedRabbit:
    """One private node on one directory; its ports are chosen once, so its address survives a restart.

    The node ends with this process, at once (on Linux): what it confirmed is on its disk.
    """

    def __init__(
        self,
        base_dir: Path,
        *,
        port: int | None = None,
        management: bool = False,
        membership: Membership | None = None,
        configuration: Mapping[str, str | int] | None = None,
    ) -> None:
        """`configuration` are lines of rabbitmq.conf beside ours.

        With a `membership` it is one of several nodes, whose epmd is not ours to run: see `RabbitCluster`."""
        self.directory = base_dir.absolute()
        self.port = port or free_port()
        self.management_port = free_port() if management else None
        self._notices = socket_directory(self.directory, "notify.sock") / "notify.sock"
        self._setup = NodeSetup(
            self.directory,
            self._notices,
            self.port,
            self.management_port,
            distribution_port=free_port(),
            epmd_port=membership.epmd_port if membership else free_port(),
            membership=membership,
            more=configuration or {},
        )
        self._children: list[subprocess.Popen[bytes]] = []
        self._listener: socket.socket | None = None
        self._lock: TextIO | None = None

    @property
    def url(self) -> str:
        """Raises EmbeddedError before the first start, which makes the password."""
        return f"amqp://{USER}:{self._read_password()}@127.0.0.1:{self.port}/%2F"

    @property
    def management_url(self) -> str:
        """The HTTP API with its user and password. Raises EmbeddedError without `management=True`."""
        if self.management_port is None:
            raise EmbeddedError("there is no management API: create the node with management=True")
        return f"http://{USER}:{self._read_password()}@127.0.0.1:{self.management_port}"

    @property
    def pid(self) -> int:
        """Raises EmbeddedError when the node is not running."""
        if not self._children:
            raise EmbeddedError(f"RabbitMQ in {self.directory} is not running: call start() first")
        return self._children[-1].pid

    def start(self) -> None:
        """Return when the node takes connections, after 5 to 8 s. May be repeated after stop() and kill()."""
        if self.is_running:
            raise DirectoryInUseError(f"RabbitMQ in {self.directory} already runs as process {self.pid}")
        self._end([])
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = take_directory(self.directory)
        try:
            self._start()
        except BaseException:
            self._end([])
            raise

    def stop(self) -> None:
        """Shut the node down in order: 1 s, with management 6 s. Harmless if it does not run."""
        self._end([signal.SIGTERM])

    def kill(self) -> None:
        """End it as a crash does; confirmed messages and durable queues are there at the next start."""
        self._end([])

    @property
    def name(self) -> str:
        """As RabbitMQ says it: `callboard@localhost`."""
        return self._setup.name

    @property
    def is_running(self) -> bool:
        return bool(self._children) and is_alive(self._children[-1])

    def control(self, *arguments: str) -> str:
        """What `rabbitmqctl` prints, 2 s. Raises EmbeddedError with what it complained of."""
        installed = find_rabbitmq()
        done = subprocess.run(
            [installed.control, "--quiet", "--node", self.name, *arguments],
            env={**self._setup.environment(), **installed.environment()},
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CONTROL_LIMIT_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise EmbeddedError(
                f"rabbitmqctl {arguments[0]} ended with status {done.returncode}: {done.stderr.strip()}"
            )
        return done.stdout

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> None:
        installed = find_rabbitmq()
        pid_file = self.directory / "node.pid"
        if pid_file.exists() and (known := pid_file.read_text().strip()).isdigit():
            # The emulator names its home on its command line.
            stop_orphan(int(known), str(self.directory / "home"), signal.SIGKILL)
        self._setup.write()
        self._listener = self._listen()
        env = {**self._setup.environment(), **installed.environment()}
        epmd = [installed.epmd, "-port", str(self._setup.epmd_port), "-address", "127.0.0.1"]
        alone = self._setup.membership is None
        for command in [epmd, [installed.server]] if alone else [[installed.server]]:
            self._children.append(
                spawn(
                    command,
                    log=self.directory / "log" / "console.log",
                    env=env,
                    cwd=self.directory,
                    death_signal=signal.SIGKILL,
                )
            )
        pid_file.write_text(f"{self.pid}\n")
        self._await_ready(self._listener)

    def _listen(self) -> socket.socket:
        """Open until the node has gone: a notice that nobody takes makes its shutdown fail."""
        private_directory(self._notices.parent)
        self._notices.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listener.bind(str(self._notices))
        listener.settimeout(0.2)
        return listener

    def _await_ready(self, listener: socket.socket) -> None:
        limit = time.monotonic() + START_LIMIT.total_seconds()
        node = self._children[-1]
        while node.poll() is None and time.monotonic() < limit:
            try:
                if b"READY=1" in listener.recv(4096):
                    return
            except TimeoutError:
                continue
        reason = "was not ready in time" if node.poll() is None else f"ended with status {node.returncode}"
        log = self.directory / "log" / "console.log"
        raise StartError(f"RabbitMQ {reason}; see {log.parent}, here the end of {log.name}:\n{tail(log)}")

    def _read_password(self) -> str:
        try:
            return self._setup.password_file.read_text()
        except FileNotFoundError:
            raise EmbeddedError(
                f"RabbitMQ in {self.directory} has no password yet: call start() first"
            ) from None

    def _end(self, signals: list[signal.Signals]) -> None:
        while self._children:
            end(self._children.pop(), signals, STOP_GRACE)
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None
