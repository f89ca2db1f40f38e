"""Limits hold over processes: counted by rows that each body writes on a connection of its own."""

import os
import signal
from collections import defaultdict
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import quantiles
from typing import Any

import pytest

from broker import Publisher
from broker.database import Database
from broker.migrate import engine_migrations, migrate
from broker.testing.clock import VirtualClock
from broker.transports.postgres import PostgresTransport
from broker.transports.rabbitmq import RabbitmqTransport
from tests.support.memory import rss_bytes
from tests.support.press.actors.press import store
from tests.support.press.schemas import SheetHeld, SheetPosted, SheetPrinted
from tests.support.runner import Runner, running_worker
from tests.support.waiting import eventually

pytestmark = pytest.mark.end_to_end

PATIENCE = timedelta(seconds=90)
SHEETS = int(os.environ.get("CALLBOARD_TEST_SHEETS", "1500"))
WAITERS = int(os.environ.get("CALLBOARD_TEST_WAITERS", "3000"))
QUEUES = ("press.print", "press.post", "press.hold")


class Press:
    """A database with the press's rows, and a publisher."""

    def __init__(self, dsn: str, amqp: str) -> None:
        self.dsn, self.amqp = dsn, amqp
        self.database = Database(dsn)
        migrate(self.database, engine_migrations(self.database.schema))
        self.rows(store.PREPARE)
        self.transport = RabbitmqTransport(amqp) if amqp else PostgresTransport(self.database)
        self.publisher = Publisher(self.transport, "test", self.database)

    def rows(self, statement: str, parameters: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        with self.database.once("test") as connection:
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def one(self, statement: str) -> Any:
        return self.rows(statement)[0][0]

    @contextmanager
    def works(self, folder: Path, processes: int, threads: int) -> Generator[Runner]:
        folder.mkdir(exist_ok=True)
        settings = {"APPS": "tests.support.press", "THREADS": str(threads)}
        if self.amqp:
            settings["BROKER_URL"] = self.amqp
        with running_worker(folder, self.dsn, "--processes", str(processes), **settings) as runner:
            runner.wait_ready()
            yield runner

    def done(self, count: int) -> bool:
        return bool(self.one("select count(*) from run where status = 'completed'") == count)


@pytest.fixture
def press(dsn: str, transport_url: str) -> Iterator[Press]:
    made = Press(dsn, transport_url)
    yield made
    made.transport.close()


def most_at_once(bodies: list[tuple[str, datetime, datetime]]) -> dict[str, int]:
    """By key, from (key, began, ended)."""
    changes = defaultdict[str, list[tuple[datetime, int]]](list)
    for key, began, ended in bodies:
        changes[key] += [(began, 1), (ended, -1)]
    most: dict[str, int] = {}
    for key, moments in changes.items():
        now = 0
        for _, change in sorted(moments):
            now += change
            most[key] = max(most.get(key, 0), now)
    return most


def test_three_at_once_a_key_over_two_processes_and_a_kill(press: Press, tmp_path: Path) -> None:
    with press.works(tmp_path, processes=2, threads=8) as runner:
        for first in range(0, SHEETS, 500):
            sheets = [
                SheetPrinted(key=f"key {n // 10 % 50}", n=n) for n in range(first, min(first + 500, SHEETS))
            ]
            press.publisher.publish_many(sheets)
        eventually(lambda: press.one("select count(*) from body") > SHEETS // 3, PATIENCE)
        victim = runner.workers()[0]
        os.kill(victim, signal.SIGKILL)
        killed = datetime.now(UTC)
        eventually(lambda: press.done(SHEETS), PATIENCE, every=0.1)
    bodies = press.rows("select key, began_at, coalesce(ended_at, %s) from body order by began_at", (killed,))
    assert press.one("select count(*) from body where ended_at is null") <= 8
    assert press.one(f"select count(*) from body where ended_at is null and pid <> {victim}") == 0
    most = most_at_once([(key, began, ended) for key, began, ended in bodies])
    assert max(most.values()) == 3 and len(most) == 50
    assert press.one("select count(*) from limit_slot") == 0
    assert press.one("select count(*) from dead_letter") == 0


def test_ten_a_minute_over_three_processes_and_an_outage(press: Press, tmp_path: Path) -> None:
    count = 45
    clock = VirtualClock(press.database)
    with press.works(tmp_path / "before", processes=3, threads=2):
        press.publisher.publish_many([SheetPosted(key="k", n=n) for n in range(count)])
        eventually(lambda: press.one("select count(*) from run") == count, PATIENCE)
        for _ in range(12):
            pass_six_seconds(press, clock)
    before = press.one("select count(*) from body")
    clock.advance(timedelta(minutes=2))
    with press.works(tmp_path / "after", processes=3, threads=2):
        while not press.done(count):
            pass_six_seconds(press, clock)
    starts = [at for (at,) in press.rows("select began_virtually from body order by 1")]
    windows = [sum(start <= at < start + timedelta(seconds=59) for at in starts) for start in starts]
    assert 8 <= before <= 14, "some of them started before the outage, and not all"
    assert len(starts) == count
    # A start is counted when it is claimed; the body's own note comes up to a second later.
    assert max(windows) <= 10 + 1


def pass_six_seconds(press: Press, clock: VirtualClock) -> None:
    """Let one start of ten a minute become due, and happen."""
    clock.advance(timedelta(seconds=6))
    due = "select count(*) from run where status = 'running' or due_at < clock() - interval '0.3 s' and sends = 0"
    eventually(lambda: press.one(due) == 0, PATIENCE)


def test_a_crowd_that_waits_for_one_key_costs_no_memory_and_holds_up_nobody(
    press: Press, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with press.works(tmp_path, processes=1, threads=4) as runner:
        press.publisher.publish(SheetHeld(key="hot", n=0))
        eventually(lambda: press.one("select count(*) from body") == 1, PATIENCE)
        # The first thousand fill caches and arenas of any process that has work.
        crowd(press, 1, 1000)
        small = rss_bytes(runner.workers()[0])
        crowd(press, 1000, WAITERS)
        grown = rss_bytes(runner.workers()[0]) / small
        delays = [start_of(press, n) for n in range(WAITERS, WAITERS + 200)]
    p95 = quantiles(delays, n=20)[-1]
    with capsys.disabled():
        print(
            f"\n{WAITERS} wait: memory times {grown:.3f}; publish → start on a free key p95 {p95 * 1000:.0f} ms"
        )
    assert grown < 1.1
    assert press.one("select count(*) from run where status = 'waiting'") == WAITERS - 1
    assert press.one("select count(*) from limit_slot where key = 'hot' and state = 'waiting'") == WAITERS - 1


def crowd(press: Press, first: int, end: int) -> None:
    """Runs that wait behind the one that holds the key."""
    for start in range(first, end, 500):
        press.publisher.publish_many([SheetHeld(key="hot", n=n) for n in range(start, min(start + 500, end))])
    waiting = "select count(*) from limit_slot where state = 'waiting'"
    eventually(lambda: press.one(waiting) == end - 1, PATIENCE + timedelta(seconds=end / 200), every=0.1)


def start_of(press: Press, n: int) -> float:
    """Seconds from publish to the start of a run whose key is free."""
    published = datetime.now(UTC)
    press.publisher.publish(SheetHeld(key=f"free {n}", n=n))
    [(began,)] = eventually(lambda: press.rows("select began_at from body where n = %s", (n,)), PATIENCE)
    return float((began - published).total_seconds())
