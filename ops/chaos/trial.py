"""A chain of three actors for fault tests.

Every body leaves two traces: a row of `effect`, incremented in the run's own commit, and a row of `execution`, written at once on
a connection of its own, so that bodies that ran and were rolled back are seen too.
"""

import asyncio
import os
import signal
import threading
import time
from datetime import timedelta
from typing import Any

import psycopg

from broker import NO_RETRY, Actor, AsyncRun, Backoff, Run, actor
from schemas import Event

QUICK = Backoff(timedelta(milliseconds=50), timedelta(milliseconds=200), attempts=5)

LIMIT = timedelta(seconds=1)
"""Of the bodies that hang."""
SUNK_SECONDS = 15

TABLES = """
create schema if not exists trial;
create table if not exists trial.effect (n integer not null, stage text not null, times integer not null, primary key (n, stage));
create table if not exists trial.execution (id bigserial primary key, n integer not null, stage text not null, part text not null,
                                            at timestamptz not null default clock_timestamp());
"""
EFFECT = """
insert into trial.effect as e (n, stage, times) values (%s, %s, 1) on conflict (n, stage) do update set times = e.times + 1"""
_EXECUTION = "insert into trial.execution (n, stage, part) values (%s, %s, %s)"


class TrialBegun(Event, type="trial.begun"):
    n: int
    fail_first: bool = False
    linger_seconds: float = 0


class TrialHalved(Event, type="trial.halved"):
    n: int


class TrialEnded(Event, type="trial.ended"):
    n: int


class Journaled:
    """Where bodies write what they do, past every transaction of the engine."""

    dsn = ""
    _local = threading.local()

    @classmethod
    def note(cls, n: int, stage: str, part: str) -> None:
        connection: psycopg.Connection | None = getattr(cls._local, "connection", None)
        for _ in range(3):
            try:
                if connection is None or connection.closed:
                    connection = cls._local.connection = psycopg.connect(cls.dsn, autocommit=True)
                connection.execute(_EXECUTION, (n, stage, part))
                return
            except psycopg.OperationalError:
                connection = None
        raise RuntimeError("the execution log cannot be written: is PostgreSQL up?")


class TrialPoisoned(Event, type="trial.poisoned"):
    n: int


class TrialSunk(Event, type="trial.sunk"):
    """Its body sits in C, out of an interrupt's reach."""

    n: int


class TrialAdrift(Event, type="trial.adrift"):
    """Its body awaits what never comes."""

    n: int


def work(n: int, stage: str, part: str) -> int:
    Journaled.note(n, stage, part)
    return n


def linger(n: int, seconds: float) -> int:
    """A body that takes a while: something for a fault to hit."""
    Journaled.note(n, "begin", "linger")
    time.sleep(seconds)
    return n


@actor(retry=QUICK)
def begin(event: TrialBegun, run: Run) -> TrialHalved:
    run.step("one", work, event.n, "begin", "one")
    if event.linger_seconds:
        run.step("linger", linger, event.n, event.linger_seconds)
    if event.fail_first and run.attempt == 1:
        raise ValueError("the first attempt fails")
    run.step("two", work, event.n, "begin", "two")
    run.write(EFFECT, (event.n, "begin"))
    return TrialHalved(n=event.n)


@actor(retry=QUICK)
def halve(event: TrialHalved, run: Run) -> TrialEnded:
    run.step("one", work, event.n, "halve", "one")
    with run.transaction() as db:
        db.execute(EFFECT, (event.n, "halve"))
    return TrialEnded(n=event.n)


@actor(retry=QUICK)
def end(event: TrialEnded, run: Run) -> None:
    Journaled.note(event.n, "end", "body")
    run.step("kept", keep, event.n, transactional=True)


def keep(db: psycopg.Connection, n: int) -> int:
    db.execute(EFFECT, (n, "end"))
    return n


@actor(retry=QUICK)
def perish(event: TrialPoisoned, run: Run) -> None:
    del run
    Journaled.note(event.n, "perish", "body")
    os.kill(os.getpid(), signal.SIGKILL)


@actor(retry=NO_RETRY, time_limit=LIMIT)
def sink(event: TrialSunk, run: Run) -> None:
    del run
    Journaled.note(event.n, "sink", "body")
    time.sleep(SUNK_SECONDS)


@actor(retry=NO_RETRY, time_limit=LIMIT)
async def drift(event: TrialAdrift, run: AsyncRun) -> None:
    del run
    Journaled.note(event.n, "drift", "body")
    await asyncio.Event().wait()


ACTORS: tuple[Actor[Any, Any], ...] = (begin, halve, end, perish, sink, drift)
STAGES = ("begin", "halve", "end")
