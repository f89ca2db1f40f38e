"""Bringing the declared schedules into the table at boot: new ones, changed ones, and those that are gone."""

from collections.abc import Sequence
from datetime import datetime

import structlog
from psycopg import Connection

from broker.database import Database
from broker.schedules.schedule import Schedule
from broker.schedules.timetable import Timetable

log = structlog.get_logger(__name__)

# Boots come one after the other. Weaker modes let a tick hold a row and then wait for us, who wait for the row.
_LOCK = "lock table schedule in exclusive mode"
_NOW = "select clock()"
_KNOWN = """
select coalesce(edited_expression, expression), coalesce(edited_timezone, timezone),
       coalesce(edited_expression, %(expression)s), coalesce(edited_timezone, %(timezone)s), next_at
from schedule where name = %(name)s and retired_at is null"""
_DECLARE = """
insert into schedule as s (name, app, event_type, expression, timezone, missed, grace, max_age, catch_up, declared_at, next_at)
values (%(name)s, %(app)s, %(event_type)s, %(expression)s, %(timezone)s, %(missed)s, %(grace)s, %(max_age)s, %(catch_up)s,
        clock(), %(next_at)s)
on conflict (name) do update
set app = excluded.app, event_type = excluded.event_type, expression = excluded.expression, timezone = excluded.timezone,
    missed = excluded.missed, grace = excluded.grace, max_age = excluded.max_age, catch_up = excluded.catch_up,
    next_at = excluded.next_at, retired_at = null,
    declared_at = case when s.retired_at is null
        and (s.expression, s.timezone, s.missed) = (excluded.expression, excluded.timezone, excluded.missed)
        then s.declared_at else excluded.declared_at end"""
_RETIRE = """
update schedule set retired_at = clock()
where app = any(%s) and name <> all(%s) and retired_at is null
returning name"""


def register(database: Database, schedules: Sequence[Schedule], apps: Sequence[str]) -> None:
    """Make the table say what the code says; what was edited stays edited. May be repeated; commits. Raises psycopg errors.

    A schedule that is as it was keeps its next slot, so that what fell due while nobody ran is found. A new or changed one
    begins now. One that its app no longer declares is retired; apps that are not loaded here keep theirs.
    """
    with database.once("schedules") as connection, connection.transaction():
        connection.execute(_LOCK)
        now = _moment(connection)
        for schedule in schedules:
            facts = _facts(schedule)
            connection.execute(_DECLARE, {**facts, "next_at": _next(connection, facts, now)})
        names = [schedule.name for schedule in schedules]
        for (name,) in connection.execute(_RETIRE, (list(apps), names)).fetchall():
            log.warning("schedule_retired", schedule=name)


def _next(connection: Connection, facts: dict[str, object], now: datetime) -> datetime:
    row = connection.execute(_KNOWN, facts).fetchone()
    if row is None:
        return Timetable(str(facts["expression"]), str(facts["timezone"])).next(now)
    *before, expression, timezone, next_at = row
    moment: datetime = next_at
    return moment if before == [expression, timezone] else Timetable(expression, timezone).next(now)


def _facts(schedule: Schedule) -> dict[str, object]:
    return {
        "name": schedule.name,
        "app": schedule.app,
        "event_type": schedule.kind.event_type,
        "expression": schedule.expression,
        "timezone": schedule.timezone,
        "missed": schedule.missed.value,
        "grace": schedule.grace,
        "max_age": schedule.max_age,
        "catch_up": schedule.catch_up,
    }


def _moment(connection: Connection) -> datetime:
    row = connection.execute(_NOW).fetchone()
    assert row is not None  # a select without from has one row
    moment: datetime = row[0]
    return moment
