"""Slots: who may run of a key, and who is next. Every change is made while the key's row is locked, keys in their order.

waiting ── granted ── running
   └ first in line, when one is free: its wake-up leaves with the commit that frees it
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg import Connection, Cursor

from broker.codec import encode_wake
from broker.journal.intents import Outgoing
from broker.journal.records import columns
from broker.outbox import store
from schemas import uuid7

# Rows are locked even where nothing is updated.
_LOCK = """
insert into limit_concurrency as held (scope, key, cap)
select k.scope, k.key, max(k.cap) from (
    select * from unnest(%s::text[], %s::text[], %s::int[]) as asked (scope, key, cap)
    union all select scope, key, null from limit_slot where run_id = any(%s)) k
group by k.scope, k.key order by k.scope, k.key
on conflict (scope, key) do update set cap = excluded.cap
where excluded.cap is not null and held.cap is distinct from excluded.cap"""

_LEAVE = """
delete from limit_slot where run_id = any(%s) and not (ordered and run_id = any(%s)) returning scope, key"""

_ENTER = """
insert into limit_slot as held (run_id, scope, key, priority, state, ordered, queue, wake, since)
select e.run_id, e.scope, e.key, e.priority, 'waiting', e.ordered, e.queue, e.wake, clock()
from unnest(%s::uuid[], %s::text[], %s::text[], %s::int[], %s::bool[], %s::text[], %s::uuid[])
     with ordinality as e (run_id, scope, key, priority, ordered, queue, wake, place)
order by e.place
on conflict (run_id) do update
set state = case when held.state = 'waiting' then 'waiting' else 'running' end, queue = excluded.queue, wake = excluded.wake,
    priority = excluded.priority
returning run_id, state"""

# `limit_slot_held` counts, `limit_slot_waiting` has the next ones first.
_GRANT = """
with room as (
    select k.scope, k.key, c.cap - (select count(*) from limit_slot s
                                    where s.scope = k.scope and s.key = k.key and s.state <> 'waiting') as free
    from unnest(%(scopes)s::text[], %(keys)s::text[]) as k (scope, key)
         join limit_concurrency c on c.scope = k.scope and c.key = k.key),
next as (
    select s.run_id from room cross join lateral (
        select w.run_id from limit_slot w where w.scope = room.scope and w.key = room.key and w.state = 'waiting'
        order by w.priority desc, w.position limit greatest(room.free, 0)) s)
update limit_slot s
set state = case when s.run_id = any(%(here)s) then 'running' else 'granted' end, since = clock()
from next where s.run_id = next.run_id
returning s.run_id, s.wake, s.queue"""

# Each key once, by hops over the index.
_WAITING_KEYS = """
with recursive hop as (
    (select scope, key from limit_slot where state = 'waiting' order by scope, key limit 1)
    union all
    select n.scope, n.key from hop cross join lateral (
        select scope, key from limit_slot
        where state = 'waiting' and (scope, key) > (hop.scope, hop.key) order by scope, key limit 1) n)
select h.scope, h.key from hop h join limit_concurrency c on c.scope = h.scope and c.key = h.key
where (select count(*) from limit_slot s where s.scope = h.scope and s.key = h.key and s.state <> 'waiting') < c.cap"""
_LEFT_BEHIND = """
select s.run_id from limit_slot s left join run r on r.id = s.run_id
where s.state <> 'waiting' and (r.id is null or r.finished_at is not null) limit 500"""
_UNANSWERED = """
update limit_slot set since = clock() where state = 'granted' and since < clock() - interval '60 s'
returning run_id, wake, queue"""


EVERY_SECONDS = 1.0
"""Between two sweeps. What they find is rare: a commit that frees a slot gives it to the next itself."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A run that wants a slot. `wake` resumes it from `queue` once it has one."""

    run_id: UUID
    scope: str
    key: str
    cap: int
    ordered: bool
    priority: int
    queue: str
    wake: UUID


class Slots:
    """The slots as one transaction sees and changes them. `leaving` are the wake-ups of runs that got one; they must leave with
    the commit."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self.leaving: list[Outgoing] = []

    def lock(self, entries: Sequence[Entry], run_ids: Sequence[UUID] = ()) -> None:
        """Lock the keys of these entries, and of the slots that these runs have. Call it first, and once."""
        wanted = [(entry.scope, entry.key, entry.cap) for entry in entries]
        self._cursor.execute(_LOCK, [*(columns(wanted) or ([], [], [])), list(run_ids)])

    def enter(self, entries: Sequence[Entry]) -> set[UUID]:
        """Let them in as far as there is room, behind those that wait already; returns who has a slot now."""
        if not entries:
            return set()
        rows = [(e.run_id, e.scope, e.key, e.priority, e.ordered, e.queue, e.wake) for e in entries]
        entered = self._cursor.execute(_ENTER, columns(rows)).fetchall()
        running = {run_id for run_id, state in entered if state == "running"}
        return running | self._grant(
            {(entry.scope, entry.key) for entry in entries}, {entry.run_id for entry in entries} - running
        )

    def leave(self, run_ids: Sequence[UUID], retrying: Sequence[UUID] = ()) -> None:
        """Free their slots and give them to the next. A run that retries keeps its place in an ordered key."""
        if run_ids:
            freed = self._cursor.execute(_LEAVE, (list(run_ids), list(retrying))).fetchall()
            self._grant({(scope, key) for scope, key in freed}, set())

    def sweep(self) -> None:
        """Find what no commit has: slots of runs that are gone, room of a limit that was raised, wake-ups that were lost."""
        gone = [run_id for (run_id,) in self._cursor.execute(_LEFT_BEHIND).fetchall()]
        if gone:
            self.lock((), gone)
            self.leave(gone)
        free = self._cursor.execute(_WAITING_KEYS).fetchall()
        if free:
            self._cursor.execute(_LOCK, [*columns([(scope, key, None) for scope, key in free]), []])
            self._grant({(scope, key) for scope, key in free}, set())
        self._wake(self._cursor.execute(_UNANSWERED).fetchall())

    def _grant(self, keys: Iterable[tuple[str, str]], here: set[UUID]) -> set[UUID]:
        """Give free slots to the next in line; those that are `here` start with this commit, the others are woken."""
        if not keys:
            return set()
        scopes, names = columns(sorted(keys))
        facts = {"scopes": scopes, "keys": names, "here": list(here)}
        granted = self._cursor.execute(_GRANT, facts).fetchall()
        self._wake([row for row in granted if row[0] not in here])
        return {row[0] for row in granted} & here

    def _wake(self, granted: Iterable[tuple[UUID, UUID, str]]) -> None:
        self.leaving += [
            Outgoing(uuid7(), encode_wake(queue, run_id, wake)) for run_id, wake, queue in granted
        ]


class SlotSweep:
    """The leader's look at the slots."""

    def __init__(self) -> None:
        self._next = 0.0

    def sweep(self, connection: Connection) -> int:
        """One commit; returns how many runs were woken. Raises psycopg errors."""
        if time.monotonic() < self._next:
            return 0
        self._next = time.monotonic() + EVERY_SECONDS
        with connection.transaction():
            slots = Slots(connection.cursor())
            slots.sweep()
            if slots.leaving:
                store(connection.cursor(), slots.leaving, None)
        return len(slots.leaving)
