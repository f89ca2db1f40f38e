"""How claims and resumes of one batch are written, and what the doors say to them. Runs in the batch's transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

from psycopg import Cursor

from broker.codec import encode
from broker.journal.intents import Answer, Claim, ClaimedRun, DeadLetter, Declined, Park, Resume, StoredStep
from broker.journal.records import columns, write_parked
from schemas import Envelope, Event

Asker = TypeVar("Asker", Claim, Resume)

_CLAIM = """
insert into run (id, event_id, event_source, actor, event_type, event_version, event_time, event, digest, subject,
                 correlation_id, causation_id, traceparent, tracestate, pipeline, claim,
                 status, attempt, fence, worker, created_at, started_at)
select c.id, c.event_id, c.event_source, c.actor, c.event_type, c.event_version, c.event_time, c.event, c.digest, c.subject,
       c.correlation_id, c.causation_id, c.traceparent, c.tracestate, c.pipeline, c.token,
       'running', 1, 1, %s, clock(), clock()
from unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %s::int[], %s::timestamptz[], %s::jsonb[], %s::bytea[],
            %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::uuid[])
     as c (id, event_id, event_source, actor, event_type, event_version, event_time, event, digest, subject, correlation_id,
           causation_id, traceparent, tracestate, pipeline, token)
on conflict (event_id, event_source, actor) do nothing
returning id"""

# After the insert, in a statement of its own: it sees rows that others committed while the insert waited for them.
_FOUND = """
select r.event_id, r.event_source, r.actor, r.id, r.claim, r.status, r.digest, r.fence, r.attempt, r.reason
from run r join unnest(%s::text[], %s::text[], %s::text[]) as k (event_id, event_source, actor)
  on r.event_id = k.event_id and r.event_source = k.event_source and r.actor = k.actor"""

_RESUME = """
with waiting as (
    select r.id, r.status, r.reserved_at, k.token
    from run r join unnest(%s::uuid[], %s::uuid[], %s::uuid[]) as k (id, wake, token) on r.id = k.id and r.wake = k.wake
    where r.status in ('queued', 'waiting', 'retrying') order by r.id for no key update of r)
update run r
set status = 'running', worker = %s, fence = r.fence + 1, claim = w.token, wake = null, due_at = null, sends = 0, reason = null,
    reserved_at = null, attempt = case when r.status = 'retrying' then r.attempt + 1 else greatest(r.attempt, 1) end,
    started_at = coalesce(r.started_at, clock())
from waiting w where r.id = w.id
returning r.id, w.status, w.reserved_at"""

_RESUMED = """
select r.id, r.claim, r.actor, r.fence, r.attempt, r.rerun, r.crashes, r.pipeline, r.started_at, r.event_id,
       r.event_source, r.event_type, r.event_version, r.event_time, r.event::text, r.subject, r.correlation_id, r.causation_id,
       r.traceparent, r.tracestate
from run r where r.id = any(%s) and r.claim = any(%s) and r.status = 'running'"""

_READ = _RESUMED.replace("r.id = any(%s) and r.claim = any(%s) and r.status = 'running'", "r.id = any(%s)")

_STORED = """
select run_id, name, occurrence, status, tries, result::text, error, due_at - clock() from step where run_id = any(%s)"""

_DECLINE = """
update run r
set status = d.status, reason = d.reason, worker = null, due_at = d.due_at, reserved_at = d.due_at,
    wake = case when d.due_at is not null then gen_random_uuid() end,
    attempt = case when d.fresh then 0 else r.attempt end,
    started_at = case when d.fresh then null else r.started_at end,
    finished_at = case when d.due_at is null then clock() end
from unnest(%s::uuid[], %s::text[], %s::text[], %s::timestamptz[], %s::bool[]) as d (id, status, reason, due_at, fresh)
where r.id = d.id"""


class Asked:
    """A run at the doors. A door calls `postpone` or `skip`, or lets it pass; the first refusal stands."""

    __slots__ = ("actor", "due_at", "event", "fresh", "reason", "reserved_at", "run_id", "status")

    def __init__(
        self, run_id: UUID, actor: str, event: Event, *, fresh: bool, reserved_at: datetime | None
    ) -> None:
        self.run_id = run_id
        self.actor = actor
        self.event = event
        self.fresh = fresh
        self.reserved_at = reserved_at
        self.status: str | None = None
        self.reason = ""
        self.due_at: datetime | None = None

    def postpone(self, due_at: datetime, reason: str) -> None:
        """Start no earlier than `due_at`; no attempt is counted."""
        self.status, self.reason, self.due_at = "waiting", reason, due_at

    def skip(self, reason: str) -> None:
        self.status, self.reason = "skipped", reason


class Doors(Protocol):
    """The policies that decide *when*, asked in their listed order inside the claim's transaction."""

    def guards(self, actor: str) -> bool:
        """Whether any door has a say in this actor's runs."""
        ...

    def read(self, run: ClaimedRun) -> Event | None:
        """The event of a resumed run, or None if it no longer validates (the attempt will say so)."""
        ...

    def ask(self, cursor: Cursor, asked: Sequence[Asked]) -> None: ...


def write_claims(
    cursor: Cursor, worker: UUID, claims: Sequence[Claim], doors: Doors
) -> list[tuple[Claim, Answer]]:
    """Insert the runs, read back those that were there before, ask the doors about the new ones."""
    renamed = _done_before_renaming(cursor, [claim for claim in claims if claim.aliases])
    claims = [claim for claim in claims if claim.run_id not in renamed]
    first: dict[tuple[str, str, str], Claim] = {}
    for claim in sorted(claims, key=lambda claim: claim.key):
        first.setdefault(claim.key, claim)
    fresh = _insert(cursor, worker, list(first.values()))
    answers: list[tuple[Claim, Answer]] = []
    older: list[Claim] = []
    asked: list[Asked] = []
    for claim in claims:
        if claim.run_id in fresh and first[claim.key] is claim:
            answers.append((claim, _claimed(claim)))
            if doors.guards(claim.actor):
                asked.append(Asked(claim.run_id, claim.actor, claim.event, fresh=True, reserved_at=None))
        else:
            older.append(claim)
    answers += _found(cursor, older)
    answers += [
        (claim, Declined("duplicate", "done under an earlier name of the actor"))
        for claim in renamed.values()
    ]
    return _at_the_doors(cursor, asked, answers, doors)


def write_resumes(
    cursor: Cursor, worker: UUID, resumes: Sequence[Resume], doors: Doors
) -> list[tuple[Resume, Answer]]:
    """Take over waiting runs whose `wake` is still theirs, with what their earlier attempts left."""
    unique = {resume.wake: resume for resume in sorted(resumes, key=lambda resume: resume.run_id)}
    rows = [(resume.run_id, resume.wake, resume.token) for resume in unique.values()]
    woken = {row[0]: row[1:] for row in cursor.execute(_RESUME, [*columns(rows), worker]).fetchall()}
    keys = ([row[0] for row in rows], [row[2] for row in rows])
    resumed = {row[1]: row for row in cursor.execute(_RESUMED, keys).fetchall()}
    steps = _stored_steps(cursor, [row[0] for row in resumed.values()])
    answers: list[tuple[Resume, Answer]] = []
    asked: list[Asked] = []
    for resume in resumes:
        row = resumed.get(resume.token)
        if row is None:
            answers.append((resume, Declined("duplicate", "the run has gone on without this wake-up")))
            continue
        run = _resumed_run(row, steps.get(row[0], {}))
        answers.append((resume, run))
        # Not woken now: an unanswered commit did it, and the doors let it pass then.
        status, reserved_at = woken.get(run.id, ("waiting", None))
        # Going on after a sleep is no start; a retry, a takeover and a start that was postponed are.
        if status == "waiting" and reserved_at is None:
            continue
        if doors.guards(run.actor) and (event := doors.read(run)) is not None:
            asked.append(Asked(run.id, run.actor, event, fresh=run.attempt == 1, reserved_at=reserved_at))
    return _at_the_doors(cursor, asked, answers, doors)


def read_runs(cursor: Cursor, ids: Sequence[UUID]) -> list[ClaimedRun]:
    """Runs as they stand, without their steps."""
    return [_resumed_run(row, {}) for row in cursor.execute(_READ.encode(), (list(ids),)).fetchall()]


def _insert(cursor: Cursor, worker: UUID, claims: Sequence[Claim]) -> set[UUID]:
    """The ids of the runs that are new."""
    if not claims:
        return set()
    rows = columns([_row(claim) for claim in claims])
    return {id for (id,) in cursor.execute(_CLAIM, [worker, *rows]).fetchall()}


def _done_before_renaming(cursor: Cursor, claims: Sequence[Claim]) -> dict[UUID, Claim]:
    """Claims of renamed actors whose event has a run under an earlier name."""
    keys = [(c.envelope.id, c.envelope.source, alias) for c in claims for alias in c.aliases]
    if not keys:
        return {}
    there = {(row[0], row[1], row[2]) for row in cursor.execute(_FOUND, columns(keys)).fetchall()}
    return {
        c.run_id: c
        for c in claims
        if any((c.envelope.id, c.envelope.source, alias) in there for alias in c.aliases)
    }


def _at_the_doors(
    cursor: Cursor, asked: Sequence[Asked], answers: list[tuple[Asker, Answer]], doors: Doors
) -> list[tuple[Asker, Answer]]:
    """Let the doors decide, write what they declined, and tell those askers."""
    if not asked:
        return answers
    doors.ask(cursor, asked)
    declined = {a.run_id: a for a in asked if a.status is not None}
    if not declined:
        return answers
    cursor.execute(
        _DECLINE, columns([(a.run_id, a.status, a.reason, a.due_at, a.fresh) for a in declined.values()])
    )
    return [(intent, _verdict(answer, declined)) for intent, answer in answers]


def _verdict(answer: Answer, declined: Mapping[UUID, Asked]) -> Answer:
    if isinstance(answer, ClaimedRun) and (no := declined.get(answer.id)) is not None:
        return Declined("postponed" if no.status == "waiting" else "skipped", no.reason)
    return answer


def _found(cursor: Cursor, older: Sequence[Claim]) -> list[tuple[Claim, Answer]]:
    """What is there already: mine (an unanswered commit did write it), a duplicate, or another event under the same id."""
    if not older:
        return []
    rows = cursor.execute(_FOUND, columns([claim.key for claim in older])).fetchall()
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
            write_parked(cursor, [Park(_reused(claim, run_id))])
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


def _stored_steps(cursor: Cursor, run_ids: Sequence[UUID]) -> dict[UUID, dict[tuple[str, int], StoredStep]]:
    steps: dict[UUID, dict[tuple[str, int], StoredStep]] = {}
    for run_id, name, occurrence, status, tries, result, error, due_in in cursor.execute(
        _STORED, (list(run_ids),)
    ).fetchall():
        steps.setdefault(run_id, {})[name, occurrence] = StoredStep(status, tries, result, error, due_in)
    return steps


def _claimed(claim: Claim) -> ClaimedRun:
    return ClaimedRun(claim.run_id, claim.actor, claim.envelope, 1, 1, claim.event, pipeline=claim.pipeline)


def _resumed_run(row: tuple[Any, ...], steps: dict[tuple[str, int], StoredStep]) -> ClaimedRun:
    (id, _, actor, fence, attempt, rerun, crashes, pipeline, started_at, event_id, source, type_, version, time, event,
     subject, correlation_id, causation_id, traceparent, tracestate) = row  # fmt: skip
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
    return ClaimedRun(id, actor, envelope, fence, attempt, None, rerun, crashes, pipeline, started_at, steps)


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
    )
