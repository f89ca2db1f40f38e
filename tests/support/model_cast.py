"""One actor for each option of flow control, all of one event, for the models that they are compared with."""

from datetime import timedelta

from broker import (
    Backoff,
    CancelOn,
    Concurrency,
    Idempotency,
    NonRetriable,
    RateLimit,
    Run,
    Singleton,
    Throttle,
    actor,
)
from schemas import Event
from tests.support import flow_cast

HOUR = timedelta(hours=1)
NAP_MINUTES = 50
PAUSE_MINUTES = 25


class ModelAsked(Event, type="model.asked"):
    name: str
    key: str
    age: int = 0
    """Minutes, when it is published."""
    rank: int = 0
    sleeps: tuple[int, ...] = ()
    """Minutes, one sleep after the other."""
    fails: int = 0
    """Attempts."""


class ModelStopped(Event, type="model.stopped"):
    key: str


@actor(rate_limit=RateLimit(2, per=HOUR, key="key"))
def rate(event: ModelAsked, run: Run) -> None:
    pass


@actor(throttle=Throttle(2, per=2 * HOUR, burst=2, key="key"))
def pace(event: ModelAsked, run: Run) -> None:
    pass


@actor(idempotency=Idempotency("key", ttl=HOUR))
def once(event: ModelAsked, run: Run) -> None:
    if event.fails:
        raise NonRetriable("as asked")


@actor(singleton=Singleton("key"))
def alone(event: ModelAsked, run: Run) -> None:
    run.sleep(timedelta(minutes=NAP_MINUTES))


@actor(singleton=Singleton("key", mode="cancel"))
def latest(event: ModelAsked, run: Run) -> None:
    run.sleep(timedelta(minutes=NAP_MINUTES))


@actor(cancel_on=CancelOn(ModelStopped, match="key"))
def heed(event: ModelAsked, run: Run) -> None:
    run.sleep(timedelta(minutes=NAP_MINUTES))


@actor(max_age=HOUR)
def age(event: ModelAsked, run: Run) -> None:
    run.sleep(timedelta(minutes=NAP_MINUTES))


@actor(deadline=HOUR)
def bound(event: ModelAsked, run: Run) -> None:
    for minutes in event.sleeps:
        run.sleep(timedelta(minutes=minutes))


@actor(concurrency=Concurrency(2, key="key"), priority="rank")
def ask(event: ModelAsked, run: Run) -> None:
    flow_cast.passes(event.name)


@actor(
    concurrency=Concurrency(1, key="key", ordered=True),
    retry=Backoff(
        timedelta(minutes=PAUSE_MINUTES), timedelta(minutes=PAUSE_MINUTES), jitter="none", attempts=3
    ),
)
def order(event: ModelAsked, run: Run) -> None:
    if run.attempt <= event.fails:
        raise ValueError("as asked")
