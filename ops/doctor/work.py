"""Work that does not get on: overdue, orphaned, unheard or given up; and the workers that should see to it."""

from datetime import timedelta

from broker.keeper import leader_key
from broker.pause import paused as paused_now
from ops.doctor.finding import Remarks, fail, ok, rough, some, warn
from ops.doctor.patient import Patient

LATE = timedelta(seconds=10)
VERY_LATE = timedelta(minutes=1)
"""A leader looks four times a second, so a row a minute late is not being looked at."""

# Served by run_due and outbox_due.
DUE = "select count(*), clock() - min(due_at) from run where due_at < clock()"
_OUTBOX = "select count(*), clock() - min(send_at) from outbox where send_at < clock()"
# Served by schedule_due.
_SCHEDULES = """
select name, error, clock() - next_at from schedule
where paused_at is null and retired_at is null and (error is not null or next_at < clock() - %(late)s::interval)
order by name"""
_ORPHANS = """
select coalesce(array_agg(r.id::text), '{}') from run r
where r.status = 'running' and not exists (select from worker w where w.id = r.worker)"""
_LEADER = """
select count(*) from pg_locks l
where l.locktype = 'advisory' and l.granted and l.objsubid = 1
  and l.database = (select oid from pg_database where datname = current_database())
  and l.classid = (%(key)s::bigint >> 32)::int::oid and l.objid = (%(key)s::bigint & 4294967295)::oid"""
# Served by dead_letter_open.
OPEN_LETTERS = "select count(*) from dead_letter where settled_at is null and reason <> 'unheard'"
_UNHEARD = """
select coalesce(event_type, ''), count(*) from dead_letter where settled_at is null and reason = 'unheard'
group by event_type order by event_type"""


def due_runs(patient: Patient) -> Remarks:
    yield from _lag(patient, DUE, "run(s) due", "a worker wakes them: start one; or see `leader`")


def outbox(patient: Patient) -> Remarks:
    yield from _lag(
        patient,
        _OUTBOX,
        "event(s) in the outbox",
        "is RabbitMQ up? Else start a worker, whose leader sends them",
    )


def schedules(patient: Patient) -> Remarks:
    found = patient.db.execute(_SCHEDULES, {"late": LATE}).fetchall()
    for name, error, late in found:
        if error is not None:
            yield fail(
                f"schedule {name} cannot make its event: {error}",
                "correct its function and restart the workers; what fell due meanwhile follows its policy",
            )
        else:
            yield fail(
                f"schedule {name} is late by {rough(late)}",
                f"start a worker whose code declares it; or `callboard schedules pause {name}`",
            )
    if not found:
        yield ok("no schedule is late or failing")


def paused(patient: Patient) -> Remarks:
    found = paused_now(patient.db)
    for each in found:
        yield warn(
            f"{each.told(rough(each.lasts))}; {each.waiting} run(s) wait", f"`callboard resume {each.name}`"
        )
    if not found:
        yield ok("no actor and no pipeline is paused")


def workers(patient: Patient) -> Remarks:
    stale = [worker for worker in patient.workers if worker.silent > patient.settings.lease]
    for worker in stale:
        found = (
            f"worker {worker.name} was last heard {rough(worker.silent)} ago and holds {worker.runs} run(s)"
        )
        if worker.runs:
            yield fail(found, "a live worker takes them over within seconds: start one; or see `leader`")
        else:
            yield warn(found, "the next worker clears the row away: start one")
    if not patient.alive:
        yield warn("no worker is alive", "start `callboard worker`")
    elif not stale:
        yield ok(f"{len(patient.alive)} worker process(es) alive")


def leader(patient: Patient) -> Remarks:
    (held,) = patient.one(_LEADER, {"key": leader_key(patient.settings.namespace)})
    if held:
        yield ok("one worker leads: it wakes, relays and takes over")
    elif patient.alive:
        yield fail(
            "workers are alive and none leads: nothing due is woken and no dead worker taken over",
            "look for keeper_interrupted in their logs; see `sessions`",
        )
    else:
        yield warn("nobody leads: no worker is alive", "start `callboard worker`")


def orphans(patient: Patient) -> Remarks:
    (runs,) = patient.one(_ORPHANS)
    assert isinstance(runs, list)
    if runs:
        yield fail(
            f"{len(runs)} run(s) are said to run on workers that are not there: {some(runs, 3)}",
            "somebody deleted rows of `worker`: put one back with the run's worker id and an old heartbeat, and it is taken over",
        )
    else:
        yield ok("each running run has its worker")


def dead_letters(patient: Patient) -> Remarks:
    (count,) = patient.one(OPEN_LETTERS)
    if count:
        yield warn(f"{count} dead letter(s) are open", "`callboard dead list`, then replay or discard")
    else:
        yield ok("none is open")


def unheard(patient: Patient) -> Remarks:
    """An event that a loaded actor hears and RabbitMQ found nobody for: its binding is gone, or it came before the actor."""
    found: dict[str, int] = dict(patient.db.execute(_UNHEARD).fetchall())
    heard = {binding.event_type for binding in patient.topology.bindings}
    lost = [f"{kind} ({count})" for kind, count in found.items() if kind in heard]
    others = [f"{kind or 'of no type'} ({count})" for kind, count in found.items() if kind not in heard]
    if lost:
        yield fail(
            f"unheard although actors hear them: {some(lost)}",
            "start a worker, which binds its queues; then `callboard dead list --reason unheard` and replay",
        )
    if others:
        yield warn(
            f"events nobody hears: {some(others)}",
            "`callboard dead list --reason unheard`; write an actor, or discard",
        )
    if not found:
        yield ok("no event was unheard")


def _lag(patient: Patient, statement: str, what: str, fix: str) -> Remarks:
    count, late = patient.one(statement)
    if not isinstance(late, timedelta) or late < LATE:
        yield ok(f"no {what} is late".replace("(s)", ""))
        return
    found = f"{count} {what}, the oldest for {rough(late)}"
    yield fail(found, fix) if late > VERY_LATE else warn(found, fix)
