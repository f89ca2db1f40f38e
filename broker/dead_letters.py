"""Dead letters: everything we stopped trying, until someone replays or discards it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row

from broker.audit import note
from broker.codec import LATE
from broker.errors import NotFoundError
from broker.journal.intents import Outgoing
from broker.outbox import store
from broker.patience import without_wait
from broker.reopen import Again, refuse_unfit, reopen
from broker.transports.base import WireMessage
from schemas import uuid7

_COLUMNS = """id, created_at, reason, queue, actor, run_id, rerun, event_id, event_source, event_type, field, step, error,
    attempts, event, body, headers, content_type, trace_id, settled_at, settled_as, settled_by, edited"""

# `dead_letter_open` serves both. Events that nobody hears are wanted only by name.
_WHERE = """
where (settled_at is null or %(settled)s) and (%(reason)s::text is null or reason = %(reason)s)
  and (%(reason)s::text is not null or %(unheard)s or reason <> 'unheard')
  and (%(actor)s::text is null or actor = %(actor)s) and (%(event_type)s::text is null or event_type = %(event_type)s)
  and (%(since)s::timestamptz is null or created_at >= %(since)s) and (%(until)s::timestamptz is null or created_at < %(until)s)
  and (%(error)s::text is null or position(lower(%(error)s) in lower(error)) > 0)
  and (%(replayed_below)s::integer is null or rerun < %(replayed_below)s)"""
_LIST = f"select {_COLUMNS} from dead_letter {_WHERE} order by created_at desc limit %(limit)s"  # noqa: S608  columns of ours
_IDS = f"select id from dead_letter {_WHERE} order by created_at"  # noqa: S608
_ONE = f"select {_COLUMNS} from dead_letter where id = %s"  # noqa: S608
_COUNTS = "select reason, count(*) from dead_letter where settled_at is null group by reason order by 1"

_SETTLE = """
update dead_letter set settled_at = clock(), settled_as = %s, settled_by = %s, edited = %s
where id = %s and settled_at is null returning id"""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which letters. None means any; `error` is a part of the error's text, in any case. Times are when they died."""

    reason: str | None = None
    actor: str | None = None
    event_type: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    error: str | None = None
    unheard: bool = False
    """Also events that nobody heard."""
    replayed_below: int | None = None
    """Only letters of runs that were run again less often."""

    @property
    def bounds(self) -> bool:
        """Whether it leaves anything out."""
        return any((self.reason, self.actor, self.event_type, self.since, self.until, self.error))


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter, whole. `event` is the payload where it could be read, `body` the raw bytes where it could not."""

    id: UUID
    created_at: datetime
    reason: str
    queue: str | None
    actor: str | None
    run_id: UUID | None
    rerun: int
    event_id: str | None
    event_source: str | None
    event_type: str | None
    field: str | None
    step: str | None
    error: str
    attempts: list[dict[str, Any]]
    event: dict[str, Any] | None
    body: bytes | None
    headers: dict[str, str] | None
    content_type: str | None
    trace_id: str | None
    settled_at: datetime | None
    settled_as: str | None
    settled_by: str | None
    edited: dict[str, Any] | None
    """What it was replayed with, where that is not what had died."""

    @property
    def payload(self) -> dict[str, Any] | None:
        """What died, where it is a JSON object."""
        if self.event is not None:
            return self.event
        try:
            found = json.loads(self.body or b"")
        except ValueError:
            return None
        return found if isinstance(found, dict) else None


def list_letters(
    connection: Connection, wanted: Filter = Filter(), *, settled: bool = False, limit: int = 100
) -> list[Letter]:
    """Newest first."""
    with connection.cursor(row_factory=class_row(Letter)) as cursor:
        return cursor.execute(
            _LIST.encode(), {**asdict(wanted), "settled": settled, "limit": limit}
        ).fetchall()


def open_letters(connection: Connection, wanted: Filter) -> list[UUID]:
    """Ids of those that wait for somebody, oldest first."""
    rows = connection.execute(_IDS.encode(), {**asdict(wanted), "settled": False}).fetchall()
    return [id for (id,) in rows]


def count_letters(connection: Connection) -> dict[str, int]:
    """Open dead letters by reason."""
    return dict(connection.execute(_COUNTS).fetchall())


def get_letter(connection: Connection, id: UUID) -> Letter:
    """Raises NotFoundError."""
    with connection.cursor(row_factory=class_row(Letter)) as cursor:
        letter = cursor.execute(_ONE.encode(), (id,)).fetchone()
    if letter is None:
        raise NotFoundError(
            f"no dead letter {id}: `callboard dead list --settled` shows those already replayed or discarded"
        )
    return letter


def replay(connection: Connection, ids: Sequence[UUID], again: Again) -> list[UUID]:
    """Try these again; returns those replayed. One commit; a letter that is settled already is left alone, so two people who
    replay the same letter run it once, and a replay that was interrupted goes on where it was.

    A letter with a run reopens that run and goes to its actor only. One without (undecodable, invalid, unheard) sends the raw
    message again: to the queue it came from, or through the exchange if nobody had heard it. An edited payload takes the place
    of what had died, which the letter keeps. Raises CodeChangedError for one that does not fit, NotFoundError without such a
    letter or step; then none is replayed.
    """
    replayed: list[UUID] = []
    if again.event is not None:
        refuse_unfit(again.event)
    with connection.transaction(), connection.cursor() as cursor:
        for id in sorted(ids):
            letter = get_letter(connection, id)
            edited = again.event.decode() if again.event is not None else None
            if cursor.execute(_SETTLE, ("replayed", again.by, edited, id)).fetchone() is None:
                continue
            if letter.run_id is None:
                store(cursor, [Outgoing(uuid7(), _raw(letter, again.event))], None)
                note(cursor, again.by, "replay", str(id), {"edited": edited is not None})
            else:
                reopen(cursor, letter.run_id, again, reason=f"replayed by {again.by}")
            replayed.append(id)
    return replayed


def discard(connection: Connection, ids: Sequence[UUID], by: str) -> list[UUID]:
    """Settle without another try; returns those discarded. The rows stay until retention removes them."""
    with connection.transaction(), connection.cursor() as cursor:
        done = [id for id in sorted(ids) if cursor.execute(_SETTLE, ("discarded", by, None, id)).fetchone()]
        for id in done:
            note(cursor, by, "discard", str(id))
    return done


def _raw(letter: Letter, edited: bytes | None) -> WireMessage:
    """The message as it came, but for an edited body."""
    through_exchange = letter.reason in ("unheard", "unknown type") and letter.event_type is not None
    key = letter.event_type if through_exchange and letter.event_type else letter.queue or ""
    headers = {**without_wait(letter.headers or {}), LATE: "replayed"}
    if letter.reason == "id reused":
        headers["cloudEvents_id"] = str(
            letter.id
        )  # another payload is another event: it runs under an id of its own
    return WireMessage(
        key,
        edited if edited is not None else letter.body or b"",
        headers,
        letter.content_type or "",
        direct=not through_exchange,
    )
