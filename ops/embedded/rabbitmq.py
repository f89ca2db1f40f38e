"""A RabbitMQ node of our own: no service, no root, no port of another node, no daemon that stays behind.

`base_dir/` holds `mnesia/` (the data), `log/`, `etc/`, `home/` (the cookie), `password` and `callboard.lock`.
Beside the node runs its own epmd, in the foreground: the node would otherwise start one on port 4369 that
outlives it.
"""

import secrets
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

# 5 to 8 s on two shared cores; a build machine under load has been seen at four times that.
START_LIMIT = timedelta(seconds=120)
# 1.1 s; with the management plugin its listeners drain for 5 s more.
STOP_GRACE = timedelta(seconds=30)
USER = "callboard"


class EmbeddedRabbit:
    """One private node on one directory; its ports are chosen once, so its address survives a restart.

    The node ends with this process, at once (on Linux): what it confirmed is on its disk.
    """

    def __init__(self, base_dir: Path, *, port: int | None = None, management: bool = False) -> None:
        self.directory = base_dir.absolute()
        self.port = port or free_port()
        self.management_port = free_port() if management else None
        self._distribution_port = free_port()
        self._epmd_port = free_port()
        self._notices = socket_directory(self.directory, "notify.sock") / "notify.sock"
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
        if self._children and is_alive(self._children[-1]):
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
        self._write_files()
        self._listener = self._listen()
        env = {**self._environment(), **installed.environment()}
        for command in (
            [installed.epmd, "-port", str(self._epmd_port), "-address", "127.0.0.1"],
            [installed.server],
        ):
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

    def _write_files(self) -> None:
        for name in ("mnesia", "log", "home", "etc"):
            (self.directory / name).mkdir(mode=0o700, exist_ok=True)
        for secret in (self.directory / "home" / ".erlang.cookie", self.directory / "password"):
            if not secret.exists():
                secret.touch(mode=0o600)
                secret.write_text(secrets.token_hex(20))
                secret.chmod(0o400)
        plugins = "[rabbitmq_management]." if self.management_port else "[]."
        (self.directory / "etc" / "enabled_plugins").write_text(f"{plugins}\n")
        lines = [f"{name} = {value}" for name, value in self._configuration().items()]
        configuration = self.directory / "etc" / "rabbitmq.conf"
        configuration.touch(mode=0o600)
        configuration.write_text("\n".join([*lines, ""]))

    def _configuration(self) -> Mapping[str, str | int]:
        management: Mapping[str, str | int] = (
            {"management.tcp.ip": "127.0.0.1", "management.tcp.port": self.management_port}
            if self.management_port
            else {}
        )
        return {
            "listeners.tcp.1": f"127.0.0.1:{self.port}",
            "default_user": USER,
            "default_pass": self._read_password(),
            "log.console": "false",
            # The defaults are shares of the whole machine, which belongs to others too.
            "disk_free_limit.absolute": "50MB",
            "vm_memory_high_watermark.absolute": "512MiB",
            **management,
        }

    def _environment(self) -> dict[str, str]:
        here = self.directory
        # One scheduler saves a second of CPU at each start, and our loads need no second. No epmd: we run it.
        arguments = (
            "+S 1:1 -kernel inet_dist_use_interface {127,0,0,1}"
            f" -start_epmd false -erl_epmd_port {self._distribution_port}"
        )
        return {
            "LANG": "C.UTF-8",
            "HOME": str(here / "home"),
            "RABBITMQ_NODENAME": "callboard@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": str(here / "mnesia"),
            "RABBITMQ_LOG_BASE": str(here / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(here / "etc" / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(here / "etc" / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(here / "etc" / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(here / "etc" / "none.conf"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(here / "etc" / "generated"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": arguments,
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_CRASH_DUMP_SECONDS": "0",
            # Makes the start script exec the emulator, so that our pid is the node's, and report when ready.
            "RUNNING_UNDER_SYSTEMD": "true",
            "NOTIFY_SOCKET": str(self._notices),
        }

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
            return (self.directory / "password").read_text()
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
