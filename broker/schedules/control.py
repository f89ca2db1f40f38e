"""Schedules in operation: look, pause, resume, edit, trigger. Each verb commits, and may be repeated."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from psycopg import Connection
from psycopg.rows import class_row

from broker.errors import ConfigurationError, NotFoundError
from broker.publisher import Publisher
from broker.schedules.schedule import Missed, Schedule
from broker.schedules.ticks import make, write
from broker.schedules.timetable import Timetable
from broker.telling import describe
from broker.wiring import nearest

_COLUMNS = """
name, app, event_type, expression, timezone, missed, grace, max_age, catch_up, edited_expression, edited_timezone, edited_missed,
edited_at, declared_at, next_at, paused_at, retired_at, error, error_at, clock() as now"""
_ALL = f"select {_COLUMNS} from schedule order by retired_at is not null, name"  # noqa: S608  our own columns
_ONE = f"select {_COLUMNS} from schedule where name = %s for update"  # noqa: S608
_NAMES = "select name from schedule"
_TICKS = "select slot, kind, event_id, missed, at from schedule_tick where schedule = %s order by slot desc limit %s"
_PAUSE = "update schedule set paused_at = coalesce(paused_at, clock()) where name = %s"
_RESUME = "update schedule set paused_at = null, next_at = %s where name = %s and paused_at is not null"
_EDIT = """
update schedule
set edited_expression = nullif(%s, expression), edited_timezone = nullif(%s, timezone), edited_missed = nullif(%s, missed),
    edited_at = clock(), next_at = %s
where name = %s"""
_RESET = """
update schedule
set edited_expression = null, edited_timezone = null, edited_missed = null, edited_at = null, next_at = %s
where name = %s"""


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """A schedule as the table has it. `now` is the database's time when it was read."""

    name: str
    app: str
    event_type: str
    expression: str
    timezone: str
    missed: str
    grace: timedelta
    max_age: timedelta | None
    catch_up: int
    edited_expression: str | None
    edited_timezone: str | None
    edited_missed: str | None
    edited_at: datetime | None
    declared_at: datetime
    next_at: datetime
    paused_at: datetime | None
    retired_at: datetime | None
    error: str | None
    error_at: datetime | None
    now: datetime

    @property
    def edited(self) -> bool:
        """Whether anything differs from what the code says."""
        return any((self.edited_expression, self.edited_timezone, self.edited_missed))

    @property
    def runs(self) -> bool:
        """Neither paused nor retired."""
        return self.paused_at is None and self.retired_at is None

    @property
    def timetable(self) -> Timetable:
        """What is in effect."""
        return Timetable(self.edited_expression or self.expression, self.edited_timezone or self.timezone)

    @property
    def policy(self) -> Missed:
        """What is in effect for missed ticks."""
        return Missed(self.edited_missed or self.missed)

    def coming(self, count: int) -> list[datetime]:
        """The next moments in UTC; none of a schedule that does not run."""
        return list(islice(self.timetable.after(self.now), count)) if self.runs else []


@dataclass(frozen=True, slots=True)
class TickRow:
    """A decided slot. `missed` earlier ones were let go with it; `event_id` is None if it was skipped."""

    slot: datetime
    kind: str
    event_id: str | None
    missed: int
    at: datetime


def all_schedules(connection: Connection) -> list[ScheduleRow]:
    """By name, retired ones last."""
    with connection.cursor(row_factory=class_row(ScheduleRow)) as cursor:
        return cursor.execute(_ALL).fetchall()


def get_schedule(connection: Connection, name: str) -> ScheduleRow:
    """Raises NotFoundError with the nearest name."""
    with connection.cursor(row_factory=class_row(ScheduleRow)) as cursor:
        found = cursor.execute(_ONE, (name,)).fetchone()
    if found is None:
        names = [each for (each,) in connection.execute(_NAMES).fetchall()]
        raise NotFoundError(
            f"no schedule is named {name!r}{nearest(name, names)}; a declared one is here once a worker has started with it"
        )
    return found


def ticks(connection: Connection, name: str, limit: int) -> Sequence[TickRow]:
    """Latest first."""
    with connection.cursor(row_factory=class_row(TickRow)) as cursor:
        return cursor.execute(_TICKS, (name, limit)).fetchall()


def pause(connection: Connection, name: str) -> ScheduleRow:
    """No ticks until it is resumed. Raises NotFoundError, ConfigurationError if it is retired."""
    with connection.transaction():
        _living(connection, name)
        connection.execute(_PAUSE, (name,))
        return get_schedule(connection, name)


def resume(connection: Connection, name: str) -> ScheduleRow:
    """Go on with the next moment; what fell due meanwhile is not made up for. Raises as `pause`."""
    with connection.transaction():
        found = _living(connection, name)
        connection.execute(_RESUME, (found.timetable.next(found.now), name))
        return get_schedule(connection, name)


def edit(
    connection: Connection,
    name: str,
    *,
    expression: str | None = None,
    timezone: str | None = None,
    missed: Missed | None = None,
) -> ScheduleRow:
    """Override what the code says, from now on and over deploys, until `reset`. Raises as `pause`, and ConfigurationError for
    an expression or zone that cannot be."""
    with connection.transaction():
        found = _living(connection, name)
        before = found.timetable
        after = Timetable(expression or before.expression, timezone or before.timezone)
        next_at = found.next_at if after == before else after.next(found.now)
        policy = missed or found.policy
        connection.execute(_EDIT, (after.expression, after.timezone, policy.value, next_at, name))
        return get_schedule(connection, name)


def reset(connection: Connection, name: str) -> ScheduleRow:
    """Back to what the code says. Raises as `pause`."""
    with connection.transaction():
        found = _living(connection, name)
        declared = Timetable(found.expression, found.timezone)
        next_at = found.next_at if declared == found.timetable else declared.next(found.now)
        connection.execute(_RESET, (next_at, name))
        return get_schedule(connection, name)


def trigger(connection: Connection, publisher: Publisher, schedule: Schedule) -> str:
    """A tick now, paused or not; returns the id of its event, which leaves with this commit. The coming ticks stay as they are.

    Raises as `pause`, and ConfigurationError where the author's function raises.
    """
    with connection.transaction():
        found = _living(connection, schedule.name)
        try:
            made = make(schedule, found.now, found.timetable.timezone, "triggered")
        except Exception as error:
            raise ConfigurationError(
                f"schedule {schedule.name}: its event could not be made: {describe(error)}"
            ) from error
        [id] = write(connection, publisher, [made], found.now)
        return id


def _living(connection: Connection, name: str) -> ScheduleRow:
    """Locked until the commit."""
    found = get_schedule(connection, name)
    if found.retired_at is not None:
        raise ConfigurationError(
            f"schedule {name} is retired: the code that declared it is gone; declare it again and start a worker"
        )
    return found
