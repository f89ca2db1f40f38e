"""A canary in each marked field, and authors who put it into errors and log lines: it is found nowhere."""

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Annotated

import pytest
import structlog

from broker import AsyncRun, Backoff, NonRetriable, Run, actor, logs
from broker.testing import Stage
from schemas import PERSONAL, SECRET, Event, Failure

CANARY = "canary@example.com"
PIN = "0815-4711"
ONCE = Backoff(timedelta(0), timedelta(0), attempts=1)


class VaultOpened(Event, type="vault.opened"):
    email: Annotated[str, PERSONAL]
    pin: Annotated[str, SECRET]
    how: str = "raise"


class VaultKnocked(Event, type="vault.knocked"):
    email: Annotated[str, PERSONAL]


class VaultSeen(Event, type="vault.seen"):
    word: str


@actor()
def alarm(event: Failure, run: Run) -> None:
    run.log.warning("told", data=str(event.event.data) if event.event is not None else "")


@actor(retry=ONCE, on_failure=alarm)
def guard(event: VaultOpened, run: Run) -> None:
    run.log.info("opening", email=event.email, line=f"{event.email} with {event.pin}")
    if event.how == "step":
        run.step("turn", turn, event.pin)
    try:
        raise ValueError(f"{event.pin} is wrong")
    except ValueError as error:
        raise NonRetriable(f"no vault for {event.email}: {error}") from error


def turn(pin: str) -> str:
    raise RuntimeError(f"the lock refused {pin!r}")


@actor(retry=ONCE)
async def knock(event: VaultKnocked, run: AsyncRun) -> None:
    run.log.info("knocked", by=event.email)
    raise NonRetriable(f"nobody opens for {event.email}")


@actor()
def look(event: VaultSeen, run: Run) -> None:
    run.log.info("seen", word=event.word)


@pytest.fixture
def lines() -> Iterator[StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = StringIO()
    logs.configure("debug", json=True, stream=stream)
    yield stream
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def stage(dsn: str, lines: StringIO) -> Iterator[Stage]:
    with Stage(dsn, [alarm, guard, knock, look]) as made:
        yield made


@pytest.mark.parametrize("how", ["raise", "step"])
def test_what_is_marked_is_in_no_error_and_no_line(how: str, stage: Stage, lines: StringIO) -> None:
    stage.publish(VaultOpened(email=CANARY, pin=PIN, how=how))
    stage.drain()

    stored = stage.rows(
        "select reason from run union all select error || coalesce(trace, '') from attempt union all "
        "select error || attempts::text from dead_letter union all select coalesce(error, '') from step"
    )
    assert any("***" in str(text) for (text,) in stored)
    for told in (lines.getvalue(), str(stored)):
        assert CANARY not in told and PIN not in told
    opening = next(
        line for line in map(json.loads, lines.getvalue().splitlines()) if line["event"] == "opening"
    )
    assert (opening["email"], opening["line"]) == ("***", "*** with ***")


def test_a_coroutine_hides_its_own_and_nobody_elses(stage: Stage, lines: StringIO) -> None:
    stage.publish(VaultKnocked(email=CANARY))
    stage.drain()
    stage.publish(VaultSeen(word=CANARY))
    stage.drain()

    assert stage.rows("select error from dead_letter") == [("NonRetriable: nobody opens for ***",)]
    seen = next(line for line in map(json.loads, lines.getvalue().splitlines()) if line["event"] == "seen")
    assert seen["word"] == CANARY, "this event marks nothing: its author may say it"
