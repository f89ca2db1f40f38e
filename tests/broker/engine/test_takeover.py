"""Workers that die, freeze, drain or kill themselves: their work goes on elsewhere, once."""

import signal
import subprocess
import time
from datetime import timedelta
from typing import Any

from broker.database import Database
from ops.chaos.oracle import Oracle
from ops.chaos.trial import TrialBegun, TrialPoisoned
from tests.support.trial_fleet import prepared, publish_all, ready, settle, start, worker
from tests.support.waiting import eventually


def rows(database: Database, statement: str) -> list[tuple[Any, ...]]:
    with database.once("test") as connection:
        return connection.execute(statement.encode()).fetchall()


def running(oracle: Oracle, part: str) -> int:
    return len(oracle.executions("begin", part))


def test_after_kill_9_another_worker_goes_on_at_once(amqp: str, database: Database) -> None:
    oracle = prepared(database)
    with worker(database.url, amqp) as doomed:
        ready(doomed)
        # Before the other is there: otherwise that one may have taken them all.
        publish_all(database, amqp, [TrialBegun(n=n, linger_seconds=10) for n in range(4)])
        eventually(lambda: running(oracle, "linger") == 4, 20)
        with worker(database.url, amqp) as other:
            ready(other)
            doomed.kill()
            killed = time.monotonic()
            eventually(
                lambda: (
                    rows(database, "select count(*) from run where fence > 1 and status = 'running'")[0][0]
                    > 0
                ),
                20,
            )
            resumed = time.monotonic() - killed
            settle(oracle, 4)
    assert resumed < 3, f"{resumed:.2f} s from kill to the next attempt; the aim is under 1 s"
    assert set(oracle.executions("begin", "one").values()) == {1}


def test_a_frozen_worker_is_fenced_off_and_writes_nothing_when_it_wakes(
    amqp: str, database: Database
) -> None:
    oracle = prepared(database)
    with (
        worker(database.url, amqp, "--lease", "2") as frozen,
        worker(database.url, amqp, "--lease", "2") as other,
    ):
        ready(frozen)
        publish_all(database, amqp, [TrialBegun(n=n, linger_seconds=1) for n in range(4)])
        eventually(lambda: running(oracle, "linger") == 4, 20)
        frozen.send_signal(signal.SIGSTOP)
        ready(other)
        settle(oracle, 4)
        frozen.send_signal(signal.SIGCONT)
        eventually(lambda: rows(database, "select count(*) from worker") == [(2,)], 20)
        publish_all(database, amqp, [TrialBegun(n=n) for n in range(8)][4:])
        settle(oracle, 8)


def test_a_graceful_stop_executes_nothing_twice(amqp: str, database: Database) -> None:
    oracle = prepared(database)
    with worker(database.url, amqp) as leaving, worker(database.url, amqp) as staying:
        ready(leaving)
        ready(staying)
        publish_all(database, amqp, [TrialBegun(n=n, linger_seconds=0.05) for n in range(60)])
        eventually(lambda: running(oracle, "linger") >= 10, 20)
        leaving.send_signal(signal.SIGTERM)
        assert leaving.wait(20) == 0
        settle(oracle, 60)
    for stage, part in (
        ("begin", "one"),
        ("begin", "linger"),
        ("begin", "two"),
        ("halve", "one"),
        ("end", "body"),
    ):
        assert set(oracle.executions(stage, part).values()) == {1}
    assert rows(database, "select count(*) from run where crashes > 0") == [(0,)]


def test_a_payload_that_kills_its_worker_is_parked_alone(amqp: str, database: Database) -> None:
    prepared(database)
    fleet: dict[str, subprocess.Popen[str]] = {}
    deaths = {"normal": 0, "quarantine": 0}

    def keep_alive() -> bool:
        for role, options in (("normal", ()), ("quarantine", ("--quarantine",))):
            if role not in fleet or fleet[role].poll() is not None:
                deaths[role] += role in fleet
                fleet[role] = start(database.url, amqp, *options)
        return rows(database, "select count(*) from dead_letter") == [(1,)]

    try:
        keep_alive()
        ready(fleet["normal"])
        poison = [TrialPoisoned(n=1000)]
        publish_all(database, amqp, [*poison, *(TrialBegun(n=n, linger_seconds=0.02) for n in range(20))])
        eventually(keep_alive, 90, every=0.1)
        whole = "select count(*), sum(times) from trial.effect"
        eventually(lambda: keep_alive() and rows(database, whole) == [(60, 60)], 60, every=0.1)
    finally:
        for process in fleet.values():
            process.kill()
            process.communicate()
    assert rows(database, "select reason, actor from dead_letter") == [("crashed its worker", "trial.perish")]
    assert rows(database, "select count(*), sum(times) from trial.effect") == [(60, 60)]
    assert deaths["normal"] <= 2, "from its second crash on it runs in quarantine"
    assert deaths["normal"] + deaths["quarantine"] >= 5


def test_the_lease_is_longer_than_a_heartbeat() -> None:
    from broker import Settings
    from broker.journal.batch import BEAT

    assert Settings().lease >= 5 * BEAT > timedelta(0)
