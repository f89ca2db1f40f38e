"""A pipeline of two, and an actor that stands in no pipeline."""

import threading
from datetime import timedelta

from broker import Backoff, Concurrency, Debounce, Pipeline, Run, actor
from schemas import Event

HOUR = timedelta(hours=1)
diary: list[str] = []
trouble: list[Exception] = []
gate = threading.Event()


class Begun(Event, type="pause.begun"):
    name: str


class Followed(Event, type="pause.followed"):
    name: str


class Slept(Event, type="pause.slept"):
    name: str


class Lone(Event, type="pause.lone"):
    name: str


class Gathered(Event, type="pause.gathered"):
    name: str


@actor(
    concurrency=Concurrency(1),
    retry=Backoff(timedelta(milliseconds=1), timedelta(milliseconds=2), attempts=3),
)
def begin(event: Begun, run: Run) -> Followed:
    diary.append(f"{event.name} {run.attempt}")
    if trouble:
        raise trouble.pop()
    return Followed(name=event.name)


@actor()
def follow(event: Followed, run: Run) -> None:
    diary.append(f"then {event.name}")


@actor()
def sleep(event: Slept, run: Run) -> None:
    run.step("before", diary.append, f"{event.name} before")
    run.sleep(HOUR)
    diary.append(f"{event.name} after")


@actor()
def alone(event: Lone, run: Run) -> None:
    diary.append(event.name)
    gate.wait(20)


@actor(debounce=Debounce(timedelta(minutes=1)))
def gather(event: Gathered, run: Run) -> None:
    diary.append(event.name)


line = Pipeline("pause-line", begin | follow)
