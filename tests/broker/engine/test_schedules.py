"""Schedules on a running engine: each slot is one event, whatever the clocks do, whoever dies, whatever was missed."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from periodiq import cron

from broker import Run, Schedule, Tick, actor
from broker.schedules import control
from broker.schedules.control import TickRow
from broker.schedules.ticks import event_id
from broker.testing import Stage
from schemas import Event
from tests.broker.engine.conftest import MakeStage

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)


class CastRung(Event, type="cast.rung"):
    slot: str = ""


@actor()
def ring(event: CastRung, run: Run) -> None:
    del run


def slot_of(tick: Tick) -> CastRung:
    return CastRung(slot=tick.slot.isoformat())


def daily(**options: Any) -> Schedule:
    return Schedule("daily", cron("0 3 * * *"), slot_of, timezone="Europe/Berlin", **options)


def heard(stage: Stage) -> list[str]:
    """The slots that events were made for, in order."""
    found = stage.rows(
        "select event ->> 'slot' from run where actor = 'test_schedules.ring' and status = 'completed'"
    )
    return sorted(slot for (slot,) in found)


def ticks(stage: Stage, name: str = "daily") -> list[TickRow]:
    """Oldest first."""
    with stage.database.once("test") as connection:
        return list(control.ticks(connection, name, 1000))[::-1]


@pytest.fixture
def ringing(make_stage: MakeStage) -> Callable[..., Stage]:
    """A stage with schedules, at noon of the 1st of March 2027."""

    def make(*schedules: Schedule) -> Stage:
        return make_stage([ring], schedules=schedules, now=NOON)

    return make


def test_each_slot_of_three_days_is_one_event_of_that_slot(ringing: Callable[..., Stage]) -> None:
    stage = ringing(daily())
    for _ in range(3):
        stage.clock.advance(timedelta(days=1))
        stage.drain()

    assert heard(stage) == [f"2027-03-0{day}T03:00:00+01:00" for day in (2, 3, 4)]
    assert [tick.event_id for tick in ticks(stage)] == [event_id("daily", tick.slot) for tick in ticks(stage)]
