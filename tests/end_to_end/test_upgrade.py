"""Two versions of one app: side by side while a deploy rolls, and one after the other over runs that sleep."""

import secrets
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.database import Database
from broker.testing import VirtualClock
from broker.transports.base import Transport, WireMessage
from broker.transports.postgres import PostgresTransport
from broker.transports.rabbitmq import RabbitmqTransport
from tests.support.installation import Installation, Workers
from tests.support.opera import write_first, write_second
from tests.support.waiting import eventually

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

PATIENCE = 120.0
SLEEPERS = 100
EXECUTIONS = (
    "select stage, version, count(*), count(distinct n) from opera.execution group by 1, 2 order by 1, 2"
)


class Opera:
    """The app as it was and as it is, on the same servers, and a service that publishes to it."""

    def __init__(self, first: Installation, second: Installation, transport: Transport) -> None:
        self.first = first
        self.second = second
        self.transport = transport

    def publish(self, kind: str, n: int, version: int = 1, **data: object) -> None:
        headers = {
            "cloudEvents_specversion": "1.0",
            "cloudEvents_id": f"{kind}-{n}",
            "cloudEvents_source": "/foyer",
            "cloudEvents_type": kind,
            "cloudEvents_schemaversion": str(version),
        }
        body = str({"n": n, **data}).replace("'", '"').encode()
        self.transport.publish([WireMessage(kind, body, headers)]).result(20)

    def statuses(self) -> Mapping[str, Mapping[str, int]]:
        """Actor → status → how many runs."""
        found: dict[str, dict[str, int]] = {}
        for name, status, count in self.first.rows("select actor, status, count(*) from run group by 1, 2"):
            found.setdefault(name.removeprefix("opera."), {})[status] = count
        return found

    def done(self, stage: str) -> list[tuple[Any, ...]]:
        """(version, executions, events) of a step's body."""
        return [row[1:] for row in self.first.rows(EXECUTIONS) if row[0] == stage]


@pytest.fixture(params=["postgres", "rabbitmq"])
def opera(request: pytest.FixtureRequest, dsn: str, tmp_path: Path) -> Iterator[Opera]:
    """Migrated, with nobody at work yet."""
    namespace = f"opera_{secrets.token_hex(3)}"
    database = Database(dsn, namespace)
    amqp = str(request.getfixturevalue("rabbit").url) if request.param == "rabbitmq" else ""

    def installation(folder: Path) -> Installation:
        settings = {
            "CALLBOARD_APPS": "opera",
            "CALLBOARD_DATABASE_URL": dsn,
            "CALLBOARD_BROKER_URL": amqp,
            "CALLBOARD_NAMESPACE": namespace,
            "CALLBOARD_THREADS": "4",
            "PYTHONPATH": str(folder),
        }
        return Installation(settings, folder, database)

    first = installation(write_first(tmp_path / "first"))
    first.callboard("migrate")
    transport: Transport = (
        RabbitmqTransport(amqp, exchange=f"{namespace}.events") if amqp else PostgresTransport(database)
    )
    yield Opera(first, installation(write_second(tmp_path / "second")), transport)
    transport.close()


class Audience(threading.Thread):
    """Publishes some 40 events a second until told to stop; `newer` once the new version is on its way."""

    def __init__(self, opera: Opera) -> None:
        super().__init__(name="audience", daemon=True)
        self._opera = opera
        self._enough = threading.Event()
        self.newer = threading.Event()
        self.sung = 0

    def run(self) -> None:
        while not self._enough.wait(0.025):
            n = self.sung
            if not self.newer.is_set() or n % 3 == 0:
                self._opera.publish("aria.sung", n)
            elif n % 3 == 1:
                self._opera.publish("aria.sung", n, 2, voice="bass")
            else:
                self._opera.publish("encore.asked", n)
            self.sung = n + 1

    def stop(self) -> int:
        """How many events were published."""
        self._enough.set()
        self.join(30)
        return self.sung


def stopped(workers: Workers) -> None:
    """As a deploy does: SIGTERM, and all of its processes end in order."""
    workers.process.send_signal(signal.SIGTERM)
    assert workers.process.wait(40) == 0


def test_old_and_new_workers_share_the_queues_of_a_rolling_deploy(opera: Opera) -> None:
    """New: a version of an event, a field, a type that the old actor's queue gets, and a name for an actor."""
    audience = Audience(opera)
    with ExitStack() as house:
        old = [house.enter_context(opera.first.workers()) for _ in range(2)]
        audience.start()
        eventually(lambda: audience.sung > 40, PATIENCE)
        opera.second.callboard("migrate", "--phase", "pre")
        house.enter_context(opera.second.workers())
        audience.newer.set()
        begun = audience.sung
        stopped(old[0])
        house.enter_context(opera.second.workers())
        eventually(lambda: audience.sung > begun + 60, PATIENCE)
        stopped(old[1])
        eventually(lambda: audience.sung > begun + 90, PATIENCE)
        count = audience.stop()

        whole = "select stage, count(*)::int, sum(times)::int from opera.effect group by 1 order by 1"
        expected = [("listen", count, count), ("sing", count, count)]
        eventually(lambda: opera.first.rows(whole) == expected, PATIENCE)
        eventually(lambda: opera.first.one("select count(*) from outbox") == 0, PATIENCE)

    assert opera.first.one("select count(*) from dead_letter") == 0
    for stage in ("sing", "listen"):
        told = opera.done(stage)
        assert {version for version, _, _ in told} == {1, 2}, "both versions have worked"
        assert sum(executions for _, executions, _ in told) == count, "no body started twice"
    assert opera.first.one("select count(*) from run where crashes > 0 or attempt > 1") == 0


def test_new_code_goes_on_with_what_sleeps(opera: Opera) -> None:
    kinds = ("step.renamed", "step.removed", "step.reshaped", "actor.renamed", "event.reshaped")
    with opera.first.workers() as workers:
        for kind in kinds:
            for n in range(SLEEPERS):
                opera.publish(kind, n)
        asleep = "select count(*) from run where status = 'waiting'"
        eventually(lambda: opera.first.one(asleep) == SLEEPERS * len(kinds), PATIENCE)
        stopped(workers)

    clock = VirtualClock(opera.first.database)
    with opera.second.workers():
        clock.advance(timedelta(days=1, minutes=1))
        unfinished = "select count(*) from run where finished_at is null"
        eventually(lambda: opera.first.one(unfinished) == 0, PATIENCE)

        every = {"completed": SLEEPERS}
        assert opera.statuses() == {
            "rename_step": every,
            "remove_step": every,
            "nap": every,
            "reshape_step": {"failed": SLEEPERS},
            "make_bed": {"failed": SLEEPERS},
        }
        assert opera.done("count-lambs") == [(2, SLEEPERS, SLEEPERS)], "a renamed step is a new one"
        assert opera.done("count-sheep") == [(1, 5 * SLEEPERS, SLEEPERS)], (
            "what had finished did not run again"
        )
        assert opera.done("wake") == [(2, 3 * SLEEPERS, SLEEPERS)]
        letters = opera.first.rows("select actor, reason, count(*) from dead_letter group by 1, 2 order by 1")
        assert letters == [
            ("opera.make_bed", "code changed", SLEEPERS),
            ("opera.reshape_step", "code changed", SLEEPERS),
        ]

        replay = ("dead", "replay", "--actor", "opera.reshape_step", "--from-step", "count-sheep", "--yes")
        assert f"replayed {SLEEPERS}" in opera.second.callboard(*replay)
        eventually(lambda: opera.statuses()["reshape_step"] == {"waiting": SLEEPERS}, PATIENCE)
        clock.advance(timedelta(days=1, minutes=1))
        eventually(lambda: opera.statuses()["reshape_step"] == every, PATIENCE)
        assert opera.done("wash") == [(1, SLEEPERS, SLEEPERS)], "the step before it is kept"
        assert opera.done("count-sheep") == [(1, 5 * SLEEPERS, SLEEPERS), (2, SLEEPERS, SLEEPERS)]

        edited = opera.first.directory / "edited.json"
        edited.write_text('{"n": 7, "sheets": "linen"}')
        [(id,)] = opera.first.rows(
            "select id from dead_letter where event ->> 'n' = '7' and actor = 'opera.make_bed'"
        )
        opera.second.callboard("dead", "replay", str(id), "--data", str(edited))
        eventually(lambda: opera.statuses()["make_bed"] == {"failed": SLEEPERS - 1, "completed": 1}, PATIENCE)
