"""Pausing: no run of an actor, or of a pipeline, enters its body until a person resumes it. Events keep coming and wait as rows.

    pause ─ every worker hears of it within a look of its keeper ─ its door lets runs wait (middleware/pause.py)
    resume ─ the leader wakes those that wait, in the order in which they came, in pages

Bodies that run are not stopped: they go on to their end, or to their next wait.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row

from broker.audit import note
from broker.errors import NotFoundError

Kind = Literal["actor", "pipeline"]

PAGE = 500
"""Runs a commit: as many as the timers send at one look."""

_PAUSE = """
insert into pause (kind, name, by, at, reason) values (%s, %s, %s, clock(), %s)
on conflict (kind, name) do update
set by = excluded.by, at = excluded.at, reason = excluded.reason, lifted_at = null where pause.lifted_at is not null
returning name"""
# Waits for those who let a run wait right now: what they write is seen by whoever wakes them.
_LIFT = (
    "update pause set lifted_at = clock() where kind = %s and name = %s and lifted_at is null returning name"
)

_LINE = """
select p.kind, p.name, p.by, p.at, p.reason, clock() - p.at as lasts,
       (select count(*) from pause_run r where r.kind = p.kind and r.name = p.name) as waiting
from pause p where p.lifted_at is null"""
_ALL = f"{_LINE} order by p.at, p.kind, p.name"
_OF_RUN = f"{_LINE} and (p.kind, p.name) = (select w.kind, w.name from pause_run w where w.run_id = %s)"  # noqa: S608

_LIFTED = "select kind, name from pause where lifted_at is not null order by kind, name"
# A run that somebody writes at this moment is for the next look. Due one after the other, so that they are sent in their order.
_WAKE = """
with line as (select run_id, position from pause_run where kind = %(kind)s and name = %(name)s order by position limit %(page)s),
     held as (select r.id from run r where r.id in (select run_id from line) order by r.id for no key update skip locked),
     woken as (update run r set due_at = clock() + interval '1 microsecond' * (l.position - (select min(position) from line))
               from held h join line l on l.run_id = h.id
               where r.id = h.id and r.status = 'waiting' and r.reason = 'paused' returning r.id),
     gone as (select l.run_id from line l where not exists (select from run r where r.id = l.run_id)),
     over as (delete from pause_run p where p.run_id in (select id from held union all select run_id from gone))
select (select count(*) from woken), (select count(*) from line)"""
_FORGET = """
delete from pause p where p.kind = %s and p.name = %s and p.lifted_at is not null
  and not exists (select from pause_run r where r.kind = p.kind and r.name = p.name)"""


@dataclass(frozen=True, slots=True)
class Paused:
    """Something that is paused. `waiting` are the runs that wait for it to be resumed."""

    kind: Kind
    name: str
    by: str
    at: datetime
    reason: str | None
    lasts: timedelta
    waiting: int

    def told(self, ago: str) -> str:
        """`actor pages.scan was paused 3 min ago by ada: the site is down`"""
        why = f": {self.reason}" if self.reason else ""
        return f"{self.kind} {self.name} was paused {ago} ago by {self.by}{why}"


def pause(connection: Connection, kind: Kind, name: str, by: str, reason: str | None = None) -> bool:
    """False if it is paused already, which stays as it was. One commit; every worker keeps to it within a second."""
    with connection.transaction(), connection.cursor() as cursor:
        if cursor.execute(_PAUSE, (kind, name, by, reason)).fetchone() is None:
            return False
        note(cursor, by, "pause", f"{kind} {name}", {"reason": reason} if reason else None)
    return True


def resume(connection: Connection, kind: Kind, name: str, by: str) -> Paused:
    """What it was; those that wait are woken by the leader, first come first. One commit.

    Raises NotFoundError if it is not paused.
    """
    with connection.transaction(), connection.cursor() as cursor:
        was = next((found for found in paused(connection) if (found.kind, found.name) == (kind, name)), None)
        if was is None or cursor.execute(_LIFT, (kind, name)).fetchone() is None:
            raise NotFoundError(f"{kind} {name} is not paused: `callboard pause` lists what is")
        note(cursor, by, "resume", f"{kind} {name}", None)
    return was


def paused(connection: Connection) -> list[Paused]:
    """What is paused, the oldest first."""
    with connection.cursor(row_factory=class_row(Paused)) as cursor:
        return cursor.execute(_ALL.encode()).fetchall()


def pause_of(connection: Connection, run_id: UUID) -> Paused | None:
    """What a run waits for to be resumed; None for one that waits for no person."""
    with connection.cursor(row_factory=class_row(Paused)) as cursor:
        return cursor.execute(_OF_RUN.encode(), (run_id,)).fetchone()


class PauseSweep:
    """The leader's look: it wakes what waited for a pause that was lifted."""

    def sweep(self, connection: Connection) -> int:
        """Returns how many runs it woke. A commit a page; raises psycopg errors."""
        woken = 0
        for kind, name in connection.execute(_LIFTED).fetchall():
            row = connection.execute(_WAKE.encode(), {"kind": kind, "name": name, "page": PAGE}).fetchone()
            found, left = row or (0, 0)
            woken += found
            if not left:
                connection.execute(_FORGET, (kind, name))
        return woken
