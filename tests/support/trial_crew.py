"""A crew of trial workers that has to live through an outage, and the publisher that keeps it busy."""

import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from broker import Publisher
from broker.broker import CallboardBroker
from broker.database import Database
from broker.declare import declare
from broker.migrate import engine_migrations, migrate
from broker.topology import Topology
from broker.transports.base import Transport
from broker.transports.postgres import PostgresTransport
from broker.transports.rabbitmq import RabbitmqTransport
from ops.chaos.oracle import Oracle
from ops.chaos.trial import ACTORS, TrialBegun

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Crew:
    """Running worker processes on one database."""

    processes: Sequence["subprocess.Popen[str]"]
    publisher: Publisher
    oracle: Oracle

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self.processes]

    @property
    def all_alive(self) -> bool:
        """Whether none of the processes has ended."""
        return all(process.poll() is None for process in self.processes)

    def publish(self, numbers: range) -> None:
        """One chain a number, every third of which fails once. Raises PublishError; may be repeated."""
        events = [TrialBegun(n=n, fail_first=n % 3 == 0) for n in numbers]
        self.publisher.publish_many(events, ids=[f"trial-{n}" for n in numbers])

    def is_done(self, count: int) -> bool:
        """AssertionError with every fault until events 0 … count-1 are through."""
        assert self.oracle.faults(count) == []
        return True


@contextmanager
def crew(dsn: str, amqp: str, processes: int, log: Path) -> Generator[Crew]:
    """On an empty database; without an AMQP URL on the `postgres` transport. Killed at the end."""
    database = Database(dsn)
    migrate(database, engine_migrations(database.schema))
    oracle = Oracle(database)
    oracle.prepare()
    transport: Transport = RabbitmqTransport(amqp) if amqp else PostgresTransport(database)
    declare(database, transport, trial_topology())
    with ExitStack() as stack:
        stack.callback(transport.close)
        errors = stack.enter_context(log.open("w"))
        started: list[subprocess.Popen[str]] = []
        for _ in range(processes):
            process = subprocess.Popen(
                [sys.executable, "-m", "ops.chaos.worker", dsn, amqp],
                cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip
            stack.callback(process.communicate)
            stack.callback(process.kill)
            started.append(process)
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", log.read_text()
        yield Crew(started, Publisher(transport, "trial", database), oracle)


def trial_topology() -> Topology:
    broker = CallboardBroker("callboard")
    broker.bind(ACTORS)
    return broker.topology()
