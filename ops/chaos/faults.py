"""What is done to workers, servers and the network. Each fault goes on until the load has been published, and puts everything
back as it was."""

import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import psycopg

from broker.testing import VirtualClock
from ops.chaos.arena import Arena, ChaosError
from ops.chaos.proxy import Proxy
from ops.embedded.rabbitmq_cluster import RabbitCluster

Fault = Callable[[Arena, random.Random, threading.Event], None]
"""Runs in a thread of its own until the event is set."""

LOOK_SECONDS = 0.005
RESUME_LIMIT_SECONDS = 15.0
AWAY_SECONDS = 3.0
"""A node that is killed stays away for so long, beside the 4 to 8 s it takes to boot: others must lead meanwhile."""
TEN_MINUTES_SECONDS = 0.03
"""How long they last where days pass."""

_RUNS_OF = """
select r.id, r.fence from run r join worker w on w.id = r.worker where w.name like %s and r.status = 'running'"""
_GONE_ON = """
select 1 from run r join unnest(%s::uuid[], %s::bigint[]) as k (id, fence) on r.id = k.id
where r.fence > k.fence and r.status in ('running', 'completed', 'retrying') limit 1"""
# A worker's sessions end with its name, which is host:pid.
_SESSIONS = """
select pid from pg_stat_activity where datname = current_database() and application_name like '%:%'"""


def kill_workers(every: timedelta) -> Fault:
    """kill -9, a random one; the time until one of its runs goes on is noted."""

    def fault(arena: Arena, chance: random.Random, stop: threading.Event) -> None:
        while not stop.wait(every.total_seconds()):
            _kill(arena, chance.choice(arena.fleet.pids))
            arena.done += 1

    return fault


def stop_workers(every: timedelta) -> Fault:
    """SIGTERM, one after the other, as a rolling deploy does."""

    def fault(arena: Arena, _: random.Random, stop: threading.Event) -> None:
        turn = 0
        while not stop.wait(every.total_seconds()):
            pids = arena.fleet.pids
            arena.fleet.signal(pids[turn % len(pids)], signal.SIGTERM)
            turn += 1
            arena.done += 1

    return fault


def freeze_workers(lasting: timedelta) -> Fault:
    """SIGSTOP for longer than the lease, then SIGCONT: the worker comes back and does not know that it was given up."""

    def fault(arena: Arena, chance: random.Random, stop: threading.Event) -> None:
        while not stop.wait(1):
            pid = chance.choice(arena.fleet.pids)
            arena.fleet.signal(pid, signal.SIGSTOP)
            stop.wait(lasting.total_seconds())
            arena.fleet.signal(pid, signal.SIGCONT)
            arena.done += 1

    return fault


def restart_rabbitmq(every: timedelta, times: int) -> Fault:
    """Killed or stopped in order, by chance, and started again."""

    def fault(arena: Arena, chance: random.Random, stop: threading.Event) -> None:
        for _ in range(times):
            if stop.wait(every.total_seconds()):
                return
            with arena.pulse.outage():
                chance.choice([arena.servers.rabbit.kill, arena.servers.rabbit.stop])()
                arena.servers.rabbit.start()
            arena.done += 1

    return fault


def kill_leaders(every: timedelta, times: int) -> Fault:
    """kill -9 of the node that leads the chain's first queue, and of no other until it is back and has caught up."""

    def fault(arena: Arena, _: random.Random, stop: threading.Event) -> None:
        cluster = arena.servers.rabbit
        if not isinstance(cluster, RabbitCluster):
            raise ChaosError("a leader can be killed in a cluster only: give the row three nodes")
        for _turn in range(times):
            if stop.wait(every.total_seconds()):
                return
            leader = cluster.leader_of(arena.queue("trial.begin"))
            leader.kill()
            stop.wait(AWAY_SECONDS)
            leader.start()
            arena.done += 1

    return fault


def restart_postgres(least: timedelta, most: timedelta) -> Fault:
    """An immediate shutdown, as a crash, and a start with recovery."""

    def fault(arena: Arena, chance: random.Random, stop: threading.Event) -> None:
        while not stop.wait(chance.uniform(least.total_seconds(), most.total_seconds())):
            with arena.pulse.outage():
                arena.servers.postgres.kill()
                arena.servers.postgres.start()
            arena.done += 1

    return fault


def end_backends(every: timedelta) -> Fault:
    """pg_terminate_backend on a random session of the workers."""

    def fault(arena: Arena, chance: random.Random, stop: threading.Event) -> None:
        with psycopg.connect(arena.database.url, autocommit=True) as connection:
            while not stop.wait(every.total_seconds()):
                pids = [pid for (pid,) in connection.execute(_SESSIONS).fetchall()]
                if pids:
                    connection.execute("select pg_terminate_backend(%s)", (chance.choice(pids),))
                    arena.done += 1

    return fault


def break_network(proxies: "list[Proxy]", every: timedelta, silence: timedelta) -> Fault:
    """By chance: reset all connections, refuse new ones, say nothing for a while, or be slow, towards one of the servers."""

    def fault(arena: Arena, chance: random.Random, stop: threading.Event) -> None:
        while not stop.wait(every.total_seconds()):
            proxy = chance.choice(proxies)
            kind = chance.choice(["cut", "refuse", "silence", "slow"])
            if kind == "cut":
                proxy.cut()
            elif kind == "refuse":
                proxy.refuse()
                proxy.cut()
                stop.wait(2)
                proxy.accept()
            elif kind == "silence":
                proxy.black_hole()
                stop.wait(silence.total_seconds())
                proxy.restore()
            else:
                proxy.delay(timedelta(milliseconds=50))
                stop.wait(silence.total_seconds())
                proxy.delay(timedelta(0))
            arena.done += 1

    return fault


def pass_days(days: int) -> Fault:
    """So many days by the database's clock, ten minutes at a time; all of them, even if the load ends first."""

    def fault(arena: Arena, _: random.Random, stop: threading.Event) -> None:
        clock = VirtualClock(arena.database)
        for _step in range(days * 24 * 6):
            clock.advance(timedelta(minutes=10))
            stop.wait(TEN_MINUTES_SECONDS)
        arena.done += days

    return fault


def _kill(arena: Arena, pid: int) -> None:
    try:
        with psycopg.connect(arena.database.url, autocommit=True, connect_timeout=2) as connection:
            connection.execute("select set_config('search_path', %s, false)", (arena.namespace,))
            held = connection.execute(_RUNS_OF, (f"%:{pid}",)).fetchall()
            arena.fleet.signal(pid, signal.SIGKILL)
            if held:
                _await_resumption(arena, connection, held)
    except psycopg.OperationalError:
        # PostgreSQL is being restarted by another fault of this row: kill without a measurement.
        with suppress(ProcessLookupError):
            arena.fleet.signal(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _await_resumption(arena: Arena, connection: psycopg.Connection, held: list[tuple[object, ...]]) -> None:
    ids, fences = [row[0] for row in held], [row[1] for row in held]
    killed = time.monotonic()
    while (passed := time.monotonic() - killed) < RESUME_LIMIT_SECONDS:
        if connection.execute(_GONE_ON, (ids, fences)).fetchone():
            arena.kills.append(passed)
            return
        time.sleep(LOOK_SECONDS)
