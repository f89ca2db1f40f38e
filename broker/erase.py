"""Erasing what is about a person: payloads, results, errors and broadcasts go, the rows that say what happened stay.

    an event is about somebody ── its `subject`, or a field marked SUBJECT
          └ and so is whatever it has caused, down to the last event

Runs are erased from the last to the first, a page a commit: a call that was interrupted finds the rest when it is made again.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from psycopg import Connection, Cursor

from broker.audit import note
from broker.errors import CallboardError
from schemas import Event
from schemas.marks import subject_fields

PAGE = 100
"""Runs a commit."""
ERASED = "erased: it was about somebody who has asked for that"

# Field by field, as its model publishes it.
_MARKED = """exists (
    select from unnest(%(types)s::text[], %(fields)s::text[]) k (type, field)
    where k.type = {type} and {data} ->> k.field = %(person)s)"""
_ABOUT = f"""
with recursive about (id, event_id, correlation_id, depth) as (
    select id, event_id, correlation_id, 0 from run
    where subject = %(person)s or {_MARKED.format(type="event_type", data="event")}
    union
    select r.id, r.event_id, r.correlation_id, a.depth + 1
    from about a join run r on r.correlation_id = a.correlation_id and r.causation_id = a.event_id and r.id <> a.id
    where a.depth < 1000)
select r.id, r.event_id, r.finished_at is not null
from run r join (select id, max(depth) as depth from about group by id) a on a.id = r.id
where r.erased_at is null order by a.depth desc, r.id"""  # noqa: S608  constants only
_LETTERS = f"""
select id from dead_letter
where run_id is null and error <> %(erased)s
  and (headers ->> 'cloudEvents_subject' = %(person)s or {_MARKED.format(type="event_type", data="event")})"""  # noqa: S608
_RAW = """
select id, event_type, body from dead_letter
where run_id is null and event is null and body is not null and event_type = any(%(types)s) and error <> %(erased)s"""
_RECORDED = f"select id, source from event where {_MARKED.format(type='type', data='data')}"  # noqa: S608
_MOVING = """
select count(*) from (select headers, id::text as id from outbox union all select headers, null from delivery) m
where headers ->> 'cloudEvents_subject' = %(person)s or headers ->> 'cloudEvents_causationid' = any(%(events)s)
   or headers ->> 'cloudEvents_id' = any(%(events)s)"""

_HOLD = "select id from run where id = any(%s) and finished_at is not null and erased_at is null order by id for no key update"
_ERASE_RUN = """
update run set event = '{}', result = null, subject = null, reason = %s, erased_at = clock() where id = any(%s)"""
_OF_RUNS = (
    "update step set result = null, error = null where run_id = any(%s)",
    "update attempt set error = '', trace = null where run_id = any(%s)",
    "update wait set outcome = null, body = null, headers = null where run_id = any(%s)",
    "delete from broadcast where run_id = any(%s)",
)
_ERASE_LETTERS = """
update dead_letter
set event = null, body = null, headers = null, edited = null, attempts = '[]', error = %(erased)s, field = null,
    settled_at = coalesce(settled_at, clock()), settled_as = coalesce(settled_as, 'discarded'),
    settled_by = coalesce(settled_by, %(by)s)
where (run_id = any(%(runs)s) or id = any(%(ids)s)) and error <> %(erased)s"""


@dataclass(frozen=True, slots=True)
class Found:
    """What is about the person. `live` runs are not over; `moving` messages have not become runs yet."""

    runs: Sequence[UUID] = ()
    live: Sequence[UUID] = ()
    letters: Sequence[UUID] = ()
    recorded: Sequence[tuple[str, str]] = ()
    moving: int = 0


def find(connection: Connection, person: str, kinds: Sequence[type[Event]]) -> Found:
    """Changes nothing. `kinds` are the declared events: their marks say where the person's id stands. Reads all runs once."""
    asked = _asked(person, kinds)
    runs = connection.execute(_ABOUT.encode(), asked).fetchall()
    asked["events"] = [event_id for _, event_id, _ in runs]
    letters = [id for (id,) in connection.execute(_LETTERS.encode(), asked).fetchall()]
    places = _places(kinds)
    for id, kind, body in connection.execute(_RAW, asked).fetchall():
        if _is_about(body, person, [name for of, name in places if of == kind]):
            letters.append(id)
    moving = connection.execute(_MOVING, asked).fetchone()
    return Found(
        runs=[id for id, _, over in runs if over],
        live=[id for id, _, over in runs if not over],
        letters=letters,
        recorded=connection.execute(_RECORDED.encode(), asked).fetchall(),
        moving=moving[0] if moving else 0,
    )


def erase(connection: Connection, person: str, found: Found, by: str) -> None:
    """Erase what was found, a page of runs a commit. May be repeated: what is erased is not found again.

    Raises CallboardError while something about the person is under way: it would come back.
    """
    if found.live or found.moving:
        raise CallboardError(
            f"{len(found.live)} runs and {found.moving} messages about this person are under way: wait for them, or cancel "
            "the runs (--cancel); then erase again"
        )
    for start in range(0, max(1, len(found.runs)), PAGE):
        page = list(found.runs[start : start + PAGE])
        with connection.transaction(), connection.cursor() as cursor:
            _erase(cursor, page, found if start == 0 else Found(), by)
    with connection.transaction(), connection.cursor() as cursor:
        facts = {"runs": len(found.runs), "letters": len(found.letters), "events": len(found.recorded)}
        note(cursor, by, "erase", digest(person), facts)


def digest(person: str) -> str:
    """How the audit names whom nothing may name any more."""
    return f"sha256:{sha256(person.encode(errors='surrogatepass')).hexdigest()[:16]}"


def _erase(cursor: Cursor, runs: Sequence[UUID], found: Found, by: str) -> None:
    held = [id for (id,) in cursor.execute(_HOLD, (list(runs),)).fetchall()]
    cursor.execute(_ERASE_RUN, (ERASED, held))
    for statement in _OF_RUNS:
        cursor.execute(statement.encode(), (held,))
    cursor.execute(_ERASE_LETTERS, {"runs": held, "ids": list(found.letters), "by": by, "erased": ERASED})
    for id, source in found.recorded:
        cursor.execute("delete from event where id = %s and source = %s", (id, source))


def _asked(person: str, kinds: Sequence[type[Event]]) -> dict[str, object]:
    places = _places(kinds)
    return {
        "person": person,
        "types": [kind for kind, _ in places],
        "fields": [name for _, name in places],
        "erased": ERASED,
    }


def _places(kinds: Iterable[type[Event]]) -> list[tuple[str, str]]:
    """Type and field, in both spellings."""
    found = {
        (kind.event_type, spelt)
        for kind in kinds
        for name in subject_fields(kind)
        for spelt in (name, kind.model_fields[name].alias or name)
    }
    return sorted(found)


def _is_about(body: bytes, person: str, fields: Sequence[str]) -> bool:
    try:
        data = json.loads(body)
    except ValueError:
        return False
    return isinstance(data, Mapping) and any(data.get(name) == person for name in fields)
