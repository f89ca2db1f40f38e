"""A row's corner of the servers: a database and a namespace of its own, worker processes that are replaced when they end, and a
publisher."""

import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from broker import CallboardError, Publisher
from broker.broker import CallboardBroker
from broker.database import Database
from broker.declare import declare
from broker.migrate import engine_migrations, migrate
from broker.transports.base import Transport
from broker.transports.rabbitmq import RabbitmqTransport
from ops.chaos.oracle import Oracle
from ops.chaos.pulse import Pulse
from ops.chaos.seams import CRASHED, unconfirmed_publishing
from ops.chaos.trial import ACTORS
from ops.chaos.worker import transport_of
from ops.embedded.postgres import EmbeddedPostgres
from ops.embedded.rabbitmq import EmbeddedRabbit
from ops.embedded.rabbitmq_cluster import RabbitCluster

HOUSE = Path(__file__).parents[2]
UNHEARD = timedelta(milliseconds=500)
"""Without the guard `confirms`: after so long the transport drops a message, and nobody is told."""
LOOK_SECONDS = 0.05


class ChaosError(CallboardError):
    """A row could not be tried: its result would mean nothing."""


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers of a whole run; rows come one after the other, so each may do to them what it wants."""

    postgres: EmbeddedPostgres
    rabbit: EmbeddedRabbit | RabbitCluster


class Fleet:
    """Worker processes. One that ends is replaced within 50 ms, whatever ended it."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._command = command
        self._log = log
        self._lock = threading.Lock()
        self._workers: list[tuple[subprocess.Popen[str], tuple[str, ...]]] = []
        self._expected: set[int] = set()
        self._closed = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="fleet", daemon=True)
        self.exits: list[int] = []
        """Statuses of those that ended although nobody had done anything to them."""

    def start(self, options: Sequence[tuple[str, ...]]) -> None:
        """One worker for each tuple of options; returns when all consume: a fault that meets one at its boot ends it, as it
        should. Raises ChaosError."""
        self._workers = [(self._spawn(each), each) for each in options]
        for process, _ in self._workers:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise ChaosError(f"a worker did not start; its messages are in {self._log.name}")
        self._keeper.start()

    @property
    def pids(self) -> list[int]:
        with self._lock:
            return [process.pid for process, _ in self._workers if process.poll() is None]

    def signal(self, pid: int, number: signal.Signals) -> None:
        """What ends by it was meant to."""
        with self._lock:
            if number not in (signal.SIGSTOP, signal.SIGCONT):
                self._expected.add(pid)
            os.kill(pid, number)

    def close(self) -> None:
        self._closed.set()
        if self._keeper.is_alive():
            self._keeper.join()
        for process, _ in self._workers:
            process.kill()
            process.communicate()

    def _spawn(self, options: tuple[str, ...]) -> "subprocess.Popen[str]":
        with self._log.open("a") as errors:
            return subprocess.Popen(
                [*self._command, *options], cwd=HOUSE, stdout=subprocess.PIPE, stderr=errors, text=True
            )

    def _keep(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            with self._lock:
                for place, (process, options) in enumerate(self._workers):
                    if process.poll() is None:
                        continue
                    process.communicate()
                    meant = process.pid in self._expected or process.returncode in (CRASHED, -signal.SIGKILL)
                    if not meant:
                        self.exits.append(process.returncode)
                    # A crash happens once: the one that follows has no point armed.
                    again = () if "--crash" in options else options
                    self._workers[place] = (self._spawn(again), again)


@dataclass
class Arena:
    """What a row works with. `kills` are seconds from a kill to the first run that goes on elsewhere; `done` counts faults."""

    servers: Servers
    database: Database
    amqp: str
    namespace: str
    transport: Transport
    publisher: Publisher
    oracle: Oracle
    fleet: Fleet
    done: int = 0
    kills: list[float] = field(default_factory=list[float])
    pulse: Pulse = field(default_factory=Pulse)

    def queue(self, actor: str) -> str:
        return f"{self.namespace}.{actor}"


@contextmanager
def opened(
    servers: Servers, *, rabbitmq: bool, dsn: str, amqp: str, guard: str | None, log: Path
) -> Generator[Arena]:
    """`dsn` and `amqp` are what workers are given: the servers' own, or a proxy's in front of them."""
    name = f"chaos_{secrets.token_hex(4)}"
    with psycopg.connect(servers.postgres.tcp_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    workers_dsn = _on(dsn, name)
    database = Database(_on(servers.postgres.tcp_dsn, name), name)
    migrate(database, engine_migrations(name))
    oracle = Oracle(database)
    oracle.prepare()
    transport = transport_of(database, servers.rabbit.url if rabbitmq else "")
    broker = CallboardBroker(name)
    broker.bind(ACTORS)
    declare(database, transport, broker.topology())
    if guard == "confirms":
        transport.close()
        transport = RabbitmqTransport(amqp.split(","), exchange=f"{name}.events", confirm_timeout=UNHEARD)
        unconfirmed_publishing(transport)
    command = [sys.executable, "-m", "ops.chaos.worker", workers_dsn, amqp if rabbitmq else ""]
    fleet = Fleet([*command, "--namespace", name, *(("--break", guard) if guard else ())], log)
    publisher = Publisher(transport, "chaos", database)
    try:
        yield Arena(servers, database, amqp if rabbitmq else "", name, transport, publisher, oracle, fleet)
    finally:
        fleet.close()
        transport.close()
        with psycopg.connect(servers.postgres.tcp_dsn, autocommit=True) as connection:
            connection.execute(
                sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
            )


def _on(dsn: str, name: str) -> str:
    return make_conninfo(**{**conninfo_to_dict(dsn), "dbname": name})  # type: ignore[arg-type]
