"""A finished run reopened: the same run, `rerun` + 1, attempts and crashes anew, with the finished steps that are kept.

Outgoing events take their ids from (run, rerun, type, position): what a completed run publishes again are new events.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg import Connection, Cursor

from broker.audit import note
from broker.errors import CallboardError, CodeChangedError, NotFoundError
from broker.wiring import nearest
from schemas import InvalidPayload, UnknownType, UnknownVersion, normalise, parse, validate

FINISHED = ("completed", "failed", "skipped", "cancelled")
"""What can be run again. A folded run was done by another, which can."""

_HOLD = "select status, event_type, event_version, erased_at from run where id = %s for update"
_REOPEN = """
update run set status = 'queued', attempt = 0, crashes = 0, rerun = rerun + 1, fence = fence + 1, wake = gen_random_uuid(),
               due_at = clock(), sends = 0, finished_at = null, reason = %(reason)s, worker = null,
               deadline_at = clock() + deadline, event = coalesce(%(event)s::jsonb, event)
where id = %(id)s"""
# A sleep that is over has no other mark than its time: whoever has slept for three days need not do so again.
_UNFINISHED = """
(status <> 'done' and not (status = 'waiting' and due_at <= clock()
     and not exists (
         select from wait w where w.run_id = step.run_id and w.name = step.name and w.occurrence = step.occurrence)))"""
_FORGET_UNFINISHED = f"delete from step where run_id = %s and {_UNFINISHED}"  # noqa: S608  constants only
_FORGET_ALL = "delete from step where run_id = %s"
_STEPS = "select name from step where run_id = %s order by started_at, finished_at, name, occurrence"
_FOLDED = "select from run where folded_into = %s limit 1"
# What began when the step began, or later.
_FORGET_FROM = f"""
delete from step where run_id = %(id)s
  and ({_UNFINISHED} or started_at >= (select min(started_at) from step where run_id = %(id)s and name = %(step)s))"""  # noqa: S608
_SETTLE_LETTERS = """
update dead_letter set settled_at = clock(), settled_as = 'replayed', settled_by = %s where run_id = %s and settled_at is null"""


@dataclass(frozen=True, slots=True)
class Again:
    """How to run it again. `from_step` drops that step and all that began with or after it; `steps` False drops all of them.
    `event` is the edited payload as JSON."""

    by: str
    from_step: str | None = None
    steps: bool = True
    event: bytes | None = None


def rerun(connection: Connection, id: UUID, again: Again) -> None:
    """Run a finished run again; its open dead letter is settled by it. One commit. Raises what `reopen` raises."""
    with connection.transaction(), connection.cursor() as cursor:
        reopen(cursor, id, again, reason=f"run again by {again.by}")
        cursor.execute(_SETTLE_LETTERS, (again.by, id))


def reopen(cursor: Cursor, id: UUID, again: Again, *, reason: str) -> None:
    """Part of the caller's transaction; the run's row is locked by it.

    Raises NotFoundError without such a run or step, CallboardError while it is not finished, CodeChangedError for a payload that
    does not fit its type.
    """
    row = cursor.execute(_HOLD, (id,)).fetchone()
    if row is None:
        raise NotFoundError(f"no run {id}: `callboard runs` lists the newest; retention removes old ones")
    if row[3] is not None:
        raise CallboardError(f"run {id} was erased: nothing is left to run it with")
    if row[0] not in FINISHED:
        raise CallboardError(f"run {id} is {row[0]}: only a finished one can be run again")
    if again.event is not None and cursor.execute(_FOLDED, (id,)).fetchone() is not None:
        raise CallboardError(
            f"run {id} was made of several events, so there is no one payload to edit: run it again as it is, or publish "
            "a new event"
        )
    event = checked(row[1], row[2], again.event) if again.event is not None else None
    _forget_steps(cursor, id, again)
    note(cursor, again.by, "reopen", str(id), {"from_step": again.from_step, "edited": event is not None})
    cursor.execute(_REOPEN, {"id": id, "event": event, "reason": reason})


def checked(event_type: str, version: int, data: bytes) -> str:
    """The payload as text, if it fits its type. Raises CodeChangedError naming the fields, without their values."""
    refuse_unfit(data)
    try:
        validate(event_type, version, data)
    except (InvalidPayload, UnknownType, UnknownVersion) as error:
        raise CodeChangedError(f"the edited payload does not fit {normalise(event_type)}: {error}") from None
    return data.decode()


def refuse_unfit(data: bytes) -> None:
    """Raises CodeChangedError for a payload that no event can have: two equal keys, NUL, numbers that cannot be kept."""
    try:
        parse(data)
    except InvalidPayload as error:
        raise CodeChangedError(f"the edited payload cannot be kept: {error}") from None


def _forget_steps(cursor: Cursor, id: UUID, again: Again) -> None:
    if again.from_step is not None:
        names: Sequence[str] = [name for (name,) in cursor.execute(_STEPS, (id,)).fetchall()]
        if again.from_step not in names:
            there = ", ".join(dict.fromkeys(names)) or "none"
            raise NotFoundError(
                f"run {id} has no step {again.from_step!r}{nearest(again.from_step, names)}; its steps are: {there}"
            )
        cursor.execute(_FORGET_FROM.encode(), {"id": id, "step": again.from_step})
    else:
        cursor.execute((_FORGET_UNFINISHED if again.steps else _FORGET_ALL).encode(), (id,))
