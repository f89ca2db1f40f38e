"""Three RabbitMQ nodes of our own as one cluster on loopback: for tests of what happens when one of them dies.

`base_dir/` holds a directory for each node. One epmd serves them all, in the foreground, on a port of its own.
"""

import json
import secrets
import signal
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ops.embedded.process import EmbeddedError, StartError, end, free_port, spawn, wait_until
from ops.embedded.rabbitmq import EmbeddedRabbit
from ops.embedded.rabbitmq_install import find_rabbitmq
from ops.embedded.rabbitmq_setup import Membership

SIZE = 3
FORMATION_LIMIT = timedelta(seconds=60)
"""After the last node is ready; as a rule they are one cluster by then."""
LEADER_LIMIT = timedelta(seconds=60)
"""A node that comes back catches up within seconds; each look costs two."""
EPMD_GRACE = timedelta(seconds=2)


class RabbitCluster:
    """Ports and names are chosen once, so that addresses survive restarts. All of it ends with this process."""

    def __init__(self, base_dir: Path) -> None:
        self.directory = base_dir.absolute()
        self._epmd_port = free_port()
        self._epmd: subprocess.Popen[bytes] | None = None
        names = tuple(f"callboard{number}@localhost" for number in range(1, SIZE + 1))
        cookie, password = secrets.token_hex(20), secrets.token_hex(20)
        self.nodes: tuple[EmbeddedRabbit, ...] = tuple(
            EmbeddedRabbit(
                self.directory / name.partition("@")[0],
                membership=Membership(name, names, self._epmd_port, cookie, password),
            )
            for name in names
        )

    @property
    def urls(self) -> Sequence[str]:
        """Raises EmbeddedError before the first start."""
        return [node.url for node in self.nodes]

    @property
    def url(self) -> str:
        """All nodes, as CALLBOARD_BROKER_URL takes them."""
        return ",".join(self.urls)

    def start(self) -> None:
        """Start the nodes that do not run; return when all take connections and know each other: 15 to 30 s on two cores."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._start_epmd()
            self._at_once(EmbeddedRabbit.start, [node for node in self.nodes if not node.is_running])
            if not wait_until(self._is_formed, FORMATION_LIMIT):
                raise StartError(f"the nodes in {self.directory} did not become one cluster; see their log/")
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Shut all nodes down in order, at once."""
        self._at_once(EmbeddedRabbit.stop, self.nodes)
        self._end_epmd()

    def kill(self) -> None:
        """End all of them as a crash does."""
        for node in self.nodes:
            node.kill()
        self._end_epmd()

    def leader_of(self, queue: str) -> EmbeddedRabbit:
        """Once all its members are online: a kill then leaves a majority. Raises EmbeddedError when that takes too long."""
        found: list[EmbeddedRabbit] = []

        def led() -> bool:
            row = self.queues().get(queue, {})
            whole = len(row.get("online") or ()) == SIZE
            found[:] = [node for node in self.nodes if whole and node.name == row.get("leader")]
            return bool(found)

        if not wait_until(led, LEADER_LIMIT):
            raise EmbeddedError(f"queue {queue} has no leader with {SIZE} members online")
        return found[0]

    def queues(self) -> dict[str, dict[str, Any]]:
        """By name: `leader`, `members` and `online` of each quorum queue, as a running node sees them."""
        columns = ("name", "leader", "members", "online")
        told = self._anybody.control("list_queues", *columns, "--formatter", "json")
        return {row["name"]: row for row in json.loads(told)}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def _anybody(self) -> EmbeddedRabbit:
        for node in self.nodes:
            if node.is_running:
                return node
        raise EmbeddedError(f"no node of {self.directory} runs: call start() first")

    def _is_formed(self) -> bool:
        status = json.loads(self._anybody.control("cluster_status", "--formatter", "json"))
        return len(status["running_nodes"]) == SIZE

    def _at_once(self, work: Callable[[EmbeddedRabbit], None], nodes: Sequence[EmbeddedRabbit]) -> None:
        """A node that boots waits for its peers."""
        with ThreadPoolExecutor(SIZE) as threads:
            list(threads.map(work, nodes))

    def _start_epmd(self) -> None:
        if self._epmd is not None:
            return
        installed = find_rabbitmq()
        self._epmd = spawn(
            [installed.epmd, "-port", str(self._epmd_port), "-address", "127.0.0.1"],
            log=self.directory / "epmd.log",
            env=installed.environment(),
            cwd=self.directory,
            death_signal=signal.SIGKILL,
        )

    def _end_epmd(self) -> None:
        if self._epmd is not None:
            end(self._epmd, [signal.SIGTERM], EPMD_GRACE)
            self._epmd = None
