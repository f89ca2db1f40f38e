"""Dead letters: everything we stopped trying, until someone replays or discards it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row

from broker.codec import LATE
from broker.errors import NotFoundError
from broker.journal.intents import Outgoing
from broker.outbox import store
from broker.transports.base import WireMessage
from schemas import uuid7

_COLUMNS = """id, created_at, reason, queue, actor, run_id, rerun, event_id, event_source, event_type, field, step, error,
    attempts, event, body, headers, content_type, trace_id, settled_at, settled_as"""

# `dead_letter_open` serves this.
_LIST = f"""
select {_COLUMNS} from dead_letter
where (settled_at is null or %(settled)s) and (%(reason)s::text is null or reason = %(reason)s)
  and (%(reason)s::text is not null or %(all)s or reason <> 'unheard')
  and (%(actor)s::text is null or actor = %(actor)s)
order by created_at desc limit %(limit)s"""  # noqa: S608  columns of ours
_ONE = f"select {_COLUMNS} from dead_letter where id = %s"  # noqa: S608
_COUNTS = "select reason, count(*) from dead_letter where settled_at is null group by reason order by 1"

_SETTLE = "update dead_letter set settled_at = clock(), settled_as = %s where id = %s and settled_at is null returning id"

# The same run again: attempts and crashes start anew, finished steps are kept, failed ones run again.
_REOPEN = """
update run set status = 'queued', attempt = 0, crashes = 0, rerun = rerun + 1, fence = fence + 1, wake = gen_random_uuid(),
               due_at = clock(), sends = 0, finished_at = null, reason = 'replayed', worker = null
where id = %s and status = 'failed' returning id"""
_FORGET_FAILED = "delete from step where run_id = %s and status <> 'done'"


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


def list_letters(
    connection: Connection,
    *,
    reason: str | None = None,
    actor: str | None = None,
    everything: bool = False,
    settled: bool = False,
    limit: int = 100,
) -> list[Letter]:
    """Newest first. Events that nobody heard are left out unless asked for by reason or with `everything`."""
    wanted = {"reason": reason, "actor": actor, "all": everything, "settled": settled, "limit": limit}
    with connection.cursor(row_factory=class_row(Letter)) as cursor:
        return cursor.execute(_LIST.encode(), wanted).fetchall()


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


def replay(connection: Connection, ids: Sequence[UUID]) -> list[UUID]:
    """Try these again; returns those replayed. One commit; a letter that is settled already is left alone, so two people who
    replay the same letter run it once.

    A letter with a run reopens that run and goes to its actor only. One without (undecodable, invalid, unheard) sends the raw
    message again: to the queue it came from, or through the exchange if nobody had heard it.
    """
    replayed: list[UUID] = []
    with connection.transaction(), connection.cursor() as cursor:
        for id in sorted(ids):
            letter = get_letter(connection, id)
            if cursor.execute(_SETTLE, ("replayed", id)).fetchone() is None:
                continue
            if letter.run_id is None:
                store(cursor, [Outgoing(uuid7(), _raw(letter))], None)
            elif cursor.execute(_REOPEN, (letter.run_id,)).fetchone() is None:
                raise NotFoundError(
                    f"run {letter.run_id} of dead letter {id} is not failed any more: discard the letter"
                )
            else:
                cursor.execute(_FORGET_FAILED, (letter.run_id,))
            replayed.append(id)
    return replayed


def discard(connection: Connection, ids: Sequence[UUID]) -> list[UUID]:
    """Settle without another try; returns those discarded. The rows stay until retention removes them."""
    with connection.transaction():
        return [
            id for id in sorted(ids) if connection.execute(_SETTLE, ("discarded", id)).fetchone() is not None
        ]


def _raw(letter: Letter) -> WireMessage:
    """The message as it came."""
    through_exchange = letter.reason in ("unheard", "unknown type") and letter.event_type is not None
    key = letter.event_type if through_exchange and letter.event_type else letter.queue or ""
    headers = {**(letter.headers or {}), LATE: "replayed"}
    if letter.reason == "id reused":
        headers["cloudEvents_id"] = str(
            letter.id
        )  # another payload is another event: it runs under an id of its own
    return WireMessage(
        key, letter.body or b"", headers, letter.content_type or "", direct=not through_exchange
    )
