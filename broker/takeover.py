"""Giving a dead worker's runs to others: at once after kill -9, and only then.

Dead is a worker whose session lock is free at two looks and whose last heartbeat is later than the server's start, or whose
heartbeat (or the server's start, if later) is older than the lease: stopped, cut off, or gone while PostgreSQL was down.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

import structlog
from psycopg import Connection
from psycopg.rows import TupleRow

from broker.journal.claimed import ClaimedRun
from broker.journal.intents import End, Record
from broker.journal.records import write_records
from broker.journal.resumes import read_runs
from broker.journal.turns import run_alone
from broker.outbox import store
from broker.seldom import Seldom
from broker.transports.postgres import RELEASE_HELD

log = structlog.get_logger(__name__)

_LOOK = """
select w.id, w.name, w.lock_key, w.heartbeat_at > pg_postmaster_start_time(),
       greatest(w.heartbeat_at, pg_postmaster_start_time()) < clock_timestamp() - %s::interval
from worker w where w.id <> %s"""

# A session of a role that is not ours is refused with an error: it would end the sweep, and with it every timer.
_MAY_END = (
    "(pg_has_role(a.usesysid, 'usage') or (pg_has_role('pg_signal_backend', 'usage') and not r.rolsuper))"
)

# A leader that is stopped or cut off keeps its lock as long as its session: the others end that session.
_DEPOSE = f"""
select case when {_MAY_END} then pg_terminate_backend(a.pid) end
from pg_locks l join pg_stat_activity a on a.pid = l.pid join pg_roles r on r.oid = a.usesysid
     join worker w on a.application_name = %(label)s || ' keeper ' || w.name
where l.locktype = 'advisory' and l.granted and l.objsubid = 1 and a.datname = current_database()
  and l.classid = (%(key)s::bigint >> 32)::int::oid and l.objid = (%(key)s::bigint & 4294967295)::oid
  and greatest(w.heartbeat_at, pg_postmaster_start_time()) < clock_timestamp() - %(lease)s::interval"""  # noqa: S608  constants
_FREE = "select pg_try_advisory_lock(%s)"
_UNLOCK = "select pg_advisory_unlock(%s)"

# Lock order: worker, run by id, outbox, delivery.
_HOLD_WORKER = "select live, name from worker where id = %s for update"
_RUNS = """
with mine as (select id from run where id = any(%s) and worker = %s and status = 'running' order by id for update)
update run r
set status = 'queued', reason = 'its worker died', fence = r.fence + 1, crashes = r.crashes + 1, worker = null,
    wake = gen_random_uuid(), due_at = clock(), sends = 0
from mine where r.id = mine.id
returning r.id, r.crashes"""
# Wake-ups that the dead one's sweep took in the last moments and may not have sent; `run_due` bounds the scan.
_WAKES = """
update run set due_at = clock(), sends = 0
where due_at > clock() and due_at < clock() + interval '601 s' and swept_by = %s and wake is not null"""
_OUTBOX = "update outbox set send_at = clock(), held_by = null where held_by = %s"
_GONE = "delete from worker where id = %s"
# For a moment they are this leader's, so that their end is recorded like any other.
_HOLD_SPENT = "update run set status = 'running', wake = null, due_at = null where id = any(%s)"
# Only sessions of this database and namespace: others may have a worker of the same name.
_TERMINATE = f"""
select case when {_MAY_END} then pg_terminate_backend(a.pid) end
from pg_stat_activity a join pg_roles r on r.oid = a.usesysid
where a.datname = current_database() and starts_with(a.application_name, %(label)s || ' ')
  and right(a.application_name, length(%(name)s) + 1) = ' ' || %(name)s and a.pid <> pg_backend_pid()"""  # noqa: S608  constants


class Takeover:
    """The leader's look at the others. One look each sweep; a free lock must be seen twice. `label` begins the names of the
    sessions that are this namespace's."""

    def __init__(
        self, me: UUID, label: str, *, lease: timedelta, crash_limit: int, bury: Callable[[ClaimedRun], End]
    ) -> None:
        self._me = me
        self._label = label
        self._lease = lease
        self._crash_limit = crash_limit
        self._bury = bury
        self._suspects: set[UUID] = set()
        self._said = Seldom()

    def sweep(self, connection: Connection) -> int:
        """Take over every worker found dead; returns how many runs were freed. Raises psycopg errors."""
        freed, suspects = 0, set[UUID]()
        for id, name, lock_key, beaten, expired in connection.execute(
            _LOOK, (self._lease, self._me)
        ).fetchall():
            free = beaten and self._lock_is_free(connection, lock_key)
            if expired or (free and id in self._suspects):
                if expired:
                    # First, or its half-done transactions keep the row locks that the takeover needs.
                    ended = connection.execute(_TERMINATE, {"label": self._label, "name": name}).fetchall()
                    self._tell_kept(name, ended)
                freed += self._take(connection, id, "lease" if expired else "lock")
            elif free:
                suspects.add(id)
        self._suspects = suspects
        return freed

    @property
    def suspects(self) -> bool:
        """Whether a lock was found free once: the second look should come soon."""
        return bool(self._suspects)

    def recover(self, connection: Connection) -> int:
        """After a lost session of our own: what our sweep had taken with it may never have left. Returns how many rows."""
        wakes = connection.execute(_WAKES, (self._me,)).rowcount
        return wakes + connection.execute(_OUTBOX, (self._me,)).rowcount

    def depose(self, connection: Connection, leader_lock: int) -> bool:
        """End the session of a leader whose heartbeat is older than the lease; True if there was one. Raises psycopg errors."""
        facts = {"label": self._label, "key": leader_lock, "lease": self._lease}
        deposed = connection.execute(_DEPOSE, facts).fetchall()
        if deposed and self._tell_kept("leader", deposed):
            return False
        if deposed:
            log.warning("leader_deposed")
        return bool(deposed)

    def _tell_kept(self, name: str, ended: Sequence[TupleRow]) -> bool:
        """Whether some could not be ended: they are of another role, and keep their locks until they end by themselves."""
        kept = sum(done is None for (done,) in ended)
        if kept and self._said.due(name):
            log.error(
                "sessions_of_another_role", worker=name, sessions=kept, fix="let all workers use one login"
            )
        return bool(kept)

    def _lock_is_free(self, connection: Connection, lock_key: int) -> bool:
        if not _one(connection.execute(_FREE, (lock_key,)).fetchone()):
            return False
        connection.execute(_UNLOCK, (lock_key,))
        return True

    def _take(self, connection: Connection, worker: UUID, reason: str) -> int:
        """Fence its runs off and make them due, in one commit."""
        with connection.transaction():
            row = connection.execute(_HOLD_WORKER, (worker,)).fetchone()
            if row is None:
                return 0
            live, name = row
            runs = connection.execute(_RUNS, (live, worker)).fetchall()
            spent = [id for id, crashes in runs if crashes >= self._crash_limit]
            if spent:
                self._bury_all(connection, spent)
            connection.execute(_WAKES, (worker,))
            connection.execute(_OUTBOX, (worker,))
            connection.execute(RELEASE_HELD, {"worker": worker})
            connection.execute(_GONE, (worker,))
        log.warning(
            "worker_taken_over",
            worker=name,
            runs=len(runs),
            dead_letters=len(spent),
            reason=reason,
        )
        return len(runs)

    def _bury_all(self, connection: Connection, spent: list[UUID]) -> None:
        """Dead letters for runs that killed too many workers; their actors' `on_failure` hears of it."""
        connection.execute(_HOLD_SPENT, (spent,))
        records = [Record(run.id, run.fence, end=self._bury(run)) for run in read_runs(connection, spent)]
        run_alone(write_records(connection, records))
        outgoing = [out for record in records if record.end is not None for out in record.end.outgoing]
        if outgoing:
            store(connection.cursor(), outgoing, None)


def _one(row: TupleRow | None) -> bool:
    return bool(row and row[0])
