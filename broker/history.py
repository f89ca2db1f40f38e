"""What has happened, as values to look at: runs, their attempts and steps, what is on its way, who works. Reads only."""

from collections.abc import Iterable
from typing import Any, TypeVar
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row

from broker.errors import NotFoundError
from broker.history_rows import (
    STATUSES,
    UNFINISHED,
    AttemptRow,
    Gathering,
    LetterLine,
    OnTheWay,
    PlaceInLine,
    RunRow,
    RunStory,
    StepLine,
    WaitLine,
    WorkerRow,
)

Row = TypeVar("Row")

__all__ = [
    "STATUSES",
    "UNFINISHED",
    "AttemptRow",
    "Gathering",
    "LetterLine",
    "OnTheWay",
    "PlaceInLine",
    "RunRow",
    "RunStory",
    "StepLine",
    "WaitLine",
    "WorkerRow",
    "chain",
    "count_runs",
    "gathering",
    "get_run",
    "hearers",
    "key_holder",
    "letters_of_event",
    "list_runs",
    "messages_of_chain",
    "messages_of_event",
    "place_in_line",
    "runs_of",
    "story",
    "waits_of",
    "workers",
]

_FACTS = """
id, event_id, event_source, event_type, event_version, event_time, actor, pipeline, status, reason, attempt, crashes, rerun,
created_at, started_at, finished_at, due_at, due_at - clock() as due_in, coalesce(finished_at, clock()) - started_at as lasted,
correlation_id, causation_id, nullif(split_part(coalesce(traceparent, ''), '-', 2), '') as trace_id, worker"""
_RUN = f"select {_FACTS} from run"  # noqa: S608  constants only
_WHOLE = f"select {_FACTS}, event, result from run"  # noqa: S608

# The primary key serves it: run ids are UUIDv7, so their order is that of time.
_LIST = f"""{_RUN}
where (%(status)s::text is null or status = %(status)s) and (%(actor)s::text is null or actor = %(actor)s)
  and id < coalesce(%(before)s::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
order by id desc limit %(limit)s"""
_ONE = f"{_WHOLE} where id = %s"
_OF_EVENT = f"{_WHOLE} where event_id = %s order by id"  # run_claim
_CHAIN = f"{_RUN} where correlation_id = %s order by created_at, id"  # run_correlation
_CAUSED = f"{_RUN} where correlation_id = %s and causation_id = %s order by created_at, id"  # run_correlation

_FOLDED = f"{_RUN} where folded_into = %s order by id desc limit 20"  # run_folded
_FOLDED_COUNT = "select count(*) from run where folded_into = %s"  # run_folded
_GATHERING = (
    "select key, members, due_at - clock() as due_in from limit_fold where run_id = %s"  # limit_fold_run
)

_ATTEMPTS = """
select attempt, rerun, failed_at, kind, error, trace, step, delay from attempt where run_id = %s order by id"""
_STEPS = """
select name, occurrence, status, tries, attempt, error, started_at, finished_at, finished_at - started_at as lasted,
       due_at - clock() as due_in
from step where run_id = %s order by started_at, finished_at, name, occurrence"""

# The key of `wait` and `run_claim` serve it.
_WAITS = """
select w.name, w.occurrence, count(*) as members, count(*) filter (where w.state = 'settled') as settled,
       count(*) filter (where w.outcome ? 'failed') as failed, count(*) filter (where w.state = 'held') as held,
       min(w.due_at) filter (where w.state <> 'settled') as due_at,
       min(w.due_at) filter (where w.state <> 'settled') - clock() as due_in,
       coalesce((array_agg(
           case w.kind
               when 'event' then concat_ws(' where ', w.what,
                                           nullif(array_to_string(nullif(w.match_key, '') || w.also, ' and '), ''))
               when 'child' then w.what || coalesce(' run ' || c.id || ' (' || c.status || ')', ' (sent)')
               else 'a time' end order by w.place) filter (where w.state = 'open'))[1:5], '{}') as open
from wait w left join run c on w.kind = 'child' and c.event_id = w.match_key and c.actor = w.what
where w.run_id = %s group by w.name, w.occurrence order by w.name, w.occurrence"""

_LETTER = """
select id, created_at, reason, queue, actor, run_id, rerun, event_type, field, step, error, settled_at, settled_as
from dead_letter"""
_LETTERS_OF_RUN = f"{_LETTER} where run_id = %s order by created_at"  # dead_letter_run
_LETTERS_OF_EVENT = f"{_LETTER} where event_id = %s order by created_at"  # dead_letter_event
# What has not been claimed yet is in one of two tables, found by a header: both are as small as the backlog.
_ON_THE_WAY = """
select headers ->> 'cloudEvents_id' as event_id, routing_key as queue, 'outbox' as place, send_at as since,
       send_at - clock() as due_in, held_by is not null as held, headers ->> 'cloudEvents_type' as event_type,
       headers ->> 'cloudEvents_causationid' as causation_id
from outbox where headers ->> {header} = %(id)s
union all
select headers ->> 'cloudEvents_id', queue, 'queue', created_at, null, held_by is not null, headers ->> 'cloudEvents_type',
       headers ->> 'cloudEvents_causationid'
from delivery where headers ->> {header} = %(id)s
order by since"""
_MESSAGES_OF_EVENT = _ON_THE_WAY.format(header="'cloudEvents_id'")
_MESSAGES_OF_CHAIN = _ON_THE_WAY.format(header="'cloudEvents_correlationid'")

# The recorder hears for runs that wait; it makes none.
_HEARERS = r"select queue from binding where event_type = %s and queue not like '%%.recorder' order by queue"
_WORKERS = """
select id, name, version, started_at, clock_timestamp() - heartbeat_at as silent, cardinality(live) as runs
from worker order by name"""
_KEY_HOLDER = "select run_id from limit_idempotency where actor = %s and key = %s"
# `limit_slot_waiting` and `limit_slot_held` serve it.
_PLACE = """
select s.key, c.cap,
       (select count(*)::int from limit_slot a
        where a.scope = s.scope and a.key = s.key and a.state = 'waiting'
          and (a.priority > s.priority or a.priority = s.priority and a.position < s.position)) as ahead,
       array(select h.run_id from limit_slot h
             where h.scope = s.scope and h.key = s.key and h.state <> 'waiting' order by h.since limit 5) as holders
from limit_slot s join limit_concurrency c on c.scope = s.scope and c.key = s.key
where s.run_id = %s and s.state = 'waiting'"""
_COUNTS = "select status, count(*) from run group by status order by status"


def list_runs(
    connection: Connection,
    *,
    status: str | None = None,
    actor: str | None = None,
    before: UUID | None = None,
    limit: int = 50,
) -> list[RunRow]:
    """Newest first; `before` is the last id of the page before."""
    wanted = {"status": status, "actor": actor, "before": before, "limit": limit}
    return _rows(connection, RunRow, _LIST, wanted)


def get_run(connection: Connection, id: UUID) -> RunRow:
    """Raises NotFoundError."""
    found = _rows(connection, RunRow, _ONE, (id,))
    if not found:
        raise NotFoundError(
            f"no run {id}: `callboard runs` lists the newest, `callboard why {id}` looks for an event of that id"
        )
    return found[0]


def runs_of(connection: Connection, reference: str) -> list[RunRow]:
    """The run of this id, or the runs of the event of this id, one for each actor; empty when there is neither."""
    try:
        run = _rows(connection, RunRow, _ONE, (UUID(reference),))
    except ValueError:
        run = []
    return run or _rows(connection, RunRow, _OF_EVENT, (reference,))


def chain(connection: Connection, correlation_id: str) -> list[RunRow]:
    """The runs of one story in the order in which they were claimed."""
    return _rows(connection, RunRow, _CHAIN, (correlation_id,))


def story(connection: Connection, run: RunRow) -> RunStory:
    """Everything about one run, for its timeline."""
    return RunStory(
        run=run,
        attempts=_rows(connection, AttemptRow, _ATTEMPTS, (run.id,)),
        steps=_rows(connection, StepLine, _STEPS, (run.id,)),
        letters=_rows(connection, LetterLine, _LETTERS_OF_RUN, (run.id,)),
        next=_rows(connection, RunRow, _CAUSED, (run.correlation_id, run.event_id)),
        on_the_way=[
            out
            for out in messages_of_chain(connection, run.correlation_id)
            if out.causation_id == run.event_id
        ],
        waits=waits_of(connection, run.id),
        folded=_rows(connection, RunRow, _FOLDED, (run.id,))[::-1],
        folded_count=_count(connection, _FOLDED_COUNT, run.id),
    )


def waits_of(connection: Connection, run_id: UUID) -> list[WaitLine]:
    """What a run waits for now, besides times of its own."""
    return _rows(connection, WaitLine, _WAITS, (run_id,))


def letters_of_event(connection: Connection, event_id: str) -> list[LetterLine]:
    """Oldest first, settled ones too."""
    return _rows(connection, LetterLine, _LETTERS_OF_EVENT, (event_id,))


def messages_of_event(connection: Connection, event_id: str) -> list[OnTheWay]:
    """Copies of the event that nobody has claimed. What waits in RabbitMQ cannot be listed."""
    return _rows(connection, OnTheWay, _MESSAGES_OF_EVENT, {"id": event_id})


def messages_of_chain(connection: Connection, correlation_id: str) -> list[OnTheWay]:
    """As `messages_of_event`, for all events of a story."""
    return _rows(connection, OnTheWay, _MESSAGES_OF_CHAIN, {"id": correlation_id})


def hearers(connection: Connection, event_type: str) -> list[str]:
    """The queues bound to an event type by the workers' last boot."""
    return [queue for (queue,) in connection.execute(_HEARERS, (event_type,)).fetchall()]


def workers(connection: Connection) -> list[WorkerRow]:
    """Every worker that has not signed off, dead ones that nobody has taken over included."""
    return _rows(connection, WorkerRow, _WORKERS, ())


def key_holder(connection: Connection, actor: str, key: str) -> UUID | None:
    """The run that holds an idempotency key."""
    row = connection.execute(_KEY_HOLDER, (actor, key)).fetchone()
    return row[0] if row else None


def place_in_line(connection: Connection, run_id: UUID) -> PlaceInLine | None:
    """Whom a run waits for; None for one that waits for no slot."""
    found = _rows(connection, PlaceInLine, _PLACE, (run_id,))
    return found[0] if found else None


def gathering(connection: Connection, run_id: UUID) -> Gathering | None:
    """What a run has gathered so far; None for one that gathers no more, or never has."""
    found = _rows(connection, Gathering, _GATHERING, (run_id,))
    return found[0] if found else None


def count_runs(connection: Connection) -> dict[str, int]:
    """Runs by status."""
    return dict(connection.execute(_COUNTS).fetchall())


def _count(connection: Connection, statement: str, id: UUID) -> int:
    row = connection.execute(statement.encode(), (id,)).fetchone()
    return int(row[0]) if row else 0


def _rows(
    connection: Connection, kind: type[Row], statement: str, values: "dict[str, Any] | Iterable[Any]"
) -> list[Row]:
    with connection.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(statement.encode(), values).fetchall()  # type: ignore[arg-type]
