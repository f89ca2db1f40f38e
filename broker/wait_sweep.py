"""The leader's look at waits for what no commit has told: children that ended outside the journal or never became a run, and
waits of runs that are over.
"""

import time
from uuid import UUID

from psycopg import Connection

from broker.journal.meeting import Told
from broker.journal.waits import Waits
from broker.outbox import store
from broker.topology import Topology

EVERY_SECONDS = 1.0
PAGE = 1000
"""Waits a look, in the order of their keys and around again: so many waiting runs cost no more than few."""

_PAGE = """
select run_id, name, occurrence, place from wait
where state <> 'settled' and (run_id, name, occurrence, place) > (%s, %s, %s, %s)
order by run_id, name, occurrence, place limit %s"""
# A child's event may have been parked before it was a run: then its letter is all there is.
_ENDED = """
select w.run_id, w.name, w.occurrence, w.place, w.needs_all,
       case when r.status = 'completed' then jsonb_build_object('result', r.result, 'run', r.id)
            else jsonb_build_object('failed', coalesce(d.reason, case when r.status <> 'cancelled' then r.reason end, r.status),
                                    'error', coalesce(d.error, case when r.status = 'cancelled' then r.reason end),
                                    'letter', d.id, 'run', r.id)
       end::text
from unnest(%s::uuid[], %s::text[], %s::int[], %s::int[]) as k (run_id, name, occurrence, place)
     join wait w on w.run_id = k.run_id and w.name = k.name and w.occurrence = k.occurrence and w.place = k.place
     left join lateral (select r.id, r.status, r.reason, r.result, r.finished_at from run r
                        where r.event_id = w.match_key and r.actor = w.what limit 1) r on true
     left join lateral (select d.id, d.reason, d.error from dead_letter d
                        where d.event_id = w.match_key and (d.run_id = r.id or (r.id is null and d.run_id is null))
                          and d.settled_at is null
                        order by d.created_at desc limit 1) d on r.status = 'failed' or r.id is null
where w.kind = 'child' and w.state = 'open' and (r.finished_at is not null or (r.id is null and d.id is not null))"""
_FORSAKEN = """
delete from wait w using unnest(%s::uuid[]) as k (run_id)
where w.run_id = k.run_id and exists (select from run r where r.id = k.run_id and r.finished_at is not null)"""

_FIRST = (UUID(int=0), "", 0, -1)


class WaitSweep:
    """One page a look."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._next = 0.0
        self._after: tuple[UUID, str, int, int] = _FIRST

    def sweep(self, connection: Connection) -> int:
        """One commit; returns how many members were settled. Raises psycopg errors."""
        if time.monotonic() < self._next:
            return 0
        self._next = time.monotonic() + EVERY_SECONDS
        page = connection.execute(_PAGE, (*self._after, PAGE)).fetchall()
        self._after = page[-1] if len(page) == PAGE else _FIRST
        if not page:
            return 0
        keys = [list(column) for column in zip(*page, strict=True)]
        with connection.transaction():
            rows = connection.execute(_ENDED, keys).fetchall()
            told = [Told((row[0], row[1], row[2]), row[3], row[4], row[5]) for row in rows]
            waits = Waits(connection, self._topology)
            if told:
                waits.settle(told)
            if waits.leaving:
                store(connection.cursor(), waits.leaving, None)
        connection.execute(_FORSAKEN, (sorted(set(keys[0])),))
        return len(told)
