"""How waits are written and settled within one batch; how those that wait for an event meet it is told in `meeting.py`.

    open ── settled ── (the step is over) ── its outcomes are the step's result, its run is woken
    held ─┘   └ one more of the step's held children leaves with the same commit

Lock order: worker, runs (by id), advisory locks, events, steps that wait (by run, name, occurrence), outbox, delivery, limits. A
settling transaction holds steps and takes no run that is held by another: whoever holds that run looks at its steps afterwards.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from psycopg import Connection, Cursor

from broker.codec import JSON, encode_wake
from broker.journal.intents import Hear, Outgoing, Part, Record, StepRow
from broker.journal.meeting import Key, Told, meet, read_told
from broker.journal.records import columns
from broker.timers import QUARANTINE_AFTER
from broker.topology import Topology
from broker.transports.base import WireMessage
from schemas import uuid7

# A step that is over already (an unanswered commit was repeated) gets no members again.
_OPEN = """
insert into wait (run_id, name, occurrence, place, kind, what, match_key, also, needs_all, due_at, state, message_id, queue, body,
                  headers)
select w.run_id, w.name, w.occurrence, w.place, w.kind, w.what, w.match_key,
       array(select jsonb_array_elements_text(w.also)), w.needs_all, least(w.at, clock() + w.delay),
       case when w.held then 'held' else 'open' end, w.message_id, w.queue, w.body, w.headers
from unnest(%b::uuid[], %b::text[], %b::int[], %b::int[], %b::text[], %b::text[], %b::text[], %b::jsonb[], %b::bool[],
            %b::timestamptz[], %b::interval[], %b::bool[], %b::uuid[], %b::text[], %b::bytea[], %b::jsonb[])
     as w (run_id, name, occurrence, place, kind, what, match_key, also, needs_all, at, delay, held, message_id, queue, body,
           headers)
     join step s on s.run_id = w.run_id and s.name = w.name and s.occurrence = w.occurrence and s.status = 'waiting'
on conflict do nothing"""

# `wait_child` serves it. A letter tells why a run has failed.
_PARENTS = """
select w.run_id, w.name, w.occurrence, w.place, w.needs_all,
       case when r.status = 'completed' then jsonb_build_object('result', r.result, 'run', r.id)
            else jsonb_build_object('failed', coalesce(d.reason, case when r.status <> 'cancelled' then r.reason end, r.status),
                                    'error', coalesce(d.error, case when r.status = 'cancelled' then r.reason end),
                                    'letter', d.id, 'run', r.id)
       end::text
from run r join wait w on w.match_key = r.event_id and w.kind = 'child' and w.state <> 'settled' and w.run_id = r.parent_id
     left join lateral (select id, reason, error from dead_letter d where d.run_id = r.id and d.rerun = r.rerun
                        order by d.created_at desc limit 1) d on r.status = 'failed'
where r.id = any(%b) and r.finished_at is not null
order by r.finished_at, r.id"""

_DUE = """
select w.run_id, w.name, w.occurrence, w.place, w.needs_all,
       case when w.kind = 'timer' then '{"elapsed": true}' else '{"timed_out": true}' end
from run r join step s on s.run_id = r.id and s.status = 'waiting' and s.due_at <= clock()
     join wait w on w.run_id = s.run_id and w.name = s.name and w.occurrence = s.occurrence
where r.id = any(%b) and r.claim = any(%b) and r.status = 'running' and w.state <> 'settled' and w.due_at <= clock()
order by w.due_at, w.place"""

_HOLD = """
select s.run_id, s.name, s.occurrence
from step s join unnest(%b::uuid[], %b::text[], %b::int[]) as k (run_id, name, occurrence)
     on s.run_id = k.run_id and s.name = k.name and s.occurrence = k.occurrence
where s.status = 'waiting' order by s.run_id, s.name, s.occurrence for no key update of s"""
_HOLD_FREE = f"{_HOLD} skip locked"

_SETTLE = """
update wait w set state = 'settled', outcome = t.outcome
from unnest(%b::uuid[], %b::text[], %b::int[], %b::int[], %b::jsonb[]) as t (run_id, name, occurrence, place, outcome)
where w.run_id = t.run_id and w.name = t.name and w.occurrence = t.occurrence and w.place = t.place and w.state <> 'settled'
returning w.run_id, w.name, w.occurrence"""

# In a statement of its own: it sees what the one before has settled.
_END = """
with over as (
    select k.run_id, k.name, k.occurrence
    from unnest(%b::uuid[], %b::text[], %b::int[], %b::bool[]) as k (run_id, name, occurrence, needs_all)
    where not k.needs_all
       or not exists (select from wait w where w.run_id = k.run_id and w.name = k.name and w.occurrence = k.occurrence
                                           and w.state <> 'settled')),
gone as (
    delete from wait w using over
    where w.run_id = over.run_id and w.name = over.name and w.occurrence = over.occurrence
    returning w.run_id, w.name, w.occurrence, w.place, w.state, w.outcome),
told as (
    select run_id, name, occurrence, jsonb_object_agg(place, outcome) filter (where state = 'settled') as result
    from gone group by run_id, name, occurrence)
update step s set status = 'done', result = told.result, due_at = null, finished_at = clock()
from told where s.run_id = told.run_id and s.name = told.name and s.occurrence = told.occurrence
returning s.run_id, s.name, s.occurrence"""

_RELEASE = """
with next as (
    select n.run_id, n.name, n.occurrence, n.place
    from unnest(%b::uuid[], %b::text[], %b::int[], %b::int[]) as k (run_id, name, occurrence, room)
         cross join lateral (
             select w.run_id, w.name, w.occurrence, w.place from wait w
             where w.run_id = k.run_id and w.name = k.name and w.occurrence = k.occurrence and w.state = 'held'
             order by w.place limit k.room) n)
update wait w set state = 'open' from next n
where w.run_id = n.run_id and w.name = n.name and w.occurrence = n.occurrence and w.place = n.place
returning w.message_id, w.queue, w.body, w.headers"""

_NEXT_DUE = """
update step s set due_at = (select min(w.due_at) from wait w where w.run_id = s.run_id and w.name = s.name
                                                             and w.occurrence = s.occurrence and w.state <> 'settled')
from unnest(%b::uuid[], %b::text[], %b::int[]) as k (run_id, name, occurrence)
where s.run_id = k.run_id and s.name = k.name and s.occurrence = k.occurrence and s.status = 'waiting'"""

# A run that somebody holds is not waited for: it is being resumed or ended, and looks at its steps after that. The due time is
# for a wake-up that gets lost.
_WAKE = """
with asleep as (
    select id from run where id = any(%b) and status = 'waiting' and wake is not null and not starting
    order by id for no key update skip locked)
update run r set due_at = least(clock() + interval '30 s', r.deadline_at), sends = 0
from asleep where r.id = asleep.id returning r.id, r.actor, r.wake, r.crashes"""

# The look after the write: what was settled while the run was still running, and when the rest is due.
_LOOK = """
with looked as (
    select s.run_id, s.status, s.due_at
    from step s join unnest(%b::uuid[], %b::text[], %b::int[]) as k (run_id, name, occurrence)
         on s.run_id = k.run_id and s.name = k.name and s.occurrence = k.occurrence
    order by s.run_id, s.name, s.occurrence for no key update of s),
told as (select run_id, bool_or(status <> 'waiting') as over, min(due_at) as due_at from looked group by run_id)
update run r set due_at = least(r.due_at, r.deadline_at, case when t.over then clock() + interval '30 s' else t.due_at end)
from told t where r.id = t.run_id and r.status = 'waiting'
returning r.id, r.actor, r.wake, r.crashes, t.over"""


class Waits:
    """The waits of one transaction. `leaving` are the wake-ups and the children that must leave with its commit."""

    def __init__(self, connection: Connection, topology: Topology) -> None:
        self._connection = connection
        self._topology = topology
        self.leaving: list[Outgoing] = []

    def write(self, held: Sequence[Record], heard: Sequence[Hear], children: Sequence[UUID]) -> None:
        """New waits of records whose fence held, new events, `children` that have ended, and runs that have gone to wait. After
        all runs are written."""
        opened = [(record.run_id, step) for record in held for step in record.steps if step.parts]
        parts = [(id, step, place, part) for id, step in opened for place, part in enumerate(step.parts)]
        if parts:
            self._connection.execute(_OPEN, columns([_row(*each) for each in parts]))
        told: list[Told] = []
        if heard or any(part.kind == "event" for *_, part in parts):
            told += meet(self._connection, parts, heard)
        if children:
            told += read_told(self._connection.execute(_PARENTS, (list(children),)))
        if told:
            self.settle(told)
        self._look([(r.run_id, *step) for r in held if r.end is not None for step in r.end.awaits])

    def settle_due(self, run_ids: Sequence[UUID], tokens: Sequence[UUID]) -> Cursor:
        """What has timed out in runs that were just resumed; read it with `settle_told`."""
        return self._connection.execute(_DUE, (list(run_ids), list(tokens)))

    def settle_told(self, rows: Iterable[Any]) -> None:
        told = read_told(rows)
        if told:
            # A step that somebody settles right now is left to that one; the run will look again.
            self.settle(told, _HOLD_FREE)
            keys = sorted({each.key for each in told})
            self._connection.execute(_NEXT_DUE, columns(keys))

    def settle(self, told: Sequence[Told], hold: str = _HOLD) -> None:
        """Write outcomes; the first counts. Ends what is over, wakes its runs, sends held children."""
        keys = columns(sorted({each.key for each in told}))
        waiting = {(row[0], row[1], row[2]) for row in self._connection.execute(hold.encode(), keys)}
        chosen: dict[tuple[Key, int], Told] = {}
        for each in told:
            if each.key in waiting:
                chosen.setdefault((each.key, each.place if each.needs_all else -1), each)
        if not chosen:
            return
        rows = [(*each.key, each.place, each.outcome) for each in chosen.values()]
        settled = Counter(
            (row[0], row[1], row[2]) for row in self._connection.execute(_SETTLE, columns(rows))
        )
        needs = {each.key: each.needs_all for each in chosen.values()}
        if settled:
            self._end(settled, needs)

    def _end(self, settled: "Counter[Key]", needs: dict[Key, bool]) -> None:
        rows = self._connection.execute(_END, columns([(*key, needs[key]) for key in sorted(settled)]))
        over = {(row[0], row[1], row[2]) for row in rows}
        if more := [(*key, room) for key, room in sorted(settled.items()) if key not in over]:
            for id, queue, body, headers in self._connection.execute(_RELEASE, columns(more)).fetchall():
                self.leaving.append(Outgoing(id, WireMessage(queue, bytes(body), headers, JSON, direct=True)))
        if over:
            self._wake(self._connection.execute(_WAKE, (sorted({key[0] for key in over}),)))

    def _look(self, steps: Sequence[tuple[UUID, str, int]]) -> None:
        if steps:
            looked = self._connection.execute(_LOOK, columns(sorted(set(steps)))).fetchall()
            self._wake(row[:4] for row in looked if row[4])

    def _wake(self, rows: Iterable[tuple[Any, ...]]) -> None:
        for id, actor, wake, crashes in rows:
            crashed = crashes >= QUARANTINE_AFTER
            queue = self._topology.quarantine if crashed else self._topology.queue_of(actor)
            self.leaving.append(Outgoing(uuid7(), encode_wake(queue, id, wake)))


def _row(id: UUID, step: StepRow, place: int, part: Part) -> tuple[object, ...]:
    child = part.child if part.held else None
    return (
        id,
        step.name,
        step.occurrence,
        place,
        part.kind,
        part.what,
        part.key,
        json.dumps(part.also),
        step.needs_all,
        part.at,
        part.delay,
        part.held,
        child.id if child else None,
        child.message.routing_key if child else None,
        child.message.body if child else None,
        json.dumps(dict(child.message.headers)) if child else None,
    )
