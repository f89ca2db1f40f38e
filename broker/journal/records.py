"""How records, parked deliveries and confirmed messages of one batch are written. Every function runs in the batch's transaction.

The run's row is locked by the statement that checks the fence and stays locked until the commit, so a fence that held when it was
checked holds when the effects become visible: a stale worker writes nothing.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from broker.journal.intents import DeadLetter, End, Park, Record, Recorded, Sent, Unsent
from broker.journal.turns import Writing
from schemas import uuid4

UNFINISHED = ("queued", "waiting", "retrying")
"""What a run may leave `running` for without being finished: it has a wake, and goes on when that is sent."""

_HOLD = """
select r.id from run r join unnest(%b::uuid[], %b::bigint[]) as k (id, fence) on r.id = k.id
where r.fence = k.fence and r.status = 'running' order by r.id for no key update of r"""

_ALREADY = "select id, record from run where id = any(%b) and record = any(%b) for no key update"

# Held and written in one statement: a step waits for nothing else, so each turn it takes is a turn of its body's time.
_HOLD_AND_STEP = f"""
with held as ({_HOLD}),
written as (
    insert into step (run_id, name, occurrence, status, tries, due_at, result, error, attempt, started_at, finished_at)
    select run_id, name, occurrence, status, tries, least(at, clock() + delay), result, error, attempt, clock() - duration,
           clock()
    from unnest(%b::uuid[], %b::text[], %b::int[], %b::text[], %b::int[], %b::interval[], %b::jsonb[], %b::text[],
                %b::int[], %b::interval[], %b::timestamptz[])
         as s (run_id, name, occurrence, status, tries, delay, result, error, attempt, duration, at)
    where s.run_id in (select id from held)
    on conflict (run_id, name, occurrence) do update
    set status = excluded.status, tries = excluded.tries, due_at = excluded.due_at, result = excluded.result,
        error = excluded.error, attempt = excluded.attempt, started_at = excluded.started_at,
        finished_at = excluded.finished_at
    where step.status <> 'done')
select id from held"""  # noqa: S608  constants only

_ENDS = """
update run r
set status = e.status, record = e.token, result = coalesce(e.result, r.result), reason = e.reason,
    due_at = case when e.wake is not null then least(clock() + e.delay, r.deadline_at) end, wake = e.wake, sends = 0,
    finished_at = case when e.wake is null then clock() end,
    unread_since = case when e.unread then coalesce(r.unread_since, clock()) end
from unnest(%b::uuid[], %b::bigint[], %b::text[], %b::uuid[], %b::jsonb[], %b::text[], %b::interval[], %b::uuid[],
            %b::bool[])
     as e (id, fence, status, token, result, reason, delay, wake, unread)
where r.id = e.id and r.fence = e.fence and r.status = 'running'
returning r.id, r.parent_id is not null and r.finished_at is not null"""

# Of a run that has ended under the fence. The key is the run and the place: what an unanswered commit repeats is one row.
_BROADCASTS = """
insert into broadcast (channel, name, data, run_id, rerun, place, created_at)
select b.channel, b.name, b.data, b.run_id, r.rerun, b.place, clock()
from unnest(%b::uuid[], %b::int[], %b::text[], %b::text[], %b::jsonb[])
     with ordinality as b (run_id, place, channel, name, data, number) join run r on r.id = b.run_id
order by b.number
on conflict (run_id, rerun, place) do nothing"""

_ATTEMPTS = """
insert into attempt (run_id, rerun, attempt, failed_at, kind, error, trace, step, delay)
select a.run_id, r.rerun, r.attempt, clock(), a.kind, a.error, a.trace, a.step, a.delay
from unnest(%b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[], %b::interval[])
     as a (run_id, kind, error, trace, step, delay) join run r on r.id = a.run_id"""

_DEAD_RUNS = """
insert into dead_letter (id, created_at, reason, queue, actor, run_id, rerun, event_id, event_source, event_type, field, step,
                         error, event, trace_id, attempts)
select %s, clock(), %s, r.actor, r.actor, r.id, r.rerun, r.event_id, r.event_source, r.event_type, %s, %s, %s, r.event,
       split_part(r.traceparent, '-', 2),
       coalesce((select jsonb_agg(jsonb_build_object('attempt', a.attempt, 'at', a.failed_at, 'kind', a.kind, 'error', a.error,
                                                     'trace', a.trace, 'step', a.step) order by a.id)
                 from attempt a where a.run_id = r.id and a.rerun = r.rerun), '[]')
from run r where r.id = %s
on conflict (id) do nothing"""

# Those of the events that were folded into it, too.
_RELEASE_KEYS = """
delete from limit_idempotency
where run_id in (select unnest(%b::uuid[]) union all select id from run where folded_into = any(%b)) and not keep"""

_PARKED = """
insert into dead_letter (id, created_at, reason, queue, actor, event_id, event_source, event_type, field, error, body, headers,
                         content_type, trace_id)
values (%s, clock(), %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
on conflict (id) do nothing"""

_SENT = "delete from outbox where id = any(%b)"
_UNSENT = "update outbox set send_at = clock(), held_by = null where id = any(%b)"
_HELD = "update outbox set send_at = clock(), held_by = null where held_by = %b"
_DELIVERED = "delete from delivery where id = any(%b)"


def already_recorded(connection: Connection, records: Sequence[Record]) -> set[UUID]:
    """Tokens of records that an unanswered commit did write. Waits for that
    commit's transaction to end: a plain read could miss it."""
    rows = connection.execute(_ALREADY, ([r.run_id for r in records], [r.token for r in records]))
    return {token for _, token in rows}


def write_records(
    connection: Connection, records: Sequence[Record]
) -> Writing[list[tuple[Record, Recorded]]]:
    """Steps, then effects, then ends; what the fence does not hold for is left out whole."""
    first: dict[tuple[UUID, int], Record] = {}
    for record in records:
        if record.end is not None:
            first.setdefault((record.run_id, record.fence), record)
    twice = [r for r in records if r.end is not None and first[r.run_id, r.fence] is not r]
    if twice:
        # A run ends once: a stuck body that comes back after all finds its end recorded, in this batch too.
        records = [record for record in records if record not in twice]
    held: set[UUID] = set()
    if locking := [record for record in records if record.locks]:
        held = yield from _hold_and_step(connection, locking)
    owned = [record for record in records if not record.locks or record.run_id in held]
    _write_effects(
        connection, [record.end for record in owned if record.end is not None and record.end.writes]
    )
    ended: dict[UUID, bool] = {}
    if ending := [record for record in owned if record.end is not None]:
        ended = yield from _write_ends(connection, ending)
    written = [
        (record, Recorded(record.run_id in (ended if record.end else held), ended.get(record.run_id, False)))
        for record in records
    ]
    return [*written, *((record, Recorded(False)) for record in twice)]


def write_parked(connection: Connection, parked: Sequence[Park]) -> None:
    """Dead letters without a run."""
    connection.cursor().executemany(_PARKED, [_parked_row(park.letter) for park in parked])


def delete_sent(connection: Connection, sent: Sequence[Sent]) -> None:
    connection.execute(_SENT, ([id for intent in sent for id in intent.ids],))


def release_unsent(connection: Connection, unsent: Sequence[Unsent]) -> None:
    connection.execute(_UNSENT, ([id for intent in unsent for id in intent.ids],))


def release_held(connection: Connection, worker: UUID) -> None:
    """After an unanswered commit nobody knows what left with it: the sweep is to send it, now. What arrives twice is one."""
    connection.execute(_HELD, (worker,))


def delete_delivered(connection: Connection, row_ids: Sequence[int]) -> None:
    """Settle deliveries of the `postgres` transport in the commit that owns them."""
    connection.execute(_DELIVERED, (sorted(row_ids),))


def _hold_and_step(connection: Connection, records: Sequence[Record]) -> Writing[set[UUID]]:
    """The runs whose fence holds; only their steps are written."""
    keys = columns(sorted({(record.run_id, record.fence) for record in records}))
    latest = {(r.run_id, s.name, s.occurrence): s for r in records for s in r.steps}
    steps = [
        (
            key[0],
            s.name,
            s.occurrence,
            s.status,
            s.tries,
            s.delay,
            s.result,
            s.error,
            s.attempt,
            s.duration,
            s.at,
        )
        for key, s in sorted(latest.items())
    ]
    statement = _HOLD_AND_STEP if steps else _HOLD
    rows = connection.execute(statement.encode(), [*keys, *columns(steps)])
    yield
    return {id for (id,) in rows}


def _write_effects(connection: Connection, ends: Sequence[End]) -> None:
    """Each run's statements in their order; the n-th statements of all runs with the same text go to the server together."""
    for turn in range(max((len(end.writes) for end in ends), default=0)):
        together: dict[str, list[Any]] = defaultdict(list)
        for end in ends:
            if turn < len(end.writes):
                statement, parameters = end.writes[turn]
                together[statement].append(_adapted(parameters))
        for statement, parameter_sets in together.items():
            if len(parameter_sets) == 1:
                connection.execute(statement.encode(), parameter_sets[0])
            else:
                connection.cursor().executemany(statement.encode(), parameter_sets)


def _adapted(parameters: Mapping[str, object] | Sequence[object]) -> Mapping[str, object] | Sequence[object]:
    """Dictionaries among the parameters are JSON; everything else is adapted by psycopg."""
    if isinstance(parameters, Mapping):
        return {
            name: Jsonb(value) if isinstance(value, dict) else value for name, value in parameters.items()
        }
    return [Jsonb(value) if isinstance(value, dict) else value for value in parameters]


def _write_ends(connection: Connection, records: Sequence[Record]) -> Writing[dict[UUID, bool]]:
    """The runs that were ended, and which of them another run has invoked."""
    pairs = sorted(((r, r.end) for r in records if r.end), key=lambda pair: pair[0].run_id)
    rows = [
        (
            r.run_id,
            r.fence,
            e.status,
            r.token,
            e.result,
            e.reason,
            e.delay,
            uuid4() if e.status in UNFINISHED else None,
            e.unread,
        )
        for r, e in pairs
    ]
    updated = connection.execute(_ENDS, columns(rows))
    yield
    ended: dict[UUID, bool] = dict(updated.fetchall())
    owned = [(r, e) for r, e in pairs if r.run_id in ended]
    _write_failures(connection, owned)
    _write_broadcasts(connection, owned)
    return ended


def _write_broadcasts(connection: Connection, ends: Sequence[tuple[Record, End]]) -> None:
    rows = [
        (record.run_id, place, told.channel, told.name, told.data)
        for record, end in ends
        for place, told in enumerate(end.broadcasts)
    ]
    if rows:
        connection.execute(_BROADCASTS, columns(rows))


def _write_failures(connection: Connection, ends: Sequence[tuple[Record, End]]) -> None:
    failed = [
        (r.run_id, f.kind, f.error, f.trace, f.step, f.delay) for r, e in ends if (f := e.failure) is not None
    ]
    if failed:
        connection.execute(_ATTEMPTS, columns(failed))
    dead = [
        (d.id, d.reason, d.field, d.step, d.error, r.run_id) for r, e in ends if (d := e.dead) is not None
    ]
    if dead:
        connection.cursor().executemany(_DEAD_RUNS, dead)
        ids = [row[-1] for row in dead]
        connection.execute(_RELEASE_KEYS, (ids, ids))


def _parked_row(letter: DeadLetter) -> tuple[object, ...]:
    return (
        letter.id,
        letter.reason,
        letter.queue,
        letter.queue,
        letter.event_id,
        letter.event_source,
        letter.event_type,
        letter.field,
        letter.error,
        letter.body,
        Jsonb(dict(letter.headers or {})),
        letter.content_type,
        letter.trace_id,
    )


def columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    """Rows as one list a column, for `unnest`."""
    return [list(column) for column in zip(*rows, strict=True)]
