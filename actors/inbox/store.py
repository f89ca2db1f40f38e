"""What the inbox domain keeps: counts, versions and dirty marks of clients, and which run was the newest of each job.

Statements run with the engine's schema in the search path, where `clock()`, `run` and `attempt` are; our tables are named with
theirs.
Lock order: client, then count.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row

_MARK = """
insert into inbox.client as c (client_id, changed, changed_at) values (%s, 1, clock_timestamp())
on conflict (client_id) do update
set changed = c.changed + 1, changed_at = case when c.changed > c.counted then c.changed_at else clock_timestamp() end
returning changed"""

# Whoever changes messages marks the client in the same commit, or after it: what is counted behind this lock has all of them.
_LOCK = """
insert into inbox.client as c (client_id) values (%s)
on conflict (client_id) do update set client_id = excluded.client_id returning c.changed"""
_COUNT = """
with found as (
    select folder, count(*) as total, count(*) filter (where read_at is null) as unread
    from inbox.message where client_id = %(client_id)s group by folder),
gone as (
    delete from inbox.count c where c.client_id = %(client_id)s and not exists (select from found f where f.folder = c.folder))
insert into inbox.count (client_id, folder, total, unread) select %(client_id)s, folder, total, unread from found
on conflict (client_id, folder) do update set total = excluded.total, unread = excluded.unread"""
_BUMP = "update inbox.client set version = version + 1 where client_id = %s returning version"
_CLEAR = (
    "update inbox.client set counted = greatest(counted, %s) where client_id = %s returning changed > counted"
)

_FORGOTTEN = """
select client_id from inbox.client where changed > counted and changed_at < clock_timestamp() - %s order by changed_at limit %s"""
_AGE = "select clock() - refreshed_at from inbox.aggregate where client_id = %s"
_AGGREGATE = """
insert into inbox.aggregate as a (client_id, version, messages, unread, oldest_at, refreshed_at)
select %(client_id)s, 1, count(*), count(*) filter (where read_at is null), min(received_at), clock()
from inbox.message where client_id = %(client_id)s
on conflict (client_id) do update
set version = a.version + 1, messages = excluded.messages, unread = excluded.unread, oldest_at = excluded.oldest_at,
    refreshed_at = excluded.refreshed_at
returning version"""

_NEWEST = """
insert into inbox.job (client_id, job, run_id) values (%s, %s, %s)
on conflict (client_id, job) do update set run_id = greatest(job.run_id, excluded.run_id)"""
_STATUS = """
select r.status, r.started_at, r.finished_at,
       (extract(epoch from coalesce(r.finished_at, clock()) - r.started_at) * 1000)::bigint as duration_ms, r.attempt,
       (select a.error from attempt a where a.run_id = r.id and a.rerun = r.rerun order by a.attempt desc limit 1) as last_error,
       r.id as run_id
from inbox.job j join run r on r.id = j.run_id where j.client_id = %s and j.job = %s"""

# Counts go with their client.
ERASE = (
    "delete from inbox.message where client_id = %(person)s",
    "delete from inbox.client where client_id = %(person)s",
    "delete from inbox.aggregate where client_id = %(person)s",
    "delete from inbox.job where client_id = %(person)s",
)


@dataclass(frozen=True, slots=True)
class JobStatus:
    """The newest run of a client's job. `attempt` counts from 1, `last_error` is that of its last failed attempt, if any."""

    status: str
    started_at: datetime | None
    finished_at: datetime | None
    duration_ms: int | None
    attempt: int
    last_error: str | None
    run_id: UUID


def mark_dirty(db: Connection, client_id: str) -> int:
    """With whatever has changed, in the same transaction. Returns the number of the change."""
    row = db.execute(_MARK, (client_id,)).fetchone()
    assert row is not None  # it is inserted or updated
    return int(row[0])


def recount(db: Connection, client_id: str) -> int:
    """Count the client's messages; returns the change up to which that is right. May be repeated."""
    row = db.execute(_LOCK, (client_id,)).fetchone()
    assert row is not None  # it was inserted
    db.execute(_COUNT, {"client_id": client_id})
    return int(row[0])


def bump_version(db: Connection, client_id: str) -> int:
    """The new version. Versions only grow; a reader that sees one may read the counts."""
    row = db.execute(_BUMP, (client_id,)).fetchone()
    assert row is not None  # `recount` came before
    return int(row[0])


def clear_dirty(db: Connection, client_id: str, counted: int) -> bool:
    """Whether the client is still dirty: it has changed since it was counted."""
    row = db.execute(_CLEAR, (counted, client_id)).fetchone()
    return row is not None and bool(row[0])


def forgotten(db: Connection, since: timedelta, most: int) -> list[str]:
    """Clients that have been dirty for longer, the oldest first."""
    return [id for (id,) in db.execute(_FORGOTTEN, (since, most)).fetchall()]


def aggregates_age(db: Connection, client_id: str) -> timedelta | None:
    """None for a client that has none."""
    row = db.execute(_AGE, (client_id,)).fetchone()
    return None if row is None else row[0]


def refresh_aggregates(db: Connection, client_id: str) -> int:
    """The new version."""
    row = db.execute(_AGGREGATE, {"client_id": client_id}).fetchone()
    assert row is not None  # an aggregate of nothing is a row, too
    return int(row[0])


def note_newest(db: Connection, client_id: str, job: str, run_id: UUID) -> None:
    """Ids are in the order of time: a late attempt of an older run does not take the place of a newer one."""
    db.execute(_NEWEST, (client_id, job, run_id))


def latest_status(db: Connection, client_id: str, job: str) -> JobStatus | None:
    """One look, from the run itself. None for a job that never ran for this client, or so long ago that its run is gone."""
    with db.cursor(row_factory=class_row(JobStatus)) as cursor:
        return cursor.execute(_STATUS, (client_id, job)).fetchone()
