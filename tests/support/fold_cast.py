"""Actors that make one run of many events."""

from datetime import timedelta

from broker import AsyncRun, Backoff, Batch, Debounce, Idempotency, NonRetriable, RateLimit, Run, actor
from schemas import Event

MINUTE = timedelta(minutes=1)
FAST = Backoff(timedelta(milliseconds=1), timedelta(milliseconds=2), attempts=2)
diary: list[str] = []
trouble: list[Exception] = []


class Touched(Event, type="fold.touched"):
    name: str
    key: str = "k"


class Counted(Event, type="fold.counted"):
    name: str
    key: str = "k"


class Packed(Event, type="fold.packed"):
    name: str
    key: str = "k"


class Rated(Event, type="fold.rated"):
    name: str
    key: str = "k"


class Once(Event, type="fold.once"):
    name: str


@actor(debounce=Debounce(MINUTE, key="key", max_wait=3 * MINUTE), retry=FAST)
def touch(event: Touched, run: Run) -> None:
    diary.append(event.name)
    assert [each.name for each in run.gathered(Touched)] == [event.name]
    if trouble:
        raise trouble.pop()


@actor(debounce=Debounce(MINUTE, key="key", collect=True))
async def count(event: Counted, run: AsyncRun) -> None:
    diary.append("+".join(each.name for each in run.gathered(Counted)))


@actor(batch=Batch(3, within=MINUTE, key="key"), retry=FAST)
def pack(event: Packed, run: Run) -> None:
    run.step("pack", diary.append, "+".join(each.name for each in run.gathered(Packed)))
    run.sleep(MINUTE)
    diary.append(f"{event.key} ends with {len(run.gathered(Packed))}")
    if trouble:
        raise trouble.pop()


@actor(debounce=Debounce(MINUTE, key="key"), rate_limit=RateLimit(1, per=timedelta(hours=1), key="key"))
def rate(event: Rated, run: Run) -> None:
    diary.append(event.name)


@actor(debounce=Debounce(MINUTE), idempotency=Idempotency("name"), retry=FAST)
def once(event: Once, run: Run) -> None:
    raise NonRetriable("no")
