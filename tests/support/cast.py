"""Actors for tests of the engine's behaviour, one for each thing an author may do. What they did stands in `diary`."""

import asyncio
import threading
import time
from datetime import timedelta
from typing import ClassVar

from psycopg import Connection
from pydantic import BaseModel, field_validator

from broker import (
    AsyncRun,
    Backoff,
    Failed,
    Idempotency,
    NonRetriable,
    Ok,
    Postpone,
    Result,
    RetryAfter,
    Run,
    StepFailed,
    Throttle,
    actor,
)
from schemas import Event, Failure

FAST = Backoff(timedelta(milliseconds=1), timedelta(milliseconds=2), attempts=3)
diary: list[str] = []
trouble: dict[str, int] = {}
gate = threading.Event()
came_back = threading.Event()


def forget() -> None:
    """A clean diary for the next test."""
    diary.clear()
    trouble.clear()
    gate.clear()
    came_back.clear()


def fails(what: str) -> bool:
    """Whether this is to fail now; `trouble[what]` counts down."""
    left = trouble.get(what, 0)
    trouble[what] = left - 1
    return left > 0


class CastCalled(Event, type="cast.called"):
    n: int = 0
    who: str = "anyone"


class CastAnswered(Event, type="cast.answered"):
    n: int = 0


class CastFlaky(Event, type="cast.flaky"):
    n: int = 0


class CastSlept(Event, type="cast.slept"):
    days: int = 1


class CastKeyed(Event, type="cast.keyed"):
    key: str


class CastPaced(Event, type="cast.paced"):
    key: str
    n: int = 0


class CastMapped(Event, type="cast.mapped"):
    items: list[int]


class CastWritten(Event, type="cast.written"):
    n: int


class CastAwaited(Event, type="cast.awaited"):
    n: int


class CastSpent(Event, type="cast.spent"):
    how: str


class CastUnheard(Event, type="cast.unheard"):
    n: int = 0


class Told(BaseModel):
    total: int


def noted(what: str) -> str:
    diary.append(what)
    if fails(what):
        raise ValueError(f"{what} fails")
    return what


@actor(retry=FAST)
def call(event: CastCalled, run: Run) -> CastAnswered:
    run.step("prepare", noted, f"prepare {event.n}")
    run.step("perform", noted, f"perform {event.n}")
    return CastAnswered(n=event.n)


@actor()
def answer(event: CastAnswered, run: Run) -> Told:
    diary.append(f"answered {event.n}")
    return Told(total=event.n)


@actor(retry=FAST)
def hear_failure(event: Failure, run: Run) -> None:
    diary.append(f"failure of {event.actor}: {event.reason}")


@actor(retry=FAST, on_failure=hear_failure)
def flake(event: CastFlaky, run: Run) -> None:
    diary.append(f"attempt {run.attempt}")
    if fails("final"):
        raise NonRetriable("the provider refuses it")
    if fails("later"):
        raise RetryAfter(timedelta(hours=2))
    if fails("soon"):
        raise RetryAfter(timedelta(seconds=1))
    if fails("postpone"):
        raise Postpone(timedelta(hours=1))
    if fails("swallowed"):
        try:
            raise Postpone(timedelta(hours=1))
        except Exception:
            diary.append("swallowed a signal")
    if fails("always"):
        raise ValueError("always")


@actor()
def doze(event: CastSlept, run: Run) -> None:
    run.step("before", noted, "before")
    run.sleep(timedelta(days=event.days))
    run.step("after", noted, "after")


@actor(retry=FAST, idempotency=Idempotency("key", ttl=timedelta(hours=1)))
def once(event: CastKeyed, run: Run) -> None:
    diary.append(f"once {event.key}")
    if fails("once"):
        raise NonRetriable("no")


@actor(throttle=Throttle(2, per=timedelta(minutes=1), key="key"))
def pace(event: CastPaced, run: Run) -> None:
    diary.append(f"paced {event.key} {event.n}")


class CastHeld(Event, type="cast.held"):
    n: int = 0


@actor(retry=FAST)
def hold_up(event: CastHeld, run: Run) -> CastAnswered:
    diary.append(f"held {event.n}")
    gate.wait(60)
    return CastAnswered(n=event.n)


class Odd(BaseModel):
    thing: object


class CastOdd(Event, type="cast.odd"):
    n: int = 0


@actor(retry=FAST)
def answer_oddly(event: CastOdd, run: Run) -> Odd:
    return Odd(thing=object())


PATIENT = Backoff(timedelta(hours=1), timedelta(hours=1), jitter="none", attempts=2)


def item(n: int) -> int:
    diary.append(f"item {n}")
    if n == 13:
        raise NonRetriable("unlucky")
    if fails(f"item {n}"):
        raise ValueError("not yet")
    return n * n


@actor(retry=FAST)
def map_all(event: CastMapped, run: Run) -> Told:
    outcomes = run.map("square", item, event.items, retry=PATIENT)
    diary.append(" ".join(str(o.value) if isinstance(o, Ok) else "failed" for o in outcomes))
    return Told(total=sum(o.value for o in outcomes if not isinstance(o, Failed)))


@actor(retry=FAST)
def catch(event: CastWritten, run: Run) -> Result[Told, CastAnswered]:
    try:
        run.step("shaky", noted, "shaky", retry=FAST)
    except StepFailed:
        run.step("tell", noted, "told once")
        raise
    return Result(Told(total=1), publish=[CastAnswered(n=1), CastAnswered(n=2)])


def insert(db: Connection, n: int) -> int:
    db.execute("insert into stagehand (n) values (%s)", (n,))
    return n


@actor(retry=FAST)
def write_down(event: CastAwaited, run: Run) -> CastAnswered | None:
    run.step("kept", insert, event.n, transactional=True)
    if fails("after step"):
        raise ValueError("after the step")
    run.write("insert into stagehand (n) values (%s)", (event.n + 1,))
    if fails("with write"):
        raise ValueError("the write must not happen")
    with run.transaction() as db:
        db.execute("insert into stagehand (n) values (%s)", (event.n + 2,))
        if fails("in transaction"):
            raise ValueError("rolled back")
    if fails("verb after"):
        run.publish(CastAnswered(n=0))
    return CastAnswered(n=event.n)


class Waiting:
    at_once: ClassVar[int] = 0
    most: ClassVar[int] = 0


@actor(retry=FAST)
async def wait_long(event: CastKeyed, run: AsyncRun) -> None:
    await run.step("hold", hold, event.key)
    run.write("insert into stagehand (n) values (1)")


async def hold(key: str) -> str:
    Waiting.at_once += 1
    Waiting.most = max(Waiting.most, Waiting.at_once)
    while not gate.is_set():  # noqa: ASYNC110  set by the test, in another thread
        await asyncio.sleep(0.01)
    Waiting.at_once -= 1
    return key


@actor(retry=FAST.with_attempts(1), time_limit=timedelta(milliseconds=200))
def spend(event: CastSpent, run: Run) -> None:
    if event.how == "loop":
        with run.transaction() as db:
            while True:
                db.execute("select 1")
    if event.how == "sql":
        with run.transaction() as db:
            db.execute("select pg_sleep(30)")


@actor(retry=FAST.with_attempts(1), time_limit=timedelta(milliseconds=200))
async def spend_waiting(event: CastSpent, run: AsyncRun) -> None:
    if event.how == "await":
        await asyncio.sleep(30)


class CastStuck(Event, type="cast.stuck"):
    seconds: float


@actor(retry=FAST.with_attempts(1), time_limit=timedelta(milliseconds=200))
def stick(event: CastStuck, run: Run) -> None:
    if event.seconds:
        try:
            time.sleep(event.seconds)  # a C call: no interrupt reaches it
        finally:
            came_back.set()
        run.write("insert into stagehand (n) values (1)")
    else:
        diary.append("went on")


class CastPicked(Event, type="cast.picked"):
    items: list[int]


@actor(idempotency=Idempotency(lambda event: event.items[0]))  # type: ignore[attr-defined]  # no such item: that is the test
def pick(event: CastPicked, run: Run) -> None:
    diary.append(f"picked {event.items[0]}")


class CastScribbled(Event, type="cast.scribbled"):
    n: int


@actor(retry=FAST)
def scribble(event: CastScribbled, run: Run) -> None:
    run.write("select %s", [{"at": object()}])


class CastMumbled(Event, type="cast.mumbled"):
    text: str


@actor(retry=FAST.with_attempts(1))
def mumble(event: CastMumbled, run: Run) -> None:
    raise OSError(f"no such file: \udc80{event.text}")


class CastBurst(Event, type="cast.burst"):
    text: str


@actor(retry=FAST, on_failure=hear_failure)
def burst(event: CastBurst, run: Run) -> None:
    raise NonRetriable("too much")


class CastCounted(Event, type="cast.counted"):
    word: str

    @field_validator("word")
    @classmethod
    def _known(cls, word: str) -> str:
        return {"one": word}[word]


@actor()
def count(event: CastCounted, run: Run) -> None:
    diary.append(f"counted {event.word}")


class UnspeakableError(Exception):
    """An error whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class CastSilenced(Event, type="cast.silenced"):
    n: int


@actor(retry=FAST)
def fall_silent(event: CastSilenced, run: Run) -> None:
    raise UnspeakableError
