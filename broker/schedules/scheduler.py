"""The scheduler: part of every keeper's sweep. A tick and its event are one commit, whoever makes it.

The leader ticks at once. The others stand in for what is overdue: a schedule that the leader's code does not know (a deploy,
another app), or a leader that is stopped. The row's lock and the key (schedule, slot) keep any number of them apart.
"""

import time
from collections.abc import Sequence
from datetime import timedelta

import psycopg
import structlog
from psycopg import Connection

from broker.publisher import Publisher
from broker.schedules.missed import Rules, due
from broker.schedules.schedule import Missed, Schedule
from broker.schedules.ticks import make, write
from broker.schedules.timetable import Timetable
from broker.telling import describe

log = structlog.get_logger(__name__)

OVERDUE = timedelta(seconds=3)
"""How long a worker that does not lead leaves a due slot to the leader, who looks four times a second."""
LOOK_SECONDS = 1.0
"""How often one that does not lead looks."""
AGAIN_SECONDS = 10.0
"""Until a slot whose event could not be made is tried again."""

# Served by schedule_due. The clock is the database's, whatever time a worker thinks it is.
_DUE = """
select name from schedule
where next_at <= clock() - %s::interval and paused_at is null and retired_at is null and name = any(%s)
order by next_at"""
_HOLD = """
select coalesce(edited_expression, expression), coalesce(edited_timezone, timezone), coalesce(edited_missed, missed),
       grace, max_age, catch_up, next_at, clock()
from schedule
where name = %s and next_at <= clock() and paused_at is null and retired_at is null
for update skip locked"""
_ON = "update schedule set next_at = %s, error = null, error_at = null where name = %s"
_FAILED = "update schedule set error = %s, error_at = clock() where name = %s"


class Scheduler:
    """One a keeper; not thread-safe. `schedules` are those that this process's code declares."""

    def __init__(self, schedules: Sequence[Schedule], publisher: Publisher) -> None:
        self._schedules = {schedule.name: schedule for schedule in schedules}
        self._publisher = publisher
        self._not_before: dict[str, float] = {}
        self._next_look = 0.0

    def sweep(self, connection: Connection) -> int:
        """The leader's: tick what is due; returns how many events left. Each schedule is a commit of its own. Raises psycopg
        errors. An event that cannot be made is told in the schedule's row, and its slot stays due."""
        return self._sweep(connection, timedelta(0)) if self._schedules else 0

    def stand_in(self, connection: Connection) -> int:
        """The others': as `sweep`, for what is overdue."""
        if not self._schedules or time.monotonic() < self._next_look:
            return 0
        self._next_look = time.monotonic() + LOOK_SECONDS
        return self._sweep(connection, OVERDUE)

    def _sweep(self, connection: Connection, patience: timedelta) -> int:
        now = time.monotonic()
        names = [name for name in self._schedules if now >= self._not_before.get(name, 0.0)]
        found = connection.execute(_DUE, (patience, names)).fetchall()
        return sum(self._tick(connection, self._schedules[name]) for (name,) in found)

    def _tick(self, connection: Connection, schedule: Schedule) -> int:
        try:
            with connection.transaction():
                return self._tick_held(connection, schedule)
        except psycopg.OperationalError:
            raise
        except Exception as error:
            # The author's function, or an event that nobody can store: the other schedules must not wait for it.
            self._not_before[schedule.name] = time.monotonic() + AGAIN_SECONDS
            connection.execute(_FAILED, (describe(error), schedule.name))
            log.warning("tick_failed", schedule=schedule.name, error=type(error).__name__)
            return 0

    def _tick_held(self, connection: Connection, schedule: Schedule) -> int:
        row = connection.execute(_HOLD, (schedule.name,)).fetchone()
        if row is None:
            return 0
        expression, timezone, missed, grace, max_age, catch_up, since, now = row
        timetable = Timetable(expression, timezone)
        owed = due(timetable, Rules(Missed(missed), grace, max_age, catch_up), since, now)
        ticks = [make(schedule, each.slot, timezone, each.kind, each.before) for each in owed]
        events = write(connection, self._publisher, ticks, now)
        connection.execute(_ON, (timetable.next(now), schedule.name))
        for tick in ticks:
            log.info(
                "ticked",
                schedule=tick.schedule,
                slot=tick.slot.isoformat(),
                kind=tick.kind,
                event_id=tick.event_id,
            )
        return len(events)
