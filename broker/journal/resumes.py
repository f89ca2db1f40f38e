"""How wake-ups of one batch are written: waiting runs taken up again, with what their earlier attempts left."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import TupleRow

from broker.journal.claimed import ClaimedRun, Source, StoredStep
from broker.journal.doors import Asked, Doors
from broker.journal.intents import Answer, Declined, Intent, Resume
from broker.journal.records import columns
from broker.journal.turns import Writing
from broker.journal.waits import Waits
from schemas import Envelope

_RESUME = """
with waiting as (
    select r.id, r.status, r.reserved_at, r.starting, r.attempt, k.token
    from run r join unnest(%b::uuid[], %b::uuid[], %b::uuid[]) as k (id, wake, token) on r.id = k.id and r.wake = k.wake
    where r.status in ('queued', 'waiting', 'retrying') order by r.id for no key update of r)
update run r
set status = 'running', worker = %s, fence = r.fence + 1, claim = w.token, wake = null, due_at = null, sends = 0, reason = null,
    reserved_at = null, starting = false,
    attempt = case when r.status = 'retrying' then r.attempt + 1 else greatest(r.attempt, 1) end,
    started_at = coalesce(r.started_at, clock())
from waiting w where r.id = w.id
returning r.id, w.status <> 'waiting' or w.starting, w.attempt = 0, w.reserved_at"""

_RESUMED = """
select r.id, r.claim, r.actor, r.fence, r.attempt, r.rerun, r.crashes, r.pipeline, r.started_at, r.event_id,
       r.event_source, r.event_type, r.event_version, r.event_time, r.event::text, r.subject, r.correlation_id, r.causation_id,
       r.traceparent, r.tracestate, r.deadline_at - clock(), clock() - r.unread_since
from run r where r.id = any(%b) and r.claim = any(%b) and r.status = 'running'"""

_READ = _RESUMED.replace("r.id = any(%b) and r.claim = any(%b) and r.status = 'running'", "r.id = any(%b)")

_STORED = """
select run_id, name, occurrence, status, tries, result::text, error, due_at - clock() from step where run_id = any(%b)"""

# `run_folded` serves it. The last ones, so that one is enough where only the last counts.
_FOLDED = """
select k.id, m.event_type, m.event_version, m.event::text, m.traceparent, m.tracestate
from unnest(%b::uuid[], %b::int[]) as k (id, most) cross join lateral (
    select id, event_type, event_version, event, traceparent, tracestate
    from run where folded_into = k.id order by id desc limit k.most) m
order by k.id, m.id"""


def write_resumes(
    connection: Connection, worker: UUID, resumes: Sequence[Resume], doors: Doors, waits: Waits
) -> Writing[tuple[list[tuple[Intent, Answer]], list[Asked]]]:
    """Take over waiting runs whose `wake` is still theirs, with what their earlier attempts left. Returns the answers, and the
    runs that stand at a door."""
    unique = {resume.wake: resume for resume in sorted(resumes, key=lambda resume: resume.run_id)}
    rows = [(resume.run_id, resume.wake, resume.token) for resume in unique.values()]
    updated = connection.execute(_RESUME, [*columns(rows), worker])
    ids, tokens = [row[0] for row in rows], [row[2] for row in rows]
    found = connection.execute(_RESUMED, (ids, tokens))
    due = waits.settle_due(ids, tokens)
    yield
    woken = {row[0]: row[1:] for row in updated}
    resumed = {row[1]: row for row in found}
    waits.settle_told(due)
    stored = connection.execute(_STORED, ([row[0] for row in resumed.values()],))
    gathering = [(row[0], most) for row in resumed.values() if (most := doors.gathers(row[2]))]
    folded = connection.execute(_FOLDED, columns(gathering)) if gathering else ()
    yield
    steps = _stored_steps(stored)
    others = _folded(folded)
    answers: list[tuple[Intent, Answer]] = []
    asked: list[Asked] = []
    for resume in resumes:
        row = resumed.get(resume.token)
        if row is None:
            answers.append((resume, Declined("duplicate", "the run has gone on without this wake-up")))
            continue
        run = _resumed_run(row, steps.get(row[0], {}))
        run.sources = _sources(run, others.get(run.id, ()), doors.gathers(run.actor))
        answers.append((resume, run))
        if run.id not in woken:
            continue  # an unanswered commit did it, and the doors let it pass then
        # Going on after a sleep is no start; a retry, a takeover and a start that was postponed are.
        # It has no attempt until the doors have let it in: what a dead worker left, or one that stops gave back, was let in.
        start, outside, reserved_at = woken[run.id]
        if doors.guards(run.actor) and (event := doors.read(run)) is not None:
            fresh = start and outside and not steps.get(run.id)
            asked.append(Asked(run, event, start=start, fresh=fresh, reserved_at=reserved_at))
    return answers, asked


def _sources(run: ClaimedRun, folded: Sequence[Source], most: int) -> Sequence[Source]:
    """The events for its body: the last one, or all of them, its own first."""
    if not folded or most == 1:
        return folded
    own = run.envelope
    return [Source(own.type, own.version, own.data, own.traceparent, own.tracestate), *folded]


def read_runs(connection: Connection, ids: Sequence[UUID]) -> list[ClaimedRun]:
    """Runs as they stand, without their steps."""
    return [_resumed_run(row, {}) for row in connection.execute(_READ.encode(), (list(ids),))]


def _stored_steps(rows: Iterable[TupleRow]) -> dict[UUID, dict[tuple[str, int], StoredStep]]:
    steps: dict[UUID, dict[tuple[str, int], StoredStep]] = {}
    for run_id, name, occurrence, status, tries, result, error, due_in in rows:
        steps.setdefault(run_id, {})[name, occurrence] = StoredStep(status, tries, result, error, due_in)
    return steps


def _folded(rows: Iterable[TupleRow]) -> dict[UUID, list[Source]]:
    found: dict[UUID, list[Source]] = {}
    for run_id, type_, version, event, traceparent, tracestate in rows:
        found.setdefault(run_id, []).append(Source(type_, version, event.encode(), traceparent, tracestate))
    return found


def _resumed_run(row: tuple[Any, ...], steps: dict[tuple[str, int], StoredStep]) -> ClaimedRun:
    (id, _, actor, fence, attempt, rerun, crashes, pipeline, started_at, event_id, source, type_, version, time, event,
     subject, correlation_id, causation_id, traceparent, tracestate, deadline_in, unread_for) = row  # fmt: skip
    envelope = Envelope(
        id=event_id,
        source=source,
        type=type_,
        time=time,
        data=event.encode(),
        version=version,
        subject=subject,
        correlation_id=correlation_id,
        causation_id=causation_id,
        traceparent=traceparent,
        tracestate=tracestate,
    )
    return ClaimedRun(
        id,
        actor,
        envelope,
        fence,
        attempt,
        None,
        rerun,
        crashes,
        pipeline,
        started_at,
        steps,
        deadline_in,
        unread_for,
    )
