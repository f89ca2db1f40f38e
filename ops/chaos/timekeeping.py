"""Schedules for fault tests: every tick leaves a row, and what should have ticked can be told."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from periodiq import cron

from broker import Missed, Run, Schedule, Tick, actor
from broker.database import Database
from broker.schedules.timetable import Timetable
from broker.testing import VirtualClock
from ops.chaos.trial import QUICK
from schemas import Event

TABLE = """
create schema if not exists trial;
create table if not exists trial.tick (schedule text not null, slot timestamptz not null, times integer not null,
                                       primary key (schedule, slot));
"""
_HEARD = """
insert into trial.tick as t (schedule, slot, times) values (%s, %s, 1)
on conflict (schedule, slot) do update set times = t.times + 1"""
_EFFECTS = "select schedule, slot, times from trial.tick"
_NOW = "select clock()"


class TrialTicked(Event, type="trial.ticked"):
    schedule: str
    slot: datetime


@actor(retry=QUICK)
def hear(event: TrialTicked, run: Run) -> None:
    run.write(_HEARD, (event.schedule, event.slot))


def tell(tick: Tick) -> TrialTicked:
    return TrialTicked(schedule=tick.schedule, slot=tick.slot)


def _schedule(name: str, expression: str) -> Schedule:
    return Schedule(name, cron(expression), tell, timezone="Europe/Berlin", missed=Missed.ALL, catch_up=1000)


SCHEDULES = (
    _schedule("every-quarter", "*/15 * * * *"),
    _schedule("even-hours", "0 */2 * * *"),
    _schedule("half-past-two", "30 2 * * *"),
)


def prepare(database: Database, begin: datetime) -> VirtualClock:
    """The table of effects, and a clock that shows `begin`."""
    with database.once("trial") as connection:
        connection.execute(TABLE)
    clock = VirtualClock(database)
    clock.move_to(begin)
    return clock


def tick_faults(database: Database, since: datetime) -> Sequence[str]:
    """I8 in words: slots from `since` to now without exactly one effect, and effects of no slot. Raises psycopg errors."""
    with database.once("oracle") as connection:
        effects = {(name, slot): times for name, slot, times in connection.execute(_EFFECTS).fetchall()}
        [(now,)] = connection.execute(_NOW).fetchall()
    due = {
        (schedule.name, slot)
        for schedule in SCHEDULES
        for slot in Timetable(schedule.expression, schedule.timezone).latest(since, now, 1_000_000)
    }
    wrong = Counter(
        "lost" if key not in effects else "made up" if key not in due else "doubled"
        for key in due | effects.keys()
        if key not in due or effects.get(key) != 1
    )
    return [f"I8 ticks {word}: {count}" for word, count in sorted(wrong.items())]
