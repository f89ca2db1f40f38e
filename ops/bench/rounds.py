"""One round: a database and queues of its own, a worker process, the work, and the proof that it was done once."""

import secrets
import time
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ops.bench.figures import BenchError, Outcome, Servers, Side
from ops.bench.job import EFFECTS, STAGES, STEPS, TEXT, TWICE_EVERY, Job, Scenario
from ops.bench.machine import cpu_seconds, peak_bytes, resident_bytes
from ops.bench.ours import Ours
from ops.bench.plain import Plain
from ops.bench.worker import WorkerProcess

LIMIT = timedelta(minutes=3)
"""For one round; the slowest takes some ten seconds."""
LOOK_SECONDS = 0.05
RATE = 50
"""Events a second where latency is measured."""
SHORT, LONG = timedelta(seconds=2), timedelta(hours=1)
PATIENCE_SECONDS = 8.0
"""How long an event that is due is waited for."""


@dataclass(frozen=True, slots=True)
class Tracing:
    """The share of traces that a worker records, and where it sends them; nothing is recorded without an endpoint.

    With `bare` it records none, and a body makes those spans with the bare SDK."""

    sample: float = 0.01
    endpoint: str = ""
    bare: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """Room for all spans of a round: one that is dropped would cost nothing."""
        if not self.endpoint:
            return {"OTEL_SDK_DISABLED": "true"}
        return {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": self.endpoint, "OTEL_BSP_MAX_QUEUE_SIZE": "1000000"}


NOWHERE = Tracing()


class Round:
    """Everything one round owns; `close` takes it down."""

    def __init__(
        self,
        servers: Servers,
        side: Side,
        scenario: Scenario,
        threads: int,
        events: int,
        tracing: Tracing = NOWHERE,
    ) -> None:
        self.servers, self.side, self.scenario, self.events = servers, side, scenario, events
        name = f"bench_{secrets.token_hex(4)}"
        dsn = make_conninfo(**{**conninfo_to_dict(servers.dsn), "dbname": name})  # type: ignore[arg-type]
        self.job = Job(
            scenario, dsn, servers.amqp, name, threads, self._bodies(), tracing.sample, tracing.bare
        )
        with psycopg.connect(servers.dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        self.party: Ours | Plain = Ours(self.job) if side == "ours" else Plain(self.job)
        if isinstance(self.party, Ours):
            self.party.prepare()
        with self._database() as connection:
            connection.execute(EFFECTS)
        self.worker = WorkerProcess(side, self.job, tracing.environment)
        self._before = self._spent()

    def publish(self, numbers: range, *, sent: float = 0.0, delay: timedelta | None = None) -> float:
        """Seconds it took."""
        began = time.perf_counter()
        repeated = self.scenario in ("chain", "transaction")
        all_of_them = [n for n in numbers for _ in range(2 if repeated and n % TWICE_EVERY == 0 else 1)]
        stamp = {"sent": sent} if sent else {}
        if isinstance(self.party, Ours):
            kind = self.party.event
            self.party.publish([kind(n=n, text=TEXT, **stamp) for n in all_of_them], delay)
        else:
            late = None if delay is None else int(delay.total_seconds() * 1000)
            self.party.publish(({"n": n, "text": TEXT, **stamp} for n in all_of_them), late)
        return time.perf_counter() - began

    def drain(self) -> float:
        """Seconds from the go to the last row, or the last body. Raises BenchError when the limit is over."""
        began = time.perf_counter()
        self.worker.say("go")
        if self.job.expected:
            self.worker.expect("done")
            return time.perf_counter() - began
        with self._database() as connection:
            while self._left(connection):
                if time.perf_counter() - began > LIMIT.total_seconds():
                    raise BenchError(
                        f"{self.side} {self.scenario}: {self._left(connection)} left after {LIMIT}"
                    )
                time.sleep(LOOK_SECONDS)
        return time.perf_counter() - began

    def outcome(self, *, enqueue: float = 0.0, drain: float = 0.0) -> Outcome:
        spent = [after - before for before, after in zip(self._before, self._spent(), strict=True)]
        peak = peak_bytes(self.worker.pid)
        told = self.worker.finish()
        return Outcome(self.events, enqueue, drain, spent[0], spent[1], spent[2], peak, told=told)

    def prove(self) -> None:
        """Raises BenchError unless every row is there once, and every run of ours was done at the first attempt."""
        with self._database() as connection:
            if (rows := self._rows()) and (found := _one(connection, "select count(*) from effect")) != rows:
                raise BenchError(f"{self.side} {self.scenario}: {found} rows where {rows} are right")
            if self.side == "ours":
                again = _one(connection, "select count(*) from run where attempt > 1 or status = 'failed'")
                if again:
                    raise BenchError(
                        f"ours {self.scenario}: {again} runs did not complete at the first attempt"
                    )

    def close(self) -> None:
        self.worker.end()
        self.party.close()
        with psycopg.connect(self.servers.dsn, autocommit=True) as connection:
            name = sql.Identifier(self.job.namespace)
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(name))

    def _bodies(self) -> int:
        """How many bodies end the round, where no row tells."""
        if self.scenario in ("latency", "async") or (self.side, self.scenario) == ("plain", "tiny"):
            return self.events
        return 0

    def _rows(self) -> int:
        if self.scenario in ("chain", "transaction"):
            return self.events * STAGES
        return self.events * STEPS if (self.side, self.scenario) == ("plain", "steps") else 0

    def _left(self, connection: psycopg.Connection) -> int:
        if rows := self._rows():
            return rows - _one(connection, "select count(*) from effect")
        return self.events - _one(connection, "select count(*) from run where status = 'completed'")

    def _spent(self) -> tuple[float, float, float]:
        times = time.process_time() + cpu_seconds([self.worker.pid])
        return times, cpu_seconds([self.servers.rabbit_pid]), cpu_seconds([self.servers.postgres_pid])

    def _database(self) -> psycopg.Connection:
        """Connections find the rows where the side keeps them: ours in the namespace's schema."""
        schema = self.job.namespace if self.side == "ours" else "public"
        return psycopg.connect(self.job.dsn, autocommit=True, options=f"-c search_path={schema}")


def backlog(servers: Servers, side: Side, scenario: Scenario, threads: int, events: int) -> Outcome:
    """Publish all, then let one worker process take them."""
    with closing(Round(servers, side, scenario, threads, events)) as work:
        enqueue = work.publish(range(events))
        drain = work.drain()
        made = work.outcome(enqueue=enqueue, drain=drain)
        work.prove()
        return made


def traced(servers: Servers, scenario: Scenario, threads: int, events: int, tracing: Tracing) -> float:
    """Seconds of CPU that our worker spends on a backlog, spans sent to the last."""
    with closing(Round(servers, "ours", scenario, threads, events, tracing)) as work:
        work.publish(range(events))
        work.drain()
        work.prove()
        work.worker.finish()
        return work.worker.spent()


def paced(servers: Servers, side: Side, scenario: Scenario, threads: int, events: int) -> Outcome:
    """One event each 20 ms, each told by its body in milliseconds since it was published."""
    with closing(Round(servers, side, scenario, threads, events)) as work:
        work.worker.say("go")
        due = time.monotonic() + 0.5
        for number in range(events):
            time.sleep(max(0.0, due - time.monotonic()))
            work.publish(range(number, number + 1), sent=time.monotonic())
            due += 1 / RATE
        if work.job.expected:
            work.worker.expect("done")
        else:
            time.sleep(0.5)
        return work.outcome()


def delayed(servers: Servers, side: Side, threads: int, events: int) -> Outcome:
    """Many events that are due in an hour, then one that is due in two seconds: what the worker grew by, and how late it was."""
    with closing(Round(servers, side, "delayed", threads, events)) as work:
        work.worker.say("go")
        work.publish(range(1))
        time.sleep(0.5)
        before = resident_bytes(work.worker.pid)
        enqueue = work.publish(range(1, events + 1), delay=LONG)
        time.sleep(2.0)
        grown = resident_bytes(work.worker.pid) - before
        work.publish(range(events + 1, events + 2), sent=time.monotonic(), delay=SHORT)
        time.sleep(SHORT.total_seconds() + PATIENCE_SECONDS)
        return replace(work.outcome(enqueue=enqueue), grown_bytes=grown)


def _one(connection: psycopg.Connection, statement: str) -> int:
    row = connection.execute(statement.encode()).fetchone()
    return int(row[0]) if row else 0
