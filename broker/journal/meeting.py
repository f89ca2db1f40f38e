"""An event and those who wait for it: both write first and look after, under an advisory lock on (type, bucket of the match key),
so neither misses the other."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Connection, Cursor

from broker.journal.intents import Hear, Part, StepRow
from broker.journal.records import columns
from broker.matching import lock_number

Key = tuple[UUID, str, int]
"""A step that waits: run, name, occurrence."""

_MEET = """
select case when k.alone then pg_advisory_xact_lock(k.number) else pg_advisory_xact_lock_shared(k.number) end
from unnest(%b::bigint[], %b::bool[]) as k (number, alone)"""

_HEAR = """
insert into event (id, source, type, version, time, correlation_id, recorded_at, data, keys)
select e.id, e.source, e.type, e.version, e.time, e.correlation_id, clock(), e.data,
       array(select jsonb_array_elements_text(e.keys))
from unnest(%b::text[], %b::text[], %b::text[], %b::int[], %b::timestamptz[], %b::text[], %b::jsonb[], %b::jsonb[])
     as e (id, source, type, version, time, correlation_id, data, keys)
on conflict do nothing
returning id, source"""

_OUTCOME = """jsonb_build_object('event', e.data, 'type', e.type, 'version', e.version, 'position', e.position, 'id', e.id,
                          'source', e.source)::text"""

# `wait_event` serves it.
_WAITERS = f"""
select w.run_id, w.name, w.occurrence, w.place, w.needs_all, {_OUTCOME}
from unnest(%b::text[], %b::text[]) as f (id, source) join event e on e.id = f.id and e.source = f.source
     cross join lateral unnest(e.keys) as k (key)
     join wait w on w.what = e.type and w.match_key = k.key and w.kind = 'event' and w.state = 'open'
where w.also <@ e.keys
order by e.position, w.run_id, w.name, w.occurrence, w.place"""  # noqa: S608  constants only

# `cancel_watch_key` serves it. The sweep cancels them: whoever has come so far may wait for no run.
_CANCEL = """
with found as (
    select w.run_id, w.place
    from unnest(%b::text[], %b::text[]) as f (id, source) join event e on e.id = f.id and e.source = f.source
         cross join lateral unnest(e.keys) as k (key)
         join cancel_watch w on w.what = e.type and w.match_key = k.key and w.heard_at is null
    where w.also <@ e.keys order by w.run_id, w.place for no key update of w)
update cancel_watch w set heard_at = clock() from found where w.run_id = found.run_id and w.place = found.place"""

# `event_keys` serves the first, `event_recorded` the second.
_EARLIER = f"""
select {_OUTCOME} from event e
where e.keys @> %(keys)b::text[] and e.type = %(type)b and e.recorded_at >= %(since)b
  and e.position <> all(%(received)b::bigint[])
order by e.position limit 1"""  # noqa: S608
_EARLIER_OF_ANY = f"""
select {_OUTCOME} from event e
where e.type = %(type)b and e.recorded_at >= %(since)b and e.position <> all(%(received)b::bigint[])
order by e.recorded_at, e.position limit 1"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one member of a wait."""

    key: Key
    place: int
    needs_all: bool
    outcome: str


def read_told(rows: Iterable[Any]) -> list[Told]:
    return [Told((row[0], row[1], row[2]), row[3], row[4], row[5]) for row in rows]


def meet(
    connection: Connection, parts: Sequence[tuple[UUID, StepRow, int, Part]], heard: Sequence[Hear]
) -> list[Told]:
    """What each has found. Under the locks of all keys, in order: keep the events, then look for each other."""
    waiting = [each for each in parts if each[3].kind == "event"]
    numbers = {lock_number(hear.envelope.type, key): False for hear in heard for key in hear.keys}
    numbers |= {lock_number(part.what, part.key): True for *_, part in waiting}
    connection.execute(_MEET, columns(sorted(numbers.items())))
    told: list[Told] = []
    if heard:
        events = {(hear.envelope.id, hear.envelope.source): hear for hear in heard}
        fresh = connection.execute(_HEAR, columns([_event(events[key]) for key in sorted(events)])).fetchall()
        if fresh:
            told += read_told(connection.execute(_WAITERS, columns(fresh)))
            connection.execute(_CANCEL, columns(fresh))
    earlier = [(each, _earlier(connection, each[3])) for each in waiting]
    for (id, step, place, _), found in earlier:
        if (row := found.fetchone()) is not None:
            told.append(Told((id, step.name, step.occurrence), place, step.needs_all, row[0]))
    return told


def _earlier(connection: Connection, part: Part) -> Cursor:
    wanted = {"type": part.what, "since": part.since, "received": list(part.received)}
    if not part.key:
        return connection.execute(_EARLIER_OF_ANY.encode(), wanted)
    return connection.execute(_EARLIER.encode(), {**wanted, "keys": [part.key, *part.also]})


def _event(hear: Hear) -> tuple[object, ...]:
    e = hear.envelope
    return (
        e.id,
        e.source,
        e.type,
        e.version,
        e.time,
        e.correlation_id,
        e.data.decode(),
        json.dumps(list(hear.keys)),
    )
