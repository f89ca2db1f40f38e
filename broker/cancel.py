"""Cancelling: a run that is not over ends at once as `cancelled`, whoever performs it.

    live ── cancelled     fence + 1, slots to the next, the parent told, in one commit
              ├ its worker hears of it within a look of its keeper, and stops the body (cancel_sweep.py)
              └ its children follow, in pages (cancel_sweep.py)

Cancel and completion update the same row: the first wins, and the other finds it over. What the body still writes is refused by
its fence.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

from psycopg import Connection, Cursor

from broker.audit import note
from broker.history_rows import UNFINISHED
from broker.journal.records import columns
from broker.journal.waits import Waits
from broker.outbox import store
from broker.slots import Slots
from broker.topology import Topology

PAGE = 100
"""Runs a commit: some 20 ms, so that nobody who ends one of them waits for long."""

_HOLD = "select id, status, worker, fence from run where id = any(%s) order by id for no key update"
_HOLD_FREE = f"{_HOLD} skip locked"
_CANCEL = """
update run set status = 'cancelled', reason = %s, fence = fence + 1, finished_at = clock(), wake = null, due_at = null, sends = 0,
               starting = false, reserved_at = null
where id = any(%s)"""
# `run_parent` and the key of `wait` tell whether it has invoked others.
_TO_BE_HEARD = """
insert into cancellation (run_id, worker, fence, by, at)
select k.id, k.worker, k.fence, %s, clock_timestamp()
from unnest(%s::uuid[], %s::uuid[], %s::bigint[]) as k (id, worker, fence)
where k.worker is not null or exists (select from run c where c.parent_id = k.id)
   or exists (select from wait w where w.run_id = k.id and w.kind = 'child')
order by k.id
on conflict (run_id) do update
set worker = excluded.worker, fence = excluded.fence, by = excluded.by, at = excluded.at, horizon = null"""
# A step that somebody settles right now is left to the sweep of waits: nobody waits for a step while he holds a run.
_FORSAKE = """
with free as (
    select run_id, name, occurrence from step where run_id = any(%s) and status = 'waiting'
    order by run_id, name, occurrence for no key update skip locked)
delete from wait w using free where w.run_id = free.run_id and w.name = free.name and w.occurrence = free.occurrence"""
_UNWATCH = """
with free as (select run_id, place from cancel_watch where run_id = any(%s) for update skip locked)
delete from cancel_watch w using free where w.run_id = free.run_id and w.place = free.place"""

_LIVE = """
select id from run r
where finished_at is null and status = any(%(statuses)s)
  and (%(actor)s::text is null or actor = %(actor)s) and (%(event_type)s::text is null or event_type = %(event_type)s)
  and (%(pipeline)s::text is null or pipeline = %(pipeline)s)
  and not exists (select from unnest(%(paths)s::text[], %(values)s::text[]) as k (path, value)
                  where r.event #>> string_to_array(k.path, '.') is distinct from k.value)
order by id"""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which live runs; None means any. `keys` are (field path, text of the value) of their events; all must fit."""

    actor: str | None = None
    event_type: str | None = None
    pipeline: str | None = None
    status: str | None = None
    keys: Sequence[tuple[str, str]] = ()

    @property
    def bounds(self) -> bool:
        """Whether it leaves anything out."""
        return any(asdict(self).values())


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one request. `was` is the status that the run was found in, None for an id that no run has."""

    id: UUID
    was: str | None

    @property
    def cancelled(self) -> bool:
        """Whether this request did it."""
        return self.was in UNFINISHED


def live_runs(connection: Connection, wanted: Selection) -> list[UUID]:
    """Runs that are not over, oldest first. Reads the whole table of runs once."""
    facts = {
        "statuses": [wanted.status] if wanted.status else list(UNFINISHED),
        "actor": wanted.actor,
        "event_type": wanted.event_type,
        "pipeline": wanted.pipeline,
        "paths": [path for path, _ in wanted.keys],
        "values": [value for _, value in wanted.keys],
    }
    return [id for (id,) in connection.execute(_LIVE, facts).fetchall()]


def cancel(
    connection: Connection,
    topology: Topology,
    ids: Sequence[UUID],
    by: str,
    reason: str | None = None,
    *,
    audited: bool = True,
) -> list[Verdict]:
    """Cancel these in one commit; one verdict an id, in their order. May be repeated: what is over is left alone.

    Their children follow with `spread`, which the leader calls too. `audited` says that a person did it. Waits for whoever holds
    one of the runs. Raises psycopg errors; then nothing is cancelled, unless the commit itself went unanswered.
    """
    with connection.transaction(), connection.cursor() as cursor:
        found = {row[0]: row for row in cursor.execute(_HOLD, (list(ids),)).fetchall()}
        live = [row for row in found.values() if row[1] in UNFINISHED]
        if live:
            stopped = _stop(cursor, live, by, _told(by, reason))
            for id in stopped if audited else ():
                note(cursor, by, "cancel", str(id), {"reason": reason} if reason else None)
            _let_go(connection, cursor, topology, stopped)
    return [Verdict(id, found[id][1] if id in found else None) for id in dict.fromkeys(ids)]


def stop_free(cursor: Cursor, ids: Sequence[UUID], by: str) -> list[UUID]:
    """For a policy, inside the claim's transaction: cancel those that nobody holds; returns them. Their slots are the caller's
    to free. A parent hears of it by the sweep."""
    free = cursor.execute(_HOLD_FREE.encode(), (list(ids),)).fetchall()
    live = [row for row in free if row[1] in UNFINISHED]
    return _stop(cursor, live, by, _told(by, None)) if live else []


def unwatch(cursor: Cursor, ids: Sequence[UUID]) -> None:
    """Runs that are over are cancelled by no event any more. A row that the recorder marks right now is left to the sweep."""
    cursor.execute(_UNWATCH, (list(ids),))


def _stop(
    cursor: Cursor, held: Sequence[tuple[UUID, str, UUID | None, int]], by: str, text: str
) -> list[UUID]:
    ids = [id for id, *_ in held]
    cursor.execute(_CANCEL, (text, ids))
    performed = [(id, worker if status == "running" else None, fence) for id, status, worker, fence in held]
    cursor.execute(_TO_BE_HEARD, (by, *columns(performed)))
    cursor.execute(_FORSAKE, (ids,))
    unwatch(cursor, ids)
    return ids


def _let_go(connection: Connection, cursor: Cursor, topology: Topology, ids: Sequence[UUID]) -> None:
    """Tell those who have invoked them, and give their slots to the next."""
    waits = Waits(connection, topology)
    waits.write((), (), ids)
    slots = Slots(cursor)
    slots.lock((), ids)
    slots.leave(ids)
    if leaving := [*waits.leaving, *slots.leaving]:
        store(cursor, leaving, None)


def _told(by: str, reason: str | None) -> str:
    return f"cancelled by {by}: {reason}" if reason else f"cancelled by {by}"
