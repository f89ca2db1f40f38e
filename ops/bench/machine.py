"""The machine under the bench: CPU and memory of process trees, whether it is quiet, and what its servers can do at most."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from broker.topology import topology
from broker.transports.base import WireMessage
from broker.transports.rabbitmq import RabbitmqTransport

TICK = os.sysconf("SC_CLK_TCK")
QUIET = 0.15
"""Share of all cores that others may use in a quiet moment; idle servers of ours take 0.02."""
LOOK_SECONDS = 0.4
IN_FLIGHT = 3
"""Hand-overs of 500 messages; the transport refuses more than 2,000 unconfirmed."""


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of these processes, of their living children, and of the children they have reaped. 0 where the
    system does not tell (it is Linux that does)."""
    roots = set(pids)
    return sum(
        own + (reaped if pid in roots else 0.0)
        for pid, parent, own, reaped in _processes()
        if pid in roots or parent in roots
    )


def peak_bytes(pid: int) -> int:
    """The most memory a process has had; 0 where the system does not tell."""
    return _status_bytes(pid, "VmHWM")


def resident_bytes(pid: int) -> int:
    return _status_bytes(pid, "VmRSS")


def busy_share() -> float:
    """How much of all cores was in use during a short look."""
    before = _cpu_times()
    time.sleep(LOOK_SECONDS)
    after = _cpu_times()
    if before is None or after is None:
        return 0.0
    idle, whole = after[0] - before[0], after[1] - before[1]
    return 1.0 - idle / whole if whole else 0.0


def wait_for_quiet(tries: int = 3) -> bool:
    """False when others were busy at every look."""
    return any(busy_share() <= QUIET for _ in range(tries))


@dataclass(frozen=True, slots=True)
class Limits:
    """What the two servers do by themselves, through one connection each, a second."""

    confirmed_publishes: float
    one_row_commits: float
    round_trips: float


def measure_limits(dsn: str, amqp: str) -> Limits:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "create table if not exists bench_limit (id bigint generated always as identity, text text)"
        )
        commits = _rate(2_000, lambda: connection.execute("insert into bench_limit (text) values ('x')"))
        trips = _rate(5_000, lambda: connection.execute("select 1"))
        connection.execute("drop table bench_limit")
    return Limits(_publish_rate(amqp, 20_000), commits, trips)


def _publish_rate(amqp: str, number: int) -> float:
    exact = topology(f"limit-{os.getpid()}", {"sink": ["limit"]})
    transport = RabbitmqTransport(amqp, exchange=exact.events)
    try:
        transport.declare(exact)
        batch = [WireMessage("limit", b"x" * 200)] * 500
        transport.publish(batch).result(30)
        began = time.perf_counter()
        flying = deque(transport.publish(batch) for _ in range(IN_FLIGHT))
        for _ in range(number // len(batch) - IN_FLIGHT):
            flying.popleft().result(30)
            flying.append(transport.publish(batch))
        for future in flying:
            future.result(30)
        return number / (time.perf_counter() - began)
    finally:
        transport.close()


def _rate(times: int, call: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(times):
        call()
    return times / (time.perf_counter() - began)


def _processes() -> Iterable[tuple[int, int, float, float]]:
    """(pid, parent, own seconds, seconds of reaped children)."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:  # it has ended
            continue
        user, system, reaped_user, reaped_system = (int(value) / TICK for value in fields[11:15])
        yield int(entry.name), int(fields[1]), user + system, reaped_user + reaped_system


def _status_bytes(pid: int, name: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)


def _cpu_times() -> tuple[int, int] | None:
    try:
        fields = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    except OSError:
        return None
    return fields[3] + fields[4], sum(fields[:8])
