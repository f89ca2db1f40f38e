"""Actors whose runs are cancelled: asleep, in line, in their bodies, and with children. What they did stands in `diary`."""

import asyncio
from datetime import timedelta
from typing import Any

from broker import (
    Actor,
    AsyncRun,
    Backoff,
    CancelOn,
    Concurrency,
    Idempotency,
    InvokeFailed,
    Postpone,
    Run,
    Singleton,
    actor,
)
from schemas import Event
from tests.support import flow_cast

HOUR = timedelta(hours=1)
LATER = Backoff(HOUR, HOUR, jitter="none", attempts=2)
diary = flow_cast.diary


class CancelBegun(Event, type="cancel.begun"):
    name: str
    how: str = ""
    key: str = "k"


class CancelAsked(Event, type="cancel.asked"):
    name: str


class CancelReady(Event, type="cancel.ready"):
    name: str


class CancelStopped(Event, type="cancel.stopped"):
    name: str
    why: str = ""


async def wait_for_ever(name: str) -> None:
    """As a body that awaits a slow service. It tells when it is stopped."""
    diary.append(f"{name} awaits")
    try:
        await asyncio.sleep(600)
    finally:
        diary.append(f"{name} stopped")


@actor(retry=LATER, waits_for=[CancelReady])
def rest(event: CancelBegun, run: Run) -> None:
    """Leaves its worker, in the way that the event says."""
    diary.append(f"{event.name} begins")
    if event.how == "sleeps":
        run.sleep(HOUR)
    if event.how == "waits":
        run.wait_for(CancelReady, match="name")
    if event.how == "fails":
        raise ValueError("not yet")
    if event.how == "postpones":
        raise Postpone(HOUR)
    diary.append(f"{event.name} ends")


@actor(retry=LATER)
async def linger(event: CancelBegun, run: AsyncRun) -> None:
    run.write("insert into stagehand (n) values (1)")
    if event.how == "swallows":
        try:
            await wait_for_ever(event.name)
        except asyncio.CancelledError:
            diary.append("swallowed")
        await run.step("after", wait_for_ever, f"{event.name} again")
    await wait_for_ever(event.name)


@actor(retry=LATER)
def labour(event: CancelBegun, run: Run) -> None:
    run.step("first", flow_cast.passes, event.name)
    if event.how == "steps":
        run.step("second", diary.append, f"{event.name} second")
    run.write("insert into stagehand (n) values (1)")
    diary.append(f"{event.name} ends")


@actor(concurrency=Concurrency(1, key="key"))
def queue_up(event: CancelBegun, run: Run) -> None:
    flow_cast.passes(event.name)


@actor(idempotency=Idempotency("key"))
def once(event: CancelBegun, run: Run) -> None:
    diary.append(event.name)
    if event.how == "sleeps":
        run.sleep(HOUR)


@actor(singleton=Singleton("key", mode="cancel"), concurrency=Concurrency(1, key="key"))
async def latest(event: CancelBegun, run: AsyncRun) -> None:
    if event.how == "sleeps":
        await run.sleep(HOUR)
    elif event.how == "awaits":
        await wait_for_ever(event.name)
    diary.append(f"{event.name} ends")


@actor(cancel_on=CancelOn(CancelStopped, match="name"))
async def heed(event: CancelBegun, run: AsyncRun) -> None:
    if event.how == "sleeps":
        await run.sleep(HOUR)
    if event.how == "awaits":
        await wait_for_ever(event.name)
    diary.append(f"{event.name} ends")


@actor()
def assist(event: CancelAsked, run: Run) -> None:
    diary.append(f"assists {event.name}")
    run.sleep(HOUR)


@actor()
def delegate(event: CancelBegun, run: Run) -> None:
    """Has three others do it, two at once."""
    run.fan_out("assistants", assist, [CancelAsked(name=f"{event.name}{n}") for n in range(3)], at_once=2)


@actor()
def rely(event: CancelBegun, run: Run) -> None:
    """Has one other do it, and tells why that one did not."""
    try:
        run.invoke(assist, CancelAsked(name=event.name))
    except InvokeFailed as error:
        diary.append(f"{error.reason}: {error.error}")


ACTORS: tuple[Actor[Any, Any, Any], ...] = (linger, rest)
"""For worker processes that are killed."""
