"""Actors under flow control, one for each option. What is at once stands in the gauge, a table of the database."""

import threading
from datetime import timedelta

from psycopg import Connection

from broker import (
    AsyncRun,
    Backoff,
    Concurrency,
    NonRetriable,
    Postpone,
    RateLimit,
    Run,
    Singleton,
    Throttle,
    actor,
)
from schemas import Event

FAST = Backoff(timedelta(milliseconds=1), timedelta(milliseconds=2), attempts=3)
HOUR = timedelta(hours=1)
diary: list[str] = []
trouble: dict[str, int] = {}
gates: dict[str, threading.Event] = {}


def forget() -> None:
    """A clean diary, and every gate shut."""
    diary.clear()
    trouble.clear()
    for gate in gates.values():
        gate.set()
    gates.clear()


def gate(name: str) -> threading.Event:
    """What a body waits for; opened by the test."""
    return gates.setdefault(name, threading.Event())


def passes(name: str) -> None:
    """Wait at a gate. Bounded, so that a broken test ends."""
    diary.append(name)
    gate(name).wait(20)


class FlowAsked(Event, type="flow.asked"):
    name: str
    key: str = "k"
    rank: int = 0


class FlowShared(Event, type="flow.shared"):
    name: str
    key: str = "k"


class FlowPaced(Event, type="flow.paced"):
    name: str
    key: str = "k"


class FlowRated(Event, type="flow.rated"):
    name: str
    key: str = "k"


class FlowAlone(Event, type="flow.alone"):
    name: str
    key: str = "k"


class FlowAged(Event, type="flow.aged"):
    name: str


class FlowBounded(Event, type="flow.bounded"):
    name: str
    how: str = ""


class FlowOrdered(Event, type="flow.ordered"):
    name: str
    key: str = "k"


@actor(concurrency=Concurrency(2, key="key"), priority="rank", retry=FAST)
def ask(event: FlowAsked, run: Run) -> None:
    passes(event.name)


@actor(concurrency=Concurrency(1, key="key", scope="press"))
def share(event: FlowAsked, run: Run) -> None:
    passes(f"share {event.name}")


@actor(concurrency=Concurrency(1, key="key", scope="press"))
def share_too(event: FlowShared, run: Run) -> None:
    passes(f"share_too {event.name}")


@actor(concurrency=Concurrency(1, key="key"), throttle=Throttle(1, per=HOUR, key="key"))
def pace(event: FlowPaced, run: Run) -> None:
    diary.append(event.name)


@actor(rate_limit=RateLimit(2, per=HOUR, key="key"), retry=FAST)
def rate(event: FlowRated, run: Run) -> None:
    diary.append(event.name)
    if trouble.pop(event.name, 0):
        raise ValueError("again")


@actor(singleton=Singleton("key"))
def alone(event: FlowAlone, run: Run) -> None:
    passes(event.name)


@actor(max_age=HOUR)
def age(event: FlowAged, run: Run) -> None:
    diary.append(event.name)


@actor(deadline=HOUR, retry=Backoff(timedelta(minutes=25), timedelta(minutes=25), jitter="none", attempts=9))
def bound(event: FlowBounded, run: Run) -> None:
    diary.append(f"{event.name} {run.attempt}")
    if event.how == "sleeps":
        run.sleep(timedelta(days=1))
    if event.how == "fails":
        raise ValueError("not yet")
    if event.how == "postpones":
        raise Postpone(timedelta(days=2))


class FlowRatedAndBounded(Event, type="flow.rated_and_bounded"):
    name: str


@actor(rate_limit=RateLimit(1, per=HOUR), deadline=HOUR)
def rate_bounded(event: FlowRatedAndBounded, run: Run) -> None:
    diary.append(event.name)


@actor(deadline=timedelta(milliseconds=300), retry=FAST)
def bound_briefly(event: FlowBounded, run: Run) -> None:
    diary.append(event.name)
    while event.how == "loops":
        pass


@actor(concurrency=Concurrency(1, key="key", ordered=True), retry=FAST)
def order(event: FlowOrdered, run: Run) -> None:
    diary.append(f"{event.name} {run.attempt}")
    if trouble.get(event.name, 0):
        trouble[event.name] -= 1
        raise NonRetriable("lost") if event.name.startswith("lost") else ValueError("again")


class FlowSlept(Event, type="flow.slept"):
    name: str
    key: str = "k"


@actor(concurrency=Concurrency(1, key="key"))
def sleep_between(event: FlowSlept, run: Run) -> None:
    run.step("first", diary.append, f"{event.name} begins")
    run.sleep(HOUR)
    diary.append(f"{event.name} ends")


class FlowGauged(Event, type="flow.gauged"):
    key: str
    n: int


RAISE = """
with raised as (insert into gauge (key, now, most) values (%(key)s, 1, 1)
on conflict (key) do update set now = gauge.now + 1, most = greatest(gauge.most, gauge.now + 1) returning now)
insert into started (key, n) select %(key)s, %(n)s from raised"""
LOWER = "update gauge set now = now - 1 where key = %(key)s"


def autocommit(statement: str, db: Connection, facts: dict[str, object]) -> None:
    """On a connection of its own: it counts bodies, whatever becomes of their runs."""
    db.execute(statement.encode(), facts)


@actor(concurrency=Concurrency(1, key="key"))
async def hold_async(event: FlowShared, run: AsyncRun) -> None:
    diary.append(event.name)
