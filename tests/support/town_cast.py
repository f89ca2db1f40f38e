"""Actors that broadcast, each in another way; for workers of their own too."""

import time
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from broker import Actor, AsyncRun, Backoff, Run, actor
from schemas import Event

QUICK = Backoff(timedelta(milliseconds=20), timedelta(milliseconds=50), attempts=4)
SQUARE = "town-square"


class TownCalled(Event, type="town.called"):
    n: int
    fail_first: bool = False
    linger_seconds: float = 0


class TownWhispered(Event, type="town.whispered"):
    n: int


class TownSettled(Event, type="town.settled"):
    n: int


class Cry(BaseModel):
    n: int
    attempt: int
    part: int


@actor(retry=QUICK)
def cry(event: TownCalled, run: Run) -> TownWhispered:
    """Twice, with a step between; fails after both if it is told to."""
    run.broadcast(SQUARE, Cry(n=event.n, attempt=run.attempt, part=1), name="cried")
    run.step("breathe", time.sleep, event.linger_seconds)
    run.broadcast(SQUARE, {"n": event.n, "attempt": run.attempt, "part": 2})
    if event.fail_first and run.attempt == 1:
        raise ValueError("the first attempt fails")
    return TownWhispered(n=event.n)


@actor(retry=QUICK)
async def whisper(event: TownWhispered, run: AsyncRun) -> TownSettled:
    run.broadcast(f"corner-{event.n}", event)
    return TownSettled(n=event.n)


@actor(retry=QUICK)
def settle(event: TownSettled, run: Run) -> None:
    """From a run that ends in its own transaction."""
    run.broadcast(SQUARE, {"n": event.n, "part": 3}, name="settled")
    with run.transaction() as db:
        db.execute("select 1")


ACTORS: tuple[Actor[Any, Any], ...] = (cry, whisper, settle)
EXPECTED = (
    "select count(*), count(distinct (run_id, rerun, place)), count(distinct data ->> 'n') from broadcast"
)
