"""Where a worker can be made to crash, to doubt, or to cheat. Everything here wraps the engine's own functions from outside: the
engine holds nothing for it.
"""

import os
import random
import sys
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from datetime import datetime, timedelta, tzinfo
from typing import Any

import psycopg

from broker import PublishError
from broker.transports.base import Delivery, Transport

CRASHED = 77
EARLY_SECONDS = 0.2


def _points() -> dict[str, tuple[Any, str, str]]:
    """name → (where, function, before or after its call)."""
    from broker import intake, outbox, perform, reading, takeover, timers
    from broker.journal import batch, records, writer
    from broker.run import synchronous
    from broker.schedules import scheduler
    from ops.chaos import trial

    return {
        "after receive": (reading.Reader, "read", "before"),
        "before claim commit": (batch, "write_claims", "after"),
        "after claim": (intake.Intake, "_answered", "before"),
        "mid-step": (trial, "work", "before"),
        "after step commit": (synchronous.Run, "_record", "after"),
        "before commit": (records, "_write_ends", "after"),
        "after commit": (writer.Journal, "_answer", "before"),
        "after publish before confirm": (outbox.StoredOutbox, "committed", "after"),
        "after confirm before mark": (outbox.StoredOutbox, "_confirmed", "before"),
        "after mark": (batch, "delete_sent", "after"),
        "after ack": (intake.Intake, "_answered", "after"),
        "in the sweep": (timers.Timers, "sweep", "after"),
        "in the takeover": (takeover.Takeover, "_take", "after"),
        "after a tick": (scheduler.Scheduler, "_tick", "after"),
        "while scheduling a retry": (perform.Performer, "_failed", "after"),
        "in a transaction": (batch.Batch, "write_one", "before"),
        "after a transaction's commit": (batch.Batch, "write_one", "after"),
    }


def _wait_points() -> dict[str, tuple[Any, str, str]]:
    """As `_points`, for runs that wait: the trial chain never passes here."""
    from broker.journal import batch, waits
    from broker.run import synchronous

    return {
        "before a wait commits": (waits.Waits, "write", "after"),
        "after a wait has committed": (synchronous.Run, "_record", "after"),
        "while a wait is settled": (waits.Waits, "settle", "after"),
        "after a wait was settled": (batch.Batch, "apply", "after"),
    }


POINTS = tuple(_points())
APART = {"in the takeover", "after a tick"}
"""A chain alone does not come by them: each has a test of its own."""
WAIT_POINTS = tuple(_wait_points())
RABBIT_ONLY = {"after publish before confirm", "after confirm before mark", "after mark"}
"""The `postgres` transport has no outbox to confirm."""


def arm(point: str, passage: int) -> None:
    """Make the process end at this passage of the point."""
    owner, name, when = {**_points(), **_wait_points()}[point]
    original: Callable[..., Any] = getattr(owner, name)
    passages = 0
    lock = threading.Lock()

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal passages
        with lock:
            passages += 1
            due = passages == passage
        if due and when == "before":
            os._exit(CRASHED)
        result = original(*args, **kwargs)
        if due and isinstance(result, Generator):
            return _run_and_crash(result)
        if due:
            os._exit(CRASHED)
        return result

    setattr(owner, name, wrapped)


def _run_and_crash(writing: Generator[None, None, Any]) -> Generator[None, None, Any]:
    """A writer of the journal ends at its last turn: until then nothing has been written. What was said too early (an ack
    before the commit) is given the time to get out."""
    yield from writing
    time.sleep(EARLY_SECONDS)
    os._exit(CRASHED)


def doubt(share: float, transport: Transport, seed: int) -> None:
    """Of so many commits and confirms the answer is lost: it happened, and whoever asked cannot know."""
    from broker.journal.batch import Batch

    chance = random.Random(seed)  # noqa: S311  a replayable fault, no secret
    for name in ("apply", "write_one"):
        setattr(Batch, name, _unanswered(getattr(Batch, name), share, chance))
    publish = transport.publish
    transport.publish = lambda messages: _unconfirmed(publish(messages), chance.random() < share)  # type: ignore[method-assign]


def _unanswered(original: Callable[..., Any], share: float, chance: random.Random) -> Callable[..., Any]:
    def wrapped(batch: Any, connection: psycopg.Connection, *args: Any, **kwargs: Any) -> Any:
        answer = original(batch, connection, *args, **kwargs)
        if chance.random() < share:
            connection.close()
            raise psycopg.OperationalError("chaos: the connection broke after the commit")
        return answer

    return wrapped


def _unconfirmed(future: "Future[None]", lost: bool) -> "Future[None]":
    if not lost:
        return future
    told: Future[None] = Future()
    future.add_done_callback(lambda _: told.set_exception(PublishError("chaos: the confirm was lost")))
    return told


def shift_clock(by: timedelta) -> None:
    """This process is wrong about the time, as a machine without NTP is; the database is right."""
    real_time, real_ns = time.time, time.time_ns

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + by

    time.time = lambda: real_time() + by.total_seconds()
    time.time_ns = lambda: real_ns() + int(by.total_seconds() * 1e9)
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in ("broker", "schemas") and getattr(module, "datetime", None) is datetime:
            setattr(module, "datetime", Shifted)  # noqa: B010


def unconfirmed_publishing(transport: Transport) -> None:
    """A publisher that does not wait for confirms, and never hears what became of its messages."""
    publish = transport.publish

    def send(messages: Any) -> "Future[None]":
        publish(messages)
        done: Future[None] = Future()
        done.set_result(None)
        return done

    transport.publish = send  # type: ignore[method-assign]


def break_guard(guard: str) -> None:
    """Take one of the engine's guards away: the row that relies on it must then fail."""
    GUARDS[guard]()


def _without_takeover() -> None:
    from broker.takeover import Takeover

    setattr(Takeover, "_take", lambda *_: 0)  # noqa: B010


def _without_inbox() -> None:
    """Every delivery is claimed as an event of its own."""
    from dataclasses import replace

    from broker.journal.intents import Claim
    from broker.reading import Reader
    from schemas import uuid7

    original = Reader.read

    def read(reader: Reader, delivery: Delivery) -> Any:
        intent = original(reader, delivery)
        if isinstance(intent, Claim):
            return replace(intent, envelope=replace(intent.envelope, id=str(uuid7())))
        return intent

    setattr(Reader, "read", read)  # noqa: B010


def _without_fence() -> None:
    from broker.journal import records

    for name in ("_HOLD", "_HOLD_AND_STEP", "_ENDS"):
        statement: str = getattr(records, name)
        for fence in (
            "r.fence = k.fence and r.status = 'running'",
            "r.fence = e.fence and r.status = 'running'",
        ):
            statement = statement.replace(fence, "true")
        setattr(records, name, statement)


def _ack_first() -> None:
    from broker.reading import Reader

    original = Reader.read

    def read(reader: Reader, delivery: Delivery) -> Any:
        delivery.ack()
        return original(reader, delivery)

    setattr(Reader, "read", read)  # noqa: B010


def _without_parking() -> None:
    from broker.journal import batch

    setattr(batch, "write_parked", lambda *_: None)  # noqa: B010


def _without_time_limit() -> None:
    from contextlib import nullcontext

    from broker.middleware.time_limit import TimeLimit

    setattr(TimeLimit, "around", lambda *_: nullcontext())  # noqa: B010


def _without_kept_slots() -> None:
    """A boot begins with the next slot there is, and forgets what is due: so it is with schedulers that have no memory."""
    from broker.schedules import register
    from broker.schedules.timetable import Timetable

    def begin_anew(_connection: Any, facts: dict[str, Any], now: datetime) -> datetime:
        return Timetable(facts["expression"], facts["timezone"]).next(now)

    setattr(register, "_next", begin_anew)  # noqa: B010


GUARDS: dict[str, Callable[[], None]] = {
    "takeover": _without_takeover,
    "inbox": _without_inbox,
    "fence": _without_fence,
    "ack after claim": _ack_first,
    "parking": _without_parking,
    "time limit": _without_time_limit,
    "slots kept": _without_kept_slots,
    # Of the publisher, which is in the programme's own process.
    "confirms": lambda: None,
}
