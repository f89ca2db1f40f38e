"""What follows a cancelled run: the worker that performs it hears of it, its children are cancelled too. And what cancels one:
events of its actor's `cancel_on` that the recorder has heard.
"""

from collections import defaultdict
from collections.abc import Callable
from uuid import UUID

from psycopg import Connection

from broker.cancel import PAGE, cancel
from broker.topology import Topology

_WORK = (
    "select exists (select from cancellation), exists (select from cancel_watch where heard_at is not null)"
)

# The first look notes what is under way. Whoever has claimed a child without seeing that its parent is cancelled began earlier:
# once all of those are over, their children can be seen.
_SEEN = "update cancellation set horizon = pg_snapshot_xmax(pg_current_snapshot()) where horizon is null"
# `run_parent` serves both. A parent that runs again has children of its own.
_CHILDREN = """
select c.id, k.by, p.id from cancellation k join run p on p.id = k.run_id and p.status = 'cancelled'
     join run c on c.parent_id = p.id and c.finished_at is null
order by c.id limit %s"""
_DONE = """
delete from cancellation k
where k.horizon <= pg_snapshot_xmin(pg_current_snapshot())
  and (k.worker is null or k.at < clock_timestamp() - interval '60 s')
  and not exists (select from run p join run c on c.parent_id = p.id and c.finished_at is null
                  where p.id = k.run_id and p.status = 'cancelled')"""

_HEARD = """
select run_id, min(what) from (
    select run_id, what from cancel_watch where heard_at is not null order by heard_at, run_id limit %s) w
group by run_id order by run_id"""
_FORGET = "delete from cancel_watch where run_id = any(%s) and heard_at is not null"

# `cancellation_worker` serves both.
_MINE = "select run_id, fence, at < clock_timestamp() - interval '5 s' from cancellation where worker = %s"
_TOLD = "update cancellation set worker = null where worker = %s and run_id = any(%s)"


class Hearing:
    """Each keeper's look at what was cancelled of its process's runs. `tell` stops the body of (run, fence); False if it is not
    there: not handed over yet, or over."""

    def __init__(self, worker: UUID, tell: Callable[[UUID, int], bool]) -> None:
        self._worker = worker
        self._tell = tell

    def sweep(self, connection: Connection) -> int:
        """Returns how many bodies were stopped. Raises psycopg errors."""
        rows = connection.execute(_MINE, (self._worker,)).fetchall()
        stopped = [id for id, fence, _ in rows if self._tell(id, fence)]
        late = [id for id, _, is_late in rows if is_late]
        if stopped or late:
            connection.execute(_TOLD, (self._worker, [*stopped, *late]))
        return len(stopped)


class CancelSweep:
    """The leader's look."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology

    def sweep(self, connection: Connection) -> int:
        """Returns how many runs were to be cancelled. A commit a page; raises psycopg errors."""
        spreading, heard = connection.execute(_WORK).fetchone() or (False, False)
        found = cancel_heard(connection, self._topology) if heard else 0
        return found + (spread(connection, self._topology) if spreading or found else 0)


def spread(connection: Connection, topology: Topology) -> int:
    """Cancel a page of the live children of cancelled runs; returns how many were found. Call it until it finds none."""
    connection.execute(_SEEN)
    families: defaultdict[tuple[str, UUID], list[UUID]] = defaultdict(list)
    for id, by, parent in connection.execute(_CHILDREN, (PAGE,)).fetchall():
        families[by, parent].append(id)
    for (by, parent), ids in families.items():
        cancel(connection, topology, ids, by, f"with its parent {parent}", audited=False)
    if not families:
        connection.execute(_DONE)
    return sum(map(len, families.values()))


def cancel_heard(connection: Connection, topology: Topology) -> int:
    """Cancel runs whose `cancel_on` event has come; returns how many were found."""
    by_type: defaultdict[str, list[UUID]] = defaultdict(list)
    for id, what in connection.execute(_HEARD, (PAGE,)).fetchall():
        by_type[what].append(id)
    for what, ids in by_type.items():
        cancel(connection, topology, ids, what, audited=False)
        connection.execute(_FORGET, (ids,))
    return sum(map(len, by_type.values()))
