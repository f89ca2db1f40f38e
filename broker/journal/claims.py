"""How claims of one batch are written: one row per (event, actor), and what was there before is recognised."""

from collections.abc import Sequence
from uuid import UUID

from psycopg import Connection

from broker.codec import encode
from broker.journal.claimed import ClaimedRun
from broker.journal.doors import Asked, Doors
from broker.journal.intents import Answer, Claim, DeadLetter, Declined, Intent, Park
from broker.journal.records import columns, write_parked
from broker.journal.turns import Writing
from schemas import uuid7

_CLAIM = """
insert into run (id, event_id, event_source, actor, event_type, event_version, event_time, event, digest, subject,
                 correlation_id, causation_id, traceparent, tracestate, pipeline, claim,
                 status, attempt, fence, worker, created_at, started_at, deadline_at, deadline, parent_id)
select c.id, c.event_id, c.event_source, c.actor, c.event_type, c.event_version, c.event_time, c.event, c.digest, c.subject,
       c.correlation_id, c.causation_id, c.traceparent, c.tracestate, c.pipeline, c.token,
       'running', 1, 1, %b, clock(), clock(), clock() + c.deadline, c.deadline, c.parent_id
from unnest(%b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[], %b::int[], %b::timestamptz[], %b::jsonb[], %b::bytea[],
            %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::uuid[], %b::interval[], %b::uuid[])
     as c (id, event_id, event_source, actor, event_type, event_version, event_time, event, digest, subject, correlation_id,
           causation_id, traceparent, tracestate, pipeline, token, deadline, parent_id)
on conflict (event_id, event_source, actor) do nothing
returning id"""

# A renamed actor's event is claimed under its earlier names too, so that an older worker which has the same event (from the old
# queue, or again) finds it done: during a deploy both names are consumed.
_SHADOW = """
insert into run (id, event_id, event_source, actor, event_type, event_version, event_time, event, digest, correlation_id, claim,
                 status, reason, attempt, fence, created_at, finished_at)
select s.id, s.event_id, s.event_source, s.actor, s.event_type, s.event_version, s.event_time, '{}', s.digest, s.correlation_id,
       s.token, 'folded', s.reason, 0, 0, clock(), clock()
from unnest(%b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[], %b::int[], %b::timestamptz[], %b::bytea[], %b::text[],
            %b::uuid[], %b::text[])
     as s (id, event_id, event_source, actor, event_type, event_version, event_time, digest, correlation_id, token, reason)
on conflict (event_id, event_source, actor) do nothing"""

# After the insert, in a statement of its own: it sees rows that others committed while the insert waited for them.
_FOUND = """
select r.event_id, r.event_source, r.actor, r.id, r.claim, r.status, r.digest, r.fence, r.attempt, r.reason
from run r join unnest(%b::text[], %b::text[], %b::text[]) as k (event_id, event_source, actor)
  on r.event_id = k.event_id and r.event_source = k.event_source and r.actor = k.actor"""

# After the insert, too: a parent that is cancelled later finds the child.
_WITH_ITS_PARENT = """
update run c set status = 'cancelled', reason = 'its parent ' || p.id || ' was cancelled', worker = null, attempt = 0,
                 started_at = null, finished_at = clock()
from run p where c.id = any(%b) and p.id = c.parent_id and p.status = 'cancelled'
returning c.id, c.reason"""


def write_claims(
    connection: Connection, worker: UUID, claims: Sequence[Claim], doors: Doors
) -> Writing[tuple[list[tuple[Intent, Answer]], list[Asked]]]:
    """Insert the runs, read back those that were there before. Returns the answers, and the new runs that stand at a door.

    Lock order: the rows of earlier names, then the runs, each by key.
    """
    renamed = _done_before_renaming(connection, [claim for claim in claims if claim.aliases])
    claims = [claim for claim in claims if claim.run_id not in renamed]
    first: dict[tuple[str, str, str], Claim] = {}
    for claim in sorted(claims, key=lambda claim: claim.key):
        first.setdefault(claim.key, claim)
    inserted = (
        connection.execute(_CLAIM, [worker, *columns([_row(claim) for claim in first.values()])])
        if first
        else ()
    )
    yield
    fresh = {id for (id,) in inserted}
    late = yield from _children_of_cancelled(connection, [c for c in claims if c.run_id in fresh])
    answers: list[tuple[Intent, Answer]] = []
    older: list[Claim] = []
    asked: list[Asked] = []
    for claim in claims:
        if claim.run_id in late:
            answers.append((claim, Declined("cancelled", late[claim.run_id])))
        elif claim.run_id in fresh and first[claim.key] is claim:
            run = _claimed(claim)
            answers.append((claim, run))
            if doors.guards(claim.actor):
                asked.append(Asked(run, claim.event))
        else:
            older.append(claim)
    if older:
        answers += yield from _found(connection, older)
    answers += [
        (claim, Declined("duplicate", "done under an earlier name of the actor"))
        for claim in renamed.values()
    ]
    return answers, asked


def _children_of_cancelled(connection: Connection, claims: Sequence[Claim]) -> Writing[dict[UUID, str]]:
    """Invoked runs whose parent was cancelled while their event was on its way, and why they do not start."""
    children = [claim.run_id for claim in claims if claim.parent_id is not None]
    if not children:
        return {}
    cancelled = connection.execute(_WITH_ITS_PARENT, (children,))
    yield
    return dict(cancelled.fetchall())


def _done_before_renaming(connection: Connection, claims: Sequence[Claim]) -> dict[UUID, Claim]:
    """Claims of renamed actors whose event has a run under an earlier name. The others now have a folded row there."""
    names = {(c.envelope.id, c.envelope.source, alias): c for c in claims for alias in c.aliases}
    if not names:
        return {}
    rows = [_shadow(names[key], key[2]) for key in sorted(names)]
    connection.execute(_SHADOW, columns(rows))
    there = {
        (row[0], row[1], row[2])
        for row in connection.execute(_FOUND, columns(sorted(names)))
        if row[5] != "folded"
    }
    return {
        c.run_id: c
        for c in claims
        if any((c.envelope.id, c.envelope.source, alias) in there for alias in c.aliases)
    }


def _shadow(claim: Claim, alias: str) -> tuple[object, ...]:
    e = claim.envelope
    told = f"{alias} is now {claim.actor}"
    return (
        uuid7(), e.id, e.source, alias, e.type, e.version, e.time, claim.digest, e.correlation_id, claim.token, told,
    )  # fmt: skip


def _found(connection: Connection, older: Sequence[Claim]) -> Writing[list[tuple[Claim, Answer]]]:
    """What is there already: mine (an unanswered commit did write it), a duplicate, or another event under the same id."""
    rows = connection.execute(_FOUND, columns([claim.key for claim in older]))
    yield
    there = {(row[0], row[1], row[2]): row for row in rows}
    answers: list[tuple[Claim, Answer]] = []
    for claim in older:
        _, _, _, run_id, token, status, digest, fence, attempt, reason = there[claim.key]
        if token == claim.token:
            mine = ClaimedRun(
                run_id, claim.actor, claim.envelope, fence, attempt, claim.event, pipeline=claim.pipeline
            )
            answers.append((claim, mine if status == "running" else Declined("postponed", reason or status)))
        elif bytes(digest) != claim.digest:
            write_parked(connection, [Park(_reused(claim, run_id))])
            answers.append((claim, Declined("parked", "id reused")))
        else:
            answers.append((claim, Declined("duplicate", f"run {run_id} is {status}")))
    return answers


def _reused(claim: Claim, run_id: UUID) -> DeadLetter:
    return DeadLetter(
        "id reused",
        f"event {claim.envelope.id} of {claim.envelope.source} came again with another payload; run {run_id} has the first one. "
        "Publish it under an id of its own.",
        id=claim.run_id,
        queue=claim.queue or claim.actor,
        event_id=claim.envelope.id,
        event_source=claim.envelope.source,
        event_type=claim.envelope.type,
        body=claim.envelope.data,
        headers=dict(encode(claim.envelope).headers),
        content_type="application/json",
    )


def _claimed(claim: Claim) -> ClaimedRun:
    return ClaimedRun(
        claim.run_id,
        claim.actor,
        claim.envelope,
        1,
        1,
        claim.event,
        pipeline=claim.pipeline,
        deadline_in=claim.deadline,
    )


def _row(claim: Claim) -> tuple[object, ...]:
    e = claim.envelope
    return (
        claim.run_id,
        e.id,
        e.source,
        claim.actor,
        e.type,
        e.version,
        e.time,
        e.data.decode(),
        claim.digest,
        e.subject,
        e.correlation_id,
        e.causation_id,
        e.traceparent,
        e.tracestate,
        claim.pipeline,
        claim.token,
        claim.deadline,
        claim.parent_id,
    )
