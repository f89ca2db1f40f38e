"""Actors that wait: for events, for times, for each other. What they did stands in `diary`."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from broker import (
    Actor,
    AsyncRun,
    Backoff,
    Elapsed,
    Failed,
    InvokeFailed,
    NonRetriable,
    Ok,
    Result,
    Run,
    actor,
    after,
    invocation,
    on,
)
from schemas import Event

FAST = Backoff(timedelta(milliseconds=1), timedelta(milliseconds=2), attempts=2)
DAY = timedelta(days=1)
diary: list[str] = []
trouble: dict[str, int] = {}


def forget() -> None:
    """A clean diary for the next test."""
    diary.clear()
    trouble.clear()


class WaitOrdered(Event, type="wait.ordered"):
    order_id: str
    how: str = ""


class WaitPaid(Event, type="wait.paid"):
    order_id: str
    cents: int = 0


class WaitCancelled(Event, type="wait.cancelled"):
    id: str


class WaitAsked(Event, type="wait.asked"):
    n: int


class WaitListed(Event, type="wait.listed"):
    numbers: list[int]
    at_once: int | None = None


class WaitDated(Event, type="wait.dated"):
    moment: datetime


class Answer(BaseModel):
    square: int


@actor(waits_for=[WaitPaid], retry=FAST)
def ship(event: WaitOrdered, run: Run) -> Answer:
    """Waits three days for the payment of its order."""
    run.step("reserve", diary.append, f"reserved {event.order_id}")
    paid = run.wait_for(WaitPaid, match="order_id", timeout=3 * DAY)
    diary.append(f"{event.order_id} {'expired' if paid is None else paid.cents}")
    if trouble.pop(event.order_id, 0):
        raise ValueError("again")
    return Answer(square=0 if paid is None else paid.cents)


@actor(waits_for=[WaitPaid])
def collect(event: WaitOrdered, run: Run) -> None:
    """Two payments, one after the other, of any kind."""
    first = run.wait_for(WaitPaid, match={"order_id": event.order_id})
    second = run.wait_for(WaitPaid, match={"order_id": event.order_id})
    diary.append(f"{first.cents} then {second.cents}")


@actor(waits_for=[WaitPaid, WaitCancelled])
def decide(event: WaitOrdered, run: Run) -> None:
    """Whatever comes first."""
    first = run.wait_any(
        on(WaitPaid, match="order_id"), on(WaitCancelled, match=("order_id", "id")), after(3 * DAY)
    )
    diary.append("late" if isinstance(first, Elapsed) else type(first).event_type)
    run.sleep(DAY)
    diary.append("slept")


@actor(waits_for=[WaitPaid, WaitCancelled])
async def decide_async(event: WaitOrdered, run: AsyncRun) -> None:
    """Both, in parallel branches of one body."""
    paid, cancelled = await asyncio.gather(
        run.wait_for(WaitPaid, match="order_id"),
        run.wait_for(WaitCancelled, match=("order_id", "id"), timeout=2 * DAY),
    )
    diary.append(f"{paid.cents} {cancelled.id if cancelled else 'kept'}")


@actor()
def forgetful(event: WaitOrdered, run: Run) -> None:
    """Waits for what it has not declared."""
    run.wait_for(WaitPaid, match="order_id")


@actor()
def sleep_until(event: WaitDated, run: Run) -> None:
    run.step("before", diary.append, "before")
    run.sleep_until(event.moment)
    diary.append("after")


@actor(retry=FAST)
def square(event: WaitAsked, run: Run) -> Answer:
    """Has a result. Multiples of seven fail for good, as long as the trouble lasts."""
    diary.append(f"square {event.n}")
    if trouble.get("sevens") and event.n % 7 == 0:
        raise NonRetriable("a seven")
    if trouble.get("sleepy"):
        run.sleep(DAY)
    return Answer(square=event.n**2)


@actor(retry=FAST)
def ask(event: WaitListed, run: Run) -> Answer:
    """Invokes one by one."""
    total = 0
    for n in event.numbers:
        try:
            total += run.invoke(square, WaitAsked(n=n), timeout=timedelta(hours=1)).square
        except InvokeFailed as error:
            diary.append(f"{error.reason} {'letter' if error.dead_letter_id else 'no letter'}")
    return Answer(square=total)


@actor(retry=FAST)
def ask_two(event: WaitListed, run: Run) -> Answer:
    """Both at once."""
    first, second = run.wait_all(
        invocation(square, WaitAsked(n=event.numbers[0])), invocation(square, WaitAsked(n=event.numbers[1]))
    )
    return Answer(square=first.square + second.square)


@actor(retry=FAST)
async def ask_async(event: WaitListed, run: AsyncRun) -> Result[Answer, WaitAsked]:
    """All in a task group."""
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(run.invoke(square, WaitAsked(n=n))) for n in event.numbers]
    return Result(Answer(square=sum(each.result().square for each in asked)))


@actor(retry=FAST)
def fan_out(event: WaitListed, run: Run) -> Answer:
    """Joins many, whatever becomes of them."""
    done = run.fan_out("squares", square, [WaitAsked(n=n) for n in event.numbers], at_once=event.at_once)
    failed = [outcome.error for outcome in done if isinstance(outcome, Failed)]
    diary.append(f"{len(done)} done, {len(failed)} failed")
    return Answer(square=sum(outcome.value.square for outcome in done if isinstance(outcome, Ok)))


ACTORS: tuple[Actor[Any, Any, Any], ...] = (ship, fan_out, square)
"""For worker processes that are killed."""


def now() -> datetime:
    return datetime.now(UTC)
